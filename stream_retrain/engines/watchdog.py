"""The watchdog: a loop that has not turned for too long is unhealthy, and then its process ends itself.

A call into a client library can fail to return, whatever timeout it was given. Nothing in the same thread can mend that: signals are
not served either, because Python runs a signal's handler between two steps of the main thread. So a thread beside the loop watches it.

Protocol of use:

1. Whoever loops calls the watchdog itself before every turn: it says whether the process was told to stop, and notes that the loop has
   turned. Waits that last longer than a turn call it in between.
2. A wait asks `deadline_s()` how long it may last: for ever until the process is told to stop, and from then on until
   `shutdown_timeout_s` is over.
3. As a context manager it runs the thread that watches. `turning()` is false once the loop has not turned for `loop_timeout_s`;
   `ENDS_AFTER_S` later the process ends with exit code 1, and the log says where it stood. From the moment it was told to stop, the
   process ends after `shutdown_timeout_s` and `STOP_GRACE_S`, whatever still lasts.

Ending like this is as safe as SIGKILL: what was not committed is aborted, and learned again.

Silence is counted in steps of the watching thread, so that a process that was suspended, with all its threads, is not held to be stuck
when it wakes up.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Final, Protocol, Self

from stream_retrain.logs import ALWAYS, fields_with

__all__ = ["Stop", "Watchdog"]

LOG: Final = logging.getLogger("stream_retrain.watchdog")
STEP_S: Final = 0.25
ENDS_AFTER_S: Final = 10.0
STOP_GRACE_S: Final = 1.0
SAY_TIMEOUT_S: Final = 2.0
"""How long the end waits for the log to take its reason."""
FAILED: Final = 1
FRAMES_TOLD: Final = 8


class Stop(Protocol):
    """Whether to stop, for those who loop, and how long a wait may last."""

    def __call__(self) -> bool: ...
    def deadline_s(self) -> float: ...
    def remaining_s(self) -> float: ...


class Watchdog:
    """Watches the thread that it is made in, and those that call it."""

    def __init__(
        self,
        asked: Callable[[], bool],
        *,
        loop_timeout_s: float,
        shutdown_timeout_s: float,
        clock_s: Callable[[], float] = time.monotonic,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._asked = asked
        self._loop_timeout_s = loop_timeout_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._clock_s = clock_s
        self._end = end
        self._loops = {threading.get_ident()}
        self._turns = 0
        self._turns_seen = 0
        self._silent_s = 0.0
        self._asked_at_s: float | None = None
        self._stopping_s = 0.0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self) -> bool:
        """The loop has turned; whether it is to stop."""
        self._turns += 1
        self._loops.add(threading.get_ident())
        return self._told()

    def deadline_s(self) -> float:
        """Until when everything must be done, by the clock it was given; infinity until the process is told to stop."""
        return self._asked_at_s + self._shutdown_timeout_s if self._told() and self._asked_at_s is not None else float("inf")

    def remaining_s(self) -> float:
        """How much longer a wait may last."""
        return self.deadline_s() - self._clock_s()

    def turning(self) -> bool:
        """Whether the loop has turned lately."""
        return self._silent_s < self._loop_timeout_s

    def look(self, passed_s: float) -> None:
        """What the thread does every step: count the silence, and end the process where it lasts too long."""
        if self._turns != self._turns_seen:
            self._turns_seen, self._silent_s = self._turns, 0.0
        else:
            self._silent_s += passed_s
        if self._told():
            self._stopping_s += passed_s
            if self._stopping_s >= self._shutdown_timeout_s + STOP_GRACE_S:
                self._end_process(f"told to stop {self._stopping_s:.1f} s ago (shutdown_timeout_s is {self._shutdown_timeout_s:g})")
        elif self._silent_s >= self._loop_timeout_s + ENDS_AFTER_S:
            self._end_process(f"the loop has not turned for {self._silent_s:.0f} s (loop_timeout_s is {self._loop_timeout_s:g})")

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed.set()
        if self._thread is not None:
            self._thread.join(STEP_S * 4)

    def _told(self) -> bool:
        if self._asked_at_s is None and self._asked():
            self._asked_at_s = self._clock_s()
        return self._asked_at_s is not None

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._closed.wait(STEP_S):
            now_s = time.monotonic()
            self.look(min(now_s - before_s, 2 * STEP_S))
            before_s = now_s

    def _end_process(self, why: str) -> None:
        # Where the loop hangs in writing to a pipe that nobody reads, it holds the lock of the log.
        saying = threading.Thread(target=_say, args=(why, self._where()), name="last words", daemon=True)
        saying.start()
        saying.join(SAY_TIMEOUT_S)
        self._end(FAILED)

    def _where(self) -> str:
        frames = sys._current_frames()
        stacks = ["".join(traceback.format_stack(frames[loop])[-FRAMES_TOLD:]).rstrip() for loop in sorted(self._loops) if loop in frames]
        return "\n".join(stacks) or "its end"


def _say(why: str, where: str) -> None:
    stood = fields_with(ALWAYS, stack=where)
    LOG.critical("%s: the process ends; what it has not committed is learned again. It stood at", why, extra=stood)
    logging.shutdown()

"""Calls into a client library that must come back: each is made in a thread beside the loop, and left there if it does not.

librdkafka gives its transactional calls a timeout and does not always keep it: where a broker dies while offsets are sent, the call
may never return. The thread that is stuck in it is of no use any more, nor is the client; the process goes on without both.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from stream_retrain.engines.watchdog import Stop

__all__ = ["BoundedCalls", "StuckError"]

_Calls: TypeAlias = "queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]] | None]"

STEP_S: Final = 0.2
GRACE_S: Final = 1.0
"""Beyond the call's own timeout."""


class StuckError(Exception):
    """A call has not returned: the client that it was made on cannot be used any more."""


class BoundedCalls:
    """The calls on one client, one at a time. After one that is stuck, every further one raises `StuckError` at once."""

    def __init__(self, name: str, stop: Stop) -> None:
        self._name = name
        self._stop = stop
        self._calls: _Calls = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self.stuck = False

    def __call__(self, call: Callable[[], Any], timeout_s: float) -> None:
        """Make a call that should return within `timeout_s`; once the process is told to stop it is not waited for any longer than that.

        Raises what the call raises, and `StuckError`.
        """
        if self.stuck:
            raise StuckError
        if self._thread is None:
            self._thread = threading.Thread(target=_run, args=(self._calls,), name=self._name, daemon=True)
            self._thread.start()
        reply: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._calls.put((call, reply))
        until_s = time.monotonic() + timeout_s + GRACE_S
        while True:
            try:
                error = reply.get(timeout=STEP_S)
                break
            except queue.Empty:
                told_to_stop = self._stop.remaining_s() <= 0
                if told_to_stop or time.monotonic() >= until_s:
                    self.stuck = True
                    raise StuckError from None
        if error is not None:
            raise error

    def end(self) -> None:
        """No call comes any more."""
        self._calls.put(None)

    def __del__(self) -> None:
        self.end()


def _run(calls: _Calls) -> None:
    """The thread; it holds nothing of the object that began it, and ends with it."""
    while (given := calls.get()) is not None:
        call, reply = given
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - it is raised where the call was asked for
            reply.put(error)
        else:
            reply.put(None)
        del given, call, reply

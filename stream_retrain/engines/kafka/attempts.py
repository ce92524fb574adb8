"""A thread beside a worker's loop that makes attempts: one that fails is told, and followed by another after a pause.

Its trouble is not the worker's: a topic that is missing, a transaction that is refused or a broker that is away end an attempt. What there
is to tell waits for the worker's loop, which tells everything.
"""

from __future__ import annotations

import collections
import logging
import math
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, NamedTuple, Self, TypeAlias

from stream_retrain.engines.backoff import Backoff
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import BrokerError, StoreError

__all__ = ["AttemptState", "Attempts", "Change"]

AttemptState: TypeAlias = Literal["starting", "running", "degraded", "stopped"]
WAIT_MAX_S: Final = 5.0
GOT_ON_AFTER_S: Final = 10.0
STEP_S: Final = 0.1
CHANGES_MAX: Final = 20
JOIN_S: Final = 4.0
LOG: Final = logging.getLogger("stream_retrain.worker")


class Change(NamedTuple):
    """Another state, and why."""

    state: AttemptState
    detail: str


class _Ending:
    """Whether the thread is to stop; a wait lasts no longer than the worker may, once that is told to stop."""

    def __init__(self, worker: Stop) -> None:
        self._event = threading.Event()
        self._worker = worker

    def __call__(self) -> bool:
        return self._event.is_set() or self._worker.deadline_s() < math.inf

    def deadline_s(self) -> float:
        return self._worker.deadline_s()

    def remaining_s(self) -> float:
        return self._worker.remaining_s()

    def end(self) -> None:
        self._event.set()


class Attempts:
    """A context manager: the thread, of this name, runs inside of it. `attempt` returns once `stop()`, or raises."""

    def __init__(self, name: str, attempt: Callable[[], None], worker: Stop) -> None:
        self._attempt = attempt
        self._ending = _Ending(worker)
        self._lock = threading.Lock()
        self._changes: collections.deque[Change] = collections.deque(maxlen=CHANGES_MAX)
        self._last: Change | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.end()
        self._thread.join(max(STEP_S, min(JOIN_S, self._ending.remaining_s())))

    @property
    def stop(self) -> Stop:
        """Whether to stop."""
        return self._ending

    def enter(self, state: AttemptState, detail: str) -> None:
        """Another state; the same one again is told once."""
        change = Change(state, detail)
        if change != self._last:
            self._last = change
            with self._lock:
                self._changes.append(change)

    def changes(self) -> list[Change]:
        """Those since the last time."""
        with self._lock:
            changes = list(self._changes)
            self._changes.clear()
        return changes

    def _run(self) -> None:
        backoff = Backoff(max_s=WAIT_MAX_S)
        while not self._ending():
            began_s = time.monotonic()
            try:
                self._attempt()
            except Exception as error:
                if not isinstance(error, BrokerError | StoreError):
                    LOG.error("%s: an attempt failed", self._thread.name, exc_info=error)
                now_s = time.monotonic()
                if now_s - began_s > GOT_ON_AFTER_S:
                    backoff.reset()
                wait_s = backoff.failed(now_s)
                self.enter("degraded", f"{error}; trying again in {wait_s:.1f} s")
                while not backoff.may_try(time.monotonic()) and not self._ending():
                    time.sleep(STEP_S)
        self.enter("stopped", "")

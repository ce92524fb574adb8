"""The handler of every line of the process: counts repeats, and writes the rest to standard error."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TextIO

from stream_retrain.logs.fields import count_of, key_of
from stream_retrain.logs.lines import COUNTED
from stream_retrain.logs.repeats import PERIOD_S, Counted, Repeats

__all__ = ["LineHandler"]


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines. Counts of lines that were not said come with the next line, or by a timer, or when the handler is closed."""

    def __init__(
        self,
        stream: TextIO,
        repeats: Repeats[logging.LogRecord] | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        timed: bool = True,
    ) -> None:
        super().__init__(stream)
        self._repeats: Repeats[logging.LogRecord] = repeats or Repeats()
        self._clock_s = clock_s
        self._timed = timed
        self._timer: threading.Timer | None = None
        self._pid = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Called under the handler's lock."""
        if os.getpid() != self._pid:
            self._pid, self._timer = os.getpid(), None
            self._repeats.clear()
        try:
            now_s = self._clock_s()
            self._say_counted(self._repeats.due(now_s))
            key = key_of(record)
            if key is None or self._repeats.admit(key, record, now_s, count_of(record)):
                super().emit(record)
            elif self._timed and self._timer is None:
                self._begin_timer()
        except Exception:  # noqa: BLE001 - as the handlers of `logging` do: what is logged must never end the program
            self.handleError(record)

    def say_due(self) -> None:
        """Say the counts of periods that are over."""
        with self._held():
            self._timer = None
            self._say_counted(self._repeats.due(self._clock_s()))
            if self._timed and self._repeats.counting:
                self._begin_timer()

    def close(self) -> None:
        """Say every count, and be done."""
        with self._held():
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if os.getpid() == self._pid:
                self._say_counted(self._repeats.rest(self._clock_s()))
            self._repeats.clear()
        super().close()

    def _held(self) -> threading.RLock:
        assert self.lock is not None
        return self.lock

    def _begin_timer(self) -> None:
        self._timer = threading.Timer(PERIOD_S / 4, self.say_due)
        self._timer.daemon = True
        self._timer.start()

    def _say_counted(self, counted: list[Counted[logging.LogRecord]]) -> None:
        for each in counted:
            record = logging.makeLogRecord({**each.last.__dict__, COUNTED: (each.count, each.seconds), "created": time.time()})
            super().emit(record)

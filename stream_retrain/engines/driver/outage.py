"""Whether the store is unavailable, and when to call it again: each call that fails blocks the poll loop, so not with every batch.

A failed call starts an exponential back-off from half a second to ten. A call that succeeds ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_retrain.engines.backoff import Backoff
from stream_retrain.facts.worker import StoreLost, StoreRegained, Tell

__all__ = ["Outage"]

WAIT_MAX_S: Final = 10.0


class Outage:
    """One store as its worker sees it: available, or unavailable since a time."""

    def __init__(self, tell: Tell, clock_s: Callable[[], float]) -> None:
        self._tell = tell
        self._clock_s = clock_s
        self._since_s: float | None = None
        self._backoff = Backoff(max_s=WAIT_MAX_S)

    @property
    def lasts(self) -> bool:
        """Whether the last call failed."""
        return self._since_s is not None

    def may_ask(self) -> bool:
        """Whether to call the store now: it is available, or the back-off is over."""
        return self._backoff.may_try(self._clock_s())

    def failed(self, error: Exception) -> None:
        """A call failed."""
        now_s = self._clock_s()
        if self._since_s is None:
            self._since_s = now_s
            self._tell(StoreLost(error=str(error)))
        self._backoff.failed(now_s)

    def answered(self) -> None:
        """A call succeeded."""
        if self._since_s is not None:
            self._tell(StoreRegained(away_s=self._clock_s() - self._since_s))
            self._since_s = None
            self._backoff.reset()

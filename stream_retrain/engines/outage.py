"""When to ask a store again that does not answer: not with every batch, because each attempt holds the loop up.

An attempt that fails closes the door for a pause that doubles from half a second to ten; one that holds opens it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_retrain.engines.facts import StoreLost, StoreRegained, Tell

__all__ = ["Outage"]

WAIT_MIN_S: Final = 0.5
WAIT_MAX_S: Final = 10.0


class Outage:
    """Whether the store is away, and when it may be asked again."""

    def __init__(self, tell: Tell, clock_s: Callable[[], float]) -> None:
        self._tell = tell
        self._clock_s = clock_s
        self._since_s: float | None = None
        self._again_at_s = float("-inf")
        self._wait_s = WAIT_MIN_S

    @property
    def lasts(self) -> bool:
        """Whether the last attempt failed."""
        return self._since_s is not None

    def may_ask(self) -> bool:
        """Whether the store answers, as far as is known, or it is time to see."""
        return self._clock_s() >= self._again_at_s

    def failed(self, error: Exception) -> None:
        """An attempt failed."""
        now_s = self._clock_s()
        if self._since_s is None:
            self._since_s = now_s
            self._tell(StoreLost(error=str(error)))
        self._again_at_s = now_s + self._wait_s
        self._wait_s = min(WAIT_MAX_S, self._wait_s * 2)

    def answered(self) -> None:
        """An attempt held."""
        if self._since_s is not None:
            self._tell(StoreRegained(away_s=self._clock_s() - self._since_s))
            self._since_s, self._again_at_s, self._wait_s = None, float("-inf"), WAIT_MIN_S

"""Exponential back-off: the pause before the next attempt doubles with every failure in a row.

Whoever makes the attempts calls `failed` after one that failed, asks `may_try` before the next one, and calls `reset` after one that
succeeded. Times are seconds of one monotonic clock, which the caller reads.
"""

from __future__ import annotations

from typing import Final

__all__ = ["STEADY_AFTER_S", "Backoff"]

STEADY_AFTER_S: Final = 60.0
"""A process that ran for longer before it failed counts as one that had succeeded: its next pause is the shortest again."""


class Backoff:
    """The pauses between the attempts at one thing, from `min_s` to `max_s` seconds."""

    def __init__(self, *, min_s: float = 0.5, max_s: float) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._next_s = min_s
        self._again_at_s = float("-inf")

    def failed(self, now_s: float) -> float:
        """An attempt has failed; how many seconds to wait before the next one."""
        pause_s = self._next_s
        self._next_s = min(self._max_s, pause_s * 2)
        self._again_at_s = now_s + pause_s
        return pause_s

    def may_try(self, now_s: float) -> bool:
        """Whether the pause after the last failure is over."""
        return now_s >= self._again_at_s

    def reset(self) -> None:
        """An attempt has succeeded: the next one may follow at once, and the next pause is the shortest."""
        self._next_s = self._min_s
        self._again_at_s = float("-inf")

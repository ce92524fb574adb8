"""The pace of the worker's loop: how long a poll waits, and when a commit is due.

No reader sees a prediction before the commit that holds it. So while something waits for a commit, records may gather for a little while,
and are learned in fewer and larger batches: but never beyond the moment at which the commit is due. Where nothing waits, the first record
ends the wait: what comes seldom is committed at once.

Commits begin `commit_interval_ms` apart. A commit that takes nearly as long or longer is followed by a pause, so that the loop is not all
commits: Kafka works on the last transaction for a few milliseconds more after it has said that it is committed, and lets no other begin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stream_retrain.settings import Settings

__all__ = ["Pace"]

IDLE_S: Final = 0.1
"""A poll's longest wait, because signals are served between polls."""
GATHER_S: Final = 0.01
PAUSE_SHARE: Final = 0.25
"""Of the interval, between the end of a commit and the next."""
# While polls come back full the worker is behind, and no reader can tell a commit a few intervals later; each commit costs CPU here
# and at the broker (8 us an event with one every 1,000 events beside a Hoeffding tree, hardly any with one every 5,000).
CATCHING_UP: Final = 3


class Pace:
    """Protocol of use, each turn: `receive`; `is_due`, and after a commit `committed`."""

    def __init__(self, settings: Settings, clock_s: Callable[[], float]) -> None:
        self._full = settings.poll_records_max
        self._interval_s = settings.commit_interval_ms / 1000
        self._events_max = settings.commit_events_max
        self._clock_s = clock_s
        self._due_s = 0.0
        self._behind = False
        self._waits = False
        """Something was received that is not committed yet."""

    def receive(self, take: Callable[[int, float], int]) -> None:
        """Let `take` poll and learn: so many records at most, waiting so long for all of them; it says how many there were."""
        received = self._received(take)
        self._behind = received >= self._full
        self._waits = self._waits or received > 0

    def is_due(self, now_s: float, unsent: int) -> bool:
        """Whether to commit now."""
        return unsent >= self._events_max or now_s >= self._next_s()

    def committed(self, began_s: float, *, all_of_it: bool) -> None:
        """A commit that began then is over; where it was aborted, the same is sent again next time."""
        self._due_s = max(began_s + self._interval_s, self._clock_s() + self._interval_s * PAUSE_SHARE)
        self._waits = not all_of_it

    def _received(self, take: Callable[[int, float], int]) -> int:
        if self._waits:
            return take(self._full, max(0.0, min(GATHER_S, self._next_s() - self._clock_s())))
        if (received := take(self._full, 0.0)) or not take(1, IDLE_S):
            return received
        return 1 + (take(self._full - 1, 0.0) if self._full > 1 else 0)

    def _next_s(self) -> float:
        return self._due_s + (self._interval_s * CATCHING_UP if self._behind else 0.0)

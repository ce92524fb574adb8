"""A histogram of plain numbers."""

from __future__ import annotations

import bisect
from collections.abc import Iterable

__all__ = ["Histogram"]


class Histogram:
    """Counts by bucket, and the sum."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value

    def observe_all(self, values: Iterable[float]) -> None:
        """Count many; one below 0 counts as 0, or the sum would go down, which a counter must not."""
        counts, bounds, place, total = self.counts, self.bounds, bisect.bisect_left, self.total
        for value in values:
            counts[place(bounds, value)] += 1
            if value > 0:
                total += value
        self.total = total

    def copy(self) -> Histogram:
        """The counts as they are now."""
        copied = Histogram(self.bounds)
        copied.counts, copied.total = self.counts.copy(), self.total
        return copied

    def quantile(self, share: float) -> float | None:
        """Below which value about this share of the values lies, straight within a bucket; None where there is none. Beyond the last bound
        it is that bound."""
        wanted, below = share * sum(self.counts), 0
        if not wanted:
            return None
        for low, high, count in zip((0.0, *self.bounds), self.bounds, self.counts, strict=False):
            if count and below + count >= wanted:
                return low + (high - low) * (wanted - below) / count
            below += count
        return self.bounds[-1]

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        running, listed = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            running += count
            listed.append((bound, float(running)))
        return listed

"""What the targets of a regression have been like: their range, and their mean and variance lately.

River's fresh regression trees and linear models can answer far outside everything seen (R2 of -1e23 was measured on real data;
one such answer is enough). No target seen so far justifies such a number, so answers are clipped to the range with a margin.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["RATE_MIN", "Targets"]

RATE_MIN: Final = 1e-3
"""The running mean and variance forget with this rate, once they rest on as many events."""
MARGIN: Final = 0.1
"""By how much of their range answers may lie outside of the targets seen."""
TARGET_MAX: Final = 1e150


class Targets:
    """Range, running mean and running variance of the targets seen."""

    __slots__ = ("_count", "high", "low", "mean", "variance")

    def __init__(self) -> None:
        self._count = 0
        self.mean = 0.0
        self.variance = 0.0
        self.low = math.inf
        self.high = -math.inf

    @property
    def deviation(self) -> float:
        """The running standard deviation; 1 while all targets are equal."""
        return math.sqrt(self.variance) or 1.0

    def update(self, y: float) -> None:
        """Take the next target.

        Raises:
            ValueError: it is not a finite number.
        """
        self.check(y)
        self._count += 1
        rate = max(1.0 / self._count, RATE_MIN)
        off = y - self.mean
        self.mean += rate * off
        self.variance = (1.0 - rate) * (self.variance + rate * off * off)
        self.low = min(self.low, y)
        self.high = max(self.high, y)

    def check(self, y: float) -> None:
        """Refuse a target nothing can be learned from.

        Raises:
            ValueError: it is not a finite number.
        """
        if not -TARGET_MAX < y < TARGET_MAX:
            raise ValueError(f"the target {y!r} is not a finite number below {TARGET_MAX:g}")

    def clip(self, answer: float) -> float:
        """The answer within the range seen and its margin; the mean for one that is no number; 0 before any target."""
        if not self._count:
            return 0.0
        margin = MARGIN * (self.high - self.low)
        if answer > self.high + margin:
            return self.high + margin
        if answer < self.low - margin:
            return self.low - margin
        return answer if answer == answer else self.mean

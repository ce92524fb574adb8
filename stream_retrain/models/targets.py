"""The range, running mean and running variance of a regression's targets.

River's untrained regression trees and linear models can predict values far outside everything seen (R2 of -1e23 was measured on real
data; one such prediction is enough). No target seen so far justifies such a value, so predictions are clipped to the range seen plus a
margin. A target far outside what is usual (`usual`) counts as the nearest that is.
"""

from __future__ import annotations

import math
from typing import Final

from stream_retrain.models.arithmetic import as_float
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.usual import RATE_MIN, WARM_UP, reach

__all__ = ["RATE_MIN", "Targets", "learnable"]

MARGIN: Final = 0.1
"""How far predictions may lie outside the range of the targets seen, as a part of that range."""
TARGET_MAX: Final = 1e150


def learnable(y: float) -> float:
    """A target as a float.

    Raises:
        ValueError: it is not a finite number.
        TypeError: it is no number.
    """
    number = as_float(y)
    if not -TARGET_MAX < number < TARGET_MAX:
        raise ValueError(f"the target {number!r} is not a finite number below {TARGET_MAX:g}")
    return number


class Targets:
    """Range, running mean and running variance of the targets seen."""

    __slots__ = ("_count", "high", "low", "mean", "variance")

    def __init__(self) -> None:
        self._count = 0
        self.mean = 0.0
        self.variance = 0.0
        self.low = math.inf
        self.high = -math.inf

    def write(self, to: Writer) -> None:
        """Count, mean, variance and range."""
        to.number(self._count, self.mean, self.variance, self.low, self.high)

    def read(self, reader: Reader) -> None:
        """What `write` wrote."""
        count, self.mean, self.variance, self.low, self.high = reader.row(5)
        self._count = int(count)

    @property
    def count(self) -> int:
        """How many there were."""
        return self._count

    @property
    def deviation(self) -> float:
        """The running standard deviation; 1 while all targets are equal."""
        return math.sqrt(self.variance) or 1.0

    def update(self, y: float) -> None:
        """Add a target, which is learnable."""
        y = self.usual(y)
        self._count += 1
        rate = max(1.0 / self._count, RATE_MIN)
        off = y - self.mean
        self.mean += rate * off
        self.variance = (1.0 - rate) * (self.variance + rate * off * off)
        self.low = min(self.low, y)
        self.high = max(self.high, y)

    def usual(self, y: float) -> float:
        """The target as it counts: itself, or the nearest usual one."""
        if self._count < WARM_UP:
            return y
        far = reach(self.mean, self.variance)
        if y > self.mean + far:
            return self.mean + far
        return max(y, self.mean - far)

    def clip(self, prediction: float) -> float:
        """The prediction clipped to the range seen plus the margin; the mean instead of NaN; 0 before any target."""
        if not self._count:
            return 0.0
        margin = MARGIN * (self.high - self.low)
        if prediction > self.high + margin:
            return self.high + margin
        if prediction < self.low - margin:
            return self.low - margin
        return prediction if prediction == prediction else self.mean

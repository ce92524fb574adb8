"""The usual range of a number, so that one value cannot ruin what is learned from all others.

After `WARM_UP` values a value counts as at most `DEVIATIONS` running standard deviations from the running mean (winsorising). So a value of
1e300 moves a running mean by a fiftieth of a deviation, while a level that has really changed is followed at an exponential rate: each
value at the limit raises the variance by 40 %. A number that has been constant has no scale; it may change by ten times itself.
"""

from __future__ import annotations

import math
from typing import Any, Final

from stream_retrain.models.feature_values import Features

__all__ = ["DEVIATIONS", "OF_CONSTANTS", "RATE_MIN", "WARM_UP", "UsualRanges", "reach"]

WARM_UP: Final = 30
DEVIATIONS: Final = 20.0
OF_CONSTANTS: Final = 10.0
RATE_MIN: Final = 1e-3
"""The rate of a running mean and variance never falls below this, so that they follow the last thousand events."""


def reach(mean: float, variance: float) -> float:
    """How far from its mean a number may be to count as it is."""
    return DEVIATIONS * math.sqrt(variance) or OF_CONSTANTS * (abs(mean) + 1.0)


class UsualRanges:
    """The usual range of each number among the features, by name."""

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        self._ranges: dict[Any, list[float]] = {}
        """Count, mean, variance, and from where to where a value counts as it is."""

    def apply(self, x: Features) -> Features:
        """`x` with its numbers in their ranges; `x` itself where they all are."""
        ranges = self._ranges
        for name, value in x.items():
            kind = value.__class__
            if kind is float or kind is int:
                known = ranges.get(name)
                if known is not None and not known[3] <= value <= known[4]:
                    return {name: self._within(name, value) for name, value in x.items()}
        return x

    def learn(self, x: Features) -> Features:
        """The same, and then the ranges follow the event."""
        x = self.apply(x)
        ranges, sqrt = self._ranges, math.sqrt
        for name, value in x.items():
            kind = value.__class__
            if kind is float or kind is int:
                known = ranges.get(name)
                if known is None:
                    known = ranges[name] = [0.0, 0.0, 0.0, -math.inf, math.inf]
                count, mean, variance, _, _ = known
                count += 1.0
                rate = 1.0 / count if count < 1_000.0 else RATE_MIN
                off = value - mean
                mean += rate * off
                variance = (1.0 - rate) * (variance + rate * off * off)
                if count >= WARM_UP:
                    far = DEVIATIONS * sqrt(variance) or OF_CONSTANTS * (abs(mean) + 1.0)
                    known[:] = count, mean, variance, mean - far, mean + far
                else:
                    known[:3] = count, mean, variance
        return x

    def _within(self, name: Any, value: Any) -> Any:
        known, kind = self._ranges.get(name), value.__class__
        if known is None or not (kind is float or kind is int) or value != value:
            return value
        low, high = known[3], known[4]
        return low if value < low else min(value, high)

"""A Poisson distribution to draw whole numbers from, with the models' own `arithmetic` and `Generator`."""

from __future__ import annotations

import bisect
from typing import Final

from stream_retrain.models import arithmetic
from stream_retrain.models.generator import Generator

__all__ = ["MEAN_MAX", "Poisson"]

MEAN_MAX: Final = 100.0


class Poisson:
    """The mean is above 0 and at most `MEAN_MAX`."""

    __slots__ = ("_at_most",)

    def __init__(self, mean: float) -> None:
        p, number = arithmetic.exp(-mean), 0.0
        total = p
        self._at_most = [p]
        """By number, the probability of at most so many; up to the one that adds nothing any more."""
        while number < mean or total + p > total:
            number += 1.0
            p = p * mean / number
            total += p
            self._at_most.append(total)

    def draw(self, generator: Generator) -> float:
        """A whole number, by inversion."""
        return float(bisect.bisect_right(self._at_most, generator.unit()))

"""What a leaf of a `QuickTreeRegressor` keeps of one number: target statistics in bins of equal width.

River's splitter (`TEBSTSplitter`) keeps an object for every value it has seen, rounded to one decimal place, in a search tree. With
features of a wide range a tree then took 11 MB while it grew, its pickle a second, and an event three times the time. Here a bin is three
numbers, and there are at most `BINS_MAX`: where values need more, bins become twice as wide, and neighbours are merged.

A bin holds the values above its lower edge, up to its upper edge, and a split at the upper edge sends exactly these to the left.
"""

from __future__ import annotations

import itertools
import math
import operator
from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.models.block import Reader, Writer, damaged

__all__ = ["BINS_MAX", "LEAST", "NOTHING", "NO_SPLIT", "Bins", "Moments", "TargetSplit", "added", "apart", "total_of", "variance"]

BINS_MAX: Final = 64
WIDTH: Final = 0.01
"""Of a bin, as long as there are few."""
LEAST: Final = 5.0
"""A side of a split has at least so many events."""
Moments: TypeAlias = "tuple[float, float, float]"
"""Of targets: their number, mean, and sum of squares about the mean (Welford)."""

NOTHING: Final = (0.0, 0.0, 0.0)


class TargetSplit(NamedTuple):
    """A split that was considered."""

    merit: float
    """By how much it lowers the variance of the target; 0 where a side has too few events."""
    by: Any
    """A threshold, a category, or the categories in order: of a number, of one category and the rest, of a branch for each."""
    many: bool
    children: list[Moments]


NO_SPLIT: Final = TargetSplit(-math.inf, None, False, [])


class Bins:
    """Of one number."""

    __slots__ = ("bins", "most", "width")

    def __init__(self, width: float = WIDTH, most: int = BINS_MAX) -> None:
        self.width = width
        self.most = most
        """There are no more bins."""
        self.bins: dict[int, Moments] = {}
        """By upper edge, in widths."""

    def update(self, value: float, target: float, w: float) -> None:
        """Add a target under its feature's value."""
        bins, edge = self.bins, math.ceil(value / self.width)
        found = bins.get(edge)
        bins[edge] = added(found or NOTHING, target, w)
        if found is None:
            while len(self.bins) > self.most:
                self._widen()

    def _widen(self) -> None:
        """Make bins twice as wide, or as often as it takes until two of them may meet."""
        edges = sorted(self.bins)
        nearest = min(map(operator.sub, edges[1:], edges))
        doublings = max(1, nearest.bit_length() - 1)
        merged: dict[int, Moments] = {}
        for edge in edges:
            place = -(-edge >> doublings)
            merged[place] = together(merged.get(place, NOTHING), self.bins[edge])
        self.bins, self.width = merged, 2.0**doublings * self.width

    def best_split(self, total: Moments, _feature: object = None) -> TargetSplit:
        """The best split between two bins, of all the targets of the leaf."""
        edges = sorted(self.bins)
        moments = [self.bins[edge] for edge in edges]
        below = list(itertools.accumulate(moments, together))
        above = list(itertools.accumulate(reversed(moments), together))[::-1]
        spread = variance(total)
        best, at = -math.inf, 0
        for place in range(len(edges) - 1):
            left, right = below[place], above[place + 1]
            merit = 0.0
            if left[0] >= LEAST and right[0] >= LEAST:
                merit = spread - left[0] / total[0] * variance(left) - right[0] / total[0] * variance(right)
            if merit > best:
                best, at = merit, place
        if best == -math.inf:
            return NO_SPLIT
        return TargetSplit(best, edges[at] * self.width, False, [below[at], above[at + 1]])

    def total(self, _feature: object = None) -> Moments:
        """All targets in them."""
        return total_of([self.bins[edge] for edge in sorted(self.bins)])

    def write(self, to: Writer, _feature: object = None) -> None:
        """The width, and each bin by its edge: an integer of any size, but never of more bits than a float has."""
        to.count(len(self.bins))
        to.number(self.width)
        for edge in sorted(self.bins):
            to.number(float(edge), *self.bins[edge])

    @classmethod
    def read(cls, reader: Reader, most: int = BINS_MAX) -> Bins:
        """What `write` wrote, of bins of which there are at most so many."""
        bins = cls(most=most)
        count = reader.count(most + 1)
        bins.width = reader.number()
        if not 0.0 < bins.width < math.inf:
            damaged()
        for _ in range(count):
            edge, number, mean, squares = reader.row(4)
            if not math.isfinite(edge):
                damaged()
            bins.bins[int(edge)] = (number, mean, squares)
        if len(bins.bins) != count:
            damaged()
        return bins


def added(moments: Moments, target: float, w: float) -> Moments:
    """The moments with one more target."""
    count, mean, squares = moments
    count += w
    off = target - mean
    mean += w * off / count
    return count, mean, squares + w * off * (target - mean)


def together(one: Moments, other: Moments) -> Moments:
    """The moments of two sets of targets."""
    count = one[0] + other[0]
    off = other[1] - one[1]
    part = other[0] / count
    return count, one[1] + off * part, one[2] + other[2] + off * off * one[0] * part


def total_of(parts: list[Moments]) -> Moments:
    """The moments of several sets of targets."""
    total = NOTHING
    for part in parts:
        total = together(total, part) if total[0] != 0.0 else part
    return total


def apart(whole: Moments, part: Moments) -> Moments:
    """The moments of what is left of a set of targets without a part of it."""
    count = whole[0] - part[0]
    if count <= 0.0:
        return NOTHING
    mean = (whole[0] * whole[1] - part[0] * part[1]) / count
    off = mean - part[1]
    return count, mean, max(0.0, whole[2] - part[2] - off * off * count * part[0] / whole[0])


def variance(moments: Moments) -> float:
    """The variance of the targets; 0 of one alone."""
    return moments[2] / (moments[0] - 1.0) if moments[0] > 1.0 else 0.0

"""The last events of a stream, and those of them that are nearest to another one.

Theory of operation. The window keeps each learned event as 32-bit floats, a column for each feature:

number      in running deviations from its running mean (`bins.Moments`), as they were when the event was learned, clipped to +-8. So the
            scale of a feature does not matter, a timestamp loses no precision, and a value far outside is bounded and leaves with the
            window
category    its number in the order of appearance; from the 65th category of a feature on all share one
missing     NaN

The distance of two events is the sum over the columns of the squared difference of two numbers; of 0 for equal categories and 2 for
different ones (the mean squared difference of two independent standardised numbers is 2 as well); and of 0 where both miss the value and
2 where one does. It is added column by column in 32-bit floats, and so is equal in every implementation.

At most `features_max` features have a column: those that came first, until `relevance` says that another one tells clearly more. Its
column begins as missing.
"""

from __future__ import annotations

import heapq
import math
from typing import Any, Final

import numpy
from numpy.typing import NDArray

from stream_retrain.models.bins import Moments
from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.relevance import APART_MAX, RANKED_EVERY, Relevance, Taught

__all__ = ["CATEGORIES_MAX", "FEATURES_MAX", "NEIGHBORS_MAX", "Feature", "Window"]

NEIGHBORS_MAX: Final = 32
FEATURES_MAX: Final = 256
"""Later features are left out."""
CATEGORIES_MAX: Final = 64
"""Later categories of a feature share this number."""
UNKNOWN: Final = -1
"""The number of a category that was never learned; it differs from all."""
CLIP: Final = 8.0
DIFFERENT: Final = numpy.float32(2.0)
MISSING: Final = numpy.float32(math.nan)
CLEARER: Final = 1.5
"""A feature takes the place of another one when it tells so many times as much."""
DISTANCE_MIN: Final = 1e-12
COUNT_MAX: Final = 2.0**53

Row = dict[int, Any]
Column = NDArray[numpy.float32]


class Feature:
    """A number with its moments, or the categories of a feature with their numbers; and the first of its slots."""

    __slots__ = ("base", "categories", "moments")

    def __init__(self, base: int, moments: Moments | None = None) -> None:
        self.base = base
        self.moments = moments
        self.categories: dict[Any, int] = {}

    def number_of(self, value: Any) -> int:
        """The number of a category."""
        number = self.categories.get(value)
        if number is None:
            return UNKNOWN if len(self.categories) < CATEGORIES_MAX else CATEGORIES_MAX
        return number

    def add(self, value: Any) -> None:
        """Give a category a number, if it has none and there is one left."""
        if len(self.categories) < CATEGORIES_MAX:
            self.categories.setdefault(value, len(self.categories))

    def encode(self, value: Any) -> numpy.float32:
        """A value as a column has it; None is missing."""
        if value is None:
            return MISSING
        return numpy.float32(value if self.moments is None else standard(self.moments, value))


def standard(moments: Moments, value: float) -> float:
    """The number in deviations from its mean, at most 8."""
    return max(-CLIP, min(CLIP, (value - moments.mean) * moments.scale))


class Window:
    """The columns of the features that are kept, and the moments and the relevance of all of them."""

    def __init__(self, neighbors: int, window: int, features_max: int, *, numbers: bool) -> None:
        self.features: list[Feature] = []
        self._neighbors = neighbors
        self._window = window
        self._features_max = features_max
        self._kept: list[int] = []
        self._columns: list[Column] = []
        self._learned = 0
        self._relevance = Relevance(numbers=numbers)

    @property
    def rows(self) -> int:
        """The events in the window."""
        return min(self._learned, self._window)

    def add_number(self) -> None:
        """A new feature that is a number."""
        base = self._relevance.add_slots(1)
        self._add(Feature(base, Moments(base)))

    def add_categories(self) -> None:
        """A new feature of categories."""
        self._add(Feature(self._relevance.add_slots(APART_MAX + 1)))

    def _add(self, feature: Feature) -> None:
        if len(self._kept) < self._features_max:
            self._kept.append(len(self.features))
            self._columns.append(self._missing())
        self.features.append(feature)

    def _missing(self) -> Column:
        return numpy.full(self._window, MISSING, numpy.float32)

    def nearest(self, row: Row) -> list[tuple[int, float]]:
        """Place and weight of each neighbor of an event, the nearest first; of equally near ones the first place first."""
        rows = self.rows
        if not rows:
            return []
        summed = numpy.zeros(rows, numpy.float32)
        for number, column in zip(self._kept, self._columns, strict=True):
            summed = summed + _distances(self.features[number], row.get(number), column[:rows])
        distances: list[float] = summed.tolist()
        found = heapq.nsmallest(self._neighbors, range(rows), key=distances.__getitem__)
        unit = max(DISTANCE_MIN, distances[found[-1]])
        return [(place, 1.0 / (distances[place] / unit + 0.1)) for place in found]

    def learn(self, row: Row, taught: Taught) -> int:
        """Learn an event; the place that it has in the window."""
        place = self._learned % self._window
        relevance, crowded = self._relevance, len(self.features) > self._features_max
        if crowded:
            relevance.begin(taught)
        for number, value in row.items():
            feature = self.features[number]
            if feature.moments is not None:
                feature.moments.update(value)
                if crowded:
                    relevance.add(feature.base, standard(feature.moments, value), taught)
            elif crowded:
                relevance.add(feature.base + min(value, APART_MAX), 1.0, taught)
        for number, column in zip(self._kept, self._columns, strict=True):
            column[place] = self.features[number].encode(row.get(number))
        self._learned += 1
        if crowded:
            relevance.end()
            if self._learned % RANKED_EVERY == 0:
                self._rank()
        return place

    def _rank(self) -> None:
        """Keep the features that tell clearly more than those that are kept."""
        self._relevance.settle()
        told = [
            self._relevance.of_categories(each.base) if each.moments is None else self._relevance.of_number(each.base)
            for each in self.features
        ]
        ranked = sorted(range(len(told)), key=lambda number: -told[number])
        kept = [number for number in reversed(ranked) if number in self._kept]
        others = [number for number in ranked if number not in self._kept]
        for number, other in zip(others, kept, strict=False):
            if told[number] > CLEARER * told[other]:
                position = self._kept.index(other)
                self._kept[position] = number
                self._columns[position] = self._missing()

    def write(self, to: Writer) -> None:
        """Each feature, the number of events, each column and the relevance."""
        to.count(self._relevance.slots)
        for feature in self.features:
            to.count(int(feature.moments is not None))
            if feature.moments is None:
                to.count(feature.base)
            else:
                feature.moments.write(to)
        to.number(self._learned)
        for number, column in zip(self._kept, self._columns, strict=True):
            to.count(number, *column[: self.rows].view(numpy.uint32).tolist())
        self._relevance.write(to)

    def read(self, categories: list[list[Any]], reader: Reader) -> None:
        """What `write` wrote, by the categories of each feature."""
        slots = reader.count(FEATURES_MAX * (APART_MAX + 1) + 1)
        if len(categories) > FEATURES_MAX:
            damaged()
        for held in categories:
            moments = Moments.read(reader, slots) if reader.count(2) else None
            feature = Feature(moments.base, moments) if moments else Feature(reader.count(max(0, slots - APART_MAX)))
            feature.categories = {value: number for number, value in enumerate(held)}
            if len(held) > (CATEGORIES_MAX if moments is None else 0) or len(feature.categories) < len(held):
                damaged()
            self.features.append(feature)
        learned = reader.number()
        if not 0.0 <= learned < COUNT_MAX:
            damaged()
        self._learned = int(learned)
        for _ in range(min(len(categories), self._features_max)):
            number = reader.count(len(categories))
            if number in self._kept:
                damaged()
            self._kept.append(number)
            self._columns.append(self._read_column(self.features[number], reader))
        self._relevance.read(reader, slots)

    def _read_column(self, feature: Feature, reader: Reader) -> Column:
        held = numpy.array([reader.count() for _ in range(self.rows)], numpy.uint32).view(numpy.float32)
        low, high = (0.0, float(CATEGORIES_MAX)) if feature.moments is None else (-CLIP, CLIP)
        if ((held < low) | (held > high)).any():
            damaged()
        column = self._missing()
        column[: self.rows] = numpy.where(held == held, held, MISSING)
        return column


def _distances(feature: Feature, value: Any, column: Column) -> Column:
    """What one feature adds to the distances of an event."""
    if value is None:
        return numpy.where(column == column, DIFFERENT, numpy.float32(0.0))
    asked = feature.encode(value)
    if feature.moments is None:
        return numpy.where(column == asked, numpy.float32(0.0), DIFFERENT)
    off = asked - column
    return numpy.where(column == column, off * off, DIFFERENT)

"""The features of a tree: which it has met, the usual range of each number, and the categories of the others.

The first value decides whether a feature is a number or a category; a boolean is the number 0 or 1. A later value of the other kind counts
as missing, and so do None and NaN. A number outside its usual range (`usual`) counts as the end of that range.

A category feature that has shown more than `categories_max` values is withheld: it is left out of every event, and leaves forget it. A
split gives each category a branch of its own. So a feature that names users or orders would make a tree of thousands of leaves that
learns nothing (measured with 5,000 values: 40 times the time, and 36 MB).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.feature_values import Features, checked, is_number
from stream_retrain.models.usual import RATE_MIN, WARM_UP, reach

__all__ = ["Feature", "FeatureTable", "Row", "ordered"]

Row: TypeAlias = "dict[Any, Any]"
"""An event as a tree sees it: floats and categories by name in the order of the table, nothing missing."""

_RATE_FROM: Final = 1.0 / RATE_MIN


class Feature:
    """One feature that a tree has met."""

    __slots__ = ("categories", "count", "high", "index", "low", "mean", "ranked", "variance", "withheld")

    def __init__(self, index: int, *, number: bool) -> None:
        self.index = index
        self.categories: dict[Any, int] | None = None if number else {}
        """Its values by their number; None for a feature of numbers."""
        self.ranked: list[Any] = []
        """Its values in order."""
        self.withheld = False
        self.count = self.mean = self.variance = 0.0
        self.low, self.high = -math.inf, math.inf

    def observe(self, value: float) -> None:
        """The usual range follows a number, which is in it already."""
        count = self.count + 1.0
        rate = 1.0 / count if count < _RATE_FROM else RATE_MIN
        off = value - self.mean
        mean = self.mean + rate * off
        variance = (1.0 - rate) * (self.variance + rate * off * off)
        self.count, self.mean, self.variance = count, mean, variance
        if count >= WARM_UP:
            self._set_range()

    def deviations(self, value: float, most: float) -> float:
        """How many standard deviations a value is from the mean, at most so many; a boolean counts as it is."""
        if self.count == 0.0:
            return value
        if self.variance == 0.0:
            return 0.0
        return max(-most, min(most, (value - self.mean) / math.sqrt(self.variance)))

    def scale(self) -> float | None:
        """The standard deviation of a number, once it is known: 1 of booleans, None of a constant."""
        if self.count == 0.0:
            return 1.0
        scale = math.sqrt(self.variance)
        return scale if self.count >= WARM_UP and 0.0 < scale < math.inf else None

    def _set_range(self) -> None:
        far = reach(self.mean, self.variance)
        self.low, self.high = self.mean - far, self.mean + far

    def add(self, value: Any, categories_max: int) -> None:
        """A category; one too many has no number, and withholds the feature."""
        categories = self.categories
        assert categories is not None
        if value in categories:
            return
        if len(categories) >= categories_max:
            self.withheld = True
            return
        categories[value] = len(categories)
        self.ranked = ordered(categories)

    def write(self, to: Writer) -> None:
        """Whether it is a number, whether it is withheld; and count, mean and variance of a number."""
        to.count(self.categories is None, self.withheld)
        if self.categories is None:
            to.number(self.count, self.mean, self.variance)

    @classmethod
    def read(cls, index: int, values: list[Any], reader: Reader) -> Feature:
        """What `write` wrote, with the values of a category."""
        feature = cls(index, number=reader.count(2) == 1)
        feature.withheld = reader.count(2) == 1
        if feature.categories is None:
            feature.count, feature.mean, feature.variance = reader.row(3)
            if feature.count >= WARM_UP:
                feature._set_range()
        else:
            feature.categories = {value: number for number, value in enumerate(values)}
            feature.ranked = ordered(values)
        return feature


class FeatureTable:
    """Every feature by name, in the order in which they were first learned."""

    __slots__ = ("categories_max", "features")

    def __init__(self, categories_max: int) -> None:
        self.categories_max = categories_max
        self.features: dict[Any, Feature] = {}

    def row(self, x: Features) -> Row:
        """An event that is not learned; features that the tree has not met are left out.

        Raises:
            ValueError: a value is infinite or unhashable.
        """
        row: Row = {}
        known = self.features
        last, in_order = 0, True
        for name, value in checked(x).items():
            feature = known.get(name)
            if feature is None or feature.withheld:
                continue
            in_order = in_order and last <= feature.index
            last = feature.index
            if feature.categories is None:
                if (number := _number(feature, value)) is not None:
                    row[name] = number
            elif value.__class__ is str or not (value.__class__ is bool or is_number(value)):
                row[name] = value
        return row if in_order else self._in_order(row)

    def learn(self, x: Features) -> tuple[Row, list[Any]]:
        """An event that is learned, and the features that are withheld from it on.

        Raises:
            ValueError: a value is infinite or unhashable.
        """
        row: Row = {}
        withheld: list[Any] = []
        known = self.features
        last, in_order = 0, True
        for name, value in checked(x).items():
            category = value.__class__ is str or not (value.__class__ is bool or is_number(value))
            feature = known.get(name)
            if feature is None:
                feature = known[name] = Feature(len(known), number=not category)
            if feature.withheld:
                continue
            in_order = in_order and last <= feature.index
            last = feature.index
            if feature.categories is None:
                if (number := _number(feature, value)) is not None:
                    row[name] = number
                    if value.__class__ is not bool:
                        feature.observe(number)
            elif category:
                feature.add(value, self.categories_max)
                if feature.withheld:
                    withheld.append(name)
                else:
                    row[name] = value
        return row if in_order else self._in_order(row), withheld

    def _in_order(self, row: Row) -> Row:
        features = self.features
        return dict(sorted(row.items(), key=lambda held: features[held[0]].index))

    def withheld(self) -> list[Any]:
        """The features that are withheld."""
        return [name for name, feature in self.features.items() if feature.withheld]

    def names(self) -> list[Any]:
        """The features' names."""
        return list(self.features)

    def values(self) -> list[list[Any]]:
        """The values of each category feature, and nothing of the others."""
        return [list(feature.categories or ()) for feature in self.features.values()]

    def write(self, to: Writer) -> None:
        """Each feature."""
        for feature in self.features.values():
            feature.write(to)

    def read(self, names: list[Any], values: list[list[Any]], reader: Reader) -> None:
        """What `write` wrote."""
        for index, (name, held) in enumerate(zip(names, values, strict=True)):
            self.features[name] = Feature.read(index, held, reader)


def _number(feature: Feature, value: Any) -> float | None:
    """The value of a number in its usual range; None for a category."""
    kind = value.__class__
    if kind is bool:
        return 1.0 if value else 0.0
    if kind is not float:
        if kind is str or not is_number(value):
            return None
        value = float(value)
    number: float = value
    if number < feature.low:
        return feature.low
    return min(number, feature.high)


def ordered(values: Iterable[Any]) -> list[Any]:
    """The values in order; as they came where they have none."""
    held = list(values)
    try:
        return sorted(held)
    except TypeError:
        return held

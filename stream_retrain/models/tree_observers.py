"""What a leaf of a `QuickTree` keeps of one feature: the distribution of its values in each class, and the best split by it.

A number is a normal distribution for each class, by running mean and sum of squares (Welford). A category is a count for each class and
value. Both say how probable a value is in a class, and which split gains most information.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.tree_chance import Chance
from stream_retrain.models.tree_features import Feature

__all__ = ["Categories", "Numbers", "Split", "Weights", "entropy"]

Weights: TypeAlias = "dict[Any, float]"
"""The weight of each class."""

HALF_LOG_TAU: Final = 0.9189385332046727
ROOT_TWO: Final = 1.4142135623730951
POINTS: Final = 10
"""Thresholds that are tried between the least and the greatest value."""
BRANCH_MIN: Final = 0.01
"""A branch with a smaller part of the weight does not count as one."""


class Split(NamedTuple):
    """A split that was considered."""

    merit: float
    by: Any
    """A threshold, a category, or the categories in order: of a number, of one category and the rest, of a branch for each."""
    many: bool
    """A branch for each category."""
    children: list[Weights]


NO_SPLIT: Final = Split(-math.inf, None, False, [])


class Normal:
    """The values of one class."""

    __slots__ = ("count", "half_log", "high", "low", "mean", "negative_twice", "squares")

    def __init__(self, value: float) -> None:
        self.count = self.mean = self.squares = 0.0
        self.low = self.high = value
        self.negative_twice = self.half_log = 0.0
        """-2 times the variance, and half its logarithm; 0 while there is no variance."""

    def update(self, value: float, w: float) -> None:
        """Add a value."""
        if value < self.low:
            self.low = value
        elif value > self.high:
            self.high = value
        self.count = count = self.count + w
        before = self.mean
        self.mean = after = before + (w / count) * (value - before)
        self.squares += w * (value - before) * (value - after)
        self.settle()

    def settle(self) -> None:
        """Compute what follows from count and squares."""
        variance = self.squares / (self.count - 1.0) if self.count > 1.0 else 0.0
        if variance > 0.0:
            self.negative_twice = -2.0 * variance
            self.half_log = 0.5 * arithmetic.log(variance)
        else:
            self.negative_twice = 0.0

    def below(self, value: float) -> float:
        """The weight of the values up to this one; 0 while all values were equal."""
        deviation = math.sqrt(self.squares / (self.count - 1.0)) if self.count > 1.0 else 0.0
        part = 0.5 * (1.0 + arithmetic.erf((value - self.mean) / deviation / ROOT_TWO)) if deviation else 0.0
        return part * self.count


class Numbers:
    """Of a number; the classes in the order in which they first had a value here."""

    __slots__ = ("classes",)

    def __init__(self) -> None:
        self.classes: dict[Any, Normal] = {}

    def update(self, value: float, label: Any, w: float) -> None:
        """Add a value of a class."""
        normal = self.classes.get(label)
        if normal is None:
            normal = self.classes[label] = Normal(value)
        normal.update(value, w)

    def evidence(self, value: float, label: Any) -> float:
        """The logarithm of the value's density in a class; 0 where there is no variance yet."""
        normal = self.classes.get(label)
        if normal is None or normal.negative_twice == 0.0:
            return 0.0
        off = value - normal.mean
        return off * off / normal.negative_twice - HALF_LOG_TAU - normal.half_log

    def best_split(self, before: float, _stats: Weights, _ranked: list[Any], _feature: Feature, chance: Chance | None) -> Split:
        """The best of ten thresholds, or of some that are drawn; `before` is the entropy without a split."""
        low, high = math.inf, -math.inf
        for normal in self.classes.values():
            low = min(low, normal.low)
            high = max(high, normal.high)
        best, size = NO_SPLIT, (high - low) / (POINTS + 1.0)
        for number in range(1, 1 + (POINTS if chance is None else chance.cuts)):
            threshold = low + size * number if chance is None else chance.threshold(low, high)
            if low < threshold < high:
                children = self._sides(threshold)
                merit = before - _entropy_after(children)
                if merit > best.merit:
                    best = Split(merit, threshold, False, children)
        return best

    def _sides(self, threshold: float) -> list[Weights]:
        left: Weights = {}
        right: Weights = {}
        for label, normal in self.classes.items():
            if threshold < normal.low:
                right[label] = normal.count
            elif threshold >= normal.high:
                left[label] = normal.count
            else:
                left[label] = below = normal.below(threshold)
                right[label] = normal.count - below
        return [left, right]

    def write(self, to: Writer, labels: dict[Any, int], _feature: Feature) -> None:
        """Each class."""
        to.count(len(self.classes))
        for label, normal in self.classes.items():
            to.count(labels[label])
            to.number(normal.count, normal.mean, normal.squares, normal.low, normal.high)

    @classmethod
    def read(cls, reader: Reader, labels: list[Any], _feature: Feature) -> Numbers:
        """What `write` wrote."""
        numbers = cls()
        for _ in range(reader.count(len(labels) + 1)):
            normal = numbers.classes[labels[reader.count(len(labels))]] = Normal(0.0)
            normal.count, normal.mean, normal.squares, normal.low, normal.high = reader.row(5)
            normal.settle()
        return numbers


class Categories:
    """Of a category."""

    __slots__ = ("classes", "totals")

    def __init__(self) -> None:
        self.classes: dict[Any, Weights] = {}
        """By class, the weight of each value."""
        self.totals: Weights = {}

    def update(self, value: Any, label: Any, w: float) -> None:
        """Add a value of a class."""
        held = self.classes.setdefault(label, {})
        held[value] = held.get(value, 0.0) + w
        self.totals[label] = self.totals.get(label, 0.0) + w

    def evidence(self, value: Any, label: Any) -> float:
        """The logarithm of the value's part of a class; 0 where it has none yet."""
        held = self.classes.get(label)
        weight = 0.0 if held is None else held.get(value, 0.0)
        return arithmetic.log(weight / self.totals[label]) if weight > 0.0 else 0.0

    def best_split(self, before: float, stats: Weights, ranked: list[Any], feature: Feature, _chance: Chance | None) -> Split:
        """A branch for each value, or for one value and one for the rest: what gains most."""
        values = [value for value in feature.ranked if any(value in held for held in self.classes.values())]
        children = [{label: self.classes[label][value] for label in ranked if value in self.classes.get(label, ())} for value in values]
        best = Split(before - _entropy_after(children), values, True, children)
        for value in values:
            children = self._apart(value, stats)
            merit = before - _entropy_after(children)
            if merit > best.merit:
                best = Split(merit, value, False, children)
        return best if best.merit > -math.inf else NO_SPLIT

    def _apart(self, value: Any, stats: Weights) -> list[Weights]:
        this: Weights = {}
        rest: Weights = {}
        for label in stats:
            held = self.classes.get(label)
            if held is None:
                continue
            weight = held.get(value)
            if weight is None:
                rest[label] = self.totals[label]
                continue
            this[label] = weight
            if len(held) > 1:
                rest[label] = self.totals[label] - weight
        return [this, rest]

    def write(self, to: Writer, labels: dict[Any, int], feature: Feature) -> None:
        """Each class, in the order of the tree's classes: its total, and its values in their order of the feature."""
        to.count(len(self.classes))
        categories = feature.categories
        assert categories is not None
        for label, number in labels.items():
            if (held := self.classes.get(label)) is not None:
                to.count(number, len(held))
                to.number(self.totals[label])
                for value, place in categories.items():
                    if value in held:
                        to.count(place)
                        to.number(held[value])

    @classmethod
    def read(cls, reader: Reader, labels: list[Any], feature: Feature) -> Categories:
        """What `write` wrote."""
        categories = cls()
        values = list(feature.categories or ())
        for _ in range(reader.count(len(labels) + 1)):
            label = labels[reader.count(len(labels))]
            held = categories.classes[label] = {}
            length = reader.count(len(values) + 1)
            categories.totals[label] = reader.number()
            for _ in range(length):
                value = values[reader.count(len(values))]
                held[value] = reader.number()
        return categories


def entropy(weights: Weights) -> float:
    """Of the classes, in bits."""
    bits = total = 0.0
    for weight in weights.values():
        if weight > 0.0:
            bits -= weight * arithmetic.log2(weight)
            total += weight
    return (bits + total * arithmetic.log2(total)) / total if total > 0.0 else 0.0


def _entropy_after(children: list[Weights]) -> float:
    """The mean entropy of branches; infinite unless two of them have enough weight."""
    totals = []
    everything = 0.0
    for weights in children:
        total = 0.0
        for weight in weights.values():
            total += weight
        totals.append(total)
        everything += total
    enough = 0
    if everything > 0.0:
        for total in totals:
            enough += total / everything > BRANCH_MIN
    if enough < 2:
        return math.inf
    bits = 0.0
    for total, weights in zip(totals, children, strict=True):
        bits += total * entropy(weights)
    return bits / everything

"""A leaf of a `QuickTreeRegressor`: statistics of the targets, a linear model, and what it keeps of each feature.

It predicts by the mean of the targets or by the linear model, whichever had the smaller squared error of late here. The linear model goes
on from that of the leaf that was split; it leaves categories out. A leaf that will not be split any more keeps both, and drops the rest.
"""

from __future__ import annotations

import math
from typing import Any, Final

from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.tree_bins import LEAST, NO_SPLIT, NOTHING, Bins, Moments, TargetSplit, added, apart, total_of, variance
from stream_retrain.models.tree_features import Feature, Row

__all__ = ["Categories", "Linear", "TargetLeaf"]

RATE: Final = 0.01
"""Step of the linear model."""
GRADIENT_MAX: Final = 1e12
DECAY: Final = 0.95
"""Of the squared errors by which a leaf chooses."""


class Categories:
    """What a leaf keeps of one category: the targets of each value."""

    __slots__ = ("targets",)

    def __init__(self) -> None:
        self.targets: dict[Any, Moments] = {}

    def update(self, value: Any, target: float, w: float) -> None:
        """Add a target under its feature's value."""
        self.targets[value] = added(self.targets.get(value, NOTHING), target, w)

    def best_split(self, total: Moments, feature: Feature) -> TargetSplit:
        """A branch for each value, or for one value and one for the rest: what lowers the variance most."""
        values = [value for value in feature.ranked if value in self.targets]
        best = NO_SPLIT
        if len(values) > 2:
            children = [self.targets[value] for value in values]
            best = TargetSplit(_merit(total, children), values, True, children)
        for value in values:
            children = [self.targets[value], apart(total, self.targets[value])]
            merit = _merit(total, children)
            if merit > best.merit:
                best = TargetSplit(merit, value, False, children)
        return best

    def total(self, feature: Feature) -> Moments:
        """All targets in them."""
        return total_of([self.targets[value] for value in feature.categories or () if value in self.targets])

    def write(self, to: Writer, feature: Feature) -> None:
        """Each value by its number."""
        to.count(len(self.targets))
        for value, number in (feature.categories or {}).items():
            if value in self.targets:
                to.count(number)
                to.row(self.targets[value])

    @classmethod
    def read(cls, reader: Reader, feature: Feature) -> Categories:
        """What `write` wrote."""
        categories, values = cls(), list(feature.categories or ())
        for _ in range(reader.count(len(values) + 1)):
            value = values[reader.count(len(values))]
            count, mean, squares = reader.row(3)
            categories.targets[value] = (count, mean, squares)
        return categories


class Linear:
    """Least squares by stochastic gradient steps."""

    __slots__ = ("intercept", "weights")

    def __init__(self, weights: dict[Any, float] | None = None, intercept: float = 0.0) -> None:
        self.weights = {} if weights is None else weights
        self.intercept = intercept

    def copy(self) -> Linear:
        """Another one with the same weights."""
        return Linear(self.weights.copy(), self.intercept)

    def predict(self, row: Row) -> float:
        """The prediction from the numbers."""
        weights, total = self.weights, 0.0
        for name, value in row.items():
            weight = weights.get(name)
            if weight is not None and value.__class__ is float:
                total += weight * value
        return total + self.intercept

    def learn(self, row: Row, y: float, w: float) -> None:
        """One step."""
        gradient = 2.0 * (self.predict(row) - y) * w
        gradient = max(-GRADIENT_MAX, min(GRADIENT_MAX, gradient))
        self.intercept -= RATE * gradient
        weights = self.weights
        for name, value in row.items():
            if value.__class__ is float:
                weights[name] = weights.get(name, 0.0) - RATE * (value * gradient)


class TargetLeaf:
    """The features are in the order in which they came to this leaf."""

    __slots__ = ("depth", "linear", "linear_error", "mean_error", "observers", "targets", "tried_at")

    def __init__(self, targets: Moments, depth: int, linear: Linear) -> None:
        self.targets = targets
        self.depth = depth
        self.linear = linear
        self.mean_error = self.linear_error = 0.0
        self.observers: dict[Any, Bins | Categories] | None = {}
        self.tried_at = self.total()
        """The weight at the last attempt to split."""

    def total(self) -> float:
        """The weight of its events."""
        return self.targets[0]

    def predict(self, row: Row) -> float:
        """The mean, or what the linear model says."""
        return self.linear.predict(row) if self.linear_error <= self.mean_error else self.targets[1]

    def learn(self, row: Row, y: float, w: float, features: dict[Any, Feature]) -> None:
        """Learn one event, after its errors."""
        off, residual = y - self.targets[1], y - self.linear.predict(row)
        self.mean_error = DECAY * self.mean_error + off * off
        self.linear_error = DECAY * self.linear_error + residual * residual
        self.targets = added(self.targets, y, w)
        observers = self.observers
        if observers is not None:
            for name, value in row.items():
                observer = observers.get(name)
                if observer is None:
                    observer = observers[name] = Bins() if features[name].categories is None else Categories()
                observer.update(value, y, w)
        self.linear.learn(row, y, w)

    def best_split(self, features: dict[Any, Feature]) -> tuple[Any, TargetSplit, float]:
        """The feature and its split, None for none, and the merit of the second best. Of equal ones the last counts."""
        name, best, second = None, NO_SPLIT, -math.inf
        for each, observer in (self.observers or {}).items():
            split = observer.best_split(self.targets, features[each])
            if split.merit >= best.merit:
                second, best, name = best.merit, split, each
            elif split.merit > second:
                second = split.merit
        return name, best, second

    def child(self, targets: Moments) -> TargetLeaf:
        """A leaf below, which goes on with the linear model and the errors."""
        leaf = TargetLeaf(targets, self.depth + 1, self.linear.copy())
        leaf.mean_error, leaf.linear_error = self.mean_error, self.linear_error
        return leaf

    def deactivate(self) -> None:
        """Drop what only splits are chosen by."""
        self.observers = None

    def withhold(self, name: Any) -> None:
        """Drop what is kept of one feature."""
        if self.observers is not None:
            self.observers.pop(name, None)

    def write(self, to: Writer, features: dict[Any, Feature]) -> None:
        """Targets and errors, the linear model, and what it keeps of the features."""
        to.count(self.observers is not None, len(self.linear.weights))
        to.number(*self.targets, self.mean_error, self.linear_error, self.tried_at, self.linear.intercept)
        for name, weight in self.linear.weights.items():
            to.count(features[name].index)
            to.number(weight)
        if self.observers is None:
            return
        to.count(len(self.observers))
        for name, observer in self.observers.items():
            to.count(features[name].index)
            observer.write(to, features[name])

    @classmethod
    def read(cls, reader: Reader, features: list[tuple[Any, Feature]], depth: int) -> TargetLeaf:
        """What `write` wrote."""
        active, weights = reader.count(2) == 1, reader.count(len(features) + 1)
        count, mean, squares, mean_error, linear_error, tried_at, intercept = reader.row(7)
        leaf = cls((count, mean, squares), depth, Linear(intercept=intercept))
        leaf.mean_error, leaf.linear_error, leaf.tried_at = mean_error, linear_error, tried_at
        for _ in range(weights):
            leaf.linear.weights[features[reader.count(len(features))][0]] = reader.number()
        if not active:
            leaf.observers = None
            return leaf
        leaf.observers = {}
        for _ in range(reader.count(len(features) + 1)):
            name, feature = features[reader.count(len(features))]
            leaf.observers[name] = Bins.read(reader) if feature.categories is None else Categories.read(reader, feature)
        return leaf


def _merit(total: Moments, children: list[Moments]) -> float:
    """By how much branches lower the variance; 0 where one has too few events."""
    if any(child[0] < LEAST for child in children):
        return 0.0
    merit = variance(total)
    for child in children:
        merit -= child[0] / total[0] * variance(child)
    return merit

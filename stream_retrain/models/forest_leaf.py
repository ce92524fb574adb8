"""A leaf of a tree of a `RestartingForestRegressor`: moments of its targets, a linear model, and what it keeps of the features it watches.

It predicts by the mean of the targets or by the linear model, whichever had the smaller squared error of late here. The linear model is of
the numbers in standard deviations from their means, so that no feature needs a scaler; it goes on from that of the leaf that was split.
A leaf that was split off counts its side's targets as at most `CHILD_WEIGHT` events, so that its mean soon is that of its own.

Bins (`tree_bins`) are a quarter of the feature's standard deviation wide from the start. So a number is observed once that is known.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.tree_bins import NO_SPLIT, NOTHING, Bins, Moments, TargetSplit, added
from stream_retrain.models.tree_chance import Watched
from stream_retrain.models.tree_features import Feature, Row
from stream_retrain.models.tree_targets import Categories

__all__ = ["BINS_MAX", "Event", "ForestLeaf", "StandardLinear", "half_of"]

BINS_MAX: Final = 32
BIN_WIDTH: Final = 0.25
"""Of a new bin, in standard deviations of the feature."""
FAR: Final = 1e15
"""A value counts as at most so many bins from 0."""
DECAY: Final = 0.995
"""Of the squared errors by which a leaf chooses."""
CHILD_WEIGHT: Final = 20.0
RATE: Final = 0.5
RATE_MIN: Final = 0.05
EVENTS: Final = 50.0
"""The rate of a leaf's linear model has halved after so many events."""
RESIDUAL_MAX: Final = 3.0
"""A residual counts as at most so many standard deviations of the targets."""


class Event(NamedTuple):
    """An event that is learned."""

    row: Row
    standard: list[float]
    """By feature, a number in standard deviations from its mean; 0 of what is none, or is missing."""
    y: float
    deviation: float
    """The standard deviation of the targets."""


class StandardLinear:
    """Least squares by normalised gradient steps."""

    __slots__ = ("intercept", "weights")

    def __init__(self, weights: list[float], intercept: float) -> None:
        self.weights = weights
        """By feature; the last ones have none yet."""
        self.intercept = intercept

    def predict(self, standard: list[float]) -> float:
        """The prediction from the standardised numbers."""
        total = 0.0
        for weight, value in zip(self.weights, standard, strict=False):
            total += weight * value
        return total + self.intercept

    def learn(self, standard: list[float], residual: float, rate: float) -> None:
        """One step, by what is missing to the target."""
        length = 1.0
        for value in standard:
            length += value * value
        size = rate * residual / length
        weights = self.weights
        weights.extend([0.0] * (len(standard) - len(weights)))
        for place, value in enumerate(standard):
            weights[place] += size * value
        self.intercept += size


class ForestLeaf:
    """The features are those that it watches, in the order of the table."""

    __slots__ = ("depth", "events", "linear", "linear_error", "mean_error", "observers", "targets", "tried_at", "watched")

    def __init__(self, targets: Moments, depth: int, linear: StandardLinear, watched: Watched) -> None:
        self.targets = targets
        self.depth = depth
        self.linear = linear
        self.watched = watched
        self.mean_error = self.linear_error = 0.0
        self.observers: dict[Any, Bins | Categories] | None = {}
        self.tried_at = self.total()
        """The weight at the last attempt to split."""
        self.events = 0.0
        """Events that it has learned, whatever they weigh."""

    @classmethod
    def first(cls, depth: int, y: float, watched: Watched) -> ForestLeaf:
        """A leaf that was not split off; its linear model begins at a target."""
        return cls(NOTHING, depth, StandardLinear([], y), watched)

    def total(self) -> float:
        """The weight of its events."""
        return self.targets[0]

    def predict(self, standard: list[float]) -> float:
        """The mean, or what the linear model says."""
        return self.linear.predict(standard) if self.linear_error < self.mean_error else self.targets[1]

    def learn(self, event: Event, w: float, features: dict[Any, Feature]) -> None:
        """Learn one event, after its errors."""
        y = event.y
        residual = y - self.linear.predict(event.standard)
        if self.targets[0] > 0.0:
            off = y - self.targets[1]
            self.mean_error = DECAY * self.mean_error + off * off
            self.linear_error = DECAY * self.linear_error + residual * residual
        self.targets = added(self.targets, y, w)
        self.events += 1.0
        most = RESIDUAL_MAX * event.deviation
        rate = max(RATE_MIN, RATE / (1.0 + self.events / EVENTS))
        self.linear.learn(event.standard, max(-most, min(most, residual)), rate)
        if self.observers is not None:
            self.watched.follow(features)
            for name in self.watched.names:
                value = event.row.get(name)
                if value is not None:
                    self._observe(self.observers, name, features[name], value, y, w)

    @staticmethod
    def _observe(observers: dict[Any, Bins | Categories], name: Any, feature: Feature, value: Any, y: float, w: float) -> None:
        """Add a target under a feature's value; a number is left out as long as its scale is not known."""
        observer = observers.get(name)
        if observer is None:
            if feature.categories is not None:
                observer = Categories()
            elif (scale := feature.scale()) is not None:
                observer = Bins(BIN_WIDTH * scale, BINS_MAX)
            else:
                return
            observers[name] = observer
        if observer.__class__ is Bins:
            far = FAR * observer.width
            value = max(-far, min(far, value))
        observer.update(value, y, w)

    def best_split(self, features: dict[Any, Feature]) -> tuple[Any, TargetSplit, float]:
        """The feature and its split, None for none, and the merit of the second best. Of equal ones the last counts."""
        name, best, second = None, NO_SPLIT, -math.inf
        observers = self.observers or {}
        for each in self.watched.names:
            observer = observers.get(each)
            if observer is None:
                continue
            split = observer.best_split(observer.total(features[each]), features[each])
            if split.merit >= best.merit:
                second, best, name = best.merit, split, each
            elif split.merit > second:
                second = split.merit
        return name, best, second

    def child(self, targets: Moments, watched: Watched) -> ForestLeaf:
        """A leaf below, which goes on with the linear model."""
        count, mean, squares = targets
        if count > CHILD_WEIGHT:
            count, squares = CHILD_WEIGHT, squares * (CHILD_WEIGHT / count)
        linear = StandardLinear(self.linear.weights.copy(), self.linear.intercept)
        return ForestLeaf((count, mean, squares), self.depth + 1, linear, watched)

    def deactivate(self) -> None:
        """Drop what only splits are chosen by."""
        self.observers = None

    def withhold(self, name: Any) -> None:
        """Drop what is kept of one feature."""
        self.watched.names.pop(name, None)
        if self.observers is not None:
            self.observers.pop(name, None)

    def write(self, to: Writer, features: dict[Any, Feature]) -> None:
        """Targets and errors, the linear model, and what it keeps of the features."""
        to.count(self.observers is not None)
        to.number(*self.targets, self.mean_error, self.linear_error, self.tried_at, self.events, self.linear.intercept)
        to.count(len(self.linear.weights))
        to.row(self.linear.weights)
        self.watched.write(to, features)
        if self.observers is None:
            return
        for name in self.watched.names:
            observer = self.observers.get(name)
            to.count(observer is not None)
            if observer is not None:
                observer.write(to, features[name])

    @classmethod
    def read(cls, reader: Reader, features: list[tuple[Any, Feature]], depth: int) -> ForestLeaf:
        """What `write` wrote."""
        active = reader.count(2) == 1
        count, mean, squares, mean_error, linear_error, tried_at, events, intercept = reader.row(8)
        linear = StandardLinear(reader.row(reader.count(len(features) + 1)), intercept)
        leaf = cls((count, mean, squares), depth, linear, Watched.read(reader, features, half_of))
        leaf.mean_error, leaf.linear_error, leaf.tried_at, leaf.events = mean_error, linear_error, tried_at, events
        if not active:
            leaf.observers = None
            return leaf
        leaf.observers, known = {}, dict(features)
        for name in leaf.watched.names:
            if reader.count(2):
                feature = known[name]
                leaf.observers[name] = Bins.read(reader, BINS_MAX) if feature.categories is None else Categories.read(reader, feature)
        return leaf


def half_of(features: int) -> int:
    """How many features a leaf watches of so many."""
    return (features + 1) // 2

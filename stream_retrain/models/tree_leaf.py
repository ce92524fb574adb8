"""A leaf of a `QuickTree`: class weights, what it keeps of each feature, and its vote.

It votes by naive Bayes or by its class weights, whichever was right more often here. A leaf at the greatest depth keeps only the weights.
"""

from __future__ import annotations

import math
from typing import Any

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.probabilities import most_probable
from stream_retrain.models.tree_chance import Watched
from stream_retrain.models.tree_features import Feature, Row
from stream_retrain.models.tree_observers import Categories, Numbers, Weights

__all__ = ["Leaf"]


class Leaf:
    """The classes are in the order in which they came to this leaf, and so are the features."""

    __slots__ = ("_last", "bayes_right", "depth", "majority_right", "observers", "stats", "tried_at", "watched")

    def __init__(self, stats: Weights, depth: int, watched: Watched | None = None) -> None:
        self.stats = stats
        self.depth = depth
        self.watched = watched
        """None: every feature."""
        self.observers: dict[Any, Numbers | Categories] | None = {}
        self.majority_right = self.bayes_right = 0.0
        self.tried_at = self.total()
        """The weight at the last attempt to split."""
        self._last: tuple[Row, Weights] | None = None
        """The last event and its votes; no part of the state."""

    def total(self) -> float:
        """The weight of all classes."""
        total = 0.0
        for weight in self.stats.values():
            total += weight
        return total

    def vote(self, row: Row) -> Weights:
        """The probability of each class of this leaf."""
        if self.observers is not None and self.bayes_right >= self.majority_right:
            votes = self._bayes(row)
            self._last = (row, votes)
            return votes
        return self._majority()

    def learn(self, row: Row, label: Any, w: float, features: dict[Any, Feature]) -> None:
        """Count which vote is right, then learn one event."""
        observers = self.observers
        if observers is not None:
            majority = self._majority()
            if not majority or _is(most_probable(majority), label):
                self.majority_right += w
            last, self._last = self._last, None
            votes = last[1] if last is not None and last[0] == row else self._bayes(row)
            if votes and _is(most_probable(votes), label):
                self.bayes_right += w
        self.stats[label] = self.stats.get(label, 0.0) + w
        if observers is not None:
            watched = self.watched
            if watched is not None:
                watched.follow(features)
            for name, value in row.items():
                observer = observers.get(name)
                if observer is None:
                    if watched is not None and name not in watched.names:
                        continue
                    observer = observers[name] = Numbers() if features[name].categories is None else Categories()
                observer.update(value, label, w)

    def forget(self) -> None:
        """Drop what is kept of the features."""
        self.observers = {}
        self._last = None

    def deactivate(self) -> None:
        """Keep only the weights from now on."""
        self.observers = None
        self._last = None

    def withhold(self, name: Any) -> None:
        """Drop what is kept of one feature."""
        if self.observers is not None:
            self.observers.pop(name, None)
            self._last = None
        if self.watched is not None:
            self.watched.names.pop(name, None)

    def write(self, to: Writer, features: dict[Any, Feature], labels: dict[Any, int]) -> None:
        """Whether it observes, its classes, its counters, and what it keeps of the features."""
        to.count(self.observers is not None, len(self.stats))
        to.number(self.majority_right, self.bayes_right, self.tried_at)
        for label, weight in self.stats.items():
            to.count(labels[label])
            to.number(weight)
        if self.observers is not None:
            to.count(len(self.observers))
            for name, observer in self.observers.items():
                to.count(features[name].index)
                observer.write(to, labels, features[name])
        if self.watched is not None:
            self.watched.write(to, features)

    @classmethod
    def read(cls, reader: Reader, features: list[tuple[Any, Feature]], labels: list[Any], depth: int, watches: bool) -> Leaf:
        """What `write` wrote; `watches`: it draws features."""
        active = reader.count(2) == 1
        classes = reader.count(len(labels) + 1)
        leaf = cls({}, depth)
        leaf.majority_right, leaf.bayes_right, leaf.tried_at = reader.row(3)
        for _ in range(classes):
            label = labels[reader.count(len(labels))]
            leaf.stats[label] = reader.number()
        leaf.observers = cls._read_observers(reader, features, labels) if active else None
        leaf.watched = Watched.read(reader, features) if watches else None
        return leaf

    @staticmethod
    def _read_observers(reader: Reader, features: list[tuple[Any, Feature]], labels: list[Any]) -> dict[Any, Numbers | Categories]:
        observers: dict[Any, Numbers | Categories] = {}
        for _ in range(reader.count(len(features) + 1)):
            name, feature = features[reader.count(len(features))]
            kind = Numbers if feature.categories is None else Categories
            observers[name] = kind.read(reader, labels, feature)
        return observers

    def _majority(self) -> Weights:
        total = self.total()
        scale = 1.0 / total if total != 0.0 else 1.0
        return {label: weight * scale for label, weight in self.stats.items()}

    def _bayes(self, row: Row) -> Weights:
        """Naive Bayes on the features that this leaf has met; {} before any event."""
        total = self.total()
        observers = self.observers
        if total == 0.0 or observers is None:
            return {}
        log, exp = arithmetic.log, arithmetic.exp
        met = [(observer, row[name]) for name, observer in observers.items() if name in row]
        votes: Weights = {}
        highest = -math.inf
        for label, weight in self.stats.items():
            vote = 0.0
            if weight > 0.0:
                vote = log(weight / total)
                for observer, value in met:
                    vote += observer.evidence(value, label)
            votes[label] = vote
            if vote > highest:
                highest = vote
        raised = 0.0
        for vote in votes.values():
            raised += exp(vote - highest)
        scale = highest + log(raised)
        for label, vote in votes.items():
            votes[label] = exp(vote - scale)
        return votes


def _is(one: Any, other: Any) -> bool:
    """Whether two labels are the same class: as in a dict, NaN is itself."""
    return one is other or bool(one == other)

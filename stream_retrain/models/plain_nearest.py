"""The nearest neighbors in Python: the readable reference, which serves where the compiled ones are not installed."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from stream_retrain.models.block import Block, Reader, Writer, damaged
from stream_retrain.models.feature_values import Features, checked, is_number
from stream_retrain.models.nearest_window import FEATURES_MAX, Row, Window
from stream_retrain.models.relevance import APART_MAX, Taught
from stream_retrain.models.targets import Targets, learnable
from stream_retrain.models.tree_features import ordered

__all__ = ["NearestState", "PlainNearestClassifier", "PlainNearestRegressor"]

NearestState: TypeAlias = "tuple[list[Any], list[list[Any]], list[Any], Block]"
"""The names of the features, the categories of each, the labels, and the numbers."""

TARGET_MAX: Final = 3.0
"""A target counts as at most this many standard deviations where features are ranked."""
PRIOR: Final = 0.1
"""The part of the neighbors' mean weight that every class gets."""


class _Plain:
    """The window, and the features by name."""

    def __init__(self, neighbors: int, window: int, features_max: int, *, numbers: bool) -> None:
        self._made = (neighbors, window, features_max, numbers)
        self._clear()

    def _clear(self) -> None:
        neighbors, window, features_max, numbers = self._made
        self._window = Window(neighbors, window, features_max, numbers=numbers)
        self._numbers: dict[Any, int] = {}

    def _row(self, clean: Features) -> Row:
        """The values by the number of their feature; one of another kind than its feature is missing."""
        row: Row = {}
        for name, value in clean.items():
            number = self._numbers.get(name)
            if number is None:
                continue
            feature = self._window.features[number]
            if is_number(value):
                if feature.moments is not None:
                    row[number] = float(value)
            elif feature.moments is None:
                row[number] = feature.number_of(value)
        return row

    def _nearest(self, x: Features) -> list[tuple[int, float]]:
        return self._window.nearest(self._row(checked(x)))

    def _learn(self, clean: Features, taught: Taught) -> int:
        """Give numbers to features and categories that have none, and learn the event; its place in the window."""
        window = self._window
        unknown = [name for name in clean if name not in self._numbers]
        for name in ordered(unknown)[: FEATURES_MAX - len(self._numbers)]:  # what comes at once comes in the order of the names
            self._numbers[name] = len(self._numbers)
            if is_number(clean[name]):
                window.add_number()
            else:
                window.add_categories()
        for name, value in clean.items():
            number = self._numbers.get(name)
            if number is not None and window.features[number].moments is None and not is_number(value):
                window.features[number].add(value)
        return window.learn(self._row(clean), taught)

    def _state(self, labels: list[Any], to: Writer) -> NearestState:
        return list(self._numbers), [list(feature.categories) for feature in self._window.features], labels, to.block()

    def _restore(self, state: NearestState, reader: Reader) -> None:
        """Go on from a state, but for the outcomes."""
        self._clear()
        self._numbers = {name: number for number, name in enumerate(state[0])}
        if not len(self._numbers) == len(state[0]) == len(state[1]):
            damaged()
        self._window.read(state[1], reader)


class PlainNearestClassifier(_Plain):
    """The classes of the neighbors, by their weights."""

    def __init__(self, neighbors: int, window: int, features_max: int) -> None:
        super().__init__(neighbors, window, features_max, numbers=False)
        self._labels: dict[Any, int] = {}
        self._classes: list[int] = []

    def predict(self, x: Features) -> dict[Any, float]:
        """Probability of every class seen so far, in the order in which they were first seen."""
        found, total = self._nearest(x), 0.0
        if not found:
            return {}
        proba = [0.0] * len(self._labels)
        for place, weight in found:
            proba[self._classes[place]] += weight
            total += weight
        prior = PRIOR * total / len(found)
        whole = total + prior * len(proba)
        return {label: (p + prior) / whole for label, p in zip(self._labels, proba, strict=True)}

    def learn(self, x: Features, y: Any) -> None:
        """Learn one event."""
        clean = checked(x)
        number = self._labels.setdefault(y, len(self._labels))
        _put(self._classes, self._learn(clean, [(min(number, APART_MAX), 1.0)]), number)

    def state(self) -> NearestState:
        """All that was learned."""
        to = Writer()
        self._window.write(to)
        to.count(*self._classes)
        return self._state(list(self._labels), to)

    def restore(self, state: NearestState) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        reader = Reader(state[3])
        self._restore(state, reader)
        self._labels = {label: number for number, label in enumerate(state[2])}
        if len(self._labels) < len(state[2]):
            damaged()
        self._classes = [reader.count(len(self._labels)) for _ in range(self._window.rows)]
        reader.end()


class PlainNearestRegressor(_Plain):
    """The mean of the neighbors' targets, by their weights."""

    def __init__(self, neighbors: int, window: int, features_max: int) -> None:
        super().__init__(neighbors, window, features_max, numbers=True)
        self._targets = Targets()
        self._outcomes: list[float] = []

    def predict(self, x: Features) -> float:
        """The prediction; 0 before anything was learned."""
        summed = total = 0.0
        for place, weight in self._nearest(x):
            summed += weight * self._outcomes[place]
            total += weight
        return self._targets.clip(summed / total) if total > 0.0 else 0.0

    def learn(self, x: Features, y: float) -> None:
        """Learn one event."""
        targets = self._targets
        y = learnable(y)
        clean = checked(x)
        y = targets.usual(y)
        targets.update(y)
        off = max(-TARGET_MAX, min(TARGET_MAX, (y - targets.mean) / targets.deviation))
        _put(self._outcomes, self._learn(clean, [(0, off), (1, 1.0)]), y)

    def state(self) -> NearestState:
        """All that was learned."""
        to = Writer()
        self._targets.write(to)
        self._window.write(to)
        to.row(self._outcomes)
        return self._state([], to)

    def restore(self, state: NearestState) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        reader = Reader(state[3])
        self._targets.read(reader)
        self._restore(state, reader)
        self._outcomes = reader.row(self._window.rows)
        reader.end()


def _put(outcomes: list[Any], place: int, outcome: Any) -> None:
    """Keep an outcome at its place in the window."""
    if place < len(outcomes):
        outcomes[place] = outcome
    else:
        outcomes.append(outcome)

"""The additive models in Python: the readable reference, which serves where the compiled ones are not installed.

`predict` keeps the encoding and the scores of its event. `learn` reuses them if nothing was learned in between and the event has not
changed. This saves time and does not change a result, so it is not part of the state.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from stream_retrain.models import arithmetic
from stream_retrain.models.bins import Encoding
from stream_retrain.models.block import Block, Reader, Writer, damaged
from stream_retrain.models.feature_values import Features
from stream_retrain.models.plain_additive import Parameters, PlainAdditive
from stream_retrain.models.targets import Targets, learnable

__all__ = ["AdditiveState", "PlainAdditiveClassifier", "PlainAdditiveRegressor", "softmax"]

AdditiveState: TypeAlias = "tuple[list[Any], list[tuple[Any, list[Any]]], list[Any], Block]"
"""The names of the numbers, the names and values of the categories, the labels, and the numbers."""

ERROR_MAX: Final = 3.0
"""A regression error counts as at most this many standard deviations of the target."""


class _Plain:
    """The weights, and the encoding kept from `predict` to `learn`."""

    def __init__(self, parameters: Parameters) -> None:
        self._weights = PlainAdditive(parameters, 1)
        self._last: tuple[list[Any], list[Any], list[type], Encoding, list[float]] | None = None

    def _encode_and_score(self, x: Features) -> tuple[Encoding, list[float]]:
        """The event's encoding and scores; those of the last call if it had the same event."""
        values = list(x.values())
        names, kinds = list(x), list(map(type, values))
        last = self._last
        if last is not None and last[1] == values and last[0] == names and last[2] == kinds:
            return last[3], last[4]
        encoding = self._weights.encode(x)
        scores = self._weights.scores(encoding)
        self._last = (names, values, kinds, encoding, scores)
        return encoding, scores

    def _learn(self, x: Features, encoding: Encoding, errors: list[float]) -> None:
        self._last = None
        self._weights.learn(self._weights.admit(x, encoding), errors)

    def _state(self, labels: list[Any], to: Writer) -> AdditiveState:
        bins = self._weights.bins
        bins.write(to)
        self._weights.write(to)
        return list(bins.numbers), [(name, list(known)) for name, known in bins.categories.items()], labels, to.block()

    def _restore(self, state: AdditiveState, reader: Reader, outputs: int) -> None:
        self._weights.bins.read(state[0], state[1], reader)
        self._weights.read(reader)
        reader.end()
        if len(self._weights.weights) != outputs:
            damaged()


class PlainAdditiveClassifier(_Plain):
    """Two classes share one score; from the third on, each has its own."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self._classes: dict[Any, int] = {}

    def predict(self, x: Features) -> dict[Any, float]:
        """Probability of every class seen so far, in the order in which they were first seen."""
        scores = self._encode_and_score(x)[1]
        if len(self._classes) < 2:
            return dict.fromkeys(self._classes, 1.0)
        return dict(zip(self._classes, softmax(scores), strict=True))

    def learn(self, x: Features, y: Any) -> None:
        """Learn one event."""
        index = self._classes.get(y)
        encoding, scores = self._encode_and_score(x)
        if index is None:
            self._add_class(y)
            encoding, scores = self._encode_and_score(x)
            index = self._classes[y]
        if len(self._classes) < 2:
            self._learn(x, encoding, [0.0])
            return
        errors = softmax(scores)
        if len(errors) == 2:
            self._learn(x, encoding, [errors[1] - index])
            return
        errors[index] -= 1.0
        self._learn(x, encoding, errors)

    def state(self) -> AdditiveState:
        """All that was learned."""
        return self._state(list(self._classes), Writer())

    def restore(self, state: AdditiveState) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        self._classes = {label: number for number, label in enumerate(state[2])}
        self._restore(state, Reader(state[3]), len(self._classes) if len(self._classes) > 2 else 1)

    def _add_class(self, y: Any) -> None:
        self._classes[y] = len(self._classes)
        self._last = None
        if len(self._classes) < 3:
            return
        if len(self._classes) == 3:
            self._weights.split_output()  # the probabilities stay the same
        self._weights.add_output()


class PlainAdditiveRegressor(_Plain):
    """One score, of the standardised target."""

    def __init__(self, parameters: Parameters) -> None:
        super().__init__(parameters)
        self._targets = Targets()

    def predict(self, x: Features) -> float:
        """The prediction; 0 before anything was learned."""
        targets = self._targets
        return targets.clip(targets.mean + targets.deviation * self._encode_and_score(x)[1][0])

    def learn(self, x: Features, y: float) -> None:
        """Learn one event."""
        targets = self._targets
        y = learnable(y)
        encoding, scores = self._encode_and_score(x)
        y = targets.usual(y)
        targets.update(y)
        error = scores[0] - (y - targets.mean) / targets.deviation
        self._learn(x, encoding, [max(-ERROR_MAX, min(ERROR_MAX, error))])

    def state(self) -> AdditiveState:
        """All that was learned."""
        to = Writer()
        self._targets.write(to)
        return self._state([], to)

    def restore(self, state: AdditiveState) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        reader = Reader(state[3])
        self._targets.read(reader)
        self._restore(state, reader, 1)


def softmax(scores: list[float]) -> list[float]:
    """The class probabilities: from one score, that of the second of two classes; else from one score a class."""
    if len(scores) == 1:
        second = 0.5 + 0.5 * arithmetic.tanh(0.5 * scores[0])
        return [1.0 - second, second]
    highest = max(scores)
    exp = arithmetic.exp
    raised = [exp(score - highest) for score in scores]
    total = 0.0
    for value in raised:
        total += value
    return [value / total for value in raised]

"""Stacking over the members of a mixture of classifiers, in Python: the readable reference of `native/src/stacking.rs`.

A fixed share is as good as its best member. A stacking can be better than all of them, and corrects a member that is too sure of itself. It
is a softmax regression on the members' log probabilities L (clipped, less their mean over the classes):

    score of class k = bias_k + sum over members j of weight_j * L_jk

Each label moves each weight and each bias by rate / sqrt(decayed sum of its squared gradients) against its gradient, so no step is larger
than the rate. Which rate is best depends on the stream. So there are several stackings, and a second level mixes them with the fixed share
of the members, and with their plain mean: again by a fixed share, whose weights follow the probability that each gave the label.

With late labels, what was learned may be wrong by the time it serves: after a change of concept, labels come for which the members were
wrong, the stackings turn the members round, and these serve turned round when they have learned better. So the second level counts
the probability that each level gave when the event was predicted (`packed`, kept until the label comes), and not what it would give now.
The plain mean has learned nothing that could mislead it: it is what is left where late labels tell nothing about the events of now.

The settings are from measurements (docs/models.md); the result changes little between half and twice of each.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from stream_retrain.models.additive_cores import softmax
from stream_retrain.models.arithmetic import log
from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.plain_additive import SQUARES_MIN

__all__ = ["Answered", "Stackings", "clipped", "finite", "packed", "shared"]

PROBABILITY_MIN: Final = 0.005
"""Probabilities are clipped to this and 1 minus this, so that one event cannot decide anything."""
DECAY: Final = 0.999
BIAS: Final = 0.3
"""The rate of the biases, as a part of that of the weights."""
LEVEL_SHARE: Final = 0.0003
"""The share of the second level; its eta is 1/16. It is slow: with late labels, what it counts of neighbouring events is much the same."""


class Answered(NamedTuple):
    """What is said of one event."""

    logs: list[list[float]]
    """By member and class: log probabilities less their mean; 0 of a member without an answer."""
    levels: list[list[float]]
    """Probabilities by class: of the fixed share, of the plain mean, and of each stacking."""


class _Stacking:
    """One of them: weights by member and biases by class, each beside its sum of squared gradients."""

    __slots__ = ("bias_squares", "biases", "rate", "squares", "weights")

    def __init__(self, rate: float, members: int) -> None:
        self.rate = rate
        self.weights = [1.0 / members] * members
        self.squares = [1.0] * members
        self.biases: list[float] = []
        self.bias_squares: list[float] = []

    def add_classes(self, classes: int) -> None:
        """Have biases for so many classes."""
        added = classes - len(self.biases)
        self.biases += [0.0] * added
        self.bias_squares += [1.0] * added

    def proba(self, logs: list[list[float]]) -> list[float]:
        """The probability of each class."""
        scores = list(self.biases)
        for weight, row in zip(self.weights, logs, strict=True):
            for number, value in enumerate(row):
                scores[number] += weight * value
        return softmax(scores)

    def learn(self, logs: list[list[float]], proba: list[float], y: int) -> None:
        """Move weights and biases against their gradients."""
        errors = list(proba)
        errors[y] -= 1.0
        for member, row in enumerate(logs):
            gradient = 0.0
            for error, value in zip(errors, row, strict=True):
                gradient += error * value
            self.squares[member] = squares = DECAY * self.squares[member] + gradient * gradient
            self.weights[member] -= self.rate * gradient / math.sqrt(squares + SQUARES_MIN)
        for number, error in enumerate(errors):
            self.bias_squares[number] = squares = DECAY * self.bias_squares[number] + error * error
            self.biases[number] -= BIAS * self.rate * error / math.sqrt(squares + SQUARES_MIN)


class Stackings:
    """Several stackings of the same members, and the second level."""

    def __init__(self, rates: tuple[float, ...], members: int) -> None:
        self._stackings = [_Stacking(rate, members) for rate in rates]
        self._weights = [1.0 / (2 + len(rates))] * (2 + len(rates))

    def answer(self, fixed: list[float], members: list[list[float] | None]) -> Answered:
        """By what the members' fixed share says, and each member, by class; of at least two classes."""
        logs, plain, awake = [], [0.0] * len(fixed), 0
        for proba in members:
            if proba is not None:
                plain = [total + p for total, p in zip(plain, proba, strict=True)]
                awake += 1
            row = [log(clipped(p, PROBABILITY_MIN)) for p in proba] if proba is not None else [0.0] * len(fixed)
            mean = 0.0
            for value in row:
                mean += value
            mean /= len(row)
            logs.append([value - mean for value in row])
        for stacking in self._stackings:
            stacking.add_classes(len(fixed))
        return Answered(logs, [fixed, [p / awake for p in plain], *(stacking.proba(logs) for stacking in self._stackings)])

    def mean(self, answered: Answered) -> list[float]:
        """The second level's probability of each class."""
        mixed = [0.0] * len(answered.levels[0])
        for weight, proba in zip(self._weights, answered.levels, strict=True):
            for number, p in enumerate(proba):
                mixed[number] += weight * p
        return mixed

    def learn(self, answered: Answered, y: int, served: bytes | None = None) -> None:
        """Update everything by the label of an event. `served`: what the levels said when it was predicted, `packed`, where it was kept."""
        levels = answered.levels
        said = levels if served is None else _unpacked(served, len(levels))
        if y >= len(said[0]):  # its class was not known then
            said = levels
        self._weights = shared(
            [w * _sixteenth_root(clipped(proba[y], PROBABILITY_MIN)) for w, proba in zip(self._weights, said, strict=True)], LEVEL_SHARE
        )
        for stacking, proba in zip(self._stackings, levels[2:], strict=True):
            stacking.learn(answered.logs, proba, y)

    def write(self, to: Writer) -> None:
        """The weights of the second level, the number of classes, and each stacking."""
        to.row(self._weights)
        to.count(len(self._stackings[0].biases))
        for stacking in self._stackings:
            for row in (stacking.weights, stacking.squares, stacking.biases, stacking.bias_squares):
                to.row(row)

    def read(self, reader: Reader, classes: int) -> None:
        """What `write` wrote; there may be fewer classes than are known now."""
        self._weights = finite(reader.row(len(self._weights)), 0.0)
        known = reader.count(classes + 1)
        for stacking in self._stackings:
            members = len(stacking.weights)
            stacking.weights, stacking.squares = finite(reader.row(members)), finite(reader.row(members), 0.0)
            stacking.biases, stacking.bias_squares = finite(reader.row(known)), finite(reader.row(known), 0.0)


def packed(levels: list[list[float]]) -> bytes:
    """The levels' probabilities as they are kept: level by level, as the floats of a block."""
    to = Writer()
    for proba in levels:
        to.row(proba)
    return to.block()[1]


def _unpacked(kept: bytes, levels: int) -> list[list[float]]:
    classes, odd = divmod(len(kept), 8 * levels)
    if odd:
        damaged()
    reader = Reader((b"", kept))
    return [finite(reader.row(classes), 0.0) for _ in range(levels)]


def _sixteenth_root(p: float) -> float:
    return math.sqrt(math.sqrt(math.sqrt(math.sqrt(p))))


def clipped(p: float, low: float) -> float:
    """The probability as it counts: at least `low`, and at most 1 minus that."""
    return min(max(p, low), 1.0 - low)


def finite(values: list[float], least: float = -math.inf) -> list[float]:
    """The values of a state; it is damaged where one is not finite, or below the least."""
    if not all(least <= value and math.isfinite(value) for value in values):
        damaged()
    return values


def shared(weights: list[float], share: float) -> list[float]:
    """The weights scaled to a sum of 1 - share, and an equal part of `share` added to each."""
    total = 0.0
    for weight in weights:
        total += weight
    scale, floor = (1.0 - share) / total, share / len(weights)
    return [scale * weight + floor for weight in weights]

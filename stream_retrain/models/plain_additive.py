"""The weights of an additive model: one flat list of slots for each output."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from stream_retrain.models.bins import Bins, Encoding
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.feature_values import Features
from stream_retrain.models.pairs import Pairs, Part

__all__ = ["SQUARES_MIN", "Parameters", "PlainAdditive"]

SQUARES_MIN: Final = 1e-5
"""Added to the sum, so that a very small first gradient does not make a full step."""


class Parameters(NamedTuple):
    """What an additive core is made with."""

    bins: int
    """Of a number; 1: a linear model."""
    rate: float
    categories_max: int
    decay: float
    """Each gradient first multiplies its slot's sum of squared gradients by this."""
    pairs: int
    """How many pairs of features have weights at most."""
    pair_bins: int
    seed: int


class PlainAdditive:
    """The scores of the outputs and their gradient steps, slot by slot.

    Each gradient moves a weight by rate / sqrt(decayed sum of its squared gradients) against itself. So the steps become smaller while
    the weight settles, and larger again after a change. (This is RMSProp with lr = rate * sqrt(1 - decay) and rho = decay.)
    """

    def __init__(self, parameters: Parameters, outputs: int) -> None:
        bins, self.rate, categories_max, self.decay, pairs, pair_bins, seed = parameters
        self.bins = Bins(bins, categories_max, Pairs(pairs, pair_bins, categories_max, seed) if pairs else None)
        self.weights: list[list[float]] = []
        self.squares: list[list[float]] = []
        self.intercepts: list[float] = []
        self.intercept_squares: list[float] = []
        for _ in range(outputs):
            self.add_output()

    def add_output(self) -> None:
        """Add an output whose weights are zero."""
        self.weights.append([0.0] * self.bins.slots)
        self.squares.append([0.0] * self.bins.slots)
        self.intercepts.append(0.0)
        self.intercept_squares.append(0.0)

    def split_output(self) -> None:
        """Replace the single output with score s by two with -s/2 and s/2."""
        self.add_output()
        self.weights = [[-0.5 * weight for weight in self.weights[0]], [0.5 * weight for weight in self.weights[0]]]
        self.squares[1] = list(self.squares[0])
        self.intercepts = [-0.5 * self.intercepts[0], 0.5 * self.intercepts[0]]
        self.intercept_squares[1] = self.intercept_squares[0]

    def encode(self, x: Features) -> Encoding:
        """The event as slots, for `scores` and `learn`; valid until something is learned.

        Raises:
            ValueError: a value is infinite or unhashable.
        """
        return self.bins.encode(x)

    def scores(self, encoding: Encoding) -> list[float]:
        """The score of every output."""
        scores = []
        numbers = encoding.numbers if self.bins.bins > 1 else []
        for total, weights in zip(self.intercepts, self.weights, strict=True):
            for _, _, slot, upper, _ in numbers:
                lower = weights[slot]
                total += lower + upper * (weights[slot + 1] - lower)
            for slot in encoding.categories:
                total += weights[slot]
            for slot, across, upper, right in encoding.grids:
                lower = weights[slot]
                lower += right * (weights[slot + 1] - lower)
                slot += across
                higher = weights[slot]
                higher += right * (weights[slot + 1] - higher)
                total += lower + upper * (higher - lower)
            for slot, part in encoding.parts:
                total += part * weights[slot]
            scores.append(total)
        return scores

    def admit(self, x: Features, encoding: Encoding) -> Encoding:
        """Assign slots to new features and categories; the encoding to learn from."""
        if encoding.complete and not encoding.categories:
            return encoding
        reused = self.bins.admit(x)
        for weights, squares in zip(self.weights, self.squares, strict=True):
            added = self.bins.slots - len(weights)
            weights.extend([0.0] * added)
            squares.extend([0.0] * added)
            for slot in reused:
                weights[slot] = squares[slot] = 0.0
        return encoding if encoding.complete else self.bins.encode(x)

    def learn(self, encoding: Encoding, errors: list[float]) -> None:
        """Move the weights of each output against its error (positive if the score is too high), then update the running moments."""
        parts = _parts(encoding)
        for output, error in enumerate(errors):
            self._learn_output(output, encoding, error)
            if parts:
                self._learn_parts(output, parts, error)
        self.bins.observe(encoding)

    def _learn_output(self, output: int, encoding: Encoding, error: float) -> None:
        weights, squares, rate, decay, sqrt = self.weights[output], self.squares[output], self.rate, self.decay, math.sqrt
        for _, _, slot, upper, _ in encoding.numbers if self.bins.bins > 1 else []:
            gradient = error * (1.0 - upper)
            squares[slot] = total = decay * squares[slot] + gradient * gradient
            weights[slot] -= rate * gradient / sqrt(total + SQUARES_MIN)
            slot += 1
            gradient = error * upper
            squares[slot] = total = decay * squares[slot] + gradient * gradient
            weights[slot] -= rate * gradient / sqrt(total + SQUARES_MIN)
        square = error * error
        for slot in encoding.categories:
            squares[slot] = total = decay * squares[slot] + square
            weights[slot] -= rate * error / sqrt(total + SQUARES_MIN)
        self.intercept_squares[output] = total = decay * self.intercept_squares[output] + square
        self.intercepts[output] -= rate * error / sqrt(total + SQUARES_MIN)

    def _learn_parts(self, output: int, parts: list[Part], error: float) -> None:
        weights, squares, rate, decay, sqrt = self.weights[output], self.squares[output], self.rate, self.decay, math.sqrt
        for slot, part in parts:
            gradient = error * part
            squares[slot] = total = decay * squares[slot] + gradient * gradient
            weights[slot] -= rate * gradient / sqrt(total + SQUARES_MIN)

    def write(self, to: Writer) -> None:
        """The number of outputs, for each its intercept and its weights, every one beside its sum of squares, and the pairs."""
        to.count(len(self.weights))
        for output in range(len(self.weights)):
            to.number(self.intercepts[output], self.intercept_squares[output])
            to.row(self.weights[output])
            to.row(self.squares[output])
        self.bins.write_pairs(to)

    def read(self, reader: Reader) -> None:
        """What `write` wrote; the other parts of the bins are read before."""
        outputs, slots = reader.count(), self.bins.slots
        self.weights, self.squares, self.intercepts, self.intercept_squares = [], [], [], []
        for _ in range(outputs):
            self.intercepts.append(reader.number())
            self.intercept_squares.append(reader.number())
            self.weights.append(reader.row(slots))
            self.squares.append(reader.row(slots))
        self.bins.read_pairs(reader)


def _parts(encoding: Encoding) -> list[Part]:
    """The slots of an event that are not those of `numbers` and `categories`, without those whose part is 0: they are left alone."""
    parts: list[Part] = []
    for slot, across, upper, right in encoding.grids:
        lower, left = 1.0 - upper, 1.0 - right
        parts += (slot, lower * left), (slot + 1, lower * right), (slot + across, upper * left), (slot + across + 1, upper * right)
    parts += encoding.parts
    return [each for each in parts if each[1]]

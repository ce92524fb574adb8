"""The weights of an additive model in plain Python: one flat list of slots for each output."""

from __future__ import annotations

import math
from typing import Final

from stream_retrain.models.bins import Bins, Code
from stream_retrain.models.values import Features

__all__ = ["DECAY", "SQUARES_MIN", "PlainAdditive"]

DECAY: Final = 0.999
"""What is left of a slot's sum of squared gradients at each visit."""
SQUARES_MIN: Final = 1e-5
"""Added to it, so that a vanishing first gradient is not a whole step."""


class PlainAdditive:
    """Additive scores and their lessons, slot by slot: the quickest up to a dozen or two features.

    A weight moves by rate / sqrt(sum of its squared gradients, decayed) against each gradient: steps shrink while the weight is
    settling and grow again after a change. (RMSProp with lr = rate * sqrt(1 - decay), rho = decay.)
    """

    def __init__(self, bins: Bins, outputs: int, rate: float) -> None:
        self.bins = bins
        self.rate = rate
        self.weights: list[list[float]] = []
        self.squares: list[list[float]] = []
        self.intercepts: list[float] = []
        self.intercept_squares: list[float] = []
        for _ in range(outputs):
            self.add_output()

    def add_output(self) -> None:
        """One output more, whose weights are zero."""
        self.weights.append([0.0] * self.bins.slots)
        self.squares.append([0.0] * self.bins.slots)
        self.intercepts.append(0.0)
        self.intercept_squares.append(0.0)

    def encode(self, x: Features) -> Code:
        """The event in slots, for `scores` and `learn`; valid until something is learned."""
        return self.bins.encode(x)

    def scores(self, code: Code) -> list[float]:
        """The score of every output."""
        found = []
        for total, weights in zip(self.intercepts, self.weights, strict=True):
            for _, _, slot, upper in code.numbers:
                lower = weights[slot]
                total += lower + upper * (weights[slot + 1] - lower)
            for slot in code.categories:
                total += weights[slot]
            found.append(total)
        return found

    def admit(self, x: Features, code: Code) -> Code:
        """The code to learn from: features and categories not seen before get their slots."""
        if code.complete and not code.categories:
            return code
        taken = self.bins.admit(x)
        for weights, squares in zip(self.weights, self.squares, strict=True):
            grown = self.bins.slots - len(weights)
            weights.extend([0.0] * grown)
            squares.extend([0.0] * grown)
            for slot in taken:
                weights[slot] = squares[slot] = 0.0
        return code if code.complete else self.bins.encode(x)

    def learn(self, code: Code, errors: list[float]) -> None:
        """Move the weights of each output against its error (score too high: positive), then the running moments."""
        for output, error in enumerate(errors):
            self._learn_output(output, code, error)
        self.bins.observe(code)

    def _learn_output(self, output: int, code: Code, error: float) -> None:
        weights, squares, rate, sqrt = self.weights[output], self.squares[output], self.rate, math.sqrt
        for _, _, slot, upper in code.numbers:
            gradient = error * (1.0 - upper)
            squares[slot] = total = DECAY * squares[slot] + gradient * gradient
            weights[slot] -= rate * gradient / sqrt(total + SQUARES_MIN)
            slot += 1
            gradient = error * upper
            squares[slot] = total = DECAY * squares[slot] + gradient * gradient
            weights[slot] -= rate * gradient / sqrt(total + SQUARES_MIN)
        step = error * error
        for slot in code.categories:
            squares[slot] = total = DECAY * squares[slot] + step
            weights[slot] -= rate * error / sqrt(total + SQUARES_MIN)
        self.intercept_squares[output] = total = DECAY * self.intercept_squares[output] + step
        self.intercepts[output] -= rate * error / sqrt(total + SQUARES_MIN)

"""Stacking over the members of a mixture of regressors, in Python: the readable reference of `native/src/stacking_regressor.rs`.

A stacking corrects the fixed share of the members: recursive least squares with forgetting on their departures from it, in deviations of
the target, and on a constant. It begins at 0: with the fixed share as it is. There are several with different memories, and a second level
mixes them with the fixed share, as in `stacking`.

A correction counts as at most `CORRECTION_MAX` deviations and an error as at most `ERROR_MAX`. The inverse of the departures' covariance is
scaled down where its trace exceeds one a row (members that agree say nothing of each other, and it would grow without end), and begins anew
should rounding have spoilt it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from stream_retrain.models.arithmetic import exp
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.stacking import finite, shared
from stream_retrain.models.targets import Targets

__all__ = ["Corrected", "StackingsOfNumbers", "half_squares"]

SQUARES_MAX: Final = 4.0
"""A squared error counts as at most this many variances of the target."""
SQUARES_SCALE: Final = 0.5
"""The loss is half the squared error in variances of the target: the log loss of normal errors with that variance."""
CORRECTION_MAX: Final = 2.0
ERROR_MAX: Final = 3.0
INVERSE: Final = 0.02
"""The inverse begins as this on its diagonal: a correction grows over some tens of events."""
LEVEL_SHARE: Final = 0.001
"""The share of the second level; its eta is 1."""


class Corrected(NamedTuple):
    """What is said of one event."""

    departures: list[float]
    """Of each member from the fixed share, in deviations; 0 of one without a prediction; and 1 for the constant."""
    corrections: list[float]
    """Of each stacking, in deviations."""
    levels: list[float]
    """The fixed share, and each stacking."""


class _LeastSquares:
    """One of them: a coefficient for each departure, and the inverse."""

    __slots__ = ("coefficients", "forgetting", "inverse")

    def __init__(self, forgetting: float, rows: int) -> None:
        self.forgetting = forgetting
        self.coefficients = [0.0] * rows
        self.inverse = _diagonal(rows)

    def correction(self, departures: list[float]) -> float:
        """In deviations."""
        total = 0.0
        for coefficient, departure in zip(self.coefficients, departures, strict=True):
            total += coefficient * departure
        return total

    def learn(self, departures: list[float], error: float) -> None:
        """Learn by the error that is left after the correction."""
        rows = len(departures)
        gains = []
        scale = 0.0
        for row, departure in zip(self.inverse, departures, strict=True):
            gain = 0.0
            for value, other in zip(row, departures, strict=True):
                gain += value * other
            gains.append(gain)
            scale += gain * departure
        if not scale >= 0.0:
            self.inverse = _diagonal(rows)
            return
        scale += self.forgetting
        trace = 0.0
        for i, gain in enumerate(gains):
            self.coefficients[i] += gain / scale * error
            row = [(value - gain * other / scale) / self.forgetting for value, other in zip(self.inverse[i], gains, strict=True)]
            self.inverse[i] = row
            trace += row[i]
        if trace > rows:
            scale = rows / trace
            self.inverse = [[value * scale for value in row] for row in self.inverse]


class StackingsOfNumbers:
    """Several stackings of the same members, and the second level."""

    def __init__(self, forgettings: tuple[float, ...], members: int) -> None:
        self._stackings = [_LeastSquares(forgetting, members + 1) for forgetting in forgettings]
        self._weights = [1.0 / (1 + len(forgettings))] * (1 + len(forgettings))

    def answer(self, fixed: float, members: list[float | None], targets: Targets) -> Corrected:
        """By what the members' fixed share says, and each member."""
        deviation = targets.deviation
        departures = [0.0 if prediction is None else (prediction - fixed) / deviation for prediction in members]
        departures.append(1.0)
        corrections = [stacking.correction(departures) for stacking in self._stackings]
        levels = [targets.clip(fixed + deviation * max(-CORRECTION_MAX, min(CORRECTION_MAX, each))) for each in corrections]
        return Corrected(departures, corrections, [fixed, *levels])

    def mean(self, corrected: Corrected) -> float:
        """The second level's prediction."""
        mixed = 0.0
        for weight, prediction in zip(self._weights, corrected.levels, strict=True):
            mixed += weight * prediction
        return mixed

    def learn(self, corrected: Corrected, y: float, targets: Targets) -> None:
        """Update everything by the target of an event; the targets' variance is not 0."""
        variance, levels = targets.variance, corrected.levels
        losses = [half_squares(y - prediction, variance) for prediction in levels]
        self._weights = shared([weight * exp(-0.5 * loss) for weight, loss in zip(self._weights, losses, strict=True)], LEVEL_SHARE)
        error = max(-ERROR_MAX, min(ERROR_MAX, (y - levels[0]) / targets.deviation))
        for stacking, correction in zip(self._stackings, corrected.corrections, strict=True):
            stacking.learn(corrected.departures, error - correction)

    def write(self, to: Writer) -> None:
        """The weights of the second level, and each stacking."""
        to.row(self._weights)
        for stacking in self._stackings:
            for row in (stacking.coefficients, *stacking.inverse):
                to.row(row)

    def read(self, reader: Reader) -> None:
        """What `write` wrote."""
        self._weights = finite(reader.row(len(self._weights)), 0.0)
        for stacking in self._stackings:
            rows = len(stacking.coefficients)
            stacking.coefficients = finite(reader.row(rows))
            stacking.inverse = [finite(reader.row(rows)) for _ in range(rows)]


def half_squares(error: float, variance: float) -> float:
    """The loss of an error."""
    return SQUARES_SCALE * min(SQUARES_MAX, error * error / variance)


def _diagonal(rows: int) -> list[list[float]]:
    return [[INVERSE if row == column else 0.0 for column in range(rows)] for row in range(rows)]

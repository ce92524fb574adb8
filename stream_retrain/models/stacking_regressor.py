"""Stacking over the members of a mixture of regressors, in Python: the readable reference of `native/src/stacking_regressor.rs`.

A stacking corrects the fixed share of the members: recursive least squares with forgetting on rows in deviations of the target. The rows
are the members' departures from the fixed share, a constant, and what is recent: decayed means of the errors of the fixed share, and the
departures of decayed means of the targets. Those pay where targets follow one another and labels come at once. A stacking begins at 0:
with the fixed share as it is. There are several with different memories.

A second level mixes the fixed share, the plain mean of the members, and the stackings, as in `stacking`. The plain mean is not misled by
what was right of late; where labels come late it is the safe one.

A correction counts as at most `CORRECTION_MAX` deviations and an error as at most `ERROR_MAX`. The inverse of the rows' covariance is
scaled down where its trace exceeds one a row (members that agree say nothing of each other, and it would grow without end), and begins
anew should rounding have spoilt it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from stream_retrain.models.arithmetic import exp
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.stacking import finite, shared
from stream_retrain.models.targets import Targets

__all__ = ["ERROR_MAX", "Corrected", "StackingsOfNumbers", "half_squares", "within"]

SQUARES_MAX: Final = 4.0
"""A squared error counts as at most this many variances of the target."""
SQUARES_SCALE: Final = 0.5
"""The loss is half the squared error in variances of the target: the log loss of normal errors with that variance."""
CORRECTION_MAX: Final = 2.0
ERROR_MAX: Final = 3.0
INVERSE: Final = 0.02
"""The inverse begins as this on its diagonal: a correction grows over some tens of events."""
OF_ERRORS: Final = (1.0, 0.3, 0.05)
"""The rates of the means of recent errors; 1: the last one."""
OF_TARGETS: Final = (1.0, 0.1)
RECENT: Final = len(OF_ERRORS) + len(OF_TARGETS)
LEVEL_SHARE: Final = 0.001
"""The share of the second level; its eta is 1."""


class Corrected(NamedTuple):
    """What is said of one event."""

    rows: list[float]
    """The departure of each member from the fixed share, in deviations, 0 of one without a prediction; 1; and what is recent."""
    corrections: list[float]
    """Of each stacking, in deviations."""
    levels: list[float]
    """The fixed share, the plain mean, and each stacking."""


class _LeastSquares:
    """One of them: a coefficient for each row, and the inverse, which is symmetric."""

    __slots__ = ("coefficients", "forgetting", "inverse")

    def __init__(self, forgetting: float, rows: int) -> None:
        self.forgetting = forgetting
        self.coefficients = [0.0] * rows
        self.inverse = _diagonal(rows)

    def correction(self, rows: list[float]) -> float:
        """In deviations."""
        total = 0.0
        for coefficient, row in zip(self.coefficients, rows, strict=True):
            total += coefficient * row
        return total

    def learn(self, rows: list[float], error: float) -> None:
        """Learn by the error that is left after the correction."""
        count = len(rows)
        gains = [0.0] * count
        for values, row in zip(self.inverse, rows, strict=True):
            gains = [gain + value * row for gain, value in zip(gains, values, strict=True)]
        scale = 0.0
        for gain, row in zip(gains, rows, strict=True):
            scale += gain * row
        if not scale >= 0.0:
            self.inverse = _diagonal(count)
            return
        scale = 1.0 / (scale + self.forgetting)
        kept = 1.0 / self.forgetting
        trace = 0.0
        for i, gain in enumerate(gains):
            self.coefficients[i] += gain * scale * error
            values = [(value - gain * other * scale) * kept for value, other in zip(self.inverse[i], gains, strict=True)]
            self.inverse[i] = values
            trace += values[i]
        if trace > count:
            scale = count / trace
            self.inverse = [[value * scale for value in values] for values in self.inverse]


class StackingsOfNumbers:
    """Several stackings of the same members, what is recent, and the second level."""

    def __init__(self, forgettings: tuple[float, ...], members: int) -> None:
        self._stackings = [_LeastSquares(forgetting, members + 1 + RECENT) for forgetting in forgettings]
        self.levels = 2 + len(forgettings)
        self._weights = [1.0 / self.levels] * self.levels
        self._errors = [0.0] * len(OF_ERRORS)
        self._targets = [0.0] * len(OF_TARGETS)

    def recent(self) -> list[float]:
        """The means of recent errors, in deviations, and those of recent targets."""
        return [*self._errors, *self._targets]

    def answer(self, fixed: float, members: list[float | None], recent: Sequence[float], targets: Targets) -> Corrected:
        """By what the members' fixed share says, each member, and what was recent when the event came."""
        deviation = targets.deviation
        total, count = 0.0, 0
        rows = []
        for prediction in members:
            rows.append(0.0 if prediction is None else (prediction - fixed) / deviation)
            if prediction is not None:
                total += prediction
                count += 1
        rows.append(1.0)
        errors = len(OF_ERRORS)
        rows.extend(recent[:errors])
        rows.extend(within((target - fixed) / deviation, ERROR_MAX) for target in recent[errors:])
        corrections = [stacking.correction(rows) for stacking in self._stackings]
        levels = [fixed, total / count if count else fixed]
        levels.extend(targets.clip(fixed + deviation * within(each, CORRECTION_MAX)) for each in corrections)
        return Corrected(rows, corrections, levels)

    def mean(self, corrected: Corrected) -> float:
        """The second level's prediction."""
        mixed = 0.0
        for weight, prediction in zip(self._weights, corrected.levels, strict=True):
            mixed += weight * prediction
        return mixed

    def learn(self, corrected: Corrected, levels: Sequence[float], y: float, targets: Targets) -> None:
        """Update everything by the target of an event, and by the levels as they were when it came; the targets' variance is not 0."""
        variance = targets.variance
        losses = [half_squares(y - prediction, variance) for prediction in levels]
        self._weights = shared([weight * exp(-0.5 * loss) for weight, loss in zip(self._weights, losses, strict=True)], LEVEL_SHARE)
        error = within((y - corrected.levels[0]) / targets.deviation, ERROR_MAX)
        for stacking, correction in zip(self._stackings, corrected.corrections, strict=True):
            stacking.learn(corrected.rows, error - correction)
        self._errors = [mean + rate * (error - mean) for mean, rate in zip(self._errors, OF_ERRORS, strict=True)]

    def follow(self, usual: float, *, first: bool) -> None:
        """Add a target to those that are recent, as it counts."""
        self._targets = [usual if first else mean + rate * (usual - mean) for mean, rate in zip(self._targets, OF_TARGETS, strict=True)]

    def write(self, to: Writer) -> None:
        """The weights of the second level, what is recent, and each stacking."""
        for row in (self._weights, self._errors, self._targets):
            to.row(row)
        for stacking in self._stackings:
            for row in (stacking.coefficients, *stacking.inverse):
                to.row(row)

    def read(self, reader: Reader) -> None:
        """What `write` wrote."""
        self._weights = finite(reader.row(len(self._weights)), 0.0)
        self._errors = finite(reader.row(len(self._errors)))
        self._targets = finite(reader.row(len(self._targets)))
        for stacking in self._stackings:
            rows = len(stacking.coefficients)
            stacking.coefficients = finite(reader.row(rows))
            stacking.inverse = [finite(reader.row(rows)) for _ in range(rows)]


def half_squares(error: float, variance: float) -> float:
    """The loss of an error."""
    return SQUARES_SCALE * min(SQUARES_MAX, error * error / variance)


def within(number: float, most: float) -> float:
    """The number, or the nearest one of at most this size."""
    return max(-most, min(most, number))


def _diagonal(rows: int) -> list[list[float]]:
    return [[INVERSE if row == column else 0.0 for column in range(rows)] for row in range(rows)]

"""The weights of an additive model in numpy arrays: equal to `plain_additive` up to rounding, and faster with many features or classes.

An array operation costs about a microsecond even for a short array, so with few features the lists are faster. `additive.DENSE_FROM` is
the measured limit between the two.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_retrain.models.bins import STEEPNESS, VARIANCE_MIN, Moments, half_scale
from stream_retrain.models.feature_values import HUGE, Features, checked, is_number
from stream_retrain.models.plain_additive import DECAY, SQUARES_MIN, PlainAdditive
from stream_retrain.models.usual import DEVIATIONS, OF_CONSTANTS, RATE_MIN, WARM_UP

__all__ = ["DenseAdditive"]

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]


class Layout(NamedTuple):
    """How to read events with the same names in the same order and values of the same types."""

    names: list[Any]
    kinds: list[type]
    columns: Indices | slice
    """The columns of the known numeric features."""
    numeric: list[int] | None
    """Their positions in the event; None: the event consists of these numbers only."""
    categories: list[tuple[int, Any]]
    """The position and the feature of each category."""
    complete: bool


class DenseEncoding(NamedTuple):
    """An event as slots."""

    columns: Indices | slice
    values: Floats
    slots: Indices
    parts: Floats
    """The weight of each slot."""
    categories: bool
    complete: bool


class DenseAdditive:
    """The scores of the outputs and their gradient steps, on all slots of an event at once; made from a `PlainAdditive`."""

    def __init__(self, plain: PlainAdditive) -> None:
        self.bins = plain.bins
        self.rate = plain.rate
        self.weights: Floats = np.array(plain.weights).T.copy()
        self.squares: Floats = np.array(plain.squares).T.copy()
        self.intercepts: Floats = np.array(plain.intercepts)
        self.intercept_squares: Floats = np.array(plain.intercept_squares)
        self._columns: dict[Any, int] = {}
        self._base: Indices = np.empty(0, np.intp)
        self._moments: Floats = np.empty((4, 0))  # count, mean, variance, scale
        self._half = half_scale(self.bins.bins)
        self._layout: Layout | None = None
        self._add_columns()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layout": None}

    def add_output(self) -> None:
        """Add an output whose weights are zero."""
        column = np.zeros((len(self.weights), 1))
        self.weights = np.hstack((self.weights, column))
        self.squares = np.hstack((self.squares, column))
        self.intercepts = np.append(self.intercepts, 0.0)
        self.intercept_squares = np.append(self.intercept_squares, 0.0)

    def split_output(self) -> None:
        """Replace the single output with score s by two with -s/2 and s/2."""
        self.add_output()
        self.weights[:, 1] = 0.5 * self.weights[:, 0]
        self.weights[:, 0] *= -0.5
        self.squares[:, 1] = self.squares[:, 0]
        self.intercepts[:] = (-0.5 * self.intercepts[0], 0.5 * self.intercepts[0])
        self.intercept_squares[1] = self.intercept_squares[0]

    def encode(self, x: Features) -> DenseEncoding:
        """The event as slots, for `scores` and `learn`; valid until something is learned.

        Raises:
            ValueError: a value is infinite or unhashable.
        """
        held = list(x.values())
        names, kinds = list(x), list(map(type, held))
        layout = self._layout
        if layout is None or layout.names != names or layout.kinds != kinds:
            if (clean := checked(x)) is not x:
                return self.encode(clean)
            self._layout = layout = self._layout_of(names, kinds, held)
        try:
            values = np.array(held if layout.numeric is None else [held[position] for position in layout.numeric], np.float64)
        except OverflowError:
            return self.encode(checked(x))
        if len(values) and not np.abs(values).max() < HUGE:
            return self.encode(checked(x))
        _, mean, _, scale = self._moments[:, layout.columns]
        upper = np.tanh(STEEPNESS * ((values - mean) * scale))
        upper *= self._half
        upper += self._half
        lower = upper.astype(np.intp)
        upper -= lower
        lower += self._base[layout.columns]
        if not layout.categories:
            slots = np.concatenate((lower, lower + 1))
            return DenseEncoding(layout.columns, values, slots, np.concatenate((1.0 - upper, upper)), False, layout.complete)
        found = [self.bins.categories.get(name, {}).get(held[position]) for position, name in layout.categories]
        known = [slot for slot in found if slot is not None]
        slots = np.concatenate((lower, lower + 1, np.array(known, np.intp)))
        parts = np.concatenate((1.0 - upper, upper, np.ones(len(known))))
        return DenseEncoding(layout.columns, values, slots, parts, True, layout.complete and len(known) == len(found))

    def scores(self, encoding: DenseEncoding) -> list[float]:
        """The score of every output."""
        rows = self.weights[encoding.slots]
        rows *= encoding.parts[:, None]
        scores: list[float] = (np.add.reduce(rows, 0) + self.intercepts).tolist()
        return scores

    def admit(self, x: Features, encoding: DenseEncoding) -> DenseEncoding:
        """Assign slots to new features and categories; the encoding to learn from."""
        if encoding.complete and not encoding.categories:
            return encoding
        reused = self.bins.admit(x)
        if reused:
            self.weights[reused] = self.squares[reused] = 0.0
        if (missing := self.bins.slots - len(self.weights)) > 0:
            added = np.zeros((max(missing, len(self.weights)), self.weights.shape[1]))
            self.weights = np.concatenate((self.weights, added))
            self.squares = np.concatenate((self.squares, added))
        if encoding.complete:
            return encoding
        self._add_columns()
        return self.encode(x)

    def learn(self, encoding: DenseEncoding, errors: list[float]) -> None:
        """Move the weights of each output against its error (positive if the score is too high), then update the running moments."""
        error = np.array(errors)
        gradient = encoding.parts[:, None] * error
        squares = self.squares[encoding.slots]
        squares *= DECAY
        squares += gradient * gradient
        self.squares[encoding.slots] = squares
        squares += SQUARES_MIN
        gradient *= self.rate
        gradient /= np.sqrt(squares, out=squares)
        self.weights[encoding.slots] -= gradient
        total = self.intercept_squares
        total *= DECAY
        total += error * error
        self.intercepts -= self.rate * error / np.sqrt(total + SQUARES_MIN)
        self._observe(encoding.columns, encoding.values)

    def _observe(self, columns: Indices | slice, values: Floats) -> None:
        """Update the running moments with one event, with the operations of `Moments.update` in the same order."""
        count, mean, variance, scale = self._moments[:, columns]
        count = count + 1.0
        rate = 1.0 / count
        np.maximum(rate, RATE_MIN, out=rate)
        off = values - mean
        if len(off) and not np.abs(off * scale).max() < DEVIATIONS:
            far = np.where(variance > 0.0, DEVIATIONS * np.sqrt(variance), OF_CONSTANTS * (np.abs(mean) + 1.0))
            off = np.where(count > WARM_UP, np.clip(off, -far, far), off)
        step = rate * off
        variance = variance + step * off
        variance *= 1.0 - rate
        mean = mean + step
        self._moments[0, columns] = count
        self._moments[1, columns] = mean
        self._moments[2, columns] = variance
        self._moments[3, columns] = 1.0 / np.sqrt(variance + VARIANCE_MIN)

    def _layout_of(self, names: list[Any], kinds: list[type], held: list[Any]) -> Layout:
        numeric, columns, categories, complete = [], [], [], True
        for position, (name, value) in enumerate(zip(names, held, strict=True)):
            if not is_number(value):
                categories.append((position, name))
            elif (column := self._columns.get(name)) is not None:
                numeric.append(position)
                columns.append(column)
            else:
                complete = False
        only_numbers = len(numeric) == len(names)
        all_columns = columns == list(range(len(self._columns)))
        selected: Indices | slice = slice(None) if all_columns else np.array(columns, np.intp)  # a slice makes no copy
        return Layout(names, kinds, selected, None if only_numbers else numeric, categories, complete)

    def _add_columns(self) -> None:
        """Give a column to each numeric feature that is new in the bins."""
        added: list[Moments] = []
        for name, moments in self.bins.numbers.items():
            if name not in self._columns:
                self._columns[name] = len(self._columns)
                added.append(moments)
        if added:
            columns = np.array([[m.count, m.mean, m.variance, m.scale] for m in added], np.float64)
            self._moments = np.hstack((self._moments, columns.T))
            self._base = np.append(self._base, np.array([m.base for m in added], np.intp))
        self._layout = None

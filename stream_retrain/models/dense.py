"""The additive model of `weights` on numpy arrays: the same numbers to rounding, quicker from many features or classes on.

An array operation costs about a microsecond however short the array is, so with few features the lists are quicker. Where the
line lies was measured; see `additive`.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_retrain.models.bins import STEEPNESS, VARIANCE_MIN, Moments, top_of
from stream_retrain.models.targets import RATE_MIN
from stream_retrain.models.values import HUGE, Features, checked, is_number
from stream_retrain.models.weights import DECAY, SQUARES_MIN, PlainAdditive

__all__ = ["DenseAdditive"]

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.intp]


class Layout(NamedTuple):
    """How events of one shape (the same names with values of the same types) are read."""

    names: list[Any]
    kinds: list[type]
    columns: Indices | slice
    """The columns of the known numeric features."""
    numeric: list[int] | None
    """Where in the event they stand; None: the event is these numbers and nothing else."""
    categories: list[tuple[int, Any]]
    """Where the categories stand, and their features."""
    complete: bool


class DenseCode(NamedTuple):
    """An event in slots."""

    columns: Indices | slice
    values: Floats
    slots: Indices
    parts: Floats
    """The weight of each slot."""
    categories: bool
    complete: bool


class DenseAdditive:
    """Additive scores and their lessons on all slots of an event at once; goes on from a `PlainAdditive`."""

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
        self._top = top_of(self.bins.bins)
        self._layout: Layout | None = None
        self._take_features()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_layout": None}

    def add_output(self) -> None:
        """One output more, whose weights are zero."""
        column = np.zeros((len(self.weights), 1))
        self.weights = np.hstack((self.weights, column))
        self.squares = np.hstack((self.squares, column))
        self.intercepts = np.append(self.intercepts, 0.0)
        self.intercept_squares = np.append(self.intercept_squares, 0.0)

    def encode(self, x: Features) -> DenseCode:
        """The event in slots, for `scores` and `learn`; valid until something is learned.

        Raises:
            ValueError: a value is infinite or of no usable kind.
        """
        held = list(x.values())
        names, kinds = list(x), list(map(type, held))
        layout = self._layout
        if layout is None or layout.names != names or layout.kinds != kinds:
            if (clean := checked(x)) is not x:
                return self.encode(clean)
            self._layout = layout = self._read(names, kinds, held)
        try:
            values = np.array(held if layout.numeric is None else [held[place] for place in layout.numeric], np.float64)
        except OverflowError:
            return self.encode(checked(x))
        if len(values) and not np.abs(values).max() < HUGE:
            return self.encode(checked(x))
        _, mean, _, scale = self._moments[:, layout.columns]
        place = np.tanh(STEEPNESS * ((values - mean) * scale))
        place *= self._top
        place += self._top
        lower = place.astype(np.intp)
        place -= lower
        lower += self._base[layout.columns]
        if not layout.categories:
            slots = np.concatenate((lower, lower + 1))
            return DenseCode(layout.columns, values, slots, np.concatenate((1.0 - place, place)), False, layout.complete)
        found = [self.bins.categories.get(name, {}).get(held[where]) for where, name in layout.categories]
        known = [slot for slot in found if slot is not None]
        slots = np.concatenate((lower, lower + 1, np.array(known, np.intp)))
        parts = np.concatenate((1.0 - place, place, np.ones(len(known))))
        return DenseCode(layout.columns, values, slots, parts, True, layout.complete and len(known) == len(found))

    def scores(self, code: DenseCode) -> list[float]:
        """The score of every output."""
        rows = self.weights[code.slots]
        rows *= code.parts[:, None]
        scores: list[float] = (np.add.reduce(rows, 0) + self.intercepts).tolist()
        return scores

    def admit(self, x: Features, code: DenseCode) -> DenseCode:
        """The code to learn from: features and categories not seen before get their slots."""
        if code.complete and not code.categories:
            return code
        taken = self.bins.admit(x)
        if taken:
            self.weights[taken] = self.squares[taken] = 0.0
        if (lacking := self.bins.slots - len(self.weights)) > 0:
            grown = np.zeros((max(lacking, len(self.weights)), self.weights.shape[1]))
            self.weights = np.concatenate((self.weights, grown))
            self.squares = np.concatenate((self.squares, grown))
        if code.complete:
            return code
        self._take_features()
        return self.encode(x)

    def learn(self, code: DenseCode, errors: list[float]) -> None:
        """Move the weights of each output against its error (score too high: positive), then the running moments."""
        error = np.array(errors)
        gradient = code.parts[:, None] * error
        squares = self.squares[code.slots]
        squares *= DECAY
        squares += gradient * gradient
        self.squares[code.slots] = squares
        squares += SQUARES_MIN
        gradient *= self.rate
        gradient /= np.sqrt(squares, out=squares)
        self.weights[code.slots] -= gradient
        total = self.intercept_squares
        total *= DECAY
        total += error * error
        self.intercepts -= self.rate * error / np.sqrt(total + SQUARES_MIN)
        self._observe(code.columns, code.values)

    def _observe(self, columns: Indices | slice, values: Floats) -> None:
        """Move the running moments by one event, in the order of `Moments.update`."""
        count, mean, variance, _ = self._moments[:, columns]
        count = count + 1.0
        rate = 1.0 / count
        np.maximum(rate, RATE_MIN, out=rate)
        off = values - mean
        step = rate * off
        variance = variance + step * off
        variance *= 1.0 - rate
        mean = mean + step
        self._moments[0, columns] = count
        self._moments[1, columns] = mean
        self._moments[2, columns] = variance
        self._moments[3, columns] = 1.0 / np.sqrt(variance + VARIANCE_MIN)

    def _read(self, names: list[Any], kinds: list[type], held: list[Any]) -> Layout:
        numeric, columns, categories, complete = [], [], [], True
        for place, (name, value) in enumerate(zip(names, held, strict=True)):
            if not is_number(value):
                categories.append((place, name))
            elif (column := self._columns.get(name)) is not None:
                numeric.append(place)
                columns.append(column)
            else:
                complete = False
        alone = len(numeric) == len(names)
        every = columns == list(range(len(self._columns)))
        picked: Indices | slice = slice(None) if every else np.array(columns, np.intp)
        return Layout(names, kinds, picked, None if alone else numeric, categories, complete)

    def _take_features(self) -> None:
        """Give the numeric features known to the bins their columns."""
        fresh: list[Moments] = []
        for name, moments in self.bins.numbers.items():
            if name not in self._columns:
                self._columns[name] = len(self._columns)
                fresh.append(moments)
        if fresh:
            held = np.array([[m.count, m.mean, m.variance, m.scale] for m in fresh], np.float64)
            self._moments = np.hstack((self._moments, held.T))
            self._base = np.append(self._base, np.array([m.base for m in fresh], np.intp))
        self._layout = None

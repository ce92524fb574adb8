"""`FastADWIN`'s core in Python: the readable reference, which serves where the compiled one is not installed.

The window is kept as buckets: a bucket of row r is the total of 2^r values that came one after the other, and their squared deviations
from their mean. A value comes in as a bucket of row 0. Where a row has one bucket too many, its two oldest become one of the next row. So
the window costs `max_buckets` buckets for each doubling of its width, and it can be cut between any two of them.

Every `clock` values each such cut is tried, the oldest values on one side. Where the means of the two sides differ by more than chance
allows, the oldest bucket is dropped, and the cuts are tried again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Block, Reader, Writer, damaged

__all__ = ["PlainADWIN", "checked"]

VALUE_MAX: Final = 1e140
"""Larger ones are refused: their squares would overflow."""
ROWS_MAX: Final = 48
"""More values than a window ever holds."""
TWO_THIRDS: Final = 2.0 / 3.0


class PlainADWIN:
    """A window of the last values, cut where their mean has changed."""

    __slots__ = (
        *("_clock", "_delta", "_grace_period", "_max_buckets", "_min_window_length", "_rows", "_tick", "_width"),
        *("detections", "drift", "total", "variance"),
    )

    def __init__(self, delta: float, clock: int, max_buckets: int, min_window_length: int, grace_period: int) -> None:
        self._delta = delta
        self._clock = clock
        self._max_buckets = max_buckets
        self._min_window_length = float(min_window_length)
        self._grace_period = float(grace_period)
        self.reset()

    def reset(self) -> None:
        """Begin afresh."""
        self._rows: list[list[tuple[float, float]]] = [[]]
        """For each row its buckets, the oldest first: total, squared deviations."""
        self._width = 0.0
        self._tick = 0  # values since cuts were last due
        self.total = 0.0
        self.variance = 0.0
        self.detections = 0
        self.drift = False

    @property
    def width(self) -> int:
        """How many values are in the window."""
        return int(self._width)

    def update(self, x: float) -> None:
        """Add a value; after an alarm to an empty window."""
        x = checked(x)
        if self.drift:
            self.reset()
        self._add(x)

    def update_many(self, values: Iterable[float]) -> int | None:
        """Add values up to the first alarm, as `update` does; its place, or None."""
        for place, x in enumerate(values):
            self.update(x)
            if self.drift:
                return place
        return None

    def add(self, x: float) -> bool:
        """Add a value, after an alarm to what it has left of the window; whether it is an alarm."""
        return self._add(checked(x))

    def _add(self, x: float) -> bool:
        self._insert(x)
        self._tick += 1
        self.drift = False
        if self._tick == self._clock:
            self._tick = 0
            if self._width > self._grace_period:
                while self._is_cut():
                    self._drop_oldest()
                    self.drift = True
        self.detections += self.drift
        return self.drift

    def _insert(self, x: float) -> None:
        before = self._width
        self._width = width = before + 1.0
        if before:
            off = x - self.total / before
            self.variance += before * off * off / width
        self.total += x
        self._rows[0].append((x, 0.0))
        size = 1.0
        for number, row in enumerate(self._rows):
            if len(row) <= self._max_buckets:
                return
            (total, spread), (next_total, next_spread) = row[:2]
            del row[:2]
            off = total / size - next_total / size
            merged = total + next_total, spread + next_spread + size * 0.5 * off * off
            if number + 1 == len(self._rows):
                self._rows.append([])
            self._rows[number + 1].append(merged)
            size += size

    def _is_cut(self) -> bool:
        """Whether the means before and after one of the cuts differ by more than chance allows."""
        width, shortest = self._width, self._min_window_length
        log = arithmetic.log(2.0 * arithmetic.log(width) / self._delta)
        spread = self.variance / width
        before, after, total_before, total_after = 0.0, width, 0.0, self.total
        for size, total in self._buckets():
            before += size
            after -= size
            total_before += total
            total_after -= total
            if after < shortest:
                return False
            if before < shortest:
                continue
            shares = 1.0 / (before - shortest + 1.0) + 1.0 / (after - shortest + 1.0)
            square = 2.0 * shares * spread * log
            if square < 0.0:  # a variance of 0 that rounding has left below it
                continue
            if abs(total_before / before - total_after / after) > math.sqrt(square) + TWO_THIRDS * log * shares:
                return True
        return False

    def _buckets(self) -> Iterator[tuple[float, float]]:
        """Size and total of each bucket, the oldest first."""
        for number in range(len(self._rows) - 1, -1, -1):
            size = float(1 << number)
            for total, _ in self._rows[number]:
                yield size, total

    def _drop_oldest(self) -> None:
        """Drop the oldest bucket; there are others."""
        size = float(1 << len(self._rows) - 1)
        total, spread = self._rows[-1].pop(0)
        self._width = width = self._width - size
        self.total -= total
        off = total / size - self.total / width
        self.variance -= spread + size * width * off * off / (size + width)
        while not self._rows[-1]:
            self._rows.pop()

    def state(self) -> Block:
        """All but the parameters."""
        to = Writer()
        to.count(self.drift, self._tick, self.detections, len(self._rows))
        to.number(self.total, self.variance)
        for row in self._rows:
            to.count(len(row))
            for bucket in row:
                to.row(bucket)
        return to.block()

    def restore(self, state: Block) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        reader = Reader(state)
        self.drift, self._tick, self.detections = reader.count(2) == 1, reader.count(self._clock), reader.count()
        rows = reader.count(ROWS_MAX)
        self.total, self.variance = reader.row(2)
        self._rows, self._width = [], 0.0
        for number in range(rows):
            row = [(reader.number(), reader.number()) for _ in range(reader.count(self._max_buckets + 1))]
            self._width += float(len(row) << number)
            self._rows.append(row)
        reader.end()
        if rows == 0 or (rows > 1 and not self._rows[-1]):
            damaged()


def checked(x: float) -> float:
    """The value as a float. Raises `ValueError` where it is not finite, or too large."""
    value = arithmetic.as_float(x)
    if not math.fabs(value) < VALUE_MAX:
        raise ValueError(f"the value {value!r} is not a finite number below {VALUE_MAX:g}")
    return value

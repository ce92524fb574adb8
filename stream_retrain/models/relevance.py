"""How much each feature tells of what is learned, for a model that can keep only some of them.

A number has one slot, and each of the first 17 categories of a feature has one, whose value is 1 where the event has that category. For
each slot and each class there is a sum of the values, in which older events count less. From these sums:

classes     the variance between the means of the classes, in units of the variance of the slot
numbers     the squared correlation with the target

The numbers that are added are in deviations from their mean, so their variance is taken to be 1. A value that is missing adds nothing,
which is as if it were the mean: a feature that comes late or rarely counts for less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from stream_retrain.models.block import Reader, Writer, damaged

__all__ = ["APART_MAX", "RANKED_EVERY", "Relevance", "Taught"]

APART_MAX: Final = 16
"""Later classes, and later categories of a feature, share one row or slot."""
RANKED_EVERY: Final = 100
GROWTH: Final = 1.0 / 0.999
GAIN_MAX: Final = 2.0

Taught: TypeAlias = "Sequence[tuple[int, float]]"
"""What is learned of an event: rows, and how much it counts in each."""


class Relevance:
    """Sums by row and slot. A row is a class; or the first one is of targets, and the second one of events (`numbers`)."""

    __slots__ = ("_gain", "_sums", "_totals", "numbers", "slots")

    def __init__(self, *, numbers: bool) -> None:
        self.numbers = numbers
        self.slots = 0
        self._gain = 1.0
        self._totals: list[float] = []
        self._sums: list[list[float]] = []

    def add_slots(self, count: int) -> int:
        """More slots; the first of them."""
        first = self.slots
        self.slots += count
        for row in self._sums:
            row.extend([0.0] * count)
        return first

    def begin(self, taught: Taught) -> None:
        """Begin an event that is learned; its values follow, then `end`."""
        for row, amount in taught:
            while len(self._totals) <= row:
                self._totals.append(0.0)
                self._sums.append([0.0] * self.slots)
            self._totals[row] += self._gain * amount

    def add(self, slot: int, value: float, taught: Taught) -> None:
        """A value of the event."""
        for row, amount in taught:
            self._sums[row][slot] += self._gain * amount * value

    def end(self) -> None:
        """Later events count more, which is as if all earlier ones counted less."""
        self._gain *= GROWTH

    def settle(self) -> None:
        """The latest event counts 1 again."""
        gain, self._gain = self._gain, 1.0
        self._totals = [total / gain for total in self._totals]
        self._sums = [[value / gain for value in row] for row in self._sums]

    def of_number(self, slot: int) -> float:
        """How much a number tells."""
        mass = self._mass()
        return max(0.0, self._explained(slot, mass)) if mass else 0.0

    def of_categories(self, base: int) -> float:
        """How much a feature of categories tells."""
        mass = self._mass()
        if not mass:
            return 0.0
        explained = variance = 0.0
        for slot in range(base, base + APART_MAX + 1):
            share = self._share(slot, mass)
            explained += self._explained(slot, mass)
            variance += share - share * share
        return max(0.0, explained / variance) if variance > 0.0 else 0.0

    def _mass(self) -> float:
        if self.numbers:
            return self._totals[1]
        mass = 0.0
        for total in self._totals:
            mass += total
        return mass

    def _explained(self, slot: int, mass: float) -> float:
        """Of a slot: the variance between the means of the classes, or the squared covariance with the target."""
        if self.numbers:
            mean, target = self._sums[1][slot] / mass, self._totals[0] / mass
            covariance = self._sums[0][slot] / mass - mean * target
            return covariance * covariance
        squares = summed = 0.0
        for row, total in zip(self._sums, self._totals, strict=True):
            if total > 0.0:
                squares += row[slot] * row[slot] / total
                summed += row[slot]
        return (squares - summed * summed / mass) / mass

    def _share(self, slot: int, mass: float) -> float:
        """How many of the events are in a slot of a category."""
        if self.numbers:
            return self._sums[1][slot] / mass
        summed = 0.0
        for row in self._sums:
            summed += row[slot]
        return summed / mass

    def write(self, to: Writer) -> None:
        """The number of rows, the gain, the totals, and each row."""
        to.count(len(self._totals))
        to.number(self._gain, *self._totals)
        for row in self._sums:
            to.row(row)

    def read(self, reader: Reader, slots: int) -> None:
        """What `write` wrote, by the number of slots."""
        rows = reader.count(APART_MAX + 2)
        self._gain = reader.number()
        if not 1.0 <= self._gain < GAIN_MAX or (self.numbers and rows not in (0, 2)):
            damaged()
        self.slots = slots
        self._totals = reader.row(rows)
        self._sums = [reader.row(slots) for _ in range(rows)]

"""Weights for pairs of features: what a sum of functions of single features cannot express.

Every feature has a coarse place: a number lies between two of `pair_bins` bins, a category is one of the first `VALUES_MAX` values of its
feature. A pair has a block of slots, one for each two places. An event changes 4 of them (bilinear) for two numbers, 2 (linear) for a
number and a category, and 1 for two categories. A pair is left out where one of its features is missing, or has a value without a place.

A value that takes the slot of a removed one takes its place too, and the weights of that place become 0.

Features appear while the model runs. With each event that brings some, the pairs that have become possible are candidates, ordered by the
number of the later feature, then of the earlier one. All are taken that fit into `pairs`; if not all fit, a seeded generator draws those
that are. A pair that was taken stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.generator import Generator

__all__ = ["VALUES_MAX", "Grid", "Pairs", "Part"]

VALUES_MAX: Final = 12
"""Values of a category that have a place in pairs."""

Grid: TypeAlias = "tuple[int, int, float, float]"
"""Two numbers: the lowest of their four slots, how many slots the next row is away, and the weights of the upper row and column."""
Part: TypeAlias = "tuple[int, float]"
"""A slot and its part."""


class Pair(NamedTuple):
    """Two features by their numbers, the first slot of their block, and the places of the later one: how long a row of it is."""

    first: int
    second: int
    base: int
    across: int


class Pairs:
    """Knows the places of features, and which pairs have weights."""

    def __init__(self, pairs_max: int, bins: int, categories_max: int, seed: int) -> None:
        self.pairs: list[Pair] = []
        self._pairs_max = pairs_max
        self._bins = bins
        self._values = min(VALUES_MAX, categories_max)
        self._half = 0.5 * (bins - 1) * (1.0 - 1e-12)
        """As in `Bins`."""
        self._generator = Generator(seed)
        self._sizes: list[int] = []
        """Of each feature, how many places it has."""
        self._categories: dict[Any, int] = {}
        """The number of each feature of categories."""
        self._places: dict[int, tuple[int, int]] = {}
        """By slot: the first one of a number has its feature and 0, one of a category its feature and its place."""
        self._paired = 0
        """The features whose pairs with each other were candidates."""

    def add_number(self, base: int) -> None:
        """A new numeric feature with its first slot."""
        self._places[base] = len(self._sizes), 0
        self._sizes.append(self._bins)

    def add_category(self, name: Any) -> None:
        """A new feature of categories."""
        self._categories[name] = len(self._sizes)
        self._sizes.append(self._values)

    def add_value(self, name: Any, before: int, slot: int) -> None:
        """The slot of a new value of a feature that had `before` values."""
        if before < self._values:
            self._places[slot] = self._categories[name], before

    def slots_of(self, slot: int) -> list[int]:
        """The slots, in all pairs, of the place of a category."""
        if slot not in self._places:
            return []
        slots: list[int] = []
        feature, place = self._places[slot]
        for first, second, base, across in self.pairs:
            if first == feature:
                slots.extend(range(base + place * across, base + (place + 1) * across))
            elif second == feature:
                slots.extend(range(base + place, base + self._sizes[first] * across, across))
        return slots

    def choose(self, slots: int) -> int:
        """Take pairs of the features that have come; the number of slots with theirs."""
        second, features = self._paired, len(self._sizes)
        if second == features:
            return slots
        self._paired = features
        before = second * (second - 1) // 2
        count = features * (features - 1) // 2 - before
        free = self._pairs_max - len(self.pairs)
        for candidate in range(count) if count <= free else self._drawn(free, count):
            number = before + candidate
            while number >= second * (second + 1) // 2:
                second += 1
            first, across = number - second * (second - 1) // 2, self._sizes[second]
            self.pairs.append(Pair(first, second, slots, across))
            slots += self._sizes[first] * across
        return slots

    def _drawn(self, wanted: int, count: int) -> list[int]:
        """`wanted` of the first `count` whole numbers, in order, each set as likely (Floyd's algorithm)."""
        drawn: set[int] = set()
        for last in range(count - wanted, count):
            number = self._generator.below(last + 1)
            drawn.add(last if number in drawn else number)
        return sorted(drawn)

    def encode(self, numbers: Iterable[tuple[int, float]], categories: list[int]) -> tuple[list[Grid], list[Part]]:
        """An event's pairs of two numbers, and the parts of the other ones; by the first slot and the squashed value of each number."""
        grids: list[Grid] = []
        parts: list[Part] = []
        places: dict[int, tuple[int, float | None]] = {}
        half, known = self._half, self._places
        for base, squashed in numbers:
            position = half + half * squashed
            lower = int(position)
            places[known[base][0]] = lower, position - lower
        for slot in categories:
            if slot in known:
                feature, place = known[slot]
                places[feature] = place, None
        for first, second, base, across in self.pairs:
            if first not in places or second not in places:
                continue
            row, upper = places[first]
            column, right = places[second]
            slot = base + row * across + column
            if upper is None:
                parts += [(slot, 1.0)] if right is None else [(slot, 1.0 - right), (slot + 1, right)]
            elif right is None:
                parts += (slot, 1.0 - upper), (slot + across, upper)
            else:
                grids.append((slot, across, upper, right))
        return grids, parts

    def write(self, to: Writer) -> None:
        """The number of pairs, each pair's features and first slot, and the generator."""
        to.count(len(self.pairs))
        for first, second, base, _ in self.pairs:
            to.count(first, second, base)
        self._generator.write(to)

    def read(self, numbers: list[int], categories: list[tuple[Any, list[int]]], slots: int, reader: Reader) -> None:
        """What `write` wrote, by the first slot of each number, the slots of each feature of categories, and the number of all slots.

        A feature that came earlier has lower slots, and so has a value.
        """
        by_first: dict[int, tuple[Any, list[int]] | None] = dict.fromkeys(numbers)
        for name, of_values in categories:
            if not of_values:
                damaged()
            by_first[min(of_values)] = name, sorted(of_values)
        for first in sorted(by_first):
            category = by_first[first]
            if category is None:
                self.add_number(first)
                continue
            self.add_category(category[0])
            for before, slot in enumerate(category[1]):
                self.add_value(category[0], before, slot)
        if len(self._places) != len(numbers) + sum(min(len(of_values), self._values) for _, of_values in categories):
            damaged()
        self._paired = features = len(self._sizes)
        for _ in range(reader.count(self._pairs_max + 1)):
            pair = Pair(reader.count(features), reader.count(features), reader.count(slots), 0)
            across = self._sizes[pair.second]
            if pair.first >= pair.second or pair.base + self._sizes[pair.first] * across > slots:
                damaged()
            self.pairs.append(pair._replace(across=across))
        self._generator = Generator.read(reader)

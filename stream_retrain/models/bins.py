"""Encodes an event as a few weighted slots: the linear B-spline basis of the additive models, in plain Python.

A slot is an index into one flat list of weights.

number      standardised by its running mean and variance, squashed to [0, bins - 1], and written as its two neighbouring bins with
            weights 1 - f and f. So any function of one feature is a sum of `bins` weights, and an event changes only two of them.
category    one slot with weight 1
pairs       the features of an event by two, where they are wanted (`pairs`)

With `bins` of 1 a number has one slot, whose weight is the standardised number, clipped to `LINEAR_MAX`: a linear model.

Only learning assigns slots; predicting does not. The number of categories of a feature is limited: when it is reached, the least
recently learned category is removed and its slot is reused.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.feature_values import HUGE, Features, checked, is_number
from stream_retrain.models.pairs import Grid, Pairs, Part
from stream_retrain.models.usual import DEVIATIONS, RATE_MIN, WARM_UP, reach

__all__ = ["LINEAR_MAX", "STEEPNESS", "VARIANCE_MIN", "Bins", "Encoding", "Moments"]

STEEPNESS: Final = 0.8
"""The squashing function is 1 / (1 + exp(-1.6 z)), written as (1 + tanh(0.8 z)) / 2, which cannot overflow."""
VARIANCE_MIN: Final = 1e-300
"""Added to the variance: a constant feature stays at its middle bin, and its first different value goes to an outer bin."""
LINEAR_MAX: Final = 4.0
"""A number of a linear model is at most this many standard deviations from its mean."""


class Moments:
    """The first slot of a numeric feature, and its running mean and variance."""

    __slots__ = ("base", "count", "mean", "scale", "variance")

    def __init__(self, base: int) -> None:
        self.base = base
        self.count = 0
        self.mean = 0.0
        self.variance = 0.0
        self.scale = 0.0

    def update(self, value: float) -> None:
        """Add a value."""
        self.count = count = self.count + 1
        rate = 1.0 / count
        if rate < RATE_MIN:
            rate = RATE_MIN
        off = value - self.mean
        if count > WARM_UP and not -DEVIATIONS < off * self.scale < DEVIATIONS:
            far = reach(self.mean, self.variance)
            off = max(-far, min(far, off))
        self.mean += rate * off
        self.variance = variance = (1.0 - rate) * (self.variance + rate * off * off)
        self.scale = 1.0 / sqrt(variance + VARIANCE_MIN)

    def write(self, to: Writer) -> None:
        """Its first slot, and count, mean and variance."""
        to.count(self.base)
        to.number(self.count, self.mean, self.variance)

    @classmethod
    def read(cls, reader: Reader, slots: int) -> Moments:
        """What `write` wrote."""
        moments = cls(reader.count(slots))
        count, moments.mean, moments.variance = reader.row(3)
        if not 0.0 <= count < 2.0**53 or not moments.variance >= 0.0:
            damaged()
        moments.count = int(count)
        if moments.count:
            moments.scale = 1.0 / sqrt(moments.variance + VARIANCE_MIN)
        return moments


Number: TypeAlias = "tuple[Moments, float, int, float, float]"
"""Its feature, the value, the lower of its two slots, the weight of the upper one, and the squashed value, from -1 to 1.

In a linear model: its feature, the value, its slot, the standardised value, and 0.
"""


class Encoding(NamedTuple):
    """An event as slots."""

    numbers: list[Number]
    """By slot."""
    categories: list[int]
    """The slot of each category, in order."""
    complete: bool
    """Whether every value has slots; False until `Bins.admit` has been called with the event."""
    grids: list[Grid] = []  # noqa: RUF012  nothing changes it
    """The pairs of two numbers."""
    parts: list[Part] = []  # noqa: RUF012  nothing changes it
    """The numbers of a linear model, and the slots of all other pairs."""


class Bins:
    """Assigns slots to features and categories, and encodes events."""

    def __init__(self, bins: int, categories_max: int, pairs: Pairs | None = None) -> None:
        self.bins = bins
        self.pairs = pairs
        self.categories_max = categories_max
        self.numbers: dict[Any, Moments] = {}
        self.categories: dict[Any, dict[Any, int]] = {}
        self.slots = 0
        self._half = 0.5 * (bins - 1) * (1.0 - 1e-12)
        """Half the length of the squashed scale, slightly reduced, so that its end still lies in the last pair of bins."""

    def encode(self, x: Features) -> Encoding:
        """The encoding of an event; a value without slots is left out.

        Raises:
            ValueError: a value is infinite or unhashable.
        """
        encoding = self._encode(x)
        if self.bins == 1:
            return encoding._replace(parts=[(slot, deviation) for _, _, slot, deviation, _ in encoding.numbers])
        if self.pairs is None:
            return encoding
        squashed = [(moments.base, value) for moments, _, _, _, value in encoding.numbers]
        grids, parts = self.pairs.encode(squashed, encoding.categories)
        return encoding._replace(grids=grids, parts=parts)

    def _encode(self, x: Features) -> Encoding:
        """The same without pairs."""
        numbers: list[Number] = []
        categories: list[int] = []
        complete = True
        last, in_order = 0, True
        known, half, tanh = self.numbers, self._half, arithmetic.tanh
        for name, value in x.items():
            kind = value.__class__
            if kind is float or kind is int:
                if not -HUGE < value < HUGE:
                    return self._encode(checked(x))
                moments = known.get(name)
                if moments is None:
                    complete = False
                    continue
                value = float(value)
                in_order = in_order and last <= moments.base
                last = moments.base
                deviation = (value - moments.mean) * moments.scale
                if not half:
                    numbers.append((moments, value, last, max(-LINEAR_MAX, min(LINEAR_MAX, deviation)), 0.0))
                    continue
                squashed = tanh(STEEPNESS * deviation)
                position = half + half * squashed
                lower = int(position)
                numbers.append((moments, value, last + lower, position - lower, squashed))
            elif kind is str or kind is bool:
                slot = self.categories.get(name, {}).get(value)
                if slot is None:
                    complete = False
                else:
                    categories.append(slot)
            else:
                return self._encode_unusual(x)
        if not in_order:
            numbers.sort(key=_slot)
        if len(categories) > 1:
            categories.sort()
        return Encoding(numbers, categories, complete)

    def _encode_unusual(self, x: Features) -> Encoding:
        """The same for an event with a value that is no float, int, str or bool."""
        usual: Features = {}
        others: Features = {}
        for name, value in checked(x).items():
            if is_number(value):
                usual[name] = float(value)
            elif value.__class__ in (str, bool):
                usual[name] = value
            else:
                others[name] = value
        encoding = self._encode(usual)
        slots = [self.categories.get(name, {}).get(value) for name, value in others.items()]
        encoding.categories.extend(slot for slot in slots if slot is not None)
        encoding.categories.sort()
        return encoding._replace(complete=encoding.complete and None not in slots)

    def admit(self, x: Features) -> list[int]:
        """Assign slots to every value of `x`, and mark its categories as the most recent; the slots that are reused, those of pairs too.

        Only needed for an event whose encoding is not complete or has categories.
        """
        reused: list[int] = []
        pairs = self.pairs
        for name, value in checked(x).items():
            if is_number(value):
                if name not in self.numbers:
                    self.numbers[name] = Moments(self.slots)
                    if pairs is not None:
                        pairs.add_number(self.slots)
                    self.slots += self.bins
                continue
            known = self.categories.get(name)
            if known is None:
                known = self.categories[name] = {}
                if pairs is not None:
                    pairs.add_category(name)
            slot = known.pop(value, None)
            if slot is None and len(known) >= self.categories_max:
                slot = known.pop(next(iter(known)))
                reused.append(slot)
                if pairs is not None:
                    reused.extend(pairs.slots_of(slot))
            if slot is None:
                slot = self.slots
                if pairs is not None:
                    pairs.add_value(name, len(known), slot)
                self.slots += 1
            known[value] = slot
        if pairs is not None:
            self.slots = pairs.choose(self.slots)
        return reused

    def observe(self, encoding: Encoding) -> None:
        """Update the running means and variances with one event."""
        for moments, value, _, _, _ in encoding.numbers:
            moments.update(value)

    def write(self, to: Writer) -> None:
        """The number of slots, each number, and the slots of the categories of each feature, the least recently learned first."""
        to.count(self.slots)
        for moments in self.numbers.values():
            moments.write(to)
        for slots in self.categories.values():
            to.count(*slots.values())

    def read(self, names: list[Any], categories: list[tuple[Any, list[Any]]], reader: Reader) -> None:
        """What `write` wrote, by the names of the numbers, and the names and values of the categories."""
        self.slots = slots = reader.count()
        for name in names:
            moments = self.numbers[name] = Moments.read(reader, slots)
            if moments.base + self.bins > slots:
                damaged()
        for name, values in categories:
            self.categories[name] = {value: reader.count(slots) for value in values}

    def write_pairs(self, to: Writer) -> None:
        """The pairs."""
        if self.pairs is not None:
            self.pairs.write(to)

    def read_pairs(self, reader: Reader) -> None:
        """What `write_pairs` wrote; all else is read before."""
        if self.pairs is not None:
            numbers = [moments.base for moments in self.numbers.values()]
            categories = [(name, list(known.values())) for name, known in self.categories.items()]
            self.pairs.read(numbers, categories, self.slots, reader)


def _slot(number: Number) -> int:
    return number[2]

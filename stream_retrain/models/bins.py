"""From features to a few weighted slots: the linear B-spline basis the additive models rest on, in plain Python.

A number is standardised by its running mean and variance, squashed onto [0, bins - 1] and written as its two neighbouring bins
with weights 1 - f and f: any function of one feature then is a sum of `bins` weights, and a lesson moves only the two next to
it. A category is one slot with weight 1. Every slot is a place in one flat list of weights.

Slots are given out when something is learned, never by a question. The categories of a feature are bounded: the least
recently learned one leaves, and its slot serves the newcomer.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from stream_retrain.models.targets import RATE_MIN
from stream_retrain.models.values import HUGE, Features, checked, is_number

__all__ = ["STEEPNESS", "VARIANCE_MIN", "Bins", "Code", "Moments", "top_of"]

STEEPNESS: Final = 0.8
"""The squash is 1 / (1 + exp(-1.6 z)), written as (1 + tanh(0.8 z)) / 2, which cannot overflow."""
VARIANCE_MIN: Final = 1e-300
"""Keeps a constant feature at its middle bin, and sends its first other value to an outer one."""


def top_of(bins: int) -> float:
    """Half the length of the squashed scale, a hair less than whole: its end still lies in the last pair of bins."""
    return 0.5 * (bins - 1) * (1.0 - 1e-12)


class Moments:
    """One numeric feature: its first slot, and its running mean and variance."""

    __slots__ = ("base", "count", "mean", "scale", "variance")

    def __init__(self, base: int) -> None:
        self.base = base
        self.count = 0
        self.mean = 0.0
        self.variance = 0.0
        self.scale = 0.0

    def update(self, value: float) -> None:
        """Take the next value."""
        self.count = count = self.count + 1
        rate = 1.0 / count
        if rate < RATE_MIN:
            rate = RATE_MIN
        off = value - self.mean
        self.mean += rate * off
        self.variance = variance = (1.0 - rate) * (self.variance + rate * off * off)
        self.scale = 1.0 / math.sqrt(variance + VARIANCE_MIN)


class Code(NamedTuple):
    """An event in slots."""

    numbers: list[tuple[Moments, float, int, float]]
    """For each number: its feature, the value, the lower of its two slots, and the weight of the upper one."""
    categories: list[int]
    """The slot of each category."""
    complete: bool
    """Whether every value has slots; False until `Bins.admit` has seen the event."""


class Bins:
    """Gives features their slots and events their code."""

    def __init__(self, bins: int, categories_max: int) -> None:
        self.bins = bins
        self.categories_max = categories_max
        self.numbers: dict[Any, Moments] = {}
        self.categories: dict[Any, dict[Any, int]] = {}
        self.slots = 0
        self._top = top_of(bins)

    def encode(self, x: Features) -> Code:
        """The code of an event; what has no slot yet counts nothing.

        Raises:
            ValueError: a value is infinite or of no usable kind.
        """
        numbers: list[tuple[Moments, float, int, float]] = []
        categories: list[int] = []
        complete = True
        known, top, tanh = self.numbers, self._top, math.tanh
        for name, value in x.items():
            kind = value.__class__
            if kind is float or kind is int:
                if not -HUGE < value < HUGE:
                    return self.encode(checked(x))
                moments = known.get(name)
                if moments is None:
                    complete = False
                    continue
                place = top + top * tanh(STEEPNESS * ((value - moments.mean) * moments.scale))
                lower = int(place)
                numbers.append((moments, value, moments.base + lower, place - lower))
            elif kind is str or kind is bool:
                slot = self.categories.get(name, {}).get(value)
                if slot is None:
                    complete = False
                else:
                    categories.append(slot)
            else:
                return self._encode_unusual(x)
        return Code(numbers, categories, complete)

    def _encode_unusual(self, x: Features) -> Code:
        """The same where a value is of none of the four usual types."""
        usual: Features = {}
        others: Features = {}
        for name, value in checked(x).items():
            if is_number(value):
                usual[name] = float(value)
            elif value.__class__ in (str, bool):
                usual[name] = value
            else:
                others[name] = value
        code = self.encode(usual)
        slots = [self.categories.get(name, {}).get(value) for name, value in others.items()]
        code.categories.extend(slot for slot in slots if slot is not None)
        return code._replace(complete=code.complete and None not in slots)

    def admit(self, x: Features) -> list[int]:
        """Give every value of `x` its slots, and mark its categories as the most recent; the slots taken from others.

        Only needed where the code is not complete, or has categories.
        """
        taken: list[int] = []
        for name, value in checked(x).items():
            if is_number(value):
                if name not in self.numbers:
                    self.numbers[name] = Moments(self.slots)
                    self.slots += self.bins
                continue
            held = self.categories.setdefault(name, {})
            slot = held.pop(value, None)
            if slot is None and len(held) >= self.categories_max:
                slot = held.pop(next(iter(held)))
                taken.append(slot)
            if slot is None:
                slot = self.slots
                self.slots += 1
            held[value] = slot
        return taken

    def observe(self, code: Code) -> None:
        """Move the running means and variances by one event."""
        for moments, value, _, _ in code.numbers:
            moments.update(value)

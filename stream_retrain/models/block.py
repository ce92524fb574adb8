"""A model's numbers as one state: counts and places in one row of bytes, floats in another.

The Python and the compiled class of a model write the same bytes, in the order that the function `write` of each part says. So a state of
one resumes in the other, and equal models have equal digests. All is little-endian; counts have 4 bytes, floats are IEEE 754.

A reader believes nothing: what is missing, left over or out of range is a ValueError.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import Final, NoReturn, TypeAlias, TypeVar

__all__ = ["Block", "Reader", "Writer", "damaged"]

Block: TypeAlias = "tuple[bytes, bytes]"
"""Counts and floats."""

Number = TypeVar("Number", int, float)

_SWAPPED: Final = sys.byteorder == "big"


class Writer:
    """Collects counts and floats."""

    __slots__ = ("counts", "floats")

    def __init__(self) -> None:
        self.counts = array("I")
        self.floats = array("d")

    def count(self, *values: int) -> None:
        """Add counts or places."""
        self.counts.extend(values)

    def number(self, *values: float) -> None:
        """Add floats."""
        self.floats.extend(values)

    def row(self, values: Iterable[float]) -> None:
        """Add floats whose number the reader knows."""
        self.floats.extend(values)

    def block(self) -> Block:
        """What was collected."""
        return _swapped(self.counts).tobytes(), _swapped(self.floats).tobytes()


class Reader:
    """Gives counts and floats back in the order in which they were written."""

    __slots__ = ("_count_at", "_counts", "_float_at", "_floats")

    def __init__(self, block: Block) -> None:
        counts, floats = array("I"), array("d")
        try:
            counts.frombytes(block[0])
            floats.frombytes(block[1])
        except (TypeError, ValueError, IndexError):
            damaged()
        self._counts = _swapped(counts)
        self._floats = _swapped(floats)
        self._count_at = self._float_at = 0

    def count(self, below: int | None = None) -> int:
        """The next count; less than `below`."""
        at = self._count_at
        if at >= len(self._counts):
            damaged()
        self._count_at = at + 1
        value = self._counts[at]
        if below is not None and value >= below:
            damaged()
        return value

    def number(self) -> float:
        """The next float."""
        at = self._float_at
        if at >= len(self._floats):
            damaged()
        self._float_at = at + 1
        return self._floats[at]

    def row(self, length: int) -> list[float]:
        """The next floats."""
        at = self._float_at
        if length > len(self._floats) - at:
            damaged()
        self._float_at = at + length
        return self._floats[at : at + length].tolist()

    def end(self) -> None:
        """Nothing may be left."""
        if self._count_at != len(self._counts) or self._float_at != len(self._floats):
            damaged()


def damaged() -> NoReturn:
    """Refuse a state.

    Raises:
        ValueError: always.
    """
    raise ValueError("the state of this model is damaged: it is shorter, longer or otherwise than such a model writes it")


def _swapped(values: array[Number]) -> array[Number]:
    if _SWAPPED:
        values = values[:]
        values.byteswap()
    return values

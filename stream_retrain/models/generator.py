"""A generator of random numbers for models that draw: xorshift64*, the same in Python and compiled, with a state of 64 bits.

It is a part of the model, so a model that draws stays a function of its parameters and its events. `random.Random` is not used, because its
state has 2.5 kB and the compiled models have no such generator.

[^1]: Vigna, S., 2016. An experimental exploration of Marsaglia's xorshift generators, scrambled. ACM Transactions on Mathematical Software,
42(4), 30.
"""

from __future__ import annotations

from typing import Final

from stream_retrain.models.block import Reader, Writer, damaged

__all__ = ["SEED_MAX", "Generator"]

SEED_MAX: Final = 2**63 - 1
"""A seed is at least 0 and at most this."""
MASK: Final = 2**64 - 1
UNIT: Final = 2.0**-53


class Generator:
    """Draws numbers; two with one seed draw the same ones."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        """Spread the bits of the seed over the state (one step of splitmix64), so that small seeds differ at once."""
        state = (seed + 0x9E3779B97F4A7C15) & MASK
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        state = (state ^ state >> 27) * 0x94D049BB133111EB & MASK
        self._state = (state ^ state >> 31) or 1

    def next(self) -> int:
        """64 random bits."""
        state = self._state
        state ^= state >> 12
        state ^= state << 25 & MASK
        state ^= state >> 27
        self._state = state
        return state * 0x2545F4914F6CDD1D & MASK

    def unit(self) -> float:
        """A number of at least 0 and less than 1, a multiple of 2^-53."""
        return (self.next() >> 11) * UNIT

    def below(self, limit: int) -> int:
        """A whole number of at least 0 and less than `limit`, which is at most 2^52."""
        return int(self.unit() * limit)

    def write(self, to: Writer) -> None:
        """The lower and the upper half of its state."""
        to.count(self._state & 0xFFFFFFFF, self._state >> 32)

    @classmethod
    def read(cls, reader: Reader) -> Generator:
        """What `write` wrote."""
        generator = cls(0)
        generator._state = reader.count() | reader.count() << 32
        if not generator._state:
            damaged()
        return generator

"""Which partition a record with a key goes to: as Kafka's producers decide it, so that a file is cut as its topic would be.

librdkafka, and so `stream-retrain publish` and every Python producer, takes CRC-32 of the key; Java's producer takes murmur2. Which of them
is the setting `kafka.partitioner`, by librdkafka's names.

A record without a key goes to a random partition when it is published. Here such records are dealt to the partitions in turn, so that the
same file always gives the same records.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from typing import Final

from stream_retrain.errors import SettingsError

__all__ = ["Partitioner"]

DEFAULT: Final = "consistent_random"
_32_BITS: Final = 0xFFFFFFFF


class Partitioner:
    """Deals records to partitions. It remembers where the last one without a key went."""

    def __init__(self, partitions: int, name: str = DEFAULT) -> None:
        """Raises `SettingsError` for a partitioner whose choice nobody can repeat."""
        if name not in _HASHES:
            known = ", ".join(_HASHES)
            raise SettingsError(f"kafka.partitioner is {name!r}: keys can be dealt by {known}")
        self._partitions = partitions
        self._hash = _HASHES[name]
        self._none: tuple[bytes | None, ...] = () if not name.endswith("_random") else (None, b"") if name == DEFAULT else (None,)
        self._dealt = -1

    def __call__(self, key: bytes | None) -> int:
        """The partition of a record with this key."""
        if key in self._none:
            self._dealt += 1
            return self._dealt % self._partitions
        return self._hash(key or b"") % self._partitions


@functools.lru_cache(maxsize=100_000)
def _murmur2(key: bytes) -> int:
    """MurmurHash2 with Kafka's seed, without its sign."""
    factor, value = 0x5BD1E995, 0x9747B28C ^ len(key)
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        part = int.from_bytes(key[at : at + 4], "little") * factor & _32_BITS
        part = (part ^ part >> 24) * factor & _32_BITS
        value = value * factor & _32_BITS ^ part
    if rest := key[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * factor & _32_BITS
    value = (value ^ value >> 13) * factor & _32_BITS
    return (value ^ value >> 15) & 0x7FFFFFFF


_HASHES: Final[dict[str, Callable[[bytes], int]]] = {
    DEFAULT: zlib.crc32,
    "consistent": zlib.crc32,
    "murmur2_random": _murmur2,
    "murmur2": _murmur2,
}

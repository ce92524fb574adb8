"""Reads data frames out of R's files: `.rda`, and the `.rdx` and `.rdb` of a package. Standard library alone.

R's format of serialization, version 2 and 3, big-endian ("X"): each item begins with flags, of which the low byte is its type, then
comes what the type has, then its attributes if the flags say that there are some. A symbol that was there before is a number. Only what
data frames are made of is read; anything else is a `ValueError`.
"""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["Frame", "frames", "frames_of_package"]

NA_INTEGER: Final = -(2**31)
HAS_ATTRIBUTES, HAS_TAG = 0x200, 0x400
SYMBOL, PAIRS, LANGUAGE, CHARS, LOGICAL, INTEGER, REAL, STRINGS, LIST, RAW = 1, 2, 6, 9, 10, 13, 14, 16, 19, 24
ALTERNATIVE, REFERENCE = 238, 255
SINGLETONS: Final = frozenset({241, 242, 247, 251, 252, 253, 254})
"""NULL, the environments that are always there, and a missing argument."""
OPENERS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"BZh": bz2.decompress,
    b"\xfd7z": lzma.decompress,
    b"\x1f\x8b\x08": gzip.decompress,
}

DICTIONARY_BYTES: Final = 1 << 26
"""Of xz without a header, which would say it; R's are smaller."""

Frame = dict[str, list[str]]
"""Columns by name, as cells of a CSV file: a factor's values by their names, and what is not available as an empty cell."""


@dataclasses.dataclass(slots=True)
class Vector:
    """A vector or a list, with what is noted at it."""

    values: list[Any]
    attributes: dict[str, Any]

    def named(self) -> dict[str, Any]:
        return dict(zip(self.attributes["names"].values, self.values, strict=True))


def frames(path: Path) -> dict[str, Frame]:
    """The data frames of an `.rda`, by their names."""
    data = opened(path.read_bytes())
    if data[:5] not in (b"RDX2\n", b"RDX3\n"):
        raise ValueError(f"{path.name} is no .rda of version 2 or 3")
    held = Reader(data[5:]).whole()
    return {name: frame(value) for name, value in held.items() if is_frame(value)}


def frames_of_package(folder: Path) -> dict[str, Frame]:
    """The data frames of a package's `data/Rdata.rdx` and `.rdb`."""
    index = Reader(opened((folder / "Rdata.rdx").read_bytes())).whole().named()
    data = (folder / "Rdata.rdb").read_bytes()
    found = {}
    for name, place in index["variables"].named().items():
        first, count = place.values
        value = Reader(decompressed(data[first : first + count])).whole()
        if is_frame(value):
            found[name] = frame(value)
    return found


def decompressed(entry: bytes) -> bytes:
    """An entry of an `.rdb`: four bytes with its length when it is decompressed, then zlib, or a letter and what that stands for."""
    kind, rest = entry[4:5], entry[5:]
    if kind == b"Z":
        return lzma.decompress(rest, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": DICTIONARY_BYTES}])
    return bz2.decompress(rest) if kind == b"2" else zlib.decompress(entry[4:])


def opened(data: bytes) -> bytes:
    opener = OPENERS.get(data[:3], zlib.decompress if data[:1] == b"x" else None)
    return opener(data) if opener else data


def is_frame(value: Any) -> bool:
    return isinstance(value, Vector) and "data.frame" in getattr(value.attributes.get("class"), "values", ())


def frame(value: Vector) -> Frame:
    return {name: cells(column) for name, column in value.named().items()}


def cells(column: Vector) -> list[str]:
    levels = column.attributes["levels"].values if "levels" in column.attributes else None
    return [cell(value, levels) for value in column.values]


def cell(value: Any, levels: list[str] | None) -> str:
    if value is None or value != value:
        return ""
    if levels is not None:
        return levels[int(value) - 1]
    return repr(value) if isinstance(value, float) else str(value)


class Reader:
    """One serialized value, read from its beginning to its end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.symbols: list[Any] = []

    def whole(self) -> Any:
        if self.take(2) != b"X\n":
            raise ValueError("it is not in R's big-endian format")
        version, _, _ = self.integers(3)
        if version == 3:
            self.take(self.integer())  # the encoding
        return self.item()

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def integers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f">{count}i", self.take(4 * count))

    def integer(self) -> int:
        return self.integers(1)[0]

    def item(self) -> Any:
        flags = self.integer()
        kind = flags & 0xFF
        if kind in SINGLETONS:
            return None
        if kind == REFERENCE:
            return self.symbols[(flags >> 8 or self.integer()) - 1]
        if kind == SYMBOL:
            self.symbols.append(self.item())
            return self.symbols[-1]
        if kind == CHARS:
            count = self.integer()
            return None if count == -1 else self.take(count).decode("utf-8", "replace")
        if kind in (PAIRS, LANGUAGE):
            return self.pairs(flags)
        if kind == ALTERNATIVE:
            return self.alternative()
        vector = Vector(self.values(kind), {})
        if flags & HAS_ATTRIBUTES:
            vector.attributes = self.item()
        return vector

    def pairs(self, flags: int) -> dict[str, Any]:
        """A linked list, as a dictionary; what has no name is named by its place."""
        found: dict[str, Any] = {}
        while flags & 0xFF in (PAIRS, LANGUAGE):
            if flags & HAS_ATTRIBUTES:
                self.item()
            name = self.item() if flags & HAS_TAG else str(len(found))
            found[name] = self.item()
            flags = self.integer()
        return found

    def values(self, kind: int) -> list[Any]:
        count = self.integer()
        if kind in (LOGICAL, INTEGER):
            return [None if value == NA_INTEGER else value for value in self.integers(count)]
        if kind == REAL:
            return list(struct.unpack(f">{count}d", self.take(8 * count)))
        if kind in (STRINGS, LIST):
            return [self.item() for _ in range(count)]
        if kind == RAW:
            return list(self.take(count))
        raise ValueError(f"R's type {kind} is not read")

    def alternative(self) -> Vector:
        """A vector that is written in short: a run of numbers, or another vector in a wrapper."""
        info, state, attributes = self.item(), self.item(), self.item()
        name = info["0"]
        if name in ("compact_intseq", "compact_realseq"):
            count, first, by = state.values
            number = int if name == "compact_intseq" else float
            return Vector([number(first + by * place) for place in range(int(count))], attributes or {})
        if name.startswith("wrap_"):
            inner = state.values[0] if isinstance(state, Vector) else state["0"]
            return Vector(inner.values, attributes or {})
        raise ValueError(f"R's {name} is not read")

"""Packed models by key, in the order of their last use, in segments that never change.

`SEGMENT_ROWS` models that were put away one after the other make a segment: bytes that are written once, so a checkpoint need not write
them again (`codec.state`). A model that is taken out leaves its bytes behind. Each time a segment is made, a few neighbours of which enough
was taken out are merged; so the bytes are at most about twice those of the models that are there.
"""

from __future__ import annotations

import array
import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

__all__ = ["Key", "PackedModel", "Segment", "Segments"]

Key: TypeAlias = str | int | float | bool
SEGMENT_ROWS: Final = 128
MERGES_MAX: Final = 4
"""Merges each time a segment is made: one is enough in the long run, and many at once would hold the loop up."""
KEY_BYTES: Final = 200
"""About what the place of a model takes beside its bytes: in the index, and with its key."""
_HEADER: Final = tuple[list[Any], list[int], list[float], list[int], list[int], list[int]]
_LENGTH: Final = struct.Struct(">I")


class PackedModel(NamedTuple):
    """A model that was put away."""

    events: int
    """Those it has learned."""
    weight: float
    """Its part in the predictions for its key."""
    used: int
    """When it was last used, by the counter of the model it belongs to."""
    memory: int
    """About the bytes it takes when it is not packed."""
    packed: bytes


class Segment:
    """Models in the order of their last use, as one piece of bytes."""

    __slots__ = ("_digest", "_ends", "_events", "_memory", "_start", "_used", "_weights", "data", "keys", "taken")

    def __init__(self, data: bytes, taken: int = 0, digest: str = "") -> None:
        """`taken` has the bit of each model set that is not there any more; `digest` is that of the bytes, where it is known already.

        Raises what msgspec raises for other bytes.
        """
        self.data = data
        self.taken = taken
        self._start = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        header = msgspec.msgpack.decode(memoryview(data)[_LENGTH.size : self._start], type=_HEADER)
        keys, events, weights, used, memory, ends = header
        self.keys: tuple[Key, ...] = tuple(keys)
        self._events, self._used, self._memory, self._ends = (array.array("q", column) for column in (events, used, memory, ends))
        self._weights = array.array("d", weights)
        self._digest = digest

    @classmethod
    def of(cls, rows: Iterable[tuple[Key, PackedModel]]) -> Segment:
        """A segment of these."""
        keys, models = zip(*rows, strict=True)
        ends, end = [], 0
        for model in models:
            end += len(model.packed)
            ends.append(end)
        columns = [[model[column] for model in models] for column in range(4)]
        header = msgspec.msgpack.encode((keys, *columns, ends))
        return cls(b"".join((_LENGTH.pack(len(header)), header, *(model.packed for model in models))))

    def __reduce__(self) -> tuple[type[Segment], tuple[bytes, int]]:
        return Segment, (self.data, self.taken)

    def __len__(self) -> int:
        return len(self.keys) - self.taken.bit_count()

    @property
    def digest(self) -> str:
        """The SHA-256 of its bytes, by which a store knows it."""
        if not self._digest:
            self._digest = hashlib.sha256(self.data).hexdigest()
        return self._digest

    @property
    def first(self) -> int:
        """The place of the model used longest ago that is there."""
        return (~self.taken & (self.taken + 1)).bit_length() - 1

    def at(self, place: int) -> PackedModel:
        """The model of a place."""
        start = self._start + (self._ends[place - 1] if place else 0)
        return PackedModel(
            self._events[place],
            self._weights[place],
            self._used[place],
            self._memory[place],
            self.data[start : self._start + self._ends[place]],
        )

    def used(self, place: int) -> int:
        """When the model of a place was last used."""
        return self._used[place]

    def rows(self) -> Iterator[tuple[Key, PackedModel]]:
        """The models that are there."""
        return ((key, self.at(place)) for place, key in enumerate(self.keys) if not self.taken >> place & 1)


class Segments:
    """Packed models by key: those put away last in a dict, the others in segments."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._open: dict[Key, PackedModel] = {}
        self._index: dict[Key, Segment | None] = {}
        """Where each key is; None: among the open ones."""
        self.bytes = 0
        """About the memory of the models that are there."""

    def __getstate__(self) -> dict[str, Any]:
        return {"segments": self._segments, "open": self._open, "bytes": self.bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._segments, self._open, self.bytes = state["segments"], state["open"], state["bytes"]
        self._index = {key: segment for segment in self._segments for key in _there(segment)} | dict.fromkeys(self._open)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: Key) -> bool:
        return key in self._index

    @property
    def whole(self) -> list[Segment]:
        """The segments, which never change."""
        return self._segments

    def put(self, key: Key, model: PackedModel) -> None:
        """Add a model, used later than all others; its key must not be there."""
        self._open[key] = model
        self._index[key] = None
        self.bytes += len(model.packed) + KEY_BYTES
        if len(self._open) >= SEGMENT_ROWS:
            self._close()

    def take(self, key: Key) -> PackedModel | None:
        """Remove a model and return it; None where there is none."""
        if key not in self._index:
            return None
        segment = self._index.pop(key)
        if segment is None:
            model = self._open.pop(key)
        else:
            place = segment.keys.index(key)
            model = segment.at(place)
            segment.taken |= 1 << place
        self.bytes -= len(model.packed) + KEY_BYTES
        return model

    def oldest_used(self) -> int | None:
        """When the model used longest ago was used; None where there is none."""
        while self._segments and not len(self._segments[0]):
            del self._segments[0]
        if self._segments:
            return self._segments[0].used(self._segments[0].first)
        return next(iter(self._open.values())).used if self._open else None

    def drop_oldest(self) -> None:
        """Remove the model used longest ago; there must be one."""
        self.oldest_used()
        oldest = self._segments[0].keys[self._segments[0].first] if self._segments else next(iter(self._open))
        self.take(oldest)

    def _close(self) -> None:
        """Make a segment of the open ones, and merge neighbours whose models fit into one."""
        self._segments.append(self._indexed(self._open.items()))
        self._open = {}
        merged: list[Segment] = []
        merges = 0
        for segment in self._segments:
            if not len(segment):
                continue
            if merges < MERGES_MAX and merged and len(merged[-1]) + len(segment) <= SEGMENT_ROWS:
                merged[-1] = self._indexed([*merged[-1].rows(), *segment.rows()])
                merges += 1
            else:
                merged.append(segment)
        self._segments = merged

    def _indexed(self, rows: Iterable[tuple[Key, PackedModel]]) -> Segment:
        segment = Segment.of(rows)
        self._index.update(dict.fromkeys(segment.keys, segment))
        return segment


def _there(segment: Segment) -> Iterator[Key]:
    """The keys of the models that are there."""
    return (key for place, key in enumerate(segment.keys) if not segment.taken >> place & 1)

"""The records of one poll of one partition, as columns, and the batch they are decoded to.

A batch is made once, by the decoder, and read by every stage: the shard takes its events, the encoder the keys of its records.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from stream_retrain.facts.records import Rejected
from stream_retrain.facts.values import Event

__all__ = ["Batch", "Headers", "Record", "Records"]

Headers: TypeAlias = "Sequence[tuple[str, bytes | None]] | None"


class Record(NamedTuple):
    """One record of the source as it came: bytes and origin."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: Headers = None


@dataclasses.dataclass(frozen=True, slots=True)
class Records:
    """Records in order of offset, column by column; offsets may have holes."""

    offsets: Sequence[int]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    timestamps_ms: Sequence[int]
    headers: Sequence[Headers]

    @classmethod
    def of(cls, records: Iterable[Record]) -> Records:
        """The columns of records."""
        columns = list(zip(*records, strict=True))
        return cls(*columns) if columns else cls((), (), (), (), ())

    def __len__(self) -> int:
        return len(self.offsets)

    def since(self, offset: int) -> Records:
        """Those from `offset` on; the same object where that is all of them."""
        first = bisect.bisect_left(self.offsets, offset)
        if first == 0:
            return self
        return Records(self.offsets[first:], self.keys[first:], self.values[first:], self.timestamps_ms[first:], self.headers[first:])

    def before(self, offset: int) -> Records:
        """Those below `offset`."""
        end = bisect.bisect_left(self.offsets, offset)
        return Records(self.offsets[:end], self.keys[:end], self.values[:end], self.timestamps_ms[:end], self.headers[:end])

    def at(self, offset: int) -> Record:
        """The record of an offset that is among them."""
        row = bisect.bisect_left(self.offsets, offset)
        return Record(self.offsets[row], self.keys[row], self.values[row], self.timestamps_ms[row], self.headers[row])


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Records, the events they were decoded to, and those that are none; each in order of offset."""

    records: Records
    events: list[Event]
    rejected: list[Rejected]

    @classmethod
    def of_events(cls, events: list[Event]) -> Batch:
        """A batch of events that were no records, such as those of a generator: their keys and values are empty."""
        none = [None] * len(events)
        times_ms = [int(event.time_s * 1000) for event in events]
        return cls(Records([event.offset for event in events], none, none, times_ms, none), events, [])

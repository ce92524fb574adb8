"""The records of one poll of one partition, as columns, and the batch they are decoded to.

A batch is made once, by the decoder, and read by every stage: the shard takes its events, the encoder the keys of its records. Several
lanes may take the same batch, each in parts of its own.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import operator
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from stream_retrain.facts.records import Passed, Rejected
from stream_retrain.facts.values import Event, Headers, Record

__all__ = ["Batch", "Events", "Headers", "Record", "Records"]

_Made = TypeVar("_Made", Event, Rejected, Passed)
_offset: Final = operator.attrgetter("offset")
# Of a tuple that is there already; a NamedTuple's own constructor takes three times as long.
_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)


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
        return self.rows(bisect.bisect_left(self.offsets, offset), len(self))

    def before(self, offset: int) -> Records:
        """Those below `offset`."""
        return self.rows(0, bisect.bisect_left(self.offsets, offset))

    def rows(self, first: int, end: int) -> Records:
        """Those from one row to before another; the same object where that is all of them."""
        if first == 0 and end == len(self):
            return self
        part = slice(first, end)
        return Records(self.offsets[part], self.keys[part], self.values[part], self.timestamps_ms[part], self.headers[part])

    def at(self, offset: int) -> Record:
        """The record of an offset that is among them."""
        row = bisect.bisect_left(self.offsets, offset)
        return Record(self.offsets[row], self.keys[row], self.values[row], self.timestamps_ms[row], self.headers[row])


class Events(Sequence[Event]):
    """Events column by column; one of them is made where somebody asks for it."""

    __slots__ = ("columns",)

    def __init__(self, columns: tuple[Sequence[Any], ...]) -> None:
        """Offsets, ids, times, features, and labels; all of one length."""
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    @typing.overload
    def __getitem__(self, at: int) -> Event: ...
    @typing.overload
    def __getitem__(self, at: slice) -> Events: ...
    def __getitem__(self, at: int | slice) -> Event | Events:
        columns = tuple([column[at] for column in self.columns])
        return Events(columns) if isinstance(at, slice) else _event(columns)

    def __iter__(self) -> Iterator[Event]:
        return map(_event, zip(*self.columns, strict=True))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Events | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Records, the events they were decoded to, those that are none, and those passed over; each in order of offset."""

    records: Records
    events: Sequence[Event]
    rejected: Sequence[Rejected]
    passed: Sequence[Passed] = dataclasses.field(default_factory=list)

    @classmethod
    def of_events(cls, events: list[Event]) -> Batch:
        """A batch of events that were no records, such as those of a generator: their keys and values are empty."""
        none = [None] * len(events)
        times_ms = [int(event.time_s * 1000) for event in events]
        return cls(Records([event.offset for event in events], none, none, times_ms, none), events, [])

    def __len__(self) -> int:
        return len(self.records)

    def rows(self, first: int, end: int) -> Batch:
        """The batch of the records from one row to before another; the same object where that is all of them."""
        records = self.records.rows(first, end)
        if records is self.records or not len(records):
            return self if records is self.records else Batch(records, [], [])
        low, high = records.offsets[0], records.offsets[-1] + 1
        events, rejected = _between(self.events, low, high), _between(self.rejected, low, high)
        return Batch(records, events, rejected, _between(self.passed, low, high))


def _between(made: Sequence[_Made], low: int, high: int) -> Sequence[_Made]:
    """What was made of the records of some offsets."""
    if not made:
        return made
    return made[bisect.bisect_left(made, low, key=_offset) : bisect.bisect_left(made, high, key=_offset)]

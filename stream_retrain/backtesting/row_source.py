"""Rows as the records a producer would have sent: of a file, or given by a program.

A row becomes the same bytes as `stream-retrain publish` sends, and goes to the same partition: a field of it is the key, and the key
decides. Offsets count from 0 in each partition.

There is no time at which the row was published. So the timestamp of its record is its event time, rounded up to a millisecond; a row
whose event time is null or no time stands at that of the row before it. Where the schema names no event time, rows count as one second
apart. What runs on time in a replay (schedules, windows and limits by age) therefore runs on event time.

A line that is no row becomes a record that no decoder takes, and so a dead letter; it stands with the row before it, in partition and
in time.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stream_retrain.core.path import found, path_of
from stream_retrain.core.schema import Schema
from stream_retrain.engines.replay.rows import Broken, Row
from stream_retrain.errors import EventError, SettingsError
from stream_retrain.lane.batch import Record
from stream_retrain.lane.formats.event_time import TIME_MAX_S, TIME_MIN_S, seconds_of, time_type, written
from stream_retrain.lane.formats.opened import format_of
from stream_retrain.lane.formats.partitioner import Partitioner
from stream_retrain.lane.formats.rows import encode_row_as, key_text

__all__ = ["GivenRows", "RowSource", "fields_of"]

BROKEN_BYTES_MAX: Final = 100_000
"""Of a line that is no row, this much is kept."""
NAMED_MAX: Final = 30


class GivenRows(NamedTuple):
    """Where rows come from."""

    name: str
    read: Callable[[], Iterator[tuple[int, Row | Broken]]]
    """Begins to read: each row with the number of its line."""
    estimate: int | None
    columns: Sequence[str] | None
    """The fields that a row can have, where the file says so itself."""
    rows_tried: int
    """Rows after which a field that none of them had is missed."""
    notes: Sequence[str] = ()


def fields_of(schema: Schema, key: str | None, delay: str | None) -> dict[str, str]:
    """The fields that rows must have, each with what it is: those of the schema but optional features, the key and the label delay's."""
    named = {delay: "for the label delay", key: "the key"}
    return {name: what for name, what in named.items() if name is not None} | schema.columns


class RowSource:
    """A source of rows."""

    def __init__(self, given: GivenRows, schema: Schema, needed: Mapping[str, str], key: str | None, partitioner: Partitioner) -> None:
        """`needed` is what `fields_of` gives. Raises `SettingsError` where the file itself says that one of them is missing."""
        self.name = given.name
        self._given = given
        self._schema = schema
        self._format = format_of(schema)
        self._time = None if schema.time is None else path_of(schema.time)
        self._key = key
        self._partitioner = partitioner
        self._needed = needed
        self._tally = _Tally()
        if given.columns is not None and (missing := self._needed.keys() - set(given.columns)):
            raise self._without(missing, given.columns)

    @property
    def notes(self) -> list[str]:
        """What was odd about its rows."""
        untimed = [] if self._schema.time else ["the schema names no event time: rows count as one second apart, beginning with 1970"]
        return [*untimed, *self._given.notes, *self._tally.notes(self._key)]

    def estimate(self) -> int | None:
        """About how many rows there are."""
        return self._given.estimate

    def records(self) -> Iterator[tuple[int, Record]]:
        """Each row as a record, with its partition. Raises `SettingsError`."""
        self._tally = tally = _Tally()
        offsets: dict[int, int] = {}
        missing, seen = set(self._needed), dict[str, None]()
        partition = stamp_ms = 0
        deal = copy.copy(self._partitioner)  # it remembers, and each reading begins anew
        for number, row in self._given.read():
            tally.rows += 1
            key: bytes | None = None
            if isinstance(row, Broken):
                tally.broken(number, row.reason)
                value = _no_event(row.text)
            else:
                if missing:
                    missing -= row.keys()
                    seen.update(dict.fromkeys(row))
                key = self._key_of(row)
                partition = deal(key)
                stamp_ms, value = self._stamped(number, row, key, stamp_ms)
            offset = offsets[partition] = offsets.get(partition, -1) + 1
            yield partition, Record(offset, key, value, stamp_ms)
            if missing and tally.rows >= self._given.rows_tried:
                raise self._without(missing, seen)
        if not tally.rows:
            raise SettingsError(f"{self.name}: it has no rows")
        if missing:
            raise self._without(missing, seen)

    def _stamped(self, number: int, row: Row, key: bytes | None, before_ms: int) -> tuple[int, bytes]:
        """The timestamp and the value of a row's record, where a time that is an object is written as the schema has it."""
        schema, time = self._schema, self._time
        if time is None:
            return (self._tally.rows - 1) * 1000, self._encoded(number, row)
        value = found(row, time) if self._format is None else self._told(number, row, key)
        if isinstance(value, dt.datetime) and value == value:  # that of pandas is not itself where it is missing
            if value.tzinfo is None:
                self._tally.without_zone = True
                value = value.replace(tzinfo=dt.UTC)
            time_s = value.timestamp()
            if len(time) == 1 and self._format is None:
                row = {**row, str(time[0]): value if schema.time_unit == "iso" else written(time_s, schema)}
        else:
            try:
                time_s = seconds_of(msgspec.convert(value, time_type(schema)), schema)
            except (msgspec.ValidationError, ValueError, OverflowError):
                time_s = math.nan
        encoded = self._encoded(number, row)
        if TIME_MIN_S <= time_s <= TIME_MAX_S:
            return math.ceil(time_s * 1000), encoded
        self._tally.without_time += 1
        return before_ms, encoded

    def _told(self, number: int, row: Row, key: bytes | None) -> Any:
        """The event time that the pipeline's own format finds in a row; None where it finds none."""
        assert self._format is not None, "it was looked at before"
        try:
            return found(self._format.object_of(Record(0, key, self._encoded(number, row), 0)), self._time or ())
        except EventError:
            return None

    def _key_of(self, row: Row) -> bytes | None:
        if self._key is None:
            return None
        text = key_text(row.get(self._key))
        if not text:
            self._tally.without_key += 1
        return None if text is None else text.encode()

    def _encoded(self, number: int, row: Row) -> bytes:
        try:
            return encode_row_as(self._schema.format, row)
        except (TypeError, ValueError, RecursionError) as error:
            raise SettingsError(f"{self.name}: row {number}: it cannot be written as JSON: {error}") from None

    def _without(self, missing: set[str], columns: Sequence[str] | Mapping[str, None]) -> SettingsError:
        lacking = ", ".join(f"{name!r} ({self._needed[name]})" for name in sorted(missing))
        if not columns:
            first = f", the first of which is line {self._tally.first_broken}" if self._tally.first_broken else ""
            return SettingsError(f"{self.name}: none of its first {self._tally.rows:,} lines is a row{first}")
        there = ", ".join(map(repr, list(columns)[:NAMED_MAX])) + (", ..." if len(columns) > NAMED_MAX else "")
        which = "it has" if self._given.columns is not None else f"its first {self._tally.rows:,} rows have"
        return SettingsError(f"{self.name}: {which} no field {lacking}; there are {there}")


@dataclasses.dataclass(slots=True)
class _Tally:
    """What was odd about the rows so far."""

    rows: int = 0
    broken_rows: int = 0
    first_broken: str = ""
    without_time: int = 0
    without_key: int = 0
    without_zone: bool = False

    def broken(self, number: int, reason: str) -> None:
        """A line is no row."""
        self.broken_rows += 1
        self.first_broken = self.first_broken or f"{number}: {reason}"

    def notes(self, key: str | None) -> Iterator[str]:
        """As sentences."""
        if self.broken_rows:
            yield f"lines that are no rows, and so dead letters: {self.broken_rows:,}; the first is line {self.first_broken}"
        if self.without_time:
            yield f"rows without an event time, which stand at the time of the row before: {self.without_time:,}"
        if self.without_zone:
            yield "event times without a zone are taken as UTC"
        if self.without_key:
            yield f"rows without a key ({key!r}), which were dealt to the partitions in turn: {self.without_key:,}"


def _no_event(text: bytes) -> bytes:
    """A line as a value that no decoder takes: itself, unless it is an object after all (with a field twice, for example)."""
    kept = text.rstrip(b"\r\n")[:BROKEN_BYTES_MAX]
    try:
        return b"no row: " + kept if isinstance(msgspec.json.decode(kept), dict) else kept
    except (msgspec.DecodeError, ValueError, RecursionError):
        return kept

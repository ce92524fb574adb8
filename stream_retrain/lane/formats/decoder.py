"""Records to events, by the pipeline's schema.

A batch is decoded in one pass, and never stops at a bad record: what is no event becomes `Rejected`. msgspec parses straight into the
declared fields, skipping the others without building them, and names the field that does not fit. A row of plain fields is a plain dict,
which becomes the event's features as it is; any other is read by `lane.formats.row`, and what is not JSON by its `Format` before that.

The same bytes and timestamp always become the same event: values have the declared types (an integer in a float field is a float, a binary
label is a bool), and optional features are absent, or an `EventError` that names the field at fault.

Everything is bounded: key and value in bytes, ids and labels in characters, integers to 64 bits, and event time by the calendar and by the
record's own timestamp, which is of the log as well, so that a replay agrees. (A timestamp below 0 is none, and bounds nothing.)
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypedDict, cast

import msgspec

from stream_retrain.core.fields import is_optional
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.schema import Schema
from stream_retrain.core.time_features import time_reader
from stream_retrain.errors import EventError
from stream_retrain.facts.records import Passed, Rejected
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import ID_CHARS_MAX, Event, EventId, Features
from stream_retrain.lane.batch import Batch, Events, Record, Records
from stream_retrain.lane.formats.event_time import TIME_MAX_S, TIME_MIN_S, seconds_of, time_type
from stream_retrain.lane.formats.format import PASSED
from stream_retrain.lane.formats.hook import sound
from stream_retrain.lane.formats.opened import format_of
from stream_retrain.lane.formats.row import ID_TYPE, INTEGER, Row, label_type, row_of

__all__ = ["EventDecoder"]

DAY_S: Final = 86_400.0
FIELD_BYTES_MAX: Final = 1_000
NOT_PLAIN_BATCHES: Final = 20
INTEGER_MIN: Final = -(1 << 63)
INTEGER_MAX: Final = (1 << 63) - 1
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_IN_LIST: Final = re.compile(r"\[(\d+)\]")

# Of a tuple that is there already; a NamedTuple's own constructor takes three times as long.
_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)


class EventDecoder:
    """Decodes the records of one pipeline."""

    def __init__(
        self,
        schema: Schema,
        task: str,
        *,
        record_bytes_max: int,
        time_ahead_max_s: float | None = DAY_S,
    ) -> None:
        self._schema = schema
        self._task = task
        self._bytes_max = record_bytes_max
        self._features = len(schema.fields)
        optional = [name for name, field in schema.fields.items() if is_optional(field.kind)]
        self._nullable = bool(optional)
        self._nulls: Features = dict.fromkeys(optional) if schema.keep_null else {}
        self._label = schema.label_name
        self._boolean = task == "binary"
        self._ahead_max_s = math.inf if time_ahead_max_s is None else time_ahead_max_s
        self._times = time_reader(schema.time_features, schema.time_zone) if schema.time_features else None
        self._format = format_of(schema)
        self._lenient = any(field.non_finite != "refuse" for field in schema.fields.values())
        self._to_event: Callable[[Any, int, int], Event] = self._flat
        self._not_plain_for = 0
        """Batches that are not tried as a whole, because one was not plain."""
        self._plain = schema.is_flat and self._format is None and schema.format == "json" and schema.id is not None and schema.time is None
        if schema.is_flat and self._format is None and schema.format == "json":
            kind = _flat_type(schema, task)
        else:
            row = row_of(schema, task, objects=schema.format != "json" or self._format is not None)
            kind, self._to_event = row.type, functools.partial(self._read, row)
        parser: Any = msgspec.msgpack if schema.format == "msgpack" else msgspec.json
        self._parse = parser.Decoder(kind).decode

    @classmethod
    def of(cls, pipeline: Pipeline, *, record_bytes_max: int) -> EventDecoder:
        """The decoder of a pipeline."""
        return cls(pipeline.schema, pipeline.task, record_bytes_max=record_bytes_max, time_ahead_max_s=pipeline.time_ahead_max_s)

    def decode_batch(self, records: Records) -> Batch:
        """The batch of these records: events, and rejected records. Never raises for bad input."""
        if self._format is not None:
            return self._decode_each(records)
        bytes_max = self._bytes_max - max(map(len, filter(None, records.keys)), default=0)  # where it is less, `decode` looks again
        if self._plain and self._not_plain_for:
            self._not_plain_for -= 1
        elif self._plain:
            if (plain := self._decode_plain(records, bytes_max)) is not None:
                return Batch(records, plain, [])
            self._not_plain_for = NOT_PLAIN_BATCHES
        events: list[Event] = []
        rejected: list[Rejected] = []
        add, parse, event = events.append, self._parse, self._to_event
        for offset, value, timestamp_ms in zip(records.offsets, records.values, records.timestamps_ms, strict=True):
            try:
                if value and len(value) <= bytes_max:
                    add(event(parse(value), offset, timestamp_ms))
                    continue
            except (ValueError, EventError, RecursionError):
                pass  # `decode` says what is wrong
            try:
                made = self.decode(records.at(offset))
                assert made is not None, "only a format passes records over"
                add(made)
            except EventError as error:
                rejected.append(_rejected(offset, error))
        return Batch(records, events, rejected)

    def _decode_plain(self, records: Records, bytes_max: int) -> Events | None:
        """The events of records that are complete and as most records are; None where one is not: all are read one by one then."""
        values: Any = records.values
        if None in values or max(map(len, values), default=0) > bytes_max:
            return None
        try:
            rows = list(map(self._parse, values))
        except (ValueError, RecursionError):
            return None
        label, id_field, boolean = self._label, self._schema.id, self._boolean
        ys = [row.pop(label, None) for row in rows]
        ids = [row.pop(id_field, None) for row in rows]
        if set(map(type, ids)) != {str} or set(map(len, rows)) != {self._features}:
            return None
        if boolean and not set(map(type, ys)) <= {bool, type(None)}:
            ys = [y if y is None else bool(y) for y in ys]
        if self._nullable and any(None in row.values() for row in rows):
            return None
        times_s = [timestamp_ms / 1000 for timestamp_ms in records.timestamps_ms]
        if min(times_s) < TIME_MIN_S or max(times_s) > TIME_MAX_S:
            return None
        return Events((records.offsets, ids, times_s, rows, ys))

    def _decode_each(self, records: Records) -> Batch:
        """The same record by record, with keys and headers, for a format that reads them."""
        events: list[Event] = []
        rejected: list[Rejected] = []
        passed: list[Passed] = []
        for row in zip(records.offsets, records.keys, records.values, records.timestamps_ms, records.headers, strict=True):
            try:
                made = self.decode(Record(*row))
            except EventError as error:
                rejected.append(_rejected(row[0], error))
                continue
            if made is None:
                passed.append(Passed(offset=row[0]))
            else:
                events.append(made)
        return Batch(records, events, rejected, passed)

    def decode(self, record: Record) -> Event | None:
        """The event of one record; None where `Schema.decode` passes it over. Raises `EventError` with the reason and the field."""
        value = record.value
        if not value and self._schema.decode is None:
            raise EventError("empty", "the record has no value")
        if (size := len(value or b"") + len(record.key or b"")) > self._bytes_max:
            raise EventError("too_large", f"{size} bytes of key and value are more than record_bytes_max = {self._bytes_max}")
        if self._format is not None:
            given = self._format.object_of(record)
            return None if given is PASSED else self._of_object(given, record.offset, record.timestamp_ms)
        try:
            return self._to_event(self._parse(value), record.offset, record.timestamp_ms)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            if self._lenient and self._schema.format == "json" and (given := _lenient(value or b"")) is not None:
                return self._of_object(given, record.offset, record.timestamp_ms)
            if isinstance(error, msgspec.ValidationError):
                raise _schema_error(error) from None
            language = "MessagePack" if self._schema.format == "msgpack" else "JSON"
            raise EventError("decode", f"not {language}: {error}") from None

    def convert(self, row: Mapping[str, Any], offset: int, timestamp_ms: int) -> Event:
        """The event of an object parsed elsewhere (a CSV row, a value of Faust). Raises `EventError` as `decode` does."""
        return self._of_object(row, offset, timestamp_ms)

    @functools.cached_property
    def _object_row(self) -> Row:
        return row_of(self._schema, self._task, objects=True)

    def _of_object(self, given: Any, offset: int, timestamp_ms: int) -> Event:
        try:
            row = msgspec.convert(given, self._object_row.type)
        except msgspec.ValidationError as error:
            raise _schema_error(error) from None
        except (ValueError, TypeError, RecursionError) as error:
            raise EventError("decode", f"its fields cannot be read: {error}") from None
        return self._read(self._object_row, row, offset, timestamp_ms)

    def _read(self, by: Row, row: Any, offset: int, timestamp_ms: int) -> Event:
        id_, written, y, x = by.parts(row)
        schema = self._schema
        if schema.id is None:
            id_ = str(offset)
        elif type(id_) is not str and not (type(id_) is int and INTEGER_MIN <= id_ <= INTEGER_MAX):
            id_ = _scalar_id(id_, schema.id)
        time_s = timestamp_ms / 1000 if written is None else self._time_s(written, timestamp_ms)
        if not TIME_MIN_S <= time_s <= TIME_MAX_S:
            raise self._no_date(time_s)
        if x is not None and self._times is not None:
            x.update(self._times(time_s))
        return _event((offset, id_, time_s, x, y))

    def _flat(self, row: dict[str, Any], offset: int, timestamp_ms: int) -> Event:
        schema = self._schema
        y = row.pop(self._label, None)
        if schema.id is None:
            id_: Any = str(offset)
        else:
            id_ = row.pop(schema.id, None)
            if type(id_) is not str and not (type(id_) is int and INTEGER_MIN <= id_ <= INTEGER_MAX):
                id_ = _scalar_id(id_, schema.id)
        time_s = timestamp_ms / 1000
        if schema.time is not None and (written := row.pop(schema.time, None)) is not None:
            stamped_s, time_s = time_s, seconds_of(written, schema)
            if time_s - stamped_s > self._ahead_max_s and timestamp_ms >= 0:
                raise self._too_far_ahead(time_s, time_s - stamped_s)
        if not TIME_MIN_S <= time_s <= TIME_MAX_S:
            raise self._no_date(time_s)
        if y is not None and self._boolean:
            y = bool(y)
        if len(row) != self._features or (self._nullable and None in row.values()):
            return Event(offset, id_, time_s, self._features_of(row, answered=y is not None), y)
        return _event((offset, id_, time_s, row, y))

    def _time_s(self, written: Any, timestamp_ms: int) -> float:
        """The event time that a field has, in seconds. Raises `EventError` where it is too far ahead of the record's own."""
        time_s = seconds_of(written, self._schema)
        ahead_s = time_s - timestamp_ms / 1000
        if ahead_s > self._ahead_max_s and timestamp_ms >= 0:
            raise self._too_far_ahead(time_s, ahead_s)
        return time_s

    def _too_far_ahead(self, time_s: float, ahead_s: float) -> EventError:
        if not TIME_MIN_S <= time_s <= TIME_MAX_S:
            return self._no_date(time_s)
        detail = f"the event time is {ahead_s:.0f} s ahead of the record's timestamp; time_ahead_max_s = {self._ahead_max_s:g} are allowed"
        return EventError("schema", detail, self._schema.time)

    def _no_date(self, time_s: float) -> EventError:
        detail = f"{time_s:g} s since the epoch is no date of the years 1 to 9999"
        if self._schema.time_unit == "s" and abs(time_s) < TIME_MAX_S * 1000:
            detail += '; if the field holds milliseconds, declare time_unit="ms"'
        return EventError("schema", detail, self._schema.time)

    def _features_of(self, row: dict[str, Any], *, answered: bool) -> Features | None:
        """The features that are there; None for an answer. Raises `EventError` where a required one is missing."""
        present = {name: value for name, value in row.items() if value is not None}
        missing = [name for name in self._schema.required if name not in present]
        if answered and not present and self._schema.id is not None:
            return None
        if missing:
            listed = ", ".join(repr(name) for name in missing)
            raise EventError("schema", f"required feature{'s' if len(missing) > 1 else ''} missing: {listed}", missing[0])
        if self._nulls:
            return {name: present.get(name) for name in self._schema.fields if name in present or name in self._nulls}
        return present


def _flat_type(schema: Schema, task: str) -> Any:
    """A TypedDict of the schema's fields, all optional, for msgspec."""
    fields: dict[str, Any] = {}
    for name, field in schema.fields.items():
        plain: Any = INTEGER if field.plain is int else field.plain
        fields[name] = plain | None if is_optional(field.kind) else plain
    fields[schema.label_name] = label_type(schema, task) | None
    if schema.id is not None:
        fields[schema.id] = ID_TYPE
    if schema.time is not None:
        fields[schema.time] = time_type(schema)
    return cast(Any, TypedDict)("Row", fields, total=False)


def _scalar_id(value: Any, field: str) -> EventId:
    """An id that is no text, as it came; an integer beyond 64 bits, which others cannot read, as text. Raises `EventError`."""
    match value:
        case bool():
            return value
        case int() if INTEGER_MIN <= value <= INTEGER_MAX:
            return value
        case float() if math.isfinite(value):
            return value
        case None:
            raise EventError("schema", f"the id {field!r} is missing", field)
    try:
        text = str(value)
    except ValueError:  # Python writes integers of some 4,000 digits at most
        text = " " * (ID_CHARS_MAX + 1)
    if isinstance(value, float):
        raise EventError("schema", f"the id {field!r} is {text}", field)
    if len(text) > ID_CHARS_MAX:
        raise EventError("schema", f"the id {field!r} is longer than {ID_CHARS_MAX} digits", field)
    return text


def _lenient(value: bytes) -> Any:
    """JSON in which numbers may be NaN or infinite, as Python writes it; None where it is not even that."""
    try:
        return sound(json.loads(value.decode()))
    except (ValueError, RecursionError, EventError):
        return None


def _rejected(offset: int, error: EventError) -> Rejected:
    reason: Any = error.reason
    return Rejected(offset=offset, reason=reason, detail=cut(error.detail), field=error.field and cut(error.field, FIELD_BYTES_MAX))


def _schema_error(error: msgspec.ValidationError) -> EventError:
    """msgspec's "Expected `float`, got `str` - at `$.txn.items[0]`" as reason, detail and field "txn.items.0"."""
    detail, _, place = str(error).partition(" - at `")
    place = place.removeprefix("key` in `").removeprefix("$").removesuffix("`")
    field = _IN_LIST.sub(r".\1", place.replace("[...]", "")).removeprefix(".")
    if unknown := _UNKNOWN.fullmatch(detail):
        field = f"{field}.{unknown[1]}" if field else unknown[1]
    return EventError("schema", detail, field or None)

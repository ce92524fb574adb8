"""Records to events: JSON objects, checked against the schema while they are parsed.

The hot path is one call of msgspec a record, which parses and checks types in C and gives the dict River wants; what is left in
Python are three pops and one comparison of lengths. Only a record that is not complete takes the slow path: it is an answer (an
id and a label, no features), a question whose optional features are absent, or an `EventError` that names the field at fault.

Everything is bounded: key and value in bytes, ids and labels in characters, integers to 64 bits, and event time by the calendar and by the
record's own timestamp, which is of the log as well, so that a replay agrees. (A timestamp below 0 is none, and bounds nothing.)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypedDict, cast

import msgspec

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.schema import Schema, is_optional, plain_type
from stream_retrain.errors import EventError
from stream_retrain.facts.shard import Rejected
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import ID_CHARS_MAX, LABEL_CHARS_MAX, Event, Features
from stream_retrain.lane.batch import Batch, Record, Records
from stream_retrain.lane.formats.event_time import TIME_MAX_S, TIME_MIN_S, seconds_of, time_type

__all__ = ["EventDecoder"]

DAY_S: Final = 86_400.0
FIELD_BYTES_MAX: Final = 1_000
Integer: Final = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

# Of a tuple that is there already; a NamedTuple's own constructor takes three times as long.
_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)


class EventDecoder:
    """Decodes the records of one pipeline."""

    def __init__(self, schema: Schema, task: str, *, record_bytes_max: int, time_ahead_max_s: float | None = DAY_S) -> None:
        self._schema = schema
        self._bytes_max = record_bytes_max
        self._features = len(schema.features)
        self._nullable = any(is_optional(kind) for kind in schema.features.values())
        self._nulls: Features = {name: None for name, kind in schema.features.items() if is_optional(kind)} if schema.keep_null else {}
        self._row = _row_type(schema, task)
        self._parse = msgspec.json.Decoder(self._row).decode
        self._boolean = task == "binary"
        self._ahead_max_s = math.inf if time_ahead_max_s is None else time_ahead_max_s

    @classmethod
    def of(cls, pipeline: Pipeline, *, record_bytes_max: int) -> EventDecoder:
        """The decoder of a pipeline."""
        return cls(pipeline.schema, pipeline.task, record_bytes_max=record_bytes_max, time_ahead_max_s=pipeline.time_ahead_max_s)

    def decode_batch(self, records: Records) -> Batch:
        """The batch of these records: events, and rejected records. Never raises for bad input."""
        events: list[Event] = []
        rejected: list[Rejected] = []
        add, parse, event = events.append, self._parse, self._event
        bytes_max = self._bytes_max - max(map(len, filter(None, records.keys)), default=0)  # where it is less, `decode` looks again
        for offset, value, timestamp_ms in zip(records.offsets, records.values, records.timestamps_ms, strict=True):
            try:
                if value and len(value) <= bytes_max:
                    add(event(parse(value), offset, timestamp_ms))
                    continue
            except (ValueError, EventError, RecursionError):
                pass  # `decode` says what is wrong
            try:
                add(self.decode(records.at(offset)))
            except EventError as error:
                reason: Any = error.reason
                field = error.field and cut(error.field, FIELD_BYTES_MAX)
                rejected.append(Rejected(offset=offset, reason=reason, detail=cut(error.detail), field=field))
        return Batch(records, events, rejected)

    def decode(self, record: Record) -> Event:
        """The event of one record. Raises `EventError` with the reason and the field."""
        value = record.value
        if not value:
            raise EventError("empty", "the record has no value")
        if (size := len(value) + len(record.key or b"")) > self._bytes_max:
            raise EventError("too_large", f"{size} bytes of key and value are more than record_bytes_max = {self._bytes_max}")
        try:
            row = self._parse(value)
        except msgspec.ValidationError as error:
            raise _schema_error(error) from None
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise EventError("decode", f"not JSON: {error}") from None
        return self._event(row, record.offset, record.timestamp_ms)

    def convert(self, row: Mapping[str, Any], offset: int, timestamp_ms: int) -> Event:
        """The event of an object parsed elsewhere (a CSV row, a Faust value). Raises `EventError` as `decode` does."""
        for name, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise EventError("schema", f"{value} is not a finite number", name)
        try:
            converted = msgspec.convert(row, self._row)
        except msgspec.ValidationError as error:
            raise _schema_error(error) from None
        return self._event(converted, offset, timestamp_ms)

    def _event(self, row: dict[str, Any], offset: int, timestamp_ms: int) -> Event:
        schema = self._schema
        y = row.pop(schema.label, None)
        if schema.id is None:
            id_: Any = str(offset)
        else:
            id_ = row.pop(schema.id, None)
            if type(id_) is not str:
                id_ = _text_id(id_, schema.id)
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
            return {name: present.get(name) for name in self._schema.features if name in present or name in self._nulls}
        return present


def _row_type(schema: Schema, task: str) -> Any:
    """A TypedDict of the schema's fields, all optional, for msgspec."""
    fields: dict[str, Any] = {name: _feature_type(kind) for name, kind in schema.features.items()}
    fields[schema.label] = _nullable(_label_type(schema, task))
    if schema.id is not None:
        fields[schema.id] = Annotated[str, msgspec.Meta(max_length=ID_CHARS_MAX)] | int
    if schema.time is not None:
        fields[schema.time] = time_type(schema)
    return cast(Any, TypedDict)("Row", fields, total=False)


def _feature_type(kind: Any) -> Any:
    plain: Any = Integer if plain_type(kind) is int else plain_type(kind)
    return _nullable(plain) if is_optional(kind) else plain


def _nullable(kind: Any) -> Any:
    return kind | None


def _label_type(schema: Schema, task: str) -> Any:
    match task:
        case "binary":
            return bool | Literal[0, 1]
        case "regression":
            return float
        case _:
            return Literal[schema.classes] if schema.classes else Annotated[str, msgspec.Meta(max_length=LABEL_CHARS_MAX)] | Integer


def _text_id(value: Any, field: str) -> str:
    if value is None:
        raise EventError("schema", f"the id {field!r} is missing", field)
    try:
        text = str(value)
    except ValueError:  # Python writes integers of some 4,000 digits at most
        text = " " * (ID_CHARS_MAX + 1)
    if len(text) > ID_CHARS_MAX:
        raise EventError("schema", f"the id {field!r} is longer than {ID_CHARS_MAX} digits", field)
    return text


def _schema_error(error: msgspec.ValidationError) -> EventError:
    """msgspec's "Expected `float`, got `str` - at `$.dep_delay`" as reason, detail and field."""
    detail, _, path = str(error).partition(" - at `$.")
    return EventError("schema", detail, path.rstrip("`") or None)

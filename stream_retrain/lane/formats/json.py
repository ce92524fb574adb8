"""Records to events: JSON objects, checked against the schema while they are parsed.

The hot path is one call of msgspec a record, which parses and checks types in C and gives the dict River wants; what is left in
Python are three pops and one comparison of lengths. Only a record that is not complete takes the slow path: it is an answer (an
id and a label, no features), a question whose optional features are absent, or an `EventError` that names the field at fault.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypedDict, cast

import msgspec

from stream_retrain.core.schema import Schema, is_optional
from stream_retrain.errors import EventError
from stream_retrain.facts.shard import Rejected
from stream_retrain.facts.values import Event, Features
from stream_retrain.lane.batch import Batch, Record, Records

__all__ = ["EventDecoder"]


# Of a tuple that is there already; a NamedTuple's own constructor takes three times as long.
_event: Callable[[tuple[Any, ...]], Event] = functools.partial(tuple.__new__, Event)


class EventDecoder:
    """Decodes the records of one pipeline."""

    def __init__(self, schema: Schema, task: str, *, record_bytes_max: int) -> None:
        self._schema = schema
        self._bytes_max = record_bytes_max
        self._features = len(schema.features)
        self._nullable = any(is_optional(kind) for kind in schema.features.values())
        self._nulls: Features = {name: None for name, kind in schema.features.items() if is_optional(kind)} if schema.keep_null else {}
        self._row = _row_type(schema, task)
        self._parse = msgspec.json.Decoder(self._row).decode
        self._boolean = task == "binary"

    def decode_batch(self, records: Records) -> Batch:
        """The batch of these records: events, and rejected records. Never raises for bad input."""
        events: list[Event] = []
        rejected: list[Rejected] = []
        add, parse, event, bytes_max = events.append, self._parse, self._event, self._bytes_max
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
                rejected.append(Rejected(offset=offset, reason=reason, detail=error.detail, field=error.field))
        return Batch(records, events, rejected)

    def decode(self, record: Record) -> Event:
        """The event of one record. Raises `EventError` with the reason and the field."""
        value = record.value
        if not value:
            raise EventError("empty", "the record has no value")
        if len(value) > self._bytes_max:
            raise EventError("too_large", f"{len(value)} bytes are more than record_bytes_max = {self._bytes_max}")
        try:
            row = self._parse(value)
        except msgspec.ValidationError as error:
            raise _schema_error(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
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
        if schema.time is None:
            time_s = timestamp_ms / 1000
        else:
            written = row.pop(schema.time, None)
            time_s = timestamp_ms / 1000 if written is None else _seconds(written, schema)
        if y is not None and self._boolean:
            y = bool(y)
        if len(row) != self._features or (self._nullable and None in row.values()):
            return Event(offset, id_, time_s, self._features_of(row, answered=y is not None), y)
        return _event((offset, id_, time_s, row, y))

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
    fields: dict[str, Any] = dict(schema.features)
    fields = {name: _nullable(kind) if is_optional(kind) else kind for name, kind in fields.items()}
    fields[schema.label] = _nullable(_label_type(schema, task))
    if schema.id is not None:
        fields[schema.id] = str | int
    if schema.time is not None:
        fields[schema.time] = Annotated[dt.datetime, msgspec.Meta(tz=True)] if schema.time_unit == "iso" else float
    return cast(Any, TypedDict)("Row", fields, total=False)


def _nullable(kind: Any) -> Any:
    return kind | None


def _label_type(schema: Schema, task: str) -> Any:
    match task:
        case "binary":
            return bool | Literal[0, 1]
        case "regression":
            return float
        case _:
            return Literal[schema.classes] if schema.classes else str | int


def _text_id(value: Any, field: str) -> str:
    if value is None:
        raise EventError("schema", f"the id {field!r} is missing", field)
    return str(value)


def _seconds(value: Any, schema: Schema) -> float:
    """A field of time in seconds since the epoch."""
    if schema.time_unit == "iso":
        return cast(dt.datetime, value).timestamp()
    return float(value) / 1000 if schema.time_unit == "ms" else float(value)


def _schema_error(error: msgspec.ValidationError) -> EventError:
    """msgspec's "Expected `float`, got `str` - at `$.dep_delay`" as reason, detail and field."""
    detail, _, path = str(error).partition(" - at `$.")
    return EventError("schema", detail, path.rstrip("`") or None)

"""A record of the labels topic as an answer: what the source topic holds of it, and what is wrong with one that is none.

Id and label are taken over as they are written, under the names that the schema of the source has for them, and judged by the decoder of
the source. So whatever the relay puts there is an answer there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from stream_retrain.core.path import Path, found, path_of, put, text_of_path
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import EventError
from stream_retrain.lane.batch import Record
from stream_retrain.lane.event_id import text_of_id
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.formats.event_time import TIME_MAX_S, TIME_MIN_S, written
from stream_retrain.lane.formats.rows import key_text

__all__ = ["Answer", "LabelReader"]

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


class Answer(NamedTuple):
    """What a label is in the source topic."""

    id: str
    value: bytes
    key: bytes | None
    """Of the question, where the route knows it; else None."""
    timestamp_ms: int
    """That of the label's record where the schema has no field of time, so that it is the answer's; else 0, the time of now."""


class LabelReader:
    """Reads the records of one pipeline's labels topic."""

    def __init__(self, pipeline: Pipeline, *, record_bytes_max: int) -> None:
        schema, labels = pipeline.schema, pipeline.labels
        assert schema.id is not None, "a pipeline whose labels come later has an id"
        self._schema = schema
        self._source_id, self._source_label = path_of(schema.id), path_of(schema.label_name)
        self._source_time = None if schema.time is None else path_of(schema.time)
        self._id, self._label = path_of(labels.id or schema.id), path_of(labels.label or schema.label_name)
        time = labels.time or schema.time
        self._time = None if time is None else path_of(time)
        self._key = None if labels.key is None else path_of(labels.key)
        self._with_key = labels.route == "key"
        self._bytes_max = record_bytes_max
        self._decoder = EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)

    def read(self, record: Record, now_ms: int) -> Answer:
        """The answer of a record; `now_ms` is about the timestamp that it will have in the source. Raises `EventError`."""
        value = record.value
        if not value:
            raise EventError("empty", "the record has no value")
        if (size := len(value) + len(record.key or b"")) > self._bytes_max:
            raise EventError("too_large", f"{size} bytes of key and value are more than record_bytes_max = {self._bytes_max}")
        try:
            fields: dict[str, Any] = _fields(value)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise EventError("decode", f"not a JSON object: {error}") from None
        answer: dict[str, Any] = {}
        put(answer, self._source_id, _raw(fields, self._id))
        put(answer, self._source_label, label := _raw(fields, self._label))
        if self._source_time is not None:
            told = None if self._time is None else _there(fields, self._time)
            put(answer, self._source_time, self._stamp(record, now_ms) if told is None else told)
        encoded = _encode(answer)
        event = None if bytes(label) == b'""' else self._decoder.decode(Record(0, None, encoded, now_ms))
        if event is None:
            raise EventError("schema", "the label is empty", text_of_path(self._label))
        timestamp_ms = max(0, record.timestamp_ms) if self._source_time is None else 0
        return Answer(text_of_id(event.id), encoded, self._key_of(record, fields) if self._with_key else None, timestamp_ms)

    def _stamp(self, record: Record, now_ms: int) -> Any:
        time_s = (record.timestamp_ms if record.timestamp_ms >= 0 else now_ms) / 1000
        return written(min(max(time_s, TIME_MIN_S), TIME_MAX_S), self._schema)

    def _key_of(self, record: Record, fields: dict[str, Any]) -> bytes:
        """The question's key: that of the record, or what a field says, as `publish` writes it."""
        if self._key is None:
            if not record.key:
                raise EventError("schema", 'the record has no key, by which route="key" finds its question')
            return record.key
        text = key_text(msgspec.json.decode(_raw(fields, self._key)))
        return (text or "").encode()


def _raw(fields: Mapping[str, Any], path: Path) -> msgspec.Raw:
    """What stands there, as JSON. Raises `EventError` where nothing does."""
    if (value := _there(fields, path)) is None:
        raise EventError("schema", f"{text_of_path(path)!r} is missing", text_of_path(path))
    return value


def _there(fields: Mapping[str, Any], path: Path) -> msgspec.Raw | None:
    first, *rest = path
    value = fields.get(str(first))
    if value is not None and rest:
        value = msgspec.Raw(_encode(found(msgspec.json.decode(value), tuple(rest))))
    return None if value is None or bytes(value) == b"null" else value

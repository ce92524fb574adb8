"""A few records of a topic or a file, looked at: what their fields hold, what fits a pipeline and what does not.

Nothing is learned and nothing is committed. A record of a file has no timestamp of its own, so how far event times are from it is told of
topics alone.
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_retrain.backtesting.table import SUFFIXES, Table
from stream_retrain.core.fields import Field
from stream_retrain.core.path import path_of, text_of_path
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.schema import Schema
from stream_retrain.engines.replay.rows import Broken, kind_of, read_lines
from stream_retrain.errors import EventError, SettingsError
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import Event, Record
from stream_retrain.lane.event_id import text_of_id
from stream_retrain.lane.formats.cloudevents import CloudEventsFormat
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.formats.format import PASSED
from stream_retrain.lane.formats.opened import format_of
from stream_retrain.lane.formats.profile import Profile
from stream_retrain.lane.formats.rows import encode_row, encode_row_as
from stream_retrain.settings import Settings

__all__ = ["Sample", "is_file", "read_sample", "take_sample"]

TOPIC: Final = "kafka://"
NO_TIMESTAMP_MS: Final = -1
DAY_S: Final = 86_400.0
DETAIL_BYTES_MAX: Final = 300


@dataclasses.dataclass(slots=True)
class Sample:
    """What was found. `events` and what follows it are of a pipeline's schema, where one was given."""

    profile: Profile = dataclasses.field(default_factory=Profile)
    format: str = "json"
    """What the records are written in, as far as can be seen."""
    records: int = 0
    unreadable: int = 0
    passed: int = 0
    events: int = 0
    questions: int = 0
    answers: int = 0
    rejected: dict[tuple[str, str | None, str], int] = dataclasses.field(default_factory=dict)
    """By reason, field and detail of the first such record."""
    warnings: list[str] = dataclasses.field(default_factory=list)

    def described(self) -> dict[str, Any]:
        """As JSON."""
        counts = ("format", "records", "unreadable", "passed", "events", "questions", "answers", "warnings")
        rejected = [
            {"reason": reason, "field": field, "detail": detail, "records": n} for (reason, field, detail), n in self.rejected.items()
        ]
        fields = {name: each.described(self.profile.records) for name, each in self.profile.fields.items()}
        return {name: getattr(self, name) for name in counts} | {"rejected": rejected, "fields": fields}


def read_sample(where: str, count: int, settings: Settings, schema: Schema | None) -> Iterator[Record]:
    """The first records of `TOPIC`, `TOPIC?from=...` or a file. Raises `SettingsError` and `BrokerError`."""
    if is_file(where):
        file = Path(where)
        for offset, row in enumerate(itertools.islice(_rows(file), count)):
            value = row.text if isinstance(row, Broken) else _encoded(row, schema)
            yield Record(offset, None, value, NO_TIMESTAMP_MS)
        return
    from stream_retrain.engines.kafka.topic_source import TopicSource

    source = TopicSource(where if where.startswith(TOPIC) else f"{TOPIC}{where}", settings)
    for _, record in itertools.islice(source.records(), count):
        yield record


def is_file(where: str) -> bool:
    """Whether a sample is a file, and not a topic: one that is there, or that has the name of one."""
    file = Path(where)
    return not where.startswith(TOPIC) and (file.exists() or kind_of(file) is not None or file.suffix in SUFFIXES)


def _rows(file: Path) -> Iterator[Any]:
    if file.suffix in SUFFIXES:
        table = Table(file)
        return (row for _, row in table.rows(set(table.columns)))
    return (row for _, row in read_lines(file))


def _encoded(row: Mapping[str, Any], schema: Schema | None) -> bytes:
    try:
        return encode_row(row) if schema is None else encode_row_as(schema.format, row)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"a row of the sample cannot be written as a record: {error}") from None


def take_sample(records: Iterator[Record], pipeline: Pipeline | None, record_bytes_max: int) -> Sample:
    """Look at records; with a pipeline also by its schema."""
    sample = Sample()
    reader = _Guessed() if pipeline is None else _Declared(pipeline.schema)
    judge = None if pipeline is None else _Judge(sample, pipeline, record_bytes_max)
    for record in records:
        sample.records += 1
        try:
            given = reader.object_of(record)
        except EventError:
            given = None
        if isinstance(given, Mapping):
            sample.profile.take(given)
        else:
            sample.unreadable += given is not PASSED
        if judge is not None:
            judge.take(record)
    sample.format = reader.format
    if not sample.records:
        raise SettingsError("the sample has no records")
    if judge is not None:
        sample.warnings += judge.warnings()
    return sample


class _Guessed:
    """Records of a format that nobody declared."""

    format = "json"

    def object_of(self, record: Record) -> Any:
        value = record.value or b""
        if any(name.lower() == "ce_specversion" for name, _ in record.headers or ()):
            self.format = "cloudevents"
            return CloudEventsFormat().object_of(record)
        if len(value) > 5 and value[0] == 0:
            self.format = "registry"
            raise EventError("decode", "of a Schema Registry")
        try:
            given = msgspec.json.decode(value)
        except (ValueError, RecursionError):
            given = _msgpack(value)
            self.format = "msgpack" if isinstance(given, dict) else self.format
        if isinstance(given, dict) and {"specversion", "id", "source", "type", "data"} <= given.keys():
            self.format = "cloudevents"
            return CloudEventsFormat().object_of(record)
        return given


class _Declared:
    """Records of a schema's format."""

    def __init__(self, schema: Schema) -> None:
        self._format = format_of(schema)
        self._msgpack = schema.format == "msgpack"
        self.format = schema.format if isinstance(schema.format, str) else type(schema.format).__name__

    def object_of(self, record: Record) -> Any:
        if self._format is not None:
            return self._format.object_of(record)
        if self._msgpack:
            return _msgpack(record.value or b"")
        try:
            return msgspec.json.decode(record.value or b"")
        except (ValueError, RecursionError):
            return None


def _msgpack(value: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(value)
    except (ValueError, RecursionError):
        return None


class _Judge:
    """What a pipeline's decoder makes of the records."""

    def __init__(self, sample: Sample, pipeline: Pipeline, record_bytes_max: int) -> None:
        self._sample, self._schema = sample, pipeline.schema
        self._decoder = EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)
        self._asked: collections.Counter[str] = collections.Counter()
        self._unasked = self._labels = 0
        self._apart_s: list[float] = []

    def take(self, record: Record) -> None:
        """One record."""
        sample = self._sample
        try:
            event = self._decoder.decode(record)
        except EventError as error:
            known = next((key for key in sample.rejected if key[:2] == (error.reason, error.field)), None)
            key = known or (error.reason, error.field, cut(error.detail, DETAIL_BYTES_MAX))
            sample.rejected[key] = sample.rejected.get(key, 0) + 1
            return
        if event is None:
            sample.passed += 1
        else:
            self._count(event, record)

    def _count(self, event: Event, record: Record) -> None:
        sample, id_ = self._sample, text_of_id(event.id)
        sample.events += 1
        self._labels += event.y is not None
        if event.x is None:
            sample.answers += 1
            self._unasked += id_ not in self._asked
        else:
            sample.questions += 1
            self._asked[id_] += 1
        if record.timestamp_ms >= 0:
            self._apart_s.append(event.time_s - record.timestamp_ms / 1000)

    def warnings(self) -> Iterator[str]:
        """What cannot match, or is odd."""
        sample, schema = self._sample, self._schema
        there = {path_of(name) for name in sample.profile.fields}
        for what, path in _declared(schema):
            if path_of(path) not in there:
                yield f"{what} never occurs: no record has {text_of_path(path_of(path))!r}{self._meant(path)}"
        if sample.events and not self._labels:
            yield f"no record has a label: {schema.label_name!r} is absent or null in all {sample.events:,} events"
        if doubled := sum(count - 1 for count in self._asked.values()):
            yield f"the id {schema.id!r} is not unique: {doubled:,} of {sample.questions:,} questions have one that was asked before"
        if self._unasked:
            yield f"{self._unasked:,} of {sample.answers:,} answers have no question before them in the sample"
        if far := sum(abs(apart) > DAY_S for apart in self._apart_s):
            most = max(self._apart_s, key=abs)
            yield (
                f"event times are far from the records' own: {far:,} of {len(self._apart_s):,} by more than a day, at most {most:,.0f} s;"
                f" time_unit is {schema.time_unit!r}"
            )

    def _meant(self, path: str) -> str:
        """What may have been meant by a path that never occurs."""
        names = list(self._sample.profile.fields)
        if (literal := path.replace(".", "\\.")) in names:
            return f"; there is a field with a dot in its name: write {literal!r}"
        same = [name for name in names if name.rpartition(".")[2] == path.rpartition(".")[2]]
        near = (same or difflib.get_close_matches(path, names, n=1, cutoff=0.8))[:1]
        return f"; did you mean {near[0]!r}?" if near else ""


def _declared(schema: Schema) -> Iterator[tuple[str, str]]:
    """Everything that is looked for in a record."""
    roles = (("the label", schema.label_name), ("the id", schema.id), ("the event time", schema.time))
    yield from ((what, path) for what, path in roles if path is not None)
    field: Field
    for name, field in schema.fields.items():
        yield f"feature {name!r}", field.path or name

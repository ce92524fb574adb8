"""A source whose labels come later than its questions, by simulation.

A record with features and a label becomes two: the question, without the label, where the record stood; and an answer (id, event time,
label), which comes directly before the first event of its partition at which it is due. That is the order of
`river.stream.simulate_qa`, and so of `progressive_val_score(..., delay=...)`. Each partition has a clock of its own, as it has a shard
of its own: the event time of its records, or how many questions it has had. What is due after its last record comes at the end, so
every label comes.

Questions without a label, answers and records that are no events stay what they are. Offsets are counted anew from 0 in each partition.

What waits is bounded by the limit of a shard, `pending_rows_max` of a partition: where more questions wait, the shard has given up the
oldest, so its answer is left out, and counted.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from stream_retrain.backtesting.label_delay import LabelDelay
from stream_retrain.backtesting.source import Source
from stream_retrain.core.path import Path, found, path_of, put
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.errors import EventError, SettingsError
from stream_retrain.facts.values import Event
from stream_retrain.lane.batch import Record
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.formats.event_time import TIME_MAX_S, TIME_MIN_S, written

__all__ = ["DelayedLabels"]

_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode: Final = msgspec.json.Encoder().encode
STALE_MAX: Final = 1_000
"""Entries of answers that were left out, before those that wait are sorted anew."""


class _Answer(NamedTuple):
    key: bytes | None
    id: bytes
    """As JSON, like the label: a copy, because a part of a message keeps the whole of it in memory."""
    label: bytes


class DelayedLabels:
    """A source, with its labels delayed."""

    def __init__(self, source: Source, delay: LabelDelay, pipeline: Pipeline, *, record_bytes_max: int) -> None:
        """Raises `SettingsError` where the schema has no id, by which an answer finds its question."""
        if pipeline.schema.id is None:
            raise SettingsError("a label delay needs an id in the schema: by it an answer finds its question")
        if pipeline.schema.decode is not None or pipeline.schema.format != "json":
            raise SettingsError("a label delay is simulated for records in JSON alone: others cannot be taken apart and written again")
        roles = (pipeline.schema.id, pipeline.schema.time, pipeline.schema.label_name)
        if any(isinstance(part, int) for text in roles if text is not None for part in path_of(text)):
            raise SettingsError("a label delay cannot be simulated where the label, the id or the time stands in a list")
        self._source = source
        self._delay = delay
        self._pipeline = pipeline
        self._decoder = EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)
        self._waiting: dict[int, _Waiting] = {}

    @property
    def name(self) -> str:
        """That of the source."""
        return self._source.name

    @property
    def notes(self) -> list[str]:
        """Those of the source, and what was simulated."""
        notes = [*self._source.notes, f"labels come later by simulation: {self._delay}"]
        if untold := sum(each.untold for each in self._waiting.values()):
            notes.append(f"labels whose {self._delay.field!r} does not say when they came, which come at the end: {untold:,}")
        if early := sum(each.early for each in self._waiting.values()):
            notes.append(f"labels whose {self._delay.field!r} is before their question, which come directly behind it: {early:,}")
        if left_out := sum(each.left_out for each in self._waiting.values()):
            limit = f"pending_rows_max = {self._pipeline.pending_rows_max:,}"
            notes.append(f"labels left out, because more questions waited than {limit} lets wait: {left_out:,}")
        return notes

    def estimate(self) -> int | None:
        """Twice that of the source: most records have a label."""
        count = self._source.estimate()
        return None if count is None else 2 * count

    def records(self) -> Iterator[tuple[int, Record]]:
        """Questions and answers, in the order in which they come. Raises what the source raises."""
        waiting: dict[int, _Waiting] = {}
        self._waiting = waiting
        for partition, record in self._source.records():
            of = waiting.get(partition)
            if of is None:
                of = waiting[partition] = _Waiting(self._delay, self._pipeline, partition)
            try:
                event = self._decoder.decode(record)
            except EventError:
                event = None
            if event is None:
                yield partition, of.numbered(record)
                continue
            for answer in of.due(event):
                yield partition, answer
            yield partition, of.take(event, record)
        for partition, answer in heapq.merge(*(each.rest() for each in waiting.values()), key=lambda item: item[1].timestamp_ms):
            yield partition, answer


class _Waiting:
    """The labels of one partition that have not come yet."""

    def __init__(self, delay: LabelDelay, pipeline: Pipeline, partition: int) -> None:
        schema = pipeline.schema
        assert schema.id is not None, "it was looked at before"
        self._schema = schema
        self._id, self._label = path_of(schema.id), path_of(schema.label_name)
        self._time = None if schema.time is None else path_of(schema.time)
        self._counts_events = delay.counts_events
        self._due = delay.build(schema, partition)
        self._rows_max = pipeline.pending_rows_max
        self._partition = partition
        self._answers: dict[int, _Answer] = {}
        """By the number of the question, which is the order in which they were asked."""
        self._order: list[tuple[float, int]] = []
        """When, and whose: a heap. Answers that were left out may still stand in it."""
        self._questions = 0
        self._time_s = 0.0
        self._offset = 0
        self.untold = 0
        self.early = 0
        self.left_out = 0

    def due(self, event: Event) -> Iterator[Record]:
        """The answers that come before this event."""
        self._time_s = event.time_s
        if self._counts_events and event.x is None:
            return
        order, now = self._order, self._questions if self._counts_events else event.time_s
        while order and order[0][0] <= now:
            due, number = heapq.heappop(order)
            if (answer := self._answers.pop(number, None)) is not None:
                yield self._record(answer, event.time_s if self._counts_events else due)

    def take(self, event: Event, record: Record) -> Record:
        """The record, without its label where it is a question; its answer waits."""
        if event.x is None:
            return self.numbered(record)
        number, self._questions = self._questions, self._questions + 1
        if event.y is None:
            return self.numbered(record)
        fields: dict[str, Any] = _fields(record.value or b"")
        due = self._due(event.time_s, number, fields)
        if due is None or due > TIME_MAX_S:
            self.untold += due is None
            due = math.inf
        elif due < event.time_s and not self._counts_events:
            self.early += 1
            due = event.time_s
        if len(self._answers) >= self._rows_max:
            self._leave_out_the_oldest()
        self._answers[number] = _Answer(record.key, _raw(fields, self._id), _taken(fields, self._label))
        heapq.heappush(self._order, (due, number))
        return self.numbered(record._replace(value=_encode(fields)))

    def rest(self) -> Iterator[tuple[int, Record]]:
        """At the end: all that wait, in the order in which they are due."""
        time_s = self._time_s
        for due, number in sorted(self._order):
            if (answer := self._answers.pop(number, None)) is not None:
                if not self._counts_events and due < math.inf:
                    time_s = max(time_s, due)
                yield self._partition, self._record(answer, time_s)

    def numbered(self, record: Record) -> Record:
        """The record at the next offset."""
        offset, self._offset = self._offset, self._offset + 1
        return record._replace(offset=offset)

    def _record(self, answer: _Answer, time_s: float) -> Record:
        fields: dict[str, Any] = {}
        put(fields, self._id, msgspec.Raw(answer.id))
        if self._time is not None:
            put(fields, self._time, written(time_s, self._schema))
        put(fields, self._label, msgspec.Raw(answer.label))
        stamp_ms = math.ceil(max(time_s, TIME_MIN_S) * 1000)
        return self.numbered(Record(0, answer.key, _encode(fields), stamp_ms))

    def _leave_out_the_oldest(self) -> None:
        del self._answers[next(iter(self._answers))]
        self.left_out += 1
        if len(self._order) > 2 * len(self._answers) + STALE_MAX:
            self._order = [entry for entry in self._order if entry[1] in self._answers]
            heapq.heapify(self._order)


def _raw(fields: dict[str, Any], path: Path) -> bytes:
    """What stands there, as JSON."""
    first, *rest = path
    value = bytes(fields[str(first)])
    return value if not rest else bytes(_encode(found(msgspec.json.decode(value), tuple(rest))))


def _taken(fields: dict[str, Any], path: Path) -> bytes:
    """What stands there, as JSON; it is no longer there."""
    first, *rest = map(str, path)
    if not rest:
        return bytes(fields.pop(first))
    inner = _fields(fields[first])
    value = _taken(inner, tuple(rest))
    fields[first] = msgspec.Raw(_encode(inner))
    return value

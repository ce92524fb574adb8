"""What the demo proves, computed from the topics and from nothing the worker says of itself.

The source topic holds what went in, the predictions topic what came out; labels are in the source. So events lost, predictions
duplicated and the quality of the predictions are counted from Kafka. The same events then go through the same pipeline
without any reaction, and through the recommended model, in this process, for comparison: the shard is the same code.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.read import Stored
from stream_retrain.engines.replay.replay import replay
from stream_retrain.facts.values import Event
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.json import EventDecoder
from stream_retrain.models import adaptive_classifier

__all__ = ["Quality", "Summary", "summarise"]

BINS = 60
Topic = Mapping[int, list[Stored]]


class Quality(NamedTuple):
    """Accuracy over all events, after the incident, and in equal parts of the stream."""

    overall: float
    after_incident: float
    curve: list[float]
    cpu_us: float | None = None
    """CPU time an event, where it was run in this process."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of a demo; every one but the speed is counted from the topics."""

    events: int
    predictions: int
    lost: int
    duplicated: int
    served: Quality
    """Of the predictions in the topic: the plain model with its reaction."""
    plain: Quality
    """The same model without any reaction, over the same events."""
    recommended: Quality
    """The recommended model, which adapts by itself and needs no reaction, over the same events."""
    drifts: int
    generations: list[int]
    incident_bin: int
    """In which part of the curves the incident begins."""


@dataclasses.dataclass(slots=True)
class _Tally:
    """Right predictions and predictions, over all, after the incident, and by part of the stream."""

    right: int = 0
    total: int = 0
    right_after: int = 0
    total_after: int = 0
    bins: list[list[int]] = dataclasses.field(default_factory=lambda: [[0, 0] for _ in range(BINS)])

    def add(self, place: float, *, right: bool, after: bool) -> None:
        self.right += right
        self.total += 1
        self.right_after += right and after
        self.total_after += after
        part = self.bins[min(BINS - 1, int(place * BINS))]
        part[0] += right
        part[1] += 1

    def quality(self, cpu_s: float | None = None) -> Quality:
        curve = [right / total if total else float("nan") for right, total in self.bins]
        cpu_us = None if cpu_s is None else cpu_s * 1e6 / max(1, self.total)
        return Quality(self.right / max(1, self.total), self.right_after / max(1, self.total_after), curve, cpu_us)


def summarise(
    pipeline: Pipeline, source: Topic, predictions: Topic, decisions: Topic, incident_at: Mapping[int, int], on_event: Callable[[int], None]
) -> Summary:
    """Compare what went in with what came out; `incident_at`: the first offset after the incident, by partition."""
    decoder = EventDecoder.of(pipeline, record_bytes_max=1_000_000)
    offline = {
        "plain": dataclasses.replace(pipeline, react=(), watch=(), window_rows_max=0),
        "recommended": recommended(pipeline),
    }
    served, tallies, cpu_s = _Tally(), {name: _Tally() for name in offline}, dict.fromkeys(offline, 0.0)
    lost = duplicated = count = done = 0
    for partition, records in source.items():
        given_records = [record.as_record() for record in records]
        events = decoder.decode_batch(Records.of(given_records)).events
        given = [json.loads(record.value or b"{}") for record in predictions[partition]]
        by_offset = {prediction["offset"]: prediction["prediction"] for prediction in given}
        duplicated += len(given) - len(by_offset)
        lost += sum(event.offset not in by_offset for event in events)
        _tally(served, events, by_offset, incident_at[partition])
        for name, compared in offline.items():
            started = time.process_time()
            made = _offline(compared, given_records, lambda more, before=done: on_event((before + more) // len(offline)))  # type: ignore[misc]
            cpu_s[name] += time.process_time() - started
            _tally(tallies[name], events, made, incident_at[partition])
            done += len(events)
        count += len(events)
    starts = [incident_at[partition] / max(1, len(records)) for partition, records in source.items()]
    happened = [json.loads(record.value or b"{}") for partition in decisions for record in decisions[partition]]
    return Summary(
        events=count,
        predictions=sum(len(records) for records in predictions.values()),
        lost=lost,
        duplicated=duplicated,
        served=served.quality(),
        plain=tallies["plain"].quality(cpu_s["plain"]),
        recommended=tallies["recommended"].quality(cpu_s["recommended"]),
        drifts=sum(event["type"] == "io.streamretrain.drift.detected.v1" for event in happened),
        generations=[_generation(decisions[partition]) for partition in sorted(decisions)],
        incident_bin=int(sum(starts) / len(starts) * BINS),
    )


def recommended(pipeline: Pipeline) -> Pipeline:
    """The pipeline with the recommended model in place of its own, and no reaction."""
    return dataclasses.replace(pipeline, model=adaptive_classifier(), react=(), watch=(), window_rows_max=0)


def _tally(tally: _Tally, events: list[Event], by_offset: Mapping[int, Any], incident_at: int) -> None:
    for number, event in enumerate(events):
        if event.offset in by_offset:
            right = by_offset[event.offset] == event.y
            tally.add(number / len(events), right=right, after=event.offset >= incident_at)


def _offline(pipeline: Pipeline, records: list[Record], on_event: Callable[[int], None]) -> dict[int, Any]:
    """The predictions of a pipeline over a partition, by offset: the replay of it."""
    made: dict[int, Any] = {}
    for lane, step in replay(pipeline, records, outputs=False):
        made.update({fact.offset: fact.prediction for fact in step.predicted})
        on_event(lane.shard.questions_seen)
    return made


def _generation(decisions: list[Stored]) -> int:
    resets = [json.loads(record.value or b"{}") for record in decisions]
    return max((event["data"]["generation"] for event in resets if event["type"] == "io.streamretrain.model.reset.v1"), default=0)

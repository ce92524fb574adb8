"""What the demo proves, computed from the topics and from nothing the worker says of itself.

The source topic holds what went in, the predictions topic what came out; labels are in the source. So events lost, predictions
duplicated and the quality of what was answered are counted from Kafka. The same events then go through the same pipeline
without any reaction, in this process, for comparison: the shard is the same code.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stream_retrain.codec.records import EventDecoder
from stream_retrain.core.messages import Event
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.shard import Shard
from stream_retrain.engines.kafka.read import Stored

__all__ = ["Curve", "Summary", "summarise"]

BINS = 60
Topic = Mapping[int, list[Stored]]


class Curve(NamedTuple):
    """Accuracy over the stream, in equal parts of its events; the part in which the incident begins."""

    with_reaction: list[float]
    without: list[float]
    incident_bin: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of a demo; every one but the speed is counted from the topics."""

    events: int
    predictions: int
    lost: int
    duplicated: int
    quality: float
    quality_without_reaction: float
    quality_after_incident: float
    quality_after_incident_without_reaction: float
    drifts: int
    generations: list[int]
    curve: Curve


@dataclasses.dataclass(slots=True)
class _Tally:
    """Right answers and answers, over all, after the incident, and by part of the stream."""

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

    def curve(self) -> list[float]:
        return [right / total if total else float("nan") for right, total in self.bins]


def summarise(
    pipeline: Pipeline, source: Topic, predictions: Topic, decisions: Topic, incident_at: Mapping[int, int], on_event: Callable[[int], None]
) -> Summary:
    """Compare what went in with what came out; `incident_at`: the first offset after the incident, by partition."""
    decoder = EventDecoder(pipeline.schema, pipeline.task, record_bytes_max=1_000_000)
    quiet = dataclasses.replace(pipeline, react=())
    answered, unanswered = _Tally(), _Tally()
    lost = duplicated = count = 0
    for partition, records in source.items():
        events = [decoder.decode(record.as_record()) for record in records]
        given = [json.loads(record.value or b"{}") for record in predictions[partition]]
        by_offset = {prediction["offset"]: prediction["prediction"] for prediction in given}
        duplicated += len(given) - len(by_offset)
        lost += sum(event.offset not in by_offset for event in events)
        _tally(answered, events, by_offset, incident_at[partition])
        plain = _without_reaction(quiet, events, lambda done, before=count: on_event(before + done))  # type: ignore[misc]
        _tally(unanswered, events, plain, incident_at[partition])
        count += len(events)
    starts = [incident_at[partition] / max(1, len(records)) for partition, records in source.items()]
    happened = [json.loads(record.value or b"{}") for partition in decisions for record in decisions[partition]]
    return Summary(
        events=count,
        predictions=sum(len(records) for records in predictions.values()),
        lost=lost,
        duplicated=duplicated,
        quality=answered.right / max(1, answered.total),
        quality_without_reaction=unanswered.right / max(1, unanswered.total),
        quality_after_incident=answered.right_after / max(1, answered.total_after),
        quality_after_incident_without_reaction=unanswered.right_after / max(1, unanswered.total_after),
        drifts=sum(event["type"] == "io.streamretrain.drift.detected.v1" for event in happened),
        generations=[_generation(decisions[partition]) for partition in sorted(decisions)],
        curve=Curve(answered.curve(), unanswered.curve(), int(sum(starts) / len(starts) * BINS)),
    )


def _tally(tally: _Tally, events: list[Event], by_offset: Mapping[int, Any], incident_at: int) -> None:
    for number, event in enumerate(events):
        if event.offset in by_offset:
            right = by_offset[event.offset] == event.y
            tally.add(number / len(events), right=right, after=event.offset >= incident_at)


def _without_reaction(pipeline: Pipeline, events: list[Event], on_event: Callable[[int], None]) -> dict[int, Any]:
    shard, answers = Shard(pipeline), {}
    for start in range(0, len(events), 1_000):
        outcome = shard.process(events[start : start + 1_000])
        answers.update({fact.offset: fact.y_pred for fact in outcome.predicted})
        on_event(start + len(outcome.predicted))
    return answers


def _generation(decisions: list[Stored]) -> int:
    resets = [json.loads(record.value or b"{}") for record in decisions]
    return max((event["data"]["generation"] for event in resets if event["type"] == "io.streamretrain.model.reset.v1"), default=0)

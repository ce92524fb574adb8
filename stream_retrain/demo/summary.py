"""What the demo proves, computed from the topics and from nothing the worker says of itself.

The source topic holds what went in, the predictions topic what came out; labels are in the source. So events lost, predictions
duplicated and the quality of the predictions are counted from Kafka. What is compared with them comes from the demo's backtest of the
source topic: the same pipeline, the same without any reaction, and the recommended model. The shard is the same code.

A backtest counts by intervals, of which a stream has about 200. So "after the incident" begins, for all of them, at the end of an interval
that is nearest to the incident in its partition, at most a quarter of a percent of the stream away.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stream_retrain.backtesting.result import Interval
from stream_retrain.backtesting.run import Ran
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.demo.backtested import PLAIN, RECOMMENDED
from stream_retrain.engines.kafka.read import Stored
from stream_retrain.facts.values import Event
from stream_retrain.lane.batch import Records
from stream_retrain.lane.formats.decoder import EventDecoder

__all__ = ["Quality", "Summary", "summarise"]

BINS = 60
Topic = Mapping[int, list[Stored]]


class Quality(NamedTuple):
    """Accuracy over all events, after the incident, and in equal parts of the stream."""

    overall: float
    after_incident: float
    curve: list[float]
    cpu_us: float | None = None
    """CPU time an event, where a backtest measured it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of a demo; every one but the speed is counted from the topics."""

    events: int
    predictions: int
    lost: int
    duplicated: int
    served: Quality
    """Of the predictions in the topic: the plain model with its reaction."""
    backtested: Quality
    """The same pipeline over the same events in a backtest: it predicts what the worker predicted."""
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

    def add(self, place: float, *, right: int, total: int, after: bool) -> None:
        self.right += right
        self.total += total
        self.right_after += right * after
        self.total_after += total * after
        part = self.bins[min(BINS - 1, int(place * BINS))]
        part[0] += right
        part[1] += total

    def quality(self, cpu_us: float | None = None) -> Quality:
        curve = [right / total if total else float("nan") for right, total in self.bins]
        return Quality(self.right / max(1, self.total), self.right_after / max(1, self.total_after), curve, cpu_us)


def summarise(pipeline: Pipeline, source: Topic, predictions: Topic, decisions: Topic, incident_at: Mapping[int, int], ran: Ran) -> Summary:
    """Compare what went in with what came out, and with the backtest; `incident_at`: the first offset after the incident, by partition."""
    decoder = EventDecoder.of(pipeline, record_bytes_max=1_000_000)
    cuts = _cuts([each for each in ran.curves.intervals if each.variant == pipeline.name], incident_at)
    served = _Tally()
    lost = duplicated = count = 0
    for partition, records in source.items():
        events = decoder.decode_batch(Records.of([record.as_record() for record in records])).events
        given = [json.loads(record.value or b"{}") for record in predictions[partition]]
        by_offset = {prediction["offset"]: prediction["prediction"] for prediction in given}
        duplicated += len(given) - len(by_offset)
        lost += sum(event.offset not in by_offset for event in events)
        _tally(served, events, by_offset, cuts[partition].offset)
        count += len(events)
    starts = [incident_at[partition] / max(1, len(records)) for partition, records in source.items()]
    happened = [json.loads(record.value or b"{}") for partition in decisions for record in decisions[partition]]
    return Summary(
        events=count,
        predictions=sum(len(records) for records in predictions.values()),
        lost=lost,
        duplicated=duplicated,
        served=served.quality(),
        backtested=_of_backtest(pipeline.name, ran, cuts),
        plain=_of_backtest(PLAIN, ran, cuts),
        recommended=_of_backtest(RECOMMENDED, ran, cuts),
        drifts=sum(event["type"] == "io.streamretrain.drift.detected.v1" for event in happened),
        generations=[_generation(decisions[partition]) for partition in sorted(decisions)],
        incident_bin=int(sum(starts) / len(starts) * BINS),
    )


class _Cut(NamedTuple):
    """Where "after the incident" begins in a partition: with an interval, which begins at an offset."""

    number: int
    offset: int


def _cuts(intervals: Iterable[Interval], incident_at: Mapping[int, int]) -> dict[int, _Cut]:
    """By partition, the begin of an interval that is nearest to the incident. Offsets of the demo's source are without gaps."""
    begins: dict[int, list[_Cut]] = {partition: [_Cut(0, 0)] for partition in incident_at}
    for each in intervals:
        if each.partition is not None:
            begins[each.partition].append(_Cut(each.number + 1, begins[each.partition][-1].offset + each.events))
    return {partition: min(found, key=lambda cut: abs(cut.offset - incident_at[partition])) for partition, found in begins.items()}


def _tally(tally: _Tally, events: Sequence[Event], by_offset: Mapping[int, Any], cut: int) -> None:
    for number, event in enumerate(events):
        if event.offset in by_offset:
            tally.add(number / len(events), right=by_offset[event.offset] == event.y, total=1, after=event.offset >= cut)


def _of_backtest(variant: str, ran: Ran, cuts: Mapping[int, _Cut]) -> Quality:
    """The quality of a variant, by its intervals."""
    tally, summary = _Tally(), ran.summary
    positions = summary.events + summary.rejected
    for each in ran.curves.intervals:
        if each.variant != variant or each.partition is None or each.loss is None:
            continue
        middle = each.position + summary.interval_records / 2
        right = each.labelled - round(each.loss * each.labelled)
        tally.add(middle / positions, right=right, total=each.labelled, after=each.number >= cuts[each.partition].number)
    return tally.quality(next(found.cpu_us for found in summary.variants if found.name == variant))


def _generation(decisions: list[Stored]) -> int:
    resets = [json.loads(record.value or b"{}") for record in decisions]
    return max((event["data"]["generation"] for event in resets if event["type"] == "io.streamretrain.model.reset.v1"), default=0)

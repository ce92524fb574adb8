"""One job: lanes over a partition and what they leave, against oracles that do it by hand."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from river import base, evaluate

from stream_retrain import Pipeline, Watch
from stream_retrain.backtesting.job import JobDone
from stream_retrain.backtesting.recording import Recording, RecordingLimits
from stream_retrain.backtesting.variants import Variant, built_in, controls_of
from stream_retrain.engines.replay.replay import replay
from stream_retrain.facts.shard import DriftDetected, DuelEnded, DuelStarted, LeadChanged, ModelReset, TrainingRequested
from stream_retrain.facts.values import Event, Learned, ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.shard import Shard
from stream_retrain.lane.step import DECISIONS
from tests.backtesting.support import Log, decisions_of, drifting, log_of, ran, retrains, trains
from tests.core import streams

CASES = streams.oracle_cases()
JOINS_AFTER = 150


def variant(pipeline: Pipeline, name: str = "own") -> Variant:
    return Variant(name=name, pipeline=pipeline)


def only(done: list[JobDone]) -> Recording:
    [[recording]] = [each.recordings for each in done]
    return recording


def records(log: Log, partition: int = 0) -> list[Record]:
    return [record for of, record in log.rows if of == partition]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("delay", [None, 37])
def test_quality_equals_progressive_val_score_to_the_last_digit(name: str, delay: int | None, tmp_path: Path) -> None:
    """On the same data as laws 1 and 2, by way of JSON, spool and pieces."""
    pipeline, pairs = CASES[name]
    pairs = pairs[:500]
    events = streams.events(pairs) if delay is None else streams.questions_and_answers(pairs, delay)
    recording = only(ran([variant(pipeline)], log_of(events), tmp_path, interval_records=61))
    for metric in pipeline.scores.metrics:
        scored = evaluate.progressive_val_score(pairs, pipeline.model.clone(), metric.clone(), delay=delay)
        assert recording.metrics[type(metric).__name__] == scored.get()
    assert recording.labelled == len(pairs)


def test_intervals_have_what_a_loop_by_hand_has(tmp_path: Path) -> None:
    """Loss, labels, events and times of each interval, with labels that come late."""
    pipeline = built_in("none", streams.pipeline())
    events = list(streams.questions_and_answers(streams.rows(300), 20))
    recording = only(ran([variant(pipeline)], log_of(events), tmp_path, interval_records=64))
    shard, rolling = Shard(pipeline), []
    learned: list[Learned] = []
    for event in events:
        learned += shard.process([event]).learned
        if (event.offset + 1) % 64 == 0 or event is events[-1]:
            rolling.append(shard.observe().rolling)
    for row, group in itertools.zip_longest(recording.intervals, itertools.groupby(events, key=lambda event: event.offset // 64)):
        number, members = group
        inside = list(members)
        labels = [each for each in learned if each.offset // 64 == number]
        assert (row.number, row.events, row.labelled) == (number, len(inside), len(labels))
        assert row.loss_sum == sum(each.y != each.y_pred for each in labels)
        assert (row.from_time_s, row.to_time_s) == (inside[0].time_s, inside[-1].time_s)
    assert [row.metrics for row in recording.intervals] == rolling


def test_of_a_regression_the_loss_is_the_mean_absolute_error(tmp_path: Path) -> None:
    pipeline, pairs = CASES["regression"]
    recording = only(ran([variant(pipeline)], log_of(streams.events(pairs)), tmp_path))
    total, labels = sum(row.loss_sum for row in recording.intervals), sum(row.losses for row in recording.intervals)
    assert total / labels == pytest.approx(recording.metrics["MAE"])


def test_decisions_are_those_of_a_lane_byte_by_byte(tmp_path: Path) -> None:
    """Without trainings: the lane alone, over the whole log in one piece; neither driver nor spool."""
    log, pipeline = drifting(1_600, 800), streams.pipeline()
    ran([variant(pipeline)], log, tmp_path)
    lane = Lane(ShardId("test", "events", 0), Shard(pipeline), EventDecoder.of(pipeline, record_bytes_max=1_000_000))
    step = lane.take(Records.of(records(log)))
    assert step is not None
    expected = [value for kind, _, _, value, _ in step.outputs if kind == DECISIONS]
    assert len(expected) >= 3
    assert (tmp_path / "own.0.jsonl").read_bytes().splitlines() == expected


class Angry(base.DriftDetector):
    """Fails now and then, with a text that is six times as long in JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.updates = 0

    def update(self, x: float) -> None:  # noqa: ARG002 - what it is makes no difference
        self.updates += 1
        if self.updates == 400:
            raise ValueError("\x01" * 5_000)


def test_a_decision_that_is_too_large_is_cut_as_a_worker_cuts_it(tmp_path: Path) -> None:
    """The outputs of a replay are a worker's, with the headers of its decisions, for which room is kept in both."""
    log, pipeline = drifting(900, 450), streams.pipeline(watch=[Watch("error", Angry())], react=())
    ran([variant(pipeline)], log, tmp_path)
    outputs = [output for _, step in replay(pipeline, records(log)) for output in step.outputs if output[0] == DECISIONS]
    assert len(outputs) == 2
    assert all(headers for *_, headers in outputs)
    logged = (tmp_path / "own.0.jsonl").read_bytes().splitlines()
    assert logged == [value for _, _, _, value, _ in outputs]
    reasons = [event["data"]["detail"] for event in decisions_of(tmp_path / "own.0.jsonl")]
    assert all(len(reason.encode()) <= 100 and reason.endswith("…") for reason in reasons)


@pytest.mark.parametrize("pipeline", [trains(), retrains()], ids=["challenge", "retrain"])
def test_decisions_with_trainings_are_those_of_a_replay(pipeline: Pipeline, tmp_path: Path) -> None:
    log = drifting(1_600, 800)
    recording = only(ran([variant(pipeline)], log, tmp_path))
    steps = replay(pipeline, records(log), joins_after_events=JOINS_AFTER)
    facts = [fact for _, step in steps for fact in step.facts]
    expected = [value for _, value in encode_decisions(ShardId("test", "events", 0), facts)]
    assert (tmp_path / "own.0.jsonl").read_bytes().splitlines() == expected
    counted = {
        "drifts": DriftDetected,
        "duels": DuelStarted,
        "trainings": TrainingRequested,
    }
    for name, kind in counted.items():
        assert getattr(recording, name) == sum(isinstance(fact, kind) for fact in facts) > 0
    assert recording.replacements == sum(isinstance(fact, LeadChanged | ModelReset) for fact in facts)


def test_each_variant_is_as_if_it_ran_alone(tmp_path: Path) -> None:
    log, own = drifting(1_200, 600), trains()
    variants = [
        variant(own),
        variant(built_in("reset", own), "reset"),
        variant(built_in("adaptive", own), "adaptive"),
        *controls_of(own).variants,
    ]
    [together] = ran(variants, log, tmp_path / "together")
    for each, recording in zip(variants, together.recordings, strict=True):
        alone = only(ran([each], log, tmp_path / each.name))
        assert unmeasured(alone) == unmeasured(recording)
        file = f"{each.name}.0.jsonl"
        assert (tmp_path / "together" / file).read_bytes() == (tmp_path / each.name / file).read_bytes()


def unmeasured(recording: Recording) -> dict[str, Any]:
    return {**dataclasses.asdict(recording), "cpu_s": None}


def test_variants_of_other_schemas_have_decoders_of_their_own(tmp_path: Path) -> None:
    """`wider` needs a field that no record has: it rejects them all, and the other none."""
    from stream_retrain import Schema

    narrow = streams.pipeline(watch=(), react=())
    wider = dataclasses.replace(narrow, schema=Schema(id="id", label="y", features={"a": float, "missing": float}))
    [done] = ran([variant(narrow), variant(wider, "wider")], drifting(200, 100), tmp_path)
    own, other = done.recordings
    assert (own.events, own.rejected) == (200, 0)
    assert (other.events, other.rejected) == (0, 200)
    assert other.first_rejected.startswith("partition 0, offset 0, schema: missing: ")


def test_records_that_are_none_are_rejected_and_counted(tmp_path: Path) -> None:
    log = drifting(300, 150)
    spoiled = [(of, record._replace(value=b'{"id": 7}') if record.offset % 10 == 3 else record) for of, record in log.rows]
    recording = only(ran([variant(streams.pipeline())], Log(spoiled), tmp_path))
    assert (recording.records, recording.events, recording.rejected, recording.labelled) == (300, 270, 30, 270)
    assert recording.first_rejected.startswith("partition 0, offset 3, ")


def test_a_later_label_changes_nothing_that_came_before_it(tmp_path: Path) -> None:
    pairs = streams.rows(1_200, flip_at=600)
    turned = [(x, y != (number >= 900)) for number, (x, y) in enumerate(pairs)]
    own = trains()
    variants = [variant(own), *controls_of(own).variants]
    [as_it_was] = ran(variants, log_of(streams.events(pairs)), tmp_path / "a")
    [changed] = ran(variants, log_of(streams.events(turned)), tmp_path / "b")
    for one, two in zip(as_it_was.recordings, changed.recordings, strict=True):
        assert one.intervals[:9] == two.intervals[:9]
        assert one.intervals[9:] != two.intervals[9:]
        assert [mark for mark in one.marks if mark.position < 900] == [mark for mark in two.marks if mark.position < 900]
    logs = [decisions_of(tmp_path / place / "own.0.jsonl") for place in "ab"]
    before = [[event for event in log if event["data"]["offset"] < 900] for log in logs]
    assert before[0] == before[1] != []


@pytest.mark.parametrize("interval_records", [25, 333, 10_000])
def test_how_intervals_are_cut_changes_no_decision(interval_records: int, tmp_path: Path) -> None:
    log, pipeline = drifting(1_200, 600), trains()
    whole = only(ran([variant(pipeline)], log, tmp_path / "whole", interval_records=100))
    cut = only(ran([variant(pipeline)], log, tmp_path / "cut", interval_records=interval_records))
    assert (tmp_path / "whole" / "own.0.jsonl").read_bytes() == (tmp_path / "cut" / "own.0.jsonl").read_bytes()
    assert (cut.metrics, cut.marks, cut.generations) == (whole.metrics, whole.marks, whole.generations)
    assert len(cut.intervals) == -(-1_200 // interval_records)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return only(ran([variant(trains())], drifting(1_600, 800), tmp_path_factory.mktemp("curves")))


@pytest.fixture(scope="module")
def facts() -> list[Any]:
    steps = replay(trains(), records(drifting(1_600, 800)), joins_after_events=JOINS_AFTER)
    return [fact for _, step in steps for fact in step.facts]


class TestCurves:
    def test_marks_say_what_the_facts_say_where_they_happened(self, recording: Recording, facts: list[Any]) -> None:
        told = {(fact.offset, fact.sentence) for fact in facts if hasattr(fact, "time_s")}
        assert {(mark.offset, mark.text) for mark in recording.marks} <= told
        kinds = {mark.kind for mark in recording.marks}
        assert {"drift", "duel_started", "lead_changed", "training_requested", "training_joined"} <= kinds
        assert [mark.position for mark in recording.marks] == sorted(mark.position for mark in recording.marks)

    def test_the_evidence_of_a_duel_begins_with_none_and_ends_with_its_last_standing(self, recording: Recording, facts: list[Any]) -> None:
        [started, *_] = [fact for fact in facts if isinstance(fact, DuelStarted)]
        [ended, *_] = [fact for fact in facts if isinstance(fact, DuelEnded) and fact.duel == started.duel]
        points = [point for point in recording.duel_points if point.duel == started.duel]
        assert {point.contestant for point in points if point.position == started.offset} == set(started.contestants[1:])
        assert all(point.e_value == 1 for point in points if point.position == started.offset)
        last = {point.contestant: point.e_value for point in points}
        for each in ended.standings:
            if each.name != ended.winner:
                assert last[each.name] == each.e_value
        assert len({point.position for point in points}) >= 4, "it was looked at meanwhile"
        assert {point.passes_at for point in points} > {None}
        changed = [fact for fact in facts if isinstance(fact, LeadChanged) and fact.duel == started.duel]
        [taker] = [each for each in changed[0].standings if each.name == changed[0].now]
        assert taker.e_value >= max(point.passes_at for point in points if point.passes_at and point.position <= changed[0].offset)

    def test_generations_follow_one_another(self, recording: Recording) -> None:
        spans = recording.generations
        assert [span.generation for span in spans] == list(range(len(spans)))
        assert (spans[0].from_position, spans[0].cause, spans[-1].until_position) == (0, "begin", None)
        assert all(before.until_position == after.from_position for before, after in itertools.pairwise(spans))
        assert recording.generation == len(spans) - 1 == recording.replacements

    def test_detectors_are_read_at_the_end_of_each_interval(self, recording: Recording) -> None:
        assert [(reading.number, reading.position) for reading in recording.readings] == [
            (number, number * 100 + 99) for number in range(16)
        ]
        assert {reading.signal for reading in recording.readings} == {"error"}
        assert any(reading.estimate for reading in recording.readings)


def test_positions_are_those_of_the_whole_source_and_intervals_are_the_same_for_all_partitions(tmp_path: Path) -> None:
    done = ran([variant(trains())], drifting(2_400, 1_200, partitions=2), tmp_path)
    for each in done:
        [recording] = each.recordings
        assert [row.number for row in recording.intervals] == list(range(24))
        assert all(row.events == 50 for row in recording.intervals)
        assert all(mark.position == 2 * mark.offset + recording.partition for mark in recording.marks)
        assert recording.marks
        subjects = {event["subject"] for event in decisions_of(tmp_path / f"own.{recording.partition}.jsonl")}
        assert subjects == {f"events/{recording.partition}"}


def test_what_a_recording_holds_is_bounded_and_what_was_thinned_is_said(tmp_path: Path) -> None:
    [_, blind] = controls_of(streams.pipeline()).variants
    limits = RecordingLimits(marks_max=4, duels_max=2, duel_points_max=3, generations_max=4)
    [done] = ran([blind, variant(trains())], drifting(1_600, 800), tmp_path, limits=limits)
    resets, own = done.recordings
    assert resets.replacements == 16
    assert [mark.offset for mark in resets.marks] == [99, 499, 899, 1_299]
    assert [span.generation for span in resets.generations] == [0, 8, 16]
    assert resets.generations[0].until_position == 99, "a span says how long it served, whatever was left out"
    assert resets.notes == ["of 16 marks of kind reset one in 4 is kept", "of 17 generations one in 8 is kept"]
    assert len(own.duel_points) <= 2 * 3 * 4


def test_told_to_stop_it_has_what_it_has_come_to(tmp_path: Path) -> None:
    own = trains()
    [done] = ran([variant(own), *controls_of(own).variants], drifting(1_600, 800), tmp_path, stop_after=7)
    for recording in done.recordings:
        assert (recording.stopped_in, recording.records, len(recording.intervals)) == (7, 700, 7)


def test_events_earlier_than_the_one_before_are_counted(tmp_path: Path) -> None:
    pairs = streams.rows(100)
    events = [Event(number, f"e{number}", float(number - 30 * (number % 10 == 9)), x, y) for number, (x, y) in enumerate(pairs)]
    recording = only(ran([variant(streams.pipeline())], log_of(events), tmp_path, interval_records=10))
    assert recording.out_of_order == 10
    assert recording.earlier_s_max == 29
    assert recording.events == 100


def test_events_earlier_than_any_one_before_are_counted_within_their_partition(tmp_path: Path) -> None:
    """One comes too early, and those after it are older than it, in one partition of two."""
    pairs = streams.rows(40)
    times = [float(number) if number != 11 else 30.0 for number in range(40)]
    events = [Event(number, f"e{number}", at, x, y) for number, ((x, y), at) in enumerate(zip(pairs, times, strict=True))]
    even, odd = (each.recordings[0] for each in ran([variant(streams.pipeline())], log_of(events, 2), tmp_path, interval_records=10))
    assert (even.out_of_order, even.earlier_s_max) == (0, 0)
    assert (odd.out_of_order, odd.earlier_s_max) == (9, 17), "those at 13 to 29"

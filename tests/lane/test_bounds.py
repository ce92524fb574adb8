"""Everything is bounded: outputs by their record, event time by the record's timestamp, classes and waiting questions by limits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from river import drift, dummy, tree

from stream_retrain import Every, Ignore, On, Pipeline, PipelineError, Schema, Shard, Watch
from stream_retrain.core.contest.inputs import Request
from stream_retrain.facts.shard import Decided, DriftDetected, Rejected, Unmatched
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.encoder import ADDED_BYTES_MAX
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import DEAD_LETTERS, PREDICTIONS, Step
from stream_retrain.models import QuickTree
from tests.core import streams
from tests.lane.support import of, restored

BYTES_MAX = 40_000
NOW_MS, DAY_S = 1_700_000_000_000, 86_400
FEATURES = {"a": float, "n": int | None, "s": str | None}


def lane_of(pipeline: Pipeline, bytes_max: int = BYTES_MAX) -> Lane:
    return Lane(ShardId(pipeline.name, "t", 0), Shard(pipeline), EventDecoder.of(pipeline, record_bytes_max=bytes_max))


def multiclass(**changes: Any) -> Pipeline:
    schema = Schema(id="id", time="t", time_unit="s", label="y", features=FEATURES)
    parts: dict[str, Any] = {"model": tree.HoeffdingTreeClassifier(), "react": [On(Every(events=1), Ignore())]}
    return Pipeline(name="p", task="multiclass", source="s", schema=schema, **{**parts, **changes})


def taken(lane: Lane, rows: list[dict[str, Any]], timestamp_ms: int = NOW_MS) -> Step:
    at = lane.next_offset
    records = [Record(at + number, None, json.dumps(row).encode(), timestamp_ms) for number, row in enumerate(rows)]
    step = lane.take(Records.of(records))
    assert step is not None
    return step


texts = st.text(max_size=40) | st.builds(lambda char, count: char * count, st.sampled_from('x"\x01ä€😀\udc80'), st.integers(0, 12_000))
numbers = st.integers() | st.floats() | st.builds(lambda exponent: 10**exponent, st.integers(0, 4_000)) | st.just(1e308)
values = texts | numbers | st.none() | st.booleans() | st.lists(texts, max_size=2)
objects = st.dictionaries(st.sampled_from(["id", "t", "y", "a", "n", "s"]) | texts, values, max_size=7).map(
    lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")
)
GOOD = {"id": "e", "t": 1.7e9, "a": 1.0}
keys = st.none() | st.binary(max_size=50) | st.integers(0, BYTES_MAX + 10).map(lambda size: b"k" * size)
records = st.tuples(keys, st.none() | st.binary(max_size=50) | objects, st.sampled_from([-1, 0, NOW_MS, (1 << 63) - 1]))


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.lists(records, min_size=1, max_size=12), st.text(max_size=30) | st.just("r" * 100_000))
@example([(b"k" * 39_000, json.dumps({**GOOD, "id": "\x01" * 150}).encode(), NOW_MS)], "\udc80" * 50_000)
@example([(b"k", json.dumps({**GOOD, "y": "\x01" * 1_000}).encode(), NOW_MS)] * 3, "r")
@example([(b"k" * 39_900, json.dumps({**GOOD, "y": "x"}).encode(), NOW_MS)] * 2, '"' * 50_000)
@example([(b"k", json.dumps({**GOOD, "a": "x" * 30_000}).encode(), NOW_MS), (b"k" * 45_000, b"", NOW_MS)], "r")
def test_no_record_makes_an_output_much_larger_than_it_may_be_and_nothing_raises(given_: list[Any], reason: str) -> None:
    rules = [On(Every(events=1), Ignore()), On.request(Ignore())]
    pipeline = multiclass(react=rules, watch=[Watch("error", drift.ADWIN()), Watch("feature:n", drift.PageHinkley())])
    lane = lane_of(pipeline)
    lane.receive(Request(reason=reason))
    step = lane.take(Records.of(Record(offset, key, value, at) for offset, (key, value, at) in enumerate(given_)))
    assert step is not None
    assert len(step.predicted) + sum(isinstance(fact, Rejected) for fact in step.facts) <= len(given_)
    for _, _, key, value, headers in step.outputs:
        size = len(key or b"") + len(value or b"")
        size += sum(len(name) + len(held or b"") for name, held in headers or ())
        assert size <= BYTES_MAX + ADDED_BYTES_MAX
    restored(pipeline, lane.shard)


def refusals(step: Step) -> list[tuple[str, str | None]]:
    return [(fact.reason, fact.field) for fact in of(Rejected, step.facts)]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({**GOOD, "id": "x" * 1_001}, "id"),
        ({**GOOD, "id": 10**1_001}, "id"),
        ({**GOOD, "y": "x" * 1_001}, "y"),
        ({**GOOD, "y": 1 << 63}, "y"),
        ({**GOOD, "n": 1 << 63}, "n"),
    ],
    ids=["id", "id of digits", "label", "label that is a large integer", "feature that is a large integer"],
)
def test_what_is_too_large_to_be_echoed_is_refused_by_its_name(row: dict[str, Any], field: str) -> None:
    assert refusals(taken(lane_of(multiclass()), [row])) == [("schema", field)]


def test_key_and_value_are_counted_together_and_the_letter_of_what_is_too_large_has_neither() -> None:
    value = json.dumps(GOOD).encode()
    lane = lane_of(multiclass(), bytes_max=len(value) + 5_000)
    step = lane.take(Records.of([Record(0, b"k" * 5_000, value, NOW_MS), Record(1, b"k" * 5_001, value, NOW_MS)]))
    assert step is not None
    [letter] = [output for output in step.outputs if output[0] == DEAD_LETTERS]
    assert letter[2:4] == (None, None)
    assert dict(letter[4] or ())["sr_reason"] == b"too_large"
    assert [output[2] for output in step.outputs if output[0] == PREDICTIONS] == [b"k" * 5_000]


class TestTime:
    @pytest.mark.parametrize(
        ("ahead_max_s", "timestamp_ms", "time_s", "taken_"),
        [
            (DAY_S, NOW_MS, NOW_MS / 1000 + DAY_S, True),
            (DAY_S, NOW_MS, NOW_MS / 1000 + DAY_S + 1, False),
            (DAY_S, NOW_MS, 0.0, True),
            (DAY_S, NOW_MS, -6.2e10, True),
            (60.0, NOW_MS, NOW_MS / 1000 + 61, False),
            (None, NOW_MS, 4e9, True),
            (DAY_S, -1, 4e9, True),
            (None, NOW_MS, 2.6e11, False),
            (None, NOW_MS, -6.3e10, False),
            (DAY_S, -1, NOW_MS, False),
            (DAY_S, NOW_MS, NOW_MS, False),
        ],
    )
    def test_is_bounded_by_the_records_timestamp_and_the_calendar(
        self, ahead_max_s: float | None, timestamp_ms: int, time_s: float, taken_: bool
    ) -> None:
        step = taken(lane_of(multiclass(time_ahead_max_s=ahead_max_s)), [{**GOOD, "t": time_s}], timestamp_ms)
        assert refusals(step) == ([] if taken_ else [("schema", "t")])

    def test_milliseconds_declared_as_seconds_are_told_with_the_remedy(self) -> None:
        [fact] = of(Rejected, taken(lane_of(multiclass()), [{**GOOD, "t": NOW_MS}]).facts)
        assert 'declare time_unit="ms"' in fact.detail

    def test_an_event_of_the_future_spoils_itself_only(self) -> None:
        pipeline = multiclass(pending_age_max_s=3_600.0)

        def learned(bad: bool) -> int:
            rows: list[dict[str, Any]] = []
            for number in range(300):
                rows.append({"id": f"q{number}", "t": 1_700_000_000 + 10 * number, "a": 1.0})
                if bad and number == 100:
                    rows.append({"id": "bad", "t": 4_070_908_800, "a": 0.0, "y": "x"})
                if number >= 5:
                    rows.append({"id": f"q{number - 5}", "t": 1_700_000_000 + 10 * number, "y": "x"})
            return len(taken(lane_of(pipeline), rows).learned)

        assert learned(bad=True) == learned(bad=False) == 295

    def test_where_the_record_alone_gives_it_the_calendar_bounds_it(self) -> None:
        schema = Schema(label="y", features={"a": float})
        lane = lane_of(Pipeline(name="p", task="binary", source="s", schema=schema, model=tree.HoeffdingTreeClassifier()))
        assert refusals(taken(lane, [{"a": 1.0}], (1 << 63) - 1)) == [("schema", None)]
        assert refusals(taken(lane, [{"a": 1.0}], -1)) == []


class TestClasses:
    @pytest.mark.parametrize("model", [tree.HoeffdingTreeClassifier(), QuickTree()], ids=str)
    def test_the_first_label_fixes_their_type(self, model: Any) -> None:
        rows = [{**GOOD, "id": str(n), "a": float(n % 3), "y": "123"[n % 3]} for n in range(100)]
        rows[50]["y"] = 3
        pipeline = multiclass(model=model)
        lane = lane_of(pipeline)
        step = taken(lane, rows)
        [fact] = of(Rejected, step.facts)
        assert (fact.offset, fact.reason, fact.field) == (50, "schema", "y")
        assert fact.detail == "the label is an integer, and those before were texts"
        again = Shard(pipeline)
        batch = EventDecoder.of(pipeline, record_bytes_max=BYTES_MAX).decode_batch(
            Records.of(Record(n, None, json.dumps(row).encode(), NOW_MS) for n, row in enumerate(rows))
        )
        for event in batch.events:
            again.process([event])
            again = restored(pipeline, again)
        assert again.digest() == lane.digest()

    def test_there_are_classes_max(self) -> None:
        lane = lane_of(multiclass(classes_max=3))
        step = taken(lane, [{**GOOD, "id": str(n), "y": f"c{n % 5}"} for n in range(10)])
        assert [fact.offset for fact in of(Rejected, step.facts)] == [3, 4, 8, 9]
        assert len(step.learned) == 6


class TestWaitingQuestions:
    def test_are_bounded_in_bytes_and_the_oldest_expire(self) -> None:
        pipeline = multiclass(model=dummy.NoChangeClassifier(), pending_bytes_max=100_000)
        lane = lane_of(pipeline)
        step = taken(lane, [{**GOOD, "id": str(n), "s": "x" * 9_500} for n in range(25)])
        gone = of(Unmatched, step.facts)
        assert {fact.reason for fact in gone} == {"expired_bytes"}
        assert [fact.id for fact in gone] == [str(n) for n in range(15)]
        assert lane.shard.waiting == 10
        step = taken(lane, [{"id": "20", "t": 1.7e9, "y": "a"}, {**GOOD, "id": "more", "s": "x" * 9_000}])
        assert of(Unmatched, step.facts) == [], "an answer makes room"
        assert restored(pipeline, lane.shard).digest() == lane.digest()

    def test_without_texts_by_their_number(self) -> None:
        pipeline = streams.pipeline(pending_bytes_max=480 * 10)
        shard = Shard(pipeline)
        facts = shard.process(event._replace(y=None) for event in streams.events(streams.rows(12))).facts
        assert [(fact.id, fact.reason) for fact in of(Unmatched, facts)] == [("e0", "expired_bytes"), ("e1", "expired_bytes")]
        assert shard.waiting == 10


def test_a_watch_on_a_feature_sees_questions_and_the_rules_are_asked_at_the_next_label() -> None:
    pipeline = streams.pipeline(watch=[Watch("feature:a", drift.ADWIN())], react=[On.drift("feature:a", Ignore())])
    log = [event._replace(y=None) for event in streams.events(streams.rows(800))]
    log = [event if event.offset < 400 else event._replace(x={**(event.x or {}), "a": 8.0}) for event in log]
    shard = Shard(pipeline)
    facts = shard.process(log).facts
    assert len(of(DriftDetected, facts)) >= 1
    assert all(fact.offset > 400 for fact in of(DriftDetected, facts))
    assert of(Decided, facts) == []
    shard = restored(pipeline, shard)
    answers = [log[700]._replace(offset=offset, x=None, y=True, id=f"e{offset - 300}") for offset in (1_000, 1_001)]
    assert [fact.offset for fact in of(Decided, shard.process(answers).facts)] == [1_000]


@pytest.mark.parametrize("limit", [{"pending_bytes_max": 0}, {"classes_max": 1}, {"time_ahead_max_s": 0.0}, {"time_ahead_max_s": "day"}])
def test_a_limit_that_is_none_is_a_fault(limit: dict[str, Any]) -> None:
    with pytest.raises(PipelineError, match=next(iter(limit))):
        streams.pipeline(**limit)

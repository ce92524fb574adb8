"""Labels that come late by simulation: as River simulates it, to the last digit, and every one of them by the end."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import evaluate

from stream_retrain import Pipeline
from stream_retrain.backtesting import delayed as delayed_module
from stream_retrain.backtesting.label_delay import LabelDelay, parse_label_delay
from stream_retrain.engines.replay.replay import replay
from stream_retrain.errors import SettingsError
from stream_retrain.facts.shard import Unmatched
from stream_retrain.lane.batch import Record
from tests.backtesting.source_support import BEGIN_MS, PIPELINE, SCHEMA, events, opened, read, rows, values
from tests.core import streams

QUIET = dataclasses.replace(PIPELINE, watch=(), react=())
ROWS = rows(600)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("events=100", {"events": 100}),
        ("seconds=0.5", {"seconds": 0.5}),
        (" seconds = 3600 ", {"seconds": 3600.0}),
        ("field=labelled_at", {"field": "labelled_at"}),
        ("seconds_field=wait_s", {"seconds_field": "wait_s"}),
        ("exponential:mean_s=3600", {"mean_s": 3600.0, "seed": 0}),
        ("exponential:seed=7,mean_s=3600", {"mean_s": 3600.0, "seed": 7}),
        ("uniform:min_s=0,max_s=60,seed=1", {"min_s": 0.0, "max_s": 60.0, "seed": 1}),
        ("lognormal:median_s=3600,sigma=1.5", {"median_s": 3600.0, "sigma": 1.5, "seed": 0}),
    ],
)
def test_a_delay_is_read_and_written_in_full(text: str, values: dict[str, object]) -> None:
    delay = parse_label_delay(text)
    assert dict(delay.values) == values
    assert parse_label_delay(str(delay)) == delay


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["use events=100, seconds=3600, field=NAME, seconds_field=NAME, exponential:mean_s=3600,seed=7, uniform:"]),
        ("3600", ["use events=100"]),
        ("event=3", ["did you mean events?"]),
        ("exponential=3600", ["use events=100"]),
        ("seconds:seconds=3", ["use events=100"]),
        ("events=0", ["events is '0'; use a whole number above 0"]),
        ("events=1.5", ["events is '1.5'; use a whole number above 0"]),
        ("seconds=0", ["seconds is '0'; use a number above 0"]),
        ("seconds=nan", ["seconds is 'nan'; use a number above 0"]),
        ("seconds=5,field=x", ["there is no 'field'; there is seconds"]),
        ("field=", ["'field=' is no name=value", "field is missing"]),
        ("exponential:mean=5,mean_s=-1,seed=x,seed=2", ["there is no 'mean'", "'seed' is there twice", "mean_s is '-1'", "seed is 'x'"]),
        ("uniform:min_s=5,max_s=5", ["min_s must be below max_s"]),
        ("lognormal:sigma=0", ["sigma is '0'; use a number above 0", "median_s is missing"]),
    ],
)
def test_every_fault_of_a_delay_is_named(text: str, faults: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_label_delay(text)
    assert all(fault in str(caught.value) for fault in faults), str(caught.value)


def running(pipeline: Pipeline, given: list[dict[str, Any]], labels: str | None) -> dict[str, float]:
    """The metrics of a replay of the source."""
    steps = replay(pipeline, (record for _, record in read(iter(given), pipeline, labels=labels)), outputs=False)
    [*_, (lane, _)] = steps
    return dict(lane.shard.observe().running)


def by_river(pipeline: Pipeline, given: list[dict[str, Any]], moment: Any, delay: Any) -> dict[str, float]:
    """The same metrics by River. `moment` and `delay` are of a row."""
    schema = pipeline.schema
    xs = [{name: row[name] for name in schema.features if row.get(name) is not None} for row in given]
    pairs = [(x, row[schema.label]) for x, row in zip(xs, given, strict=True)]
    found = {}
    for metric in pipeline.scores.metrics:
        moments, delays = iter(given), iter(given)
        options = {
            "moment": moment and (lambda _, moments=moments: moment(next(moments))),
            "delay": (lambda _, __, delays=delays: delay(next(delays))) if callable(delay) else delay,
        }
        found[type(metric).__name__] = evaluate.progressive_val_score(pairs, pipeline.model.clone(), metric.clone(), **options).get()
    return found


def time_of(row: dict[str, Any]) -> float:
    return dt.datetime.fromisoformat(row["at"]).timestamp()


@pytest.mark.parametrize("events", [1, 2, 37, 599, 600, 10_000])
def test_a_delay_in_events_scores_as_river_to_the_last_digit(events: int) -> None:
    assert running(QUIET, ROWS, f"events={events}") == by_river(QUIET, ROWS, None, events)


@pytest.mark.parametrize("name", streams.oracle_cases())
def test_a_delay_in_events_scores_as_river_for_every_task(name: str) -> None:
    pipeline, pairs = streams.oracle_cases()[name]
    given = [{"id": f"e{number}", **x, "y": y} for number, (x, y) in enumerate(pairs)]
    assert running(pipeline, given, "events=37") == by_river(pipeline, given, None, 37)


@pytest.mark.parametrize("seconds", [0.001, 60, 3_600, 5_000.5, 10**9])
def test_a_delay_in_seconds_scores_as_river_to_the_last_digit(seconds: float) -> None:
    assert running(QUIET, ROWS, f"seconds={seconds}") == by_river(QUIET, ROWS, time_of, float(seconds))


def test_a_delay_in_a_field_scores_as_river_to_the_last_digit() -> None:
    rng = random.Random(3)
    waits = [rng.choice([0.0, 1.0, 59.0, 60.0, 7_200.0, rng.expovariate(1 / 900)]) for _ in ROWS]
    given = [{**row, "wait_s": wait_s} for row, wait_s in zip(ROWS, waits, strict=True)]
    expected = by_river(QUIET, given, time_of, lambda row: row["wait_s"])
    assert running(QUIET, given, "seconds_field=wait_s") == expected
    written = [{**row, "until": dt.datetime.fromtimestamp(time_of(row) + row["wait_s"], dt.UTC).isoformat()} for row in given]
    assert running(QUIET, written, "field=until") == expected


@pytest.mark.parametrize(
    ("text", "draw"),
    [
        ("exponential:mean_s=900,seed=7", lambda rng: rng.exponential(900.0)),
        ("uniform:min_s=10,max_s=9000,seed=7", lambda rng: rng.uniform(10.0, 9_000.0)),
        ("lognormal:median_s=600,sigma=1.5,seed=7", lambda rng: rng.lognormal(np.log(600.0), 1.5)),
    ],
)
def test_a_drawn_delay_is_a_function_of_the_seed(text: str, draw: Callable[[np.random.Generator], float]) -> None:
    rng = np.random.default_rng([7, 0])
    assert running(QUIET, ROWS, text) == by_river(QUIET, ROWS, time_of, lambda _: draw(rng))
    assert read(iter(ROWS), labels=text) == read(iter(ROWS), labels=text)
    assert read(iter(ROWS), labels=text) != read(iter(ROWS), labels=text.replace("seed=7", "seed=8"))


def test_a_partition_s_delays_do_not_depend_on_the_others() -> None:
    options: dict[str, Any] = {"partition_by": "shop", "partitions": 3, "labels": "exponential:mean_s=900"}
    together = read(iter(ROWS), **options)
    shops = {row["shop"] for row in ROWS}
    alone = [item for shop in shops for item in read([row for row in ROWS if row["shop"] == shop], **options)]
    for partition in {partition for partition, _ in together}:
        assert [record for at, record in together if at == partition] == [record for at, record in alone if at == partition]


def test_a_question_has_no_label_and_its_answer_has_id_time_and_label() -> None:
    [first, second, *_] = ROWS
    found = read([first, second], labels="seconds=30", partition_by="shop", partitions=1)
    question, answer, *_ = values(found)
    assert question == {name: value for name, value in first.items() if name != "y"}
    assert answer == {"id": "e0", "at": "2026-01-01T00:00:30Z", "y": first["y"]}
    assert [record.offset for _, record in found] == [0, 1, 2, 3]
    assert [record.timestamp_ms - BEGIN_MS for _, record in found] == [0, 30_000, 60_000, 90_000]
    assert found[1][1].key == found[0][1].key == first["shop"].encode()


@pytest.mark.parametrize(("unit", "answer"), [("s", 1_767_225_630.0), ("ms", 1_767_225_630_000.0)])
def test_the_time_of_an_answer_is_written_as_the_schema_writes_times(unit: Any, answer: float) -> None:
    pipeline = dataclasses.replace(QUIET, schema=dataclasses.replace(SCHEMA, time_unit=unit))
    [_, found] = values(read([{**ROWS[0], "at": answer - 30 * (1 if unit == "s" else 1000)}], pipeline, labels="seconds=30"))
    assert found["at"] == answer


def test_without_a_time_in_the_schema_the_record_has_it() -> None:
    pipeline = dataclasses.replace(QUIET, schema=dataclasses.replace(SCHEMA, time=None))
    found = read(ROWS[:3], pipeline, labels="seconds=1.5")
    assert ["asked" if "a" in value else "answered" for value in values(found)] == [
        "asked",
        "asked",
        "answered",
        "asked",
        *2 * ["answered"],
    ]
    assert [record.timestamp_ms for _, record in found] == [0, 1_000, 1_500, 2_000, 2_500, 3_500]


def test_what_is_no_labelled_event_stays_as_it_is() -> None:
    question = {name: value for name, value in ROWS[1].items() if name != "y"}
    answer, odd = {"id": "e1", "at": ROWS[2]["at"], "y": True}, {**ROWS[3], "a": "text"}
    given = [ROWS[0], question, answer, odd, ROWS[4]]
    found = values(read(given, labels="events=2"))
    assert found[1:4] == [question, answer, odd]
    assert [value["id"] for value in found] == ["e0", "e1", "e1", "e3", "e0", "e4", "e4"]


def test_numbers_and_texts_keep_their_digits() -> None:
    row = {**ROWS[0], "id": 2**63 - 1, "a": 0.1 + 0.2, "extra": 2**70, "y": True}
    [plain] = read([row])
    question, answer = (record.value or b"" for _, record in read([row], labels="events=1"))
    assert question == (plain[1].value or b"").replace(b'"y":true,', b"")
    assert json.loads(answer)["id"] == 2**63 - 1


def test_labels_that_do_not_say_when_they_came_come_at_the_end_and_are_counted() -> None:
    waits = [30, None, "soon", -10, 40, 10**15]
    given = [{**row, "wait_s": wait_s} for row, wait_s in zip(ROWS, waits, strict=False)]
    source = opened(given, labels="seconds_field=wait_s")
    found = values(source.records())
    assert [(value["id"], "y" in value) for value in found] == [
        *[("e0", False), ("e0", True), ("e1", False), ("e2", False), ("e3", False), ("e3", True), ("e4", False), ("e4", True)],
        *[("e5", False), ("e1", True), ("e2", True), ("e5", True)],
    ]
    assert source.notes == [
        "labels come later by simulation: seconds_field=wait_s",
        "labels whose 'wait_s' does not say when they came, which come at the end: 2",
        "labels whose 'wait_s' is before their question, which come directly behind it: 1",
    ]
    assert found[5]["at"] == "2026-01-01T00:03:00Z"


def test_the_field_of_the_delay_must_be_there() -> None:
    with pytest.raises(SettingsError, match=r"have no field 'wait_s' \(for the label delay\)"):
        read(ROWS, labels="seconds_field=wait_s")


def test_a_delay_needs_an_id() -> None:
    pipeline = dataclasses.replace(QUIET, schema=dataclasses.replace(SCHEMA, id=None))
    with pytest.raises(SettingsError, match="a label delay needs an id in the schema"):
        opened(ROWS, pipeline, labels="events=1")


def test_a_given_delay_may_be_a_value_too() -> None:
    assert read(ROWS, labels=LabelDelay("events", (("events", 3),))) == read(ROWS, labels="events=3")


@pytest.mark.parametrize("labels", ["events=200", "seconds=12000", "seconds=1000000000", "exponential:mean_s=9000"])
def test_what_waits_is_bounded_as_in_a_shard(monkeypatch: pytest.MonkeyPatch, labels: str) -> None:
    monkeypatch.setattr(delayed_module, "STALE_MAX", 10)
    small = dataclasses.replace(QUIET, pending_rows_max=100)
    source = opened(ROWS, small, labels=labels)
    most = 0
    found = []
    for item in source.records():
        found.append(item[1])
        [waiting] = source._waiting.values()  # type: ignore[attr-defined]
        most = max(most, len(waiting._answers), len(waiting._order) - 110)
    assert most <= 100
    large = [record for _, record in read(ROWS, dataclasses.replace(QUIET, pending_rows_max=10_000), labels=labels)]
    left_out = len(large) - len(found)
    assert left_out > 0
    assert source.notes[-1] == (
        f"labels left out, because more questions waited than pending_rows_max = 100 lets wait: {left_out:,}"
    )  # fmt: skip
    assert learned(small, found) == learned(small, large)
    assert unmatched(small, found, "no_question") == 0
    assert unmatched(small, large, "late") == left_out == unmatched(small, found, "expired_rows")


def learned(pipeline: Pipeline, records: list[Record]) -> list[tuple[float, Any]]:
    return [row[1:] for _, step in replay(pipeline, records, outputs=False) for row in step.learned]


def unmatched(pipeline: Pipeline, records: list[Record], reason: str) -> int:
    facts = (fact for _, step in replay(pipeline, records, outputs=False) for fact in step.facts)
    return sum(isinstance(fact, Unmatched) and fact.reason == reason for fact in facts)


DELAYS = st.one_of(
    st.integers(1, 40).map(lambda events: f"events={events}"),
    st.floats(0.001, 5_000).map(lambda seconds: f"seconds={seconds}"),
    st.just("seconds_field=wait_s"),
    st.floats(0.1, 3_000).map(lambda mean_s: f"exponential:mean_s={mean_s}"),
    st.floats(0.1, 3_000).map(lambda median_s: f"lognormal:median_s={median_s},sigma=2"),
)


@given(
    st.lists(st.tuples(st.integers(0, 900), st.sampled_from("ABC"), st.one_of(st.none(), st.floats(-9, 900))), min_size=1, max_size=40),
    DELAYS,
)
@settings(max_examples=120, deadline=None)
def test_whatever_the_times_every_label_comes_once_and_behind_its_question(drawn: list[tuple[int, str, float | None]], labels: str) -> None:
    def given() -> Iterator[dict[str, Any]]:
        for number, (second, shop, wait_s) in enumerate(drawn):
            at = dt.datetime.fromtimestamp(BEGIN_MS / 1000 + second, dt.UTC).isoformat()
            yield {"id": f"e{number}", "at": at, "shop": shop, "a": 1.0, "y": number % 2 == 0, "wait_s": wait_s}

    found = read(given(), labels=labels, partition_by="shop", partitions=2)
    accepted, rejected = events(found)
    assert rejected == 0
    where = {(event.id, event.x is None): (index, found[index][0]) for index, event in enumerate(accepted)}
    assert len(where) == len(accepted) == 2 * len(drawn)
    for number in range(len(drawn)):
        (asked, asked_in), (answered, answered_in) = where[f"e{number}", False], where[f"e{number}", True]
        assert asked < answered
        assert asked_in == answered_in
    assert [event.id for event in accepted if event.x] == [f"e{number}" for number in range(len(drawn))]
    assert all(event.y == (int(event.id[1:]) % 2 == 0) for event in accepted if event.x is None)

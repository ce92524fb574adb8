"""What becomes of each label, without Kafka: transactions are plans, and a crash is another router from what was committed."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model

from stream_retrain import Labels, Pipeline, Schema
from stream_retrain.engines.kafka.relay.index import BYTES_A_QUESTION, QuestionIndex
from stream_retrain.engines.kafka.relay.router import ANSWERS, WAITING, Plan, Router
from stream_retrain.engines.kafka.relay.waiting import held_of
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.event_id import text_of_id
from stream_retrain.lane.formats.partitioner import Partitioner
from stream_retrain.lane.step import DEAD_LETTERS

NOW_MS = 1_700_000_000_000
PARTITIONS = 3
BYTES_MAX = 10_000
SCHEMA = Schema(id="id", time="at", time_unit="s", label="late", features={"a": float})


def pipeline(labels: Labels | None = None, schema: Schema = SCHEMA) -> Pipeline:
    declared = labels or Labels(topic="labels")
    return Pipeline(name="p", task="binary", source="s", schema=schema, model=linear_model.LogisticRegression(), labels=declared)


def router(labels: Labels | None = None, schema: Schema = SCHEMA, *partitions: int) -> Router:
    made = Router(pipeline(labels, schema), PARTITIONS, record_bytes_max=BYTES_MAX, partitioner="murmur2")
    for partition in partitions or (0,):
        made.open(partition, 0, [])
    return made


def records(*rows: Any, key: bytes | None = None, offset: int = 0) -> Records:
    values = [row if isinstance(row, bytes | None) else json.dumps(row).encode() for row in rows]
    return Records.of(Record(offset + number, key, value, NOW_MS) for number, value in enumerate(values))


def answers(plan: Plan) -> list[tuple[int, dict[str, Any]]]:
    return [(partition, json.loads(value or b"")) for kind, partition, _, value, _ in plan.outputs if kind == ANSWERS]


def letters(plan: Plan) -> list[tuple[str, str]]:
    told = [dict(headers) for kind, _, _, _, headers in plan.outputs if kind == DEAD_LETTERS]
    return [((each["sr_reason"] or b"").decode(), (each["sr_field"] or b"").decode()) for each in told]  # type: ignore[union-attr]


class TestAnAnswer:
    def test_has_the_fields_of_the_source_and_says_where_it_came_from(self) -> None:
        relay = router(Labels(topic="labels", id="order", label="was_late", time="seen"), SCHEMA, 2)
        relay.asked("7", 1, NOW_MS)
        relay.take(2, records({"order": 7, "was_late": True, "seen": 5.5, "other": [1]}, key=b"k", offset=40), NOW_MS)
        plan = relay.plan()
        [(kind, partition, key, value, headers)] = plan.outputs
        assert (kind, partition, key) == (ANSWERS, 1, None)
        assert json.loads(value or b"") == {"id": 7, "at": 5.5, "late": True}
        origin = [("sr_label_topic", b"labels"), ("sr_label_partition", b"2"), ("sr_label_offset", b"40")]
        assert headers == origin
        assert (plan.relayed, plan.offsets) == (1, {2: 41})

    def test_has_the_time_of_its_record_where_it_says_none(self) -> None:
        relay = router()
        relay.asked("e", 0, NOW_MS)
        relay.take(0, records({"id": "e", "late": 0}, {"id": "e", "late": 0, "at": None}), NOW_MS)
        plan = relay.plan()
        assert [value["at"] for _, value in answers(plan)] == [NOW_MS / 1000] * 2
        assert plan.timestamps_ms == [0, 0], "they are records of now"

    def test_stands_where_the_schema_has_it_and_is_read_where_the_label_has_it(self) -> None:
        schema = Schema(id="order.id", time="order.at", time_unit="s", label="outcome.late", positive="yes", features={"a": float})
        relay = router(Labels(topic="labels", id="of.0", label="told.late", time="told.at"), schema)
        relay.asked("7", 1, NOW_MS)
        relay.take(0, records({"of": [7, 8], "told": {"late": "yes", "at": 3}}, {"of": [], "told": {"late": "no"}}), NOW_MS)
        plan = relay.plan()
        assert answers(plan) == [(1, {"order": {"id": 7, "at": 3}, "outcome": {"late": "yes"}})]
        assert letters(plan) == [("schema", "of.0")]

    def test_whose_label_is_an_empty_text_is_none(self) -> None:
        relay = router(None, dataclasses.replace(SCHEMA, positive="yes"))
        relay.take(0, records({"id": "e", "late": ""}), NOW_MS)
        assert letters(relay.plan()) == [("schema", "late")]

    @pytest.mark.parametrize("id_", [7, "7", 7.5, True])
    def test_finds_its_question_by_the_text_of_its_id(self, id_: Any) -> None:
        relay = router()
        relay.asked(text_of_id(id_), 2, NOW_MS)
        relay.take(0, records({"id": id_, "late": True}), NOW_MS)
        assert answers(relay.plan()) == [(2, {"id": id_, "late": True, "at": NOW_MS / 1000})]

    def test_has_no_time_where_the_source_has_none(self) -> None:
        relay = router(schema=Schema(id="id", label="late", features={"a": float}))
        relay.asked("e", 0, NOW_MS)
        relay.take(0, records({"id": "e", "late": 1}), NOW_MS)
        plan = relay.plan()
        assert answers(plan) == [(0, {"id": "e", "late": 1})]
        assert plan.timestamps_ms == [NOW_MS], "the answer's time is its record's"


@pytest.mark.parametrize(
    ("row", "reason", "field"),
    [
        (None, "empty", ""),
        (b"x" * (BYTES_MAX + 1), "too_large", ""),
        (b"no json", "decode", ""),
        ([1], "decode", ""),
        ({"late": True}, "schema", "id"),
        ({"id": None, "late": True}, "schema", "id"),
        ({"id": "e"}, "schema", "late"),
        ({"id": "e", "late": None}, "schema", "late"),
        ({"id": "e", "late": "perhaps"}, "schema", "late"),
        ({"id": "x" * 1_001, "late": True}, "schema", "id"),
        ({"id": "e", "late": True, "at": "monday"}, "schema", "at"),
        ({"id": "e", "late": True, "at": NOW_MS}, "schema", "at"),
    ],
)
def test_a_record_that_is_no_label_is_a_dead_letter_of_the_labels_topic(row: Any, reason: str, field: str) -> None:
    relay = router(None, SCHEMA, 1)
    relay.take(1, records(row, key=b"k", offset=9), NOW_MS)
    plan = relay.plan()
    assert letters(plan) == [(reason, field)]
    [(_, partition, key, value, headers)] = plan.outputs
    told = dict(headers)
    assert (told["sr_topic"], told["sr_partition"], told["sr_offset"]) == (b"labels", b"1", b"9")
    assert (partition, key) == (1, b"k")
    assert value == (None if reason in ("empty", "too_large") else row if isinstance(row, bytes) else json.dumps(row).encode())
    assert (plan.offsets, dict(plan.rejected)) == ({1: 10}, {reason: 1})


class TestRoutes:
    def test_by_partition_is_the_same_number(self) -> None:
        relay = router(Labels(topic="labels", route="partition"), SCHEMA, 2)
        relay.take(2, records({"id": "e", "late": True}), NOW_MS)
        assert [partition for partition, _ in answers(relay.plan())] == [2]

    @pytest.mark.parametrize("field", [None, "shop"])
    def test_by_key_is_what_a_producer_would_choose(self, field: str | None) -> None:
        relay = router(Labels(topic="labels", route="key", key=field))
        for number in range(20):
            given = records(
                {"id": "e", "late": True, "shop": number}, key=str(number).encode() if field is None else b"other", offset=number
            )
            relay.take(0, given, NOW_MS)
        plan = relay.plan()
        dealt = Partitioner(PARTITIONS, "murmur2")
        assert [(partition, key) for _, partition, key, _, _ in plan.outputs] == [
            (dealt(str(number).encode()), str(number).encode()) for number in range(20)
        ]

    @pytest.mark.parametrize(("field", "named"), [(None, ""), ("shop", "shop")])
    def test_by_a_key_that_is_not_there_is_a_dead_letter(self, field: str | None, named: str) -> None:
        relay = router(Labels(topic="labels", route="key", key=field))
        relay.take(0, records({"id": "e", "late": True}), NOW_MS)
        assert letters(relay.plan()) == [("schema", named)]

    def test_by_id_goes_where_the_question_was_asked_last(self) -> None:
        relay = router()
        relay.asked("e", 0, NOW_MS)
        relay.asked("e", 2, NOW_MS)
        relay.take(0, records({"id": "e", "late": True}), NOW_MS)
        assert [partition for partition, _ in answers(relay.plan())] == [2]


class TestWaiting:
    def test_a_label_waits_until_its_question_is_asked(self) -> None:
        relay = router()
        relay.take(0, records({"id": "e", "late": True}, {"id": "f", "late": True}, {"id": "e", "late": False}), NOW_MS)
        first = relay.plan()
        assert [(kind, key) for kind, _, key, _, _ in first.outputs] == [(WAITING, b"0"), (WAITING, b"1"), (WAITING, b"2")]
        assert relay.waiting == 3
        relay.asked("e", 1, NOW_MS)
        plan = relay.plan()
        assert [value["late"] for _, value in answers(plan)] == [True, False], "in the order in which they came"
        assert [(key, value) for kind, _, key, value, _ in plan.outputs if kind == WAITING] == [(b"0", None), (b"2", None)]
        assert (plan.offsets, relay.waiting) == ({0: 3}, 1), "an offset of its partition, so that a relay that has lost it is refused"

    def test_is_given_up_after_the_declared_time(self) -> None:
        relay = router(Labels(topic="labels", early_age_max_s=60.0))
        relay.take(0, records({"id": "e", "late": True}, key=b"k"), NOW_MS)
        relay.plan()
        relay.expire(NOW_MS + 60_000)
        assert not relay.plan().outputs
        relay.expire(NOW_MS + 60_001)
        plan = relay.plan()
        assert letters(plan) == [("no_question", "")]
        assert [(kind, key, value) for kind, _, key, value, _ in plan.outputs] == [
            (DEAD_LETTERS, b"k", b'{"id": "e", "late": true}'),
            (WAITING, b"0", None),
        ]
        relay.asked("e", 0, NOW_MS)
        assert not relay.plan().outputs

    @pytest.mark.parametrize("limits", [{"early_rows_max": 2}, {"early_bytes_max": 1_300}])
    def test_the_oldest_is_given_up_where_there_is_no_place(self, limits: dict[str, int]) -> None:
        relay = router(Labels(topic="labels", **limits))  # type: ignore[arg-type]
        relay.take(0, records(*({"id": f"e{number}", "late": True} for number in range(4))), NOW_MS)
        relay.expire(NOW_MS)
        assert letters(relay.plan()) == [("no_question", "")] * 2
        assert relay.waiting == 2

    def test_what_waits_goes_with_its_partition(self) -> None:
        relay = router(None, SCHEMA, 0, 1)
        relay.take(0, records({"id": "e", "late": True}), NOW_MS)
        relay.take(1, records({"id": "e", "late": True}), NOW_MS)
        relay.plan()
        relay.close(0)
        relay.asked("e", 0, NOW_MS)
        assert relay.plan().offsets == {1: 1}

    def test_records_that_were_read_before_are_passed_over(self) -> None:
        relay = router()
        relay.take(0, records({"id": "e", "late": True}), NOW_MS)
        relay.plan()
        relay.take(0, records({"id": "e", "late": True}), NOW_MS)
        assert not relay.plan().offsets

    def test_a_label_that_waits_and_is_none_by_a_new_schema_is_a_dead_letter(self) -> None:
        relay = Router(pipeline(), PARTITIONS, record_bytes_max=BYTES_MAX, partitioner="murmur2")
        relay.open(0, 5, [(Record(2, None, b'{"id": "e", "late": "yes"}', NOW_MS), NOW_MS)])
        plan = relay.plan()
        assert letters(plan) == [("schema", "late")]
        assert plan.offsets == {0: 5}


class TestIndex:
    def test_forgets_the_oldest_by_rows(self) -> None:
        index = QuestionIndex(2, 10**6, None)
        for number, id_ in enumerate(("a", "b", "a", "c")):
            index.add(id_, number, NOW_MS)
        assert [index.partition_of(id_) for id_ in "abc"] == [2, None, 3]

    def test_forgets_the_oldest_by_bytes(self) -> None:
        index = QuestionIndex(100, 2 * BYTES_A_QUESTION + 30, None)
        for id_ in ("a" * 10, "b" * 10, "c" * 11):
            index.add(id_, 0, NOW_MS)
        assert index.partition_of("a" * 10) is None
        assert len(index) == 2
        index.add("d" * 1_000, 0, NOW_MS)
        assert len(index) == 0, "one alone may have no place"

    def test_forgets_by_the_timestamps_of_predictions(self) -> None:
        index = QuestionIndex(100, 10**6, 10.0)
        index.add("a", 1, NOW_MS)
        index.add("b", 1, NOW_MS + 10_000)
        assert index.partition_of("a") == 1
        index.add("c", 1, NOW_MS + 10_001)
        assert (index.partition_of("a"), index.partition_of("b")) == (None, 1)

    def test_takes_what_has_no_timestamp(self) -> None:
        index = QuestionIndex(100, 10**6, 10.0)
        index.add("a", 2, -1)
        assert index.partition_of("a") == 2


kinds = st.sampled_from(["label", "asked", "crash", "crash before commit"])
steps = st.lists(st.tuples(kinds, st.integers(0, 5), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_each_label_comes_once_whenever_the_relay_dies(drawn: list[tuple[str, int, bool]]) -> None:
    """The labels topic and what transactions left are all that lives on; a plan is committed whole or not at all."""
    log: list[dict[str, Any]] = []
    asked: dict[str, int] = {}
    committed, put, waiting = 0, list[dict[str, Any]](), list[tuple[Record, Any]]()

    def begun() -> Router:
        made = Router(pipeline(), PARTITIONS, record_bytes_max=BYTES_MAX, partitioner="murmur2")
        for id_, partition in asked.items():
            made.asked(id_, partition, NOW_MS)
        made.open(0, committed, held_of(waiting))
        return made

    def commit(plan: Plan) -> None:
        nonlocal committed
        for kind, partition, key, value, headers in plan.outputs:
            if kind == ANSWERS:
                put.append({**json.loads(value or b""), "partition": partition})
            elif kind == WAITING:
                texts = [(name, text.encode() if isinstance(text, str) else text) for name, text in headers]
                waiting.append((Record(len(waiting), key, value, NOW_MS), texts))
        committed = plan.offsets.get(0, committed)

    relay = begun()
    for kind, number, late in [*drawn, ("crash", 0, True), *(("asked", number, True) for number in range(6)), ("label", 0, False)]:
        match kind:
            case "label":
                log.append({"id": f"e{number}", "late": late, "at": float(len(log))})
            case "asked":
                asked[f"e{number}"] = number % PARTITIONS
                relay.asked(f"e{number}", number % PARTITIONS, NOW_MS)
            case _:
                if kind == "crash before commit":
                    relay.plan()
                relay = begun()
        if committed < len(log):
            relay.take(0, records(*log[committed:], offset=committed), NOW_MS)
        if kind != "crash before commit":
            commit(relay.plan())
    assert sorted(each["at"] for each in put) == [each["at"] for each in log], "none is lost, none comes twice"
    assert all(each["partition"] == int(each["id"][1:]) % PARTITIONS for each in put)
    assert not held_of(waiting)

"""Facts to records: the exact bytes that other programs read, and whose key each stands under."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.facts.records import Rejected, Unmatched
from stream_retrain.facts.shard import SHARD_FACTS, DetectorFailed, DriftDetected, LeadChanged, ModelReset, ShardFact
from stream_retrain.facts.telling import TEXT_BYTES_MAX
from stream_retrain.facts.values import Predicted, ShardId
from stream_retrain.lane.batch import Batch, Record, Records
from stream_retrain.lane.dead_letter import dead_letter
from stream_retrain.lane.encoder import CARRIED_BYTES_MAX, encode, encode_decisions, encode_nothing, encode_predictions
from stream_retrain.lane.step import Output
from tests.facts.examples import EXAMPLES

SHARD = ShardId("flights", "flights.events", 3)
CUT = "?" + "x" * (TEXT_BYTES_MAX - 4) + "…"


def records(*offsets: int) -> Records:
    return Records.of(Record(offset, b"key %d" % offset, b"value %d" % offset, 1_000 * offset) for offset in offsets)


def batch(*offsets: int) -> Batch:
    return Batch(records(*offsets), [], [])


def predicted(offset: int) -> Predicted:
    return Predicted(f"e{offset}", offset, 0.5, True, 0.75, 2, "m-2")


def at(offset: int, kind: type[ShardFact]) -> Any:
    return dataclasses.replace(EXAMPLES[kind], offset=offset)


def encoded(of: Batch, predictions: Sequence[Predicted] = (), facts: Sequence[ShardFact] = (), live_from: int = 0) -> list[Output]:
    return encode(SHARD, of, list(predictions), list(facts), live_from)


def keys(outputs: Sequence[Output]) -> list[tuple[str, bytes | None]]:
    return [(kind, key) for kind, _, key, _, _ in outputs]


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        (
            Predicted("e7", 7, 0.5, True, 0.75, 2, "m-2"),
            b'{"id":"e7","offset":7,"time_s":0.5,"prediction":true,"probability":0.75,"generation":2,"model":"m-2"}',
        ),
        (
            Predicted("e7", 7, 0.5, "red", 0.5, 0, "m-0"),
            b'{"id":"e7","offset":7,"time_s":0.5,"prediction":"red","probability":0.5,"generation":0,"model":"m-0"}',
        ),
        (
            Predicted("e7", 7, 0.5, 0.1, None, 0, "m-0"),
            b'{"id":"e7","offset":7,"time_s":0.5,"prediction":0.1,"probability":null,"generation":0,"model":"m-0"}',
        ),
        (
            Predicted("e7", 7, 0.5, None, None, 0, "m-0"),
            b'{"id":"e7","offset":7,"time_s":0.5,"prediction":null,"probability":null,"generation":0,"model":"m-0"}',
        ),
        (
            Predicted('"\n\u00e9', 7, 0.5, 10**20, None, 0, "m-0"),
            b'{"id":"\\"\\n\xc3\xa9","offset":7,"time_s":0.5,"prediction":100000000000000000000,"probability":null,"generation":0,"model":"m-0"}',
        ),
        (
            Predicted("e7", 7, 0.5, float("nan"), None, 0, "m-0"),
            b'{"id":"e7","offset":7,"time_s":0.5,"prediction":null,"probability":null,"generation":0,"model":"m-0"}',
        ),
    ],
)
def test_the_bytes_of_a_prediction(fact: Predicted, value: bytes) -> None:
    assert encode_predictions([fact]) == [value]


def test_a_prediction_stands_in_the_partition_and_under_the_key_of_its_question() -> None:
    value = b'{"id":"e7","offset":7,"time_s":0.5,"prediction":true,"probability":0.75,"generation":2,"model":"m-2"}'
    assert encoded(batch(7), [predicted(7)]) == [("predictions", 3, b"key 7", value, None)]


@pytest.mark.parametrize("kind", [kind for kind in SHARD_FACTS if kind.published], ids=lambda kind: kind.kind)
def test_the_envelope_of_a_decision(kind: type[ShardFact]) -> None:
    fact: Any = EXAMPLES[kind]
    [(offset, value)] = encode_decisions(SHARD, [fact])
    event = json.loads(value)
    data = event.pop("data")
    assert offset == fact.offset
    assert event == {
        "specversion": "1.0",
        "id": f"flights.events/3/{fact.offset}/0/{kind.kind}",
        "source": "/pipelines/flights",
        "type": f"io.streamretrain.{kind.kind}.v1",
        "subject": "flights.events/3",
        "time": "2026-01-01T00:00:00.500000Z",
        "datacontenttype": "application/json",
    }
    assert list(data) == [field.name for field in dataclasses.fields(fact)]
    assert data == json.loads(json.dumps(dataclasses.asdict(fact)))


def test_the_bytes_of_a_decision() -> None:
    [(_, value)] = encode_decisions(SHARD, [EXAMPLES[ModelReset]])
    assert value == (
        b'{"specversion":"1.0","id":"flights.events/3/10/0/model.reset","source":"/pipelines/flights",'
        b'"type":"io.streamretrain.model.reset.v1","subject":"flights.events/3","time":"2026-01-01T00:00:00.500000Z",'
        b'"datacontenttype":"application/json",'
        b'"data":{"offset":10,"time_s":1767225600.5,"generation":3,"cause":"drift:error","reason":"","by":"","token":""}}'
    )


@pytest.mark.parametrize("kind", [kind for kind in SHARD_FACTS if not kind.published], ids=lambda kind: kind.kind)
def test_a_fact_that_is_not_published_is_no_decision(kind: type[ShardFact]) -> None:
    assert list(encode_decisions(SHARD, [EXAMPLES[kind]])) == []


def test_decisions_are_numbered_within_an_offset() -> None:
    facts = [at(5, DriftDetected), at(5, Unmatched), at(5, LeadChanged), at(5, LeadChanged), at(6, ModelReset)]
    ids = [json.loads(value)["id"] for _, value in encode_decisions(SHARD, facts)]
    assert ids == [
        "flights.events/3/5/0/drift.detected",
        "flights.events/3/5/1/duel.lead_changed",
        "flights.events/3/5/2/duel.lead_changed",
        "flights.events/3/6/0/model.reset",
    ]


@pytest.mark.parametrize(
    ("time_s", "written"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (-0.001, "1969-12-31T23:59:59.999000Z"),
        (1e300, "9999-12-31T23:59:59Z"),
        (-1e300, "0001-01-01T00:00:00Z"),
        (float("-inf"), "0001-01-01T00:00:00Z"),
    ],
)
def test_any_time_can_be_written(time_s: float, written: str) -> None:
    [(_, value)] = encode_decisions(SHARD, [dataclasses.replace(at(5, ModelReset), time_s=time_s)])
    assert json.loads(value)["time"] == written


def test_what_foreign_code_says_is_cut_and_made_readable() -> None:
    failed = dataclasses.replace(at(5, DetectorFailed), detail="\udc80" + "x" * 1_000_000)
    [(_, value)] = encode_decisions(SHARD, [failed])
    assert json.loads(value)["data"]["detail"] == CUT
    letter = dead_letter(SHARD, Record(5, b"k", b"v", 0), Rejected(offset=5, reason="model", detail=failed.detail))
    assert dict(letter.headers)["sr_detail"] == CUT.encode()


class TestDeadLetter:
    def test_is_the_record_with_origin_and_reason_in_its_headers(self) -> None:
        fact = Rejected(offset=7, reason="schema", detail="Expected `float`, got `str`", field="\u00e4")
        [output] = encoded(batch(7), facts=[fact])
        assert output == (
            "dead_letters",
            3,
            b"key 7",
            b"value 7",
            [
                ("sr_reason", b"schema"),
                ("sr_detail", b"Expected `float`, got `str`"),
                ("sr_field", b"\xc3\xa4"),
                ("sr_pipeline", b"flights"),
                ("sr_topic", b"flights.events"),
                ("sr_partition", b"3"),
                ("sr_offset", b"7"),
                ("sr_timestamp_ms", b"7000"),
                ("sr_time_s", b""),
                ("sr_bytes", b"7"),
                ("sr_headers_left_out", b"0"),
                ("sr_replays", b"0"),
            ],
        )

    def test_of_a_record_that_was_too_large_has_no_value(self) -> None:
        _, value, headers = dead_letter(SHARD, records(7).at(7), Rejected(offset=7, reason="too_large", detail="", field=None))
        assert value is None
        assert dict(headers)["sr_bytes"] == b"7"
        assert dict(headers)["sr_field"] == b""

    def test_of_an_empty_record_has_none_either(self) -> None:
        _, value, headers = dead_letter(SHARD, Record(7, None, None, 0), Rejected(offset=7, reason="empty", detail=""))
        assert value is None
        assert dict(headers)["sr_bytes"] == b"0"


def test_outputs_come_by_kind_and_each_in_order_of_offset() -> None:
    facts = [at(2, Rejected), at(4, DriftDetected), at(4, ModelReset), at(6, Rejected)]
    outputs = encoded(batch(2, 4, 5, 6), [predicted(4), predicted(5)], facts)
    assert keys(outputs) == [
        ("predictions", b"key 4"),
        ("predictions", b"key 5"),
        ("decisions", b"key 4"),
        ("decisions", b"key 4"),
        ("dead_letters", b"key 2"),
        ("dead_letters", b"key 6"),
    ]


@pytest.mark.parametrize("live_from", [0, 4, 5, 6, 7, 100])
def test_outputs_below_where_the_lane_is_live_are_left_out(live_from: int) -> None:
    facts = [at(2, Rejected), at(4, DriftDetected), at(6, ModelReset), at(6, Rejected)]
    offsets = {"predictions": [4, 5], "decisions": [4, 6], "dead_letters": [2, 6]}
    outputs = encoded(batch(2, 4, 5, 6), [predicted(4), predicted(5)], facts, live_from)
    assert keys(outputs) == [(kind, b"key %d" % offset) for kind, held in offsets.items() for offset in held if offset >= live_from]


def test_where_all_records_are_questions_the_keys_are_theirs_also_with_holes() -> None:
    offsets = (3, 8, 9, 20)
    assert keys(encoded(batch(*offsets), [*map(predicted, offsets)])) == [("predictions", b"key %d" % offset) for offset in offsets]


@given(st.data())
def test_an_output_stands_under_the_key_of_its_record_whichever_records_have_one(data: st.DataObject) -> None:
    offsets = sorted(data.draw(st.sets(st.integers(0, 60), min_size=1), "offsets"))
    questions, decided, refused = (sorted(data.draw(st.sets(st.sampled_from(offsets)), name)) for name in ("asked", "decided", "refused"))
    live_from = data.draw(st.integers(0, 61), "live from")
    facts = sorted([*(at(each, ModelReset) for each in decided), *(at(each, Rejected) for each in refused)], key=lambda fact: fact.offset)
    outputs = encoded(batch(*offsets), [*map(predicted, questions)], facts, live_from)
    expected = [("predictions", questions), ("decisions", decided), ("dead_letters", refused)]
    assert keys(outputs) == [(kind, b"key %d" % offset) for kind, held in expected for offset in held if offset >= live_from]
    for kind, _, key, value, headers in outputs:
        if kind == "predictions":
            assert key == b"key %d" % json.loads(value or b"")["offset"]
        elif kind == "dead_letters":
            assert key == b"key " + dict(headers or ())["sr_offset"]  # type: ignore[operator]


def test_records_without_keys_have_outputs_without_keys() -> None:
    plain = Batch(Records.of(Record(offset, None, b"{}", 0) for offset in (1, 2)), [], [])
    assert keys(encoded(plain, [predicted(2)], [at(1, ModelReset)])) == [("predictions", None), ("decisions", None)]


def test_those_who_read_steps_only_have_nothing_encoded() -> None:
    assert encode_nothing(SHARD, batch(7), [predicted(7)], [at(7, ModelReset)], 0) == []


class TestCarriedHeaders:
    """A trace goes on through what the worker puts out."""

    NAMES = frozenset({"traceparent", "tracestate"})
    TRACE: ClassVar[list[tuple[str, bytes | None]]] = [("other", b"x"), ("traceparent", b"00-1-2-01"), ("tracestate", None)]

    def records(self, *headers: Any) -> Batch:
        return Batch(Records.of([Record(7 + row, b"key", b"{}", 0, each) for row, each in enumerate(headers)]), [], [])

    def headers(self, of: Batch, predicted: list[Predicted], facts: Sequence[Any] = (), **how: Any) -> list[Any]:
        return [output[4] for output in encode(SHARD, of, predicted, list(facts), 0, **how)]

    def test_stand_with_the_prediction_of_their_record_and_with_decisions_at_it(self) -> None:
        of, stamp = self.records(None, self.TRACE, ()), [("sr_release", b"1")]
        facts = [at(7, ModelReset), at(8, ModelReset)]
        found = self.headers(of, [predicted(7), predicted(8), predicted(9)], facts, carry=self.NAMES, stamp=stamp)
        assert found == [None, self.TRACE[1:], None, stamp, [*stamp, *self.TRACE[1:]]]
        assert self.headers(of, [predicted(8)], carry=self.NAMES) == [self.TRACE[1:]]

    def test_are_none_where_no_name_is_carried(self) -> None:
        assert self.headers(self.records(self.TRACE), [predicted(7)]) == [None]
        assert self.headers(self.records([("other", b"x")]), [predicted(7)], carry=self.NAMES) == [None]

    def test_have_a_bound(self) -> None:
        long = [("traceparent", b"x" * CARRIED_BYTES_MAX), ("tracestate", b"y")]
        assert self.headers(self.records(long), [predicted(7)], carry=self.NAMES) == [[("tracestate", b"y")]]
        assert self.headers(self.records([("tracestate", b"y" * 400)] * 5), [predicted(7)], carry=self.NAMES) == [
            [("tracestate", b"y" * 400)] * 2
        ]

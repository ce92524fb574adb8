"""Records as producers write them: nested, in text, in other formats; what each becomes, or why it is refused and at which field."""

from __future__ import annotations

import base64
import json
import math
import string
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain import Field, Label, Schema, Sparse
from stream_retrain.facts.records import Passed, Rejected
from stream_retrain.facts.values import Event, Record
from stream_retrain.lane.batch import Records
from stream_retrain.lane.formats.decoder import EventDecoder

AT_MS = 1_782_864_000_000
AT_S = AT_MS / 1000
BASE: dict[str, Any] = {"id": "id", "label": "y", "features": {"a": float}}


def decoder(task: str = "binary", **changes: Any) -> EventDecoder:
    return EventDecoder(Schema(**{**BASE, **changes}), task, record_bytes_max=100_000)


def decoded(by: EventDecoder, value: Any, headers: Any = None, key: bytes | None = b"k") -> Event | Rejected | Passed:
    written = value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
    batch = by.decode_batch(Records.of([Record(7, key, written, AT_MS, headers)]))
    [made] = [*batch.events, *batch.rejected, *batch.passed]
    return made


def event(by: EventDecoder, value: Any, headers: Any = None) -> Event:
    made = decoded(by, value, headers)
    assert isinstance(made, Event), made
    return made


def refused(by: EventDecoder, value: Any, headers: Any = None) -> tuple[str, str | None]:
    made = decoded(by, value, headers)
    assert isinstance(made, Rejected), made
    return made.reason, made.field


class TestNested:
    BY = decoder(
        id="meta.id",
        time="meta.at",
        time_unit="ms",
        label="outcome.returned",
        features={"amount": Field(float, "txn.amount"), "items.0.price": float, "items.2.price": float | None, r"a\.b": int, "flat": str},
    )
    GOOD: ClassVar[dict[str, Any]] = {
        "meta": {"id": 17, "at": AT_MS + 1500, "more": {}},
        "outcome": {"returned": True},
        "txn": {"amount": 5},
        "items": [{"price": 1, "x": [1]}, None, {"price": 3.5}],
        "a.b": 2,
        "flat": "x",
    }
    X: ClassVar[dict[str, Any]] = {"amount": 5.0, "items.0.price": 1.0, "items.2.price": 3.5, r"a\.b": 2, "flat": "x"}

    def changed(self, **changes: Any) -> dict[str, Any]:
        return {name: value for name, value in {**self.GOOD, **changes}.items() if value is not ...}

    def test_fields_are_read_by_path(self) -> None:
        assert event(self.BY, self.GOOD) == Event(7, 17, AT_S + 1.5, self.X, True)

    @pytest.mark.parametrize("items", [[{"price": 1}], [{"price": 1}, 5, None], [{"price": 1}, {}, {"price": None}]])
    def test_what_is_not_there_on_the_way_is_missing(self, items: Any) -> None:
        x = {name: value for name, value in self.X.items() if name != "items.2.price"}
        assert event(self.BY, self.changed(items=items)).x == x

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"txn": {"amount": "5"}}, "txn.amount"),
            ({"txn": {}}, "txn.amount"),
            ({"txn": None}, "txn.amount"),
            ({"txn": ...}, "txn.amount"),
            ({"txn": 5}, "txn"),
            ({"items": {}}, "items"),
            ({"items": [{"price": "1"}]}, "items.0.price"),
            ({"meta": {}}, "meta.id"),
            ({"meta": {"id": {}}}, "meta.id"),
            ({"meta": {"id": 1, "at": "now"}}, "meta.at"),
            ({"meta": {"id": 1, "at": None}}, "meta.at"),
            ({"meta": {"id": 1, "at": AT_MS * 10}}, "meta.at"),
            ({"outcome": {"returned": 2}}, "outcome.returned"),
            ({"flat": ...}, "flat"),
        ],
    )
    def test_a_fault_names_the_path(self, changes: dict[str, Any], field: str) -> None:
        assert refused(self.BY, self.changed(**changes)) == ("schema", field)

    def test_a_record_with_id_and_label_alone_is_an_answer_and_without_label_a_question(self) -> None:
        assert event(self.BY, {"meta": {"id": 17}, "outcome": {"returned": False}}) == Event(7, 17, AT_S, None, False)
        assert event(self.BY, self.changed(outcome=None)).y is None
        assert refused(self.BY, {"meta": {"id": 17}}) == ("schema", "txn.amount")

    def test_every_missing_feature_is_named_with_its_path(self) -> None:
        made = decoded(self.BY, self.changed(txn=None, flat=...))
        assert isinstance(made, Rejected)
        assert made.detail == "required features missing: 'amount (at txn.amount)', 'flat'"

    def test_unknown_fields_are_refused_where_that_is_declared(self) -> None:
        by = decoder(features={"t.a": float}, unknown="refuse")
        assert event(by, {"id": "e", "y": None, "t": {"a": 1}}).x == {"t.a": 1.0}
        assert refused(by, {"id": "e", "t": {"a": 1, "b": 2}}) == ("schema", "t.b")
        assert refused(by, {"id": "e", "t": {"a": 1}, "more": 1}) == ("schema", "more")


class TestFields:
    BY = decoder(
        positive="yes",
        features={
            "price": Field(float, text=True, minimum=0, unit="EUR"),
            "count": Field(int, text=True, default=1),
            "vip": Field(bool | None, text=True),
            "kind": Field(str, allowed=("a", "b"), outside="leave_out"),
            "temp": Field(float, non_finite="null", missing="null"),
        },
    )

    def test_text_defaults_and_rules(self) -> None:
        made = event(self.BY, b'{"id": "e", "y": "yes", "price": "12.50", "vip": "no", "kind": "c", "temp": NaN}')
        assert (made.x, made.y) == ({"price": 12.5, "count": 1, "vip": False, "temp": None}, True)
        assert event(self.BY, {"id": "e", "price": 1, "count": "", "vip": "", "kind": "a"}).x == {
            "price": 1.0,
            "count": 1,
            "kind": "a",
            "temp": None,
        }

    def test_an_answer_may_have_empty_columns(self) -> None:
        assert event(self.BY, {"id": "e", "y": "no", "price": "", "count": "", "kind": None}).x is None

    @pytest.mark.parametrize(
        ("value", "field"),
        [({"price": "x"}, "price"), ({"price": -1}, "price"), ({"price": 1, "count": "1.5"}, "count"), ({"price": 1, "vip": "?"}, "vip")],
    )
    def test_the_field_at_fault_is_named(self, value: dict[str, Any], field: str) -> None:
        assert refused(self.BY, {"id": "e", "kind": "a", **value}) == ("schema", field)

    def test_numbers_that_are_not_finite_are_still_refused_elsewhere(self) -> None:
        assert refused(self.BY, b'{"id": "e", "price": NaN, "kind": "a"}') == ("schema", "price")
        assert refused(self.BY, b'{"id": "e", "price": NaN') == ("decode", None)
        assert refused(self.BY, rb'{"id": "\ud800", "price": NaN, "kind": "a"}') == ("decode", None)


class TestLabels:
    @pytest.mark.parametrize(
        ("changes", "task", "written", "y"),
        [
            ({"positive": "yes"}, "binary", "yes", True),
            ({"positive": "yes"}, "binary", "no", False),
            ({"positive": "yes"}, "binary", "", None),
            ({"label": Label("y", positive=("a", "b"), negative="c")}, "binary", "b", True),
            ({"label": Label("y", text=True)}, "regression", "2.5", 2.5),
            ({"label": Label("y", aliases={"Red": "r"}), "classes": ("r", "g")}, "multiclass", "Red", "r"),
        ],
    )
    def test_are_read_as_declared(self, changes: dict[str, Any], task: str, written: Any, y: Any) -> None:
        assert event(decoder(task, **changes), {"id": "e", "a": 1, "y": written}).y == y

    @pytest.mark.parametrize(
        ("changes", "written"), [({"positive": "yes"}, 1), ({"positive": "yes"}, []), ({"label": Label("y", positive=1, negative=0)}, 2)]
    )
    def test_of_another_kind_are_refused(self, changes: dict[str, Any], written: Any) -> None:
        assert refused(decoder(**changes), {"id": "e", "a": 1, "y": written}) == ("schema", "y")


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("id_", ["e", "17", 17, -5, 1.5, True, 2**63 - 1])
def test_an_id_of_any_scalar_type_is_kept_as_it_came(id_: Any, nested: bool) -> None:
    by = decoder(id="m.id") if nested else decoder()
    made = event(by, {"m": {"id": id_}, "a": 1} if nested else {"id": id_, "a": 1}).id
    assert (made, type(made)) == (id_, type(id_))


@pytest.mark.parametrize(("written", "made"), [(b"1" * 30, "1" * 30), (b"-9223372036854775809", "-9223372036854775809")])
def test_an_integer_that_no_other_program_reads_is_an_id_of_text(written: bytes, made: str) -> None:
    assert event(decoder(), b'{"a": 1, "id": ' + written + b"}").id == made
    assert refused(decoder(), b'{"a": 1, "id": ' + b"1" * 1001 + b"}") == ("schema", "id")


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_event_time_in_any_unit(unit: Any, factor: int) -> None:
    assert event(decoder(time="t", time_unit=unit), {"id": "e", "a": 1, "t": int(AT_S * factor)}).time_s == AT_S


def test_time_features_come_last_and_only_with_features() -> None:
    by = decoder(time="t", time_unit="s", time_features=("hour", "weekday"))
    assert event(by, {"id": "e", "a": 1, "t": AT_S + 3 * 3600}).x == {"a": 1.0, "time.hour": 3, "time.weekday": 2}
    assert event(by, {"id": "e", "y": 1}).x is None


class TestSparse:
    BY = decoder(features=Sparse("words", features_max=3, name_chars_max=5))
    WIDE = decoder(features=Sparse(features_max=3, name_chars_max=5), id="meta.id")

    def test_features_are_the_numbers_of_an_object_or_of_the_record(self) -> None:
        assert event(self.BY, {"id": "e", "words": {"b": 2, "a": 1.5, "c": None}}).x == {"b": 2.0, "a": 1.5}
        assert event(self.BY, {"id": "e", "words": {}}).x == {}
        assert event(self.WIDE, {"meta": {"id": "e"}, "f1": 1, "f2": 0.5, "text": "x", "y": True}) == Event(
            7, "e", AT_S, {"f1": 1.0, "f2": 0.5}, True
        )
        assert event(self.WIDE, {"meta": {"id": "e"}, "y": True}).x is None
        assert event(self.BY, {"id": "e", "y": True}).x is None

    @pytest.mark.parametrize("words", [{"a": 1, "b": 2, "c": 3, "d": 4}, {"toolong": 1}, {"a": "1"}, {"a": True}, [1], None])
    def test_what_is_beyond_the_bounds_is_refused(self, words: Any) -> None:
        assert refused(self.BY, {"id": "e", "words": words}) == ("schema", "words")

    def test_of_the_record_too(self) -> None:
        assert refused(self.WIDE, {"meta": {"id": "e"}, "a": 1, "b": 2, "c": 3, "d": 4}) == ("schema", None)
        assert refused(self.WIDE, {"meta": {"id": "e"}, "toolong": 1}) == ("schema", "toolong")
        assert refused(self.WIDE, b'{"meta": {"id": "e"}, "a": ' + b"9" * 400 + b"}") == ("schema", "a")
        assert refused(decoder(features=Sparse(), unknown="refuse"), {"id": "e", "a": 1, "b": "x"}) == ("schema", "b")


def of_lines(record: Record) -> Any:
    """id|a|y, and heartbeats."""
    if record.value == b"ping" or record.value is None:
        return None
    id_, a, y = record.value.decode().split("|")
    return {"id": id_, "a": float(a), "y": bool(int(y)), "region": dict(record.headers or ()).get("region", b"").decode()}


def rubbish(record: Record) -> Any:
    return msgspec.json.decode(record.value or b"")


class TestDecodeFunction:
    BY = decoder(decode=of_lines, features={"a": float, "region": str})

    def test_gives_the_object_of_a_record(self) -> None:
        assert event(self.BY, b"e|1.5|1", [("region", b"eu")]) == Event(7, "e", AT_S, {"a": 1.5, "region": "eu"}, True)

    @pytest.mark.parametrize("value", [b"ping", None])
    def test_passes_a_record_over(self, value: bytes | None) -> None:
        assert decoded(self.BY, value) == Passed(offset=7)

    @pytest.mark.parametrize(
        ("value", "reason", "field"), [(b"x", "decode", None), (b"e|x|1", "decode", None), (b"e|nan|1", "schema", "a")]
    )
    def test_what_it_raises_is_a_dead_letter(self, value: bytes, reason: str, field: str | None) -> None:
        assert refused(self.BY, value) == (reason, field)

    def test_a_list_is_refused(self) -> None:
        assert refused(decoder(decode=rubbish), b'[{"id": "e", "a": 1}]') == ("decode", None)


class TestMessagePack:
    BY = decoder(format="msgpack", features={"t.a": float})

    def test_is_read_as_json_is(self) -> None:
        assert event(self.BY, msgspec.msgpack.encode({"id": 5, "t": {"a": 1}, "y": 1})) == Event(7, 5, AT_S, {"t.a": 1.0}, True)
        assert event(decoder(format="msgpack"), msgspec.msgpack.encode({"id": "e", "a": 1})).x == {"a": 1.0}

    @pytest.mark.parametrize(
        ("value", "reason", "field"),
        [
            (b"\xc1", "decode", None),
            (b"{}", "schema", None),
            (msgspec.msgpack.encode([]), "schema", None),
            (msgspec.msgpack.encode({"id": "e", "t": {"a": math.nan}}), "schema", "t.a"),
            (msgspec.msgpack.encode({"id": "e", "t": {"a": "1"}}), "schema", "t.a"),
            (msgspec.msgpack.encode({"id": math.inf, "t": {"a": 1}}), "schema", "id"),
            (b"\x82\xa2id\xa1\xff\xa1t\x81\xa1a\x01", "decode", None),
        ],
    )
    def test_what_is_none_is_refused(self, value: bytes, reason: str, field: str | None) -> None:
        assert refused(self.BY, value) == (reason, field)


class TestCloudEvents:
    BY = decoder(format="cloudevents", id="ce.id", time="ce.time", features={"a": float, "ce.type": str})
    ATTRIBUTES: ClassVar[dict[str, str]] = {
        "specversion": "1.0",
        "id": "e",
        "source": "/s",
        "type": "sold",
        "time": "2026-07-01T00:00:01Z",
    }
    MADE = Event(7, "e", AT_S + 1, {"a": 1.5, "ce.type": "sold"}, True)

    def binary(self, **changes: Any) -> list[tuple[str, bytes]]:
        return [(f"ce_{name}", value.encode()) for name, value in {**self.ATTRIBUTES, **changes}.items()]

    def test_structured_with_or_without_its_header(self) -> None:
        value = {**self.ATTRIBUTES, "data": {"a": 1.5, "y": True}}
        assert (
            event(self.BY, value) == event(self.BY, value, [("content-type", b"application/cloudevents+json; charset=UTF-8")]) == self.MADE
        )

    def test_structured_with_data_in_base64(self) -> None:
        assert event(self.BY, {**self.ATTRIBUTES, "data_base64": base64.b64encode(b'{"a": 1.5, "y": true}').decode()}) == self.MADE

    def test_binary(self) -> None:
        headers = [("content-type", b"application/json"), *self.binary(), ("other", b"\xff")]
        assert event(self.BY, {"a": 1.5, "y": True}, headers) == self.MADE

    @pytest.mark.parametrize(
        ("value", "headers"),
        [
            ({"a": 1.5, "y": True}, None),
            ({"specversion": "1.0", "id": "e", "source": "/s", "data": {"a": 1}}, None),
            ({**ATTRIBUTES, "data": [1]}, None),
            ({**ATTRIBUTES}, None),
            ({**ATTRIBUTES, "data_base64": "?"}, None),
            ([{**ATTRIBUTES, "data": {}}], [("content-type", b"application/cloudevents-batch+json")]),
            ({"a": 1}, [("ce_specversion", b"1.0")]),
            (b"\x00", [("ce_specversion", b"1.0")]),
            ({"a": 1}, [("ce_specversion", b"\xff")]),
        ],
    )
    def test_what_is_none_is_refused(self, value: Any, headers: Any) -> None:
        assert refused(self.BY, value, headers) == ("decode", None)


TEXTS = st.text(string.printable, max_size=4) | st.sampled_from(["12.5", "yes"])
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
NAMES = st.sampled_from(["id", "y", "t", "a", "m", "words", "time"])
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=12)
EVERY = [
    decoder(features={"t.a": float, "m.0.a": str | None}, id="m.1.id", time="time", time_unit="ns"),
    decoder(
        features={
            "a": Field(float | None, text=True, minimum=0, outside="clip", non_finite="leave_out"),
            "t": Field(bool, text=True, default=True),
        },
        positive="yes",
    ),
    decoder(features=Sparse("words")),
    decoder(features=Sparse(), unknown="refuse"),
    decoder("multiclass", label=Label("y", text=True), decode=rubbish),
    decoder("regression", label="t.y", format="cloudevents", time_features=("hour",), time="ce.time"),
]


@given(JSON | st.binary(max_size=40))
@settings(deadline=None, max_examples=300)
def test_decoding_is_total_and_what_it_makes_can_be_written(value: Any) -> None:
    for by in EVERY:
        made = decoded(by, value)
        if isinstance(made, Event):
            assert msgspec.json.encode([made.id, made.x, made.y])
            assert math.isfinite(made.time_s)
            assert all(each is None or isinstance(each, str) or math.isfinite(each) for each in (made.x or {}).values())
    packed = value if isinstance(value, bytes) else msgspec.msgpack.encode(json.dumps(value))
    assert isinstance(decoded(decoder(format="msgpack"), packed), Event | Rejected)

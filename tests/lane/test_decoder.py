"""Records to events: what each record becomes, or why it is refused and which field is at fault."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain import Schema
from stream_retrain.errors import EventError
from stream_retrain.facts.records import Rejected
from stream_retrain.facts.values import Event, Features
from stream_retrain.lane.batch import Batch, Events, Record, Records
from stream_retrain.lane.formats.decoder import EventDecoder

OFFSET, TIMESTAMP_MS = 7, 9_500
FEATURES = {"a": float, "n": int, "s": str, "b": bool, "o": float | None}
GOOD = b'{"id":"e","t":5,"a":1.5,"n":2,"s":"x","b":true,"o":4,"y":true}'
X: Features = {"a": 1.5, "n": 2, "s": "x", "b": True}
BYTES_MAX = 200


def decoder(task: str = "binary", bytes_max: int = BYTES_MAX, **changes: Any) -> EventDecoder:
    declared: dict[str, Any] = {"id": "id", "time": "t", "time_unit": "s", "label": "y", "features": FEATURES}
    return EventDecoder(Schema(**{**declared, **changes}), task, record_bytes_max=bytes_max)


def decoded(value: bytes | None, by: EventDecoder | None = None) -> Event | Rejected:
    batch = (by or decoder()).decode_batch(Records.of([Record(OFFSET, b"k", value, TIMESTAMP_MS)]))
    made: list[Event | Rejected] = [*batch.events, *batch.rejected]
    assert len(made) == 1
    return made[0]


def event(value: bytes, by: EventDecoder | None = None) -> Event:
    made = decoded(value, by)
    assert isinstance(made, Event), made
    return made


def refusal(value: bytes | None, by: EventDecoder | None = None) -> tuple[str, str | None]:
    made = decoded(value, by)
    assert isinstance(made, Rejected), made
    assert made.offset == OFFSET
    assert made.detail
    return made.reason, made.field


def with_(old: bytes, new: bytes) -> bytes:
    """The good record with one part of it exchanged."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("value", "made"),
    [
        pytest.param(GOOD, Event(OFFSET, "e", 5.0, {**X, "o": 4.0}, True), id="question and answer"),
        pytest.param(with_(b',"y":true', b""), Event(OFFSET, "e", 5.0, {**X, "o": 4.0}, None), id="question"),
        pytest.param(with_(b'"y":true', b'"y":null'), Event(OFFSET, "e", 5.0, {**X, "o": 4.0}, None), id="question, label null"),
        pytest.param(b'{"id":"e","t":5,"y":false}', Event(OFFSET, "e", 5.0, None, False), id="answer"),
        pytest.param(b'{"id":"e","t":5,"o":null,"y":true}', Event(OFFSET, "e", 5.0, None, True), id="answer, feature null"),
        pytest.param(with_(b'"o":4,', b'"o":null,'), Event(OFFSET, "e", 5.0, X, True), id="optional feature null"),
        pytest.param(with_(b'"o":4,', b""), Event(OFFSET, "e", 5.0, X, True), id="optional feature absent"),
        pytest.param(with_(b'"o":4,', b'"more":[1,{}],'), Event(OFFSET, "e", 5.0, X, True), id="a field of nobody in its place"),
        pytest.param(with_(b'"a":1.5', b'"a":1'), Event(OFFSET, "e", 5.0, {**X, "a": 1.0, "o": 4.0}, True), id="integer for a float"),
        pytest.param(with_(b'"y":true', b'"y":1'), Event(OFFSET, "e", 5.0, {**X, "o": 4.0}, True), id="label 1"),
        pytest.param(with_(b'"y":true', b'"y":0'), Event(OFFSET, "e", 5.0, {**X, "o": 4.0}, False), id="label 0"),
        pytest.param(with_(b'"e"', b"12"), Event(OFFSET, 12, 5.0, {**X, "o": 4.0}, True), id="id is a number"),
        pytest.param(with_(b'"t":5,', b""), Event(OFFSET, "e", 9.5, {**X, "o": 4.0}, True), id="time absent: the record's"),
    ],
)
def test_a_record_becomes_an_event(value: bytes, made: Event) -> None:
    assert decoded(value) == made


@pytest.mark.parametrize("written", [b'"o":null', b'"x":1'])
def test_an_optional_feature_that_is_null_or_absent_is_kept_as_none_where_the_schema_says_so(written: bytes) -> None:
    keeping, value = decoder(keep_null=True), with_(b'"o":4', written)
    made = event(value, keeping)
    assert made.x == {**X, "o": None}
    assert list(made.x or ()) == list(FEATURES)
    assert event(value).x == X
    assert event(GOOD, keeping).x == {**X, "o": 4.0}
    assert event(b'{"id":"e","t":5,"y":true}', keeping).x is None


def test_types_are_those_that_were_declared() -> None:
    made = event(with_(b'"a":1.5', b'"a":1'))
    assert made.x is not None
    assert [type(made.x[name]) for name in ("a", "n", "s", "b", "o")] == [float, int, str, bool, float]
    assert type(event(with_(b'"y":true', b'"y":1')).y) is bool
    assert "more" not in (event(with_(b'"o":4,', b'"o":4,"more":1,')).x or {})


@pytest.mark.parametrize(
    ("value", "reason", "field"),
    [
        pytest.param(None, "empty", None, id="tombstone"),
        pytest.param(b"", "empty", None, id="no bytes"),
        pytest.param(b" " * (BYTES_MAX + 1), "too_large", None, id="too large"),
        pytest.param(b"hello", "decode", None, id="no JSON"),
        pytest.param(GOOD[:-1], "decode", None, id="cut off"),
        pytest.param(GOOD + b"x", "decode", None, id="something after it"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, "decode", None, id="byte order mark"),
        pytest.param(with_(b'"x"', b'"\xff"'), "decode", None, id="no UTF-8 in a feature"),
        pytest.param(with_(b'"e"', b'"\xff"'), "decode", None, id="no UTF-8 in the id"),
        pytest.param(with_(b'"x"', rb'"\ud800"'), "decode", None, id="half a surrogate pair"),
        pytest.param(with_(b"1.5", b"NaN"), "decode", None, id="NaN"),
        pytest.param(with_(b"1.5", b"Infinity"), "decode", None, id="Infinity"),
        pytest.param(with_(b"1.5", b"-Infinity"), "decode", None, id="-Infinity"),
        pytest.param(with_(b"1.5", b"1e999"), "schema", "a", id="no finite number"),
        pytest.param(with_(b"1.5", b"-1e999"), "schema", "a", id="no finite number below zero"),
        pytest.param(b"[]", "schema", None, id="array"),
        pytest.param(b"null", "schema", None, id="null"),
        pytest.param(b'"text"', "schema", None, id="string"),
        pytest.param(with_(b"1.5", b'"1.5"'), "schema", "a", id="string for a number"),
        pytest.param(with_(b"1.5", b"null"), "schema", "a", id="null for a required feature"),
        pytest.param(with_(b'"a":1.5,', b""), "schema", "a", id="a required feature is missing"),
        pytest.param(with_(b'"n":2', b'"n":2.5'), "schema", "n", id="fraction for an integer"),
        pytest.param(with_(b'"x"', b"3"), "schema", "s", id="number for a string"),
        pytest.param(with_(b'"b":true', b'"b":1'), "schema", "b", id="number for a boolean"),
        pytest.param(with_(b'"o":4', b'"o":"4"'), "schema", "o", id="string for an optional number"),
        pytest.param(with_(b'"y":true', b'"y":2'), "schema", "y", id="label of no class"),
        pytest.param(with_(b'"y":true', b'"y":"yes"'), "schema", "y", id="label of another type"),
        pytest.param(with_(b'"id":"e",', b""), "schema", "id", id="no id"),
        pytest.param(with_(b'"id":"e"', b'"id":null'), "schema", "id", id="id null"),
        pytest.param(with_(b'"id":"e"', b'"id":[]'), "schema", "id", id="id no scalar"),
        pytest.param(with_(b'"t":5', b'"t":"5"'), "schema", "t", id="time of another type"),
        pytest.param(with_(b'"t":5', b'"t":null'), "schema", "t", id="time null"),
        pytest.param(b'{"id":"e","t":5}', "schema", "a", id="neither features nor label"),
        pytest.param(b'{"id":"e","a":1,"y":true}', "schema", "n", id="label with some of the features"),
    ],
)
def test_a_record_is_refused_with_the_reason_and_the_field(value: bytes | None, reason: str, field: str | None) -> None:
    assert refusal(value) == (reason, field)


@pytest.mark.parametrize("close", [b"", b"]" * 100_000 + b"}"], ids=["cut off", "whole"])
def test_deep_nesting_is_refused_like_any_other_text(close: bytes) -> None:
    assert refusal(b'{"more":' + b"[" * 100_000 + close, decoder(bytes_max=1_000_000)) == ("decode", None)


def test_every_missing_feature_is_named() -> None:
    made = decoded(b'{"id":"e","t":5,"s":"x"}')
    assert isinstance(made, Rejected)
    assert made.detail == "required features missing: 'a', 'n', 'b'"


def test_the_limit_of_bytes_is_inclusive_and_told() -> None:
    key = len(b"k")
    assert isinstance(decoded(GOOD, decoder(bytes_max=len(GOOD) + key)), Event)
    made = decoded(GOOD, decoder(bytes_max=len(GOOD) + key - 1))
    assert isinstance(made, Rejected)
    assert made.detail == f"{len(GOOD) + key} bytes of key and value are more than record_bytes_max = {len(GOOD) + key - 1}"


class TestTime:
    @pytest.mark.parametrize(
        ("unit", "written", "time_s"),
        [
            ("s", b"1.25", 1.25),
            ("ms", b"1500", 1.5),
            ("ms", b"1500.5", 1.5005),
            ("iso", b'"1970-01-01T00:00:01.5Z"', 1.5),
            ("iso", b'"1970-01-01T01:00:00+01:00"', 0.0),
            ("iso", b'"1969-12-31T23:59:59Z"', -1.0),
        ],
    )
    def test_is_written_in_a_unit(self, unit: str, written: bytes, time_s: float) -> None:
        assert event(with_(b'"t":5', b'"t":' + written), decoder(time_unit=unit)).time_s == time_s

    @pytest.mark.parametrize("written", [b'"1970-01-01T00:00:01"', b'"1970-01-01"', b'"soon"', b"5", b'"1970-13-01T00:00:00Z"'])
    def test_in_iso_form_needs_day_time_and_offset(self, written: bytes) -> None:
        assert refusal(with_(b'"t":5', b'"t":' + written), decoder(time_unit="iso")) == ("schema", "t")

    def test_is_the_records_where_no_field_has_it(self) -> None:
        assert event(GOOD, decoder(time=None)).time_s == TIMESTAMP_MS / 1000


class TestId:
    def test_is_the_offset_where_no_field_has_it(self) -> None:
        assert event(GOOD, decoder(id=None)).id == str(OFFSET)

    def test_an_answer_without_one_belongs_to_no_question(self) -> None:
        assert refusal(b'{"y":true}', decoder(id=None)) == ("schema", "a")


class TestLabel:
    @pytest.mark.parametrize(("written", "y"), [(b'"r"', "r"), (b"3", 3)])
    def test_of_a_multiclass_task_is_a_string_or_an_integer(self, written: bytes, y: str | int) -> None:
        made = event(b'{"id":"e","y":' + written + b"}", decoder("multiclass"))
        assert (made.y, type(made.y)) == (y, type(y))

    @pytest.mark.parametrize("written", [b"1.5", b"true", b"[]"])
    def test_of_a_multiclass_task_is_nothing_else(self, written: bytes) -> None:
        assert refusal(b'{"id":"e","y":' + written + b"}", decoder("multiclass")) == ("schema", "y")

    @pytest.mark.parametrize(
        ("classes", "accepted", "refused"),
        [(("r", "g"), [b'"r"', b'"g"'], [b'"x"', b"1"]), ((1, 2), [b"1", b"2"], [b"3", b'"1"', b"true", b"1.5"])],
    )
    def test_is_one_of_the_declared_classes(self, classes: tuple[Any, ...], accepted: list[bytes], refused: list[bytes]) -> None:
        by = decoder("multiclass", classes=classes)
        assert [event(b'{"id":"e","y":' + written + b"}", by).y for written in accepted] == list(classes)
        for written in refused:
            assert refusal(b'{"id":"e","y":' + written + b"}", by) == ("schema", "y")

    @pytest.mark.parametrize(("written", "y"), [(b"1", 1.0), (b"-0.5", -0.5), (b"1e3", 1000.0)])
    def test_of_a_regression_is_a_number(self, written: bytes, y: float) -> None:
        made = event(b'{"id":"e","y":' + written + b"}", decoder("regression"))
        assert (made.y, type(made.y)) == (y, float)

    @pytest.mark.parametrize("written", [b'"1"', b"true", b"1e999"])
    def test_of_a_regression_is_a_finite_one(self, written: bytes) -> None:
        assert refusal(b'{"id":"e","y":' + written + b"}", decoder("regression")) == ("schema", "y")


class TestBatch:
    RECORDS = Records.of(
        [
            Record(3, b"k3", GOOD, 0, [("h", b"1")]),
            Record(4, None, b"", 0),
            Record(8, b"k8", b'{"id":"f","t":6,"y":true}', 0, ()),
            Record(9, b"k9", b"[]", 0),
            Record(12, b"k12", GOOD, 0),
        ]
    )

    def test_events_and_rejected_records_are_each_in_order_of_offset(self) -> None:
        batch = decoder().decode_batch(self.RECORDS)
        assert [made.offset for made in batch.events] == [3, 8, 12]
        assert [(made.offset, made.reason) for made in batch.rejected] == [(4, "empty"), (9, "schema")]

    def test_keys_and_headers_are_kept(self) -> None:
        batch = decoder().decode_batch(self.RECORDS)
        assert batch.records is self.RECORDS
        assert batch.records.at(3) == Record(3, b"k3", GOOD, 0, [("h", b"1")])
        assert batch.records.keys == (b"k3", None, b"k8", b"k9", b"k12")

    def test_a_batch_is_its_records_one_by_one(self) -> None:
        by, whole = decoder(), decoder().decode_batch(self.RECORDS)
        single = [by.decode_batch(Records.of([self.RECORDS.at(offset)])) for offset in self.RECORDS.offsets]
        assert [made for batch in single for made in batch.events] == whole.events
        assert [made for batch in single for made in batch.rejected] == whole.rejected

    def test_no_records_are_an_empty_batch(self) -> None:
        assert decoder().decode_batch(Records.of([])) == Batch(Records.of([]), [], [])

    def test_records_can_be_cut_at_any_offset_also_in_a_hole(self) -> None:
        assert self.RECORDS.before(5).offsets == (3, 4)
        assert self.RECORDS.since(5).offsets == (8, 9, 12)
        assert self.RECORDS.since(5).headers == ((), None, None)
        assert self.RECORDS.since(0) is self.RECORDS
        assert len(self.RECORDS.since(13)) == len(self.RECORDS.before(3)) == 0

    def test_a_batch_can_be_cut_at_any_row_and_is_then_the_batch_of_those_records(self) -> None:
        by, whole = decoder(), decoder().decode_batch(self.RECORDS)
        for first in range(len(self.RECORDS) + 1):
            for end in range(first, len(self.RECORDS) + 1):
                assert whole.rows(first, end) == by.decode_batch(self.RECORDS.rows(first, end))
        assert whole.rows(0, len(whole)) is whole


class TestConvert:
    """Objects that were parsed elsewhere: a row of a CSV file, a value of Faust."""

    ROW: ClassVar[dict[str, Any]] = {"id": "e", "t": 5, "a": 1, "n": 2, "s": "x", "b": True, "o": None, "y": 1}

    def test_gives_the_event_of_the_same_record(self) -> None:
        assert decoder().convert(self.ROW, OFFSET, TIMESTAMP_MS) == Event(OFFSET, "e", 5.0, {**X, "a": 1.0}, True)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [({"a": "1"}, "a"), ({"a": float("nan")}, "a"), ({"o": float("inf")}, "o"), ({"id": None}, "id"), ({"s": None}, "s")],
    )
    def test_refuses_what_decode_would(self, changes: dict[str, Any], field: str) -> None:
        with pytest.raises(EventError) as caught:
            decoder().convert({**self.ROW, **changes}, OFFSET, TIMESTAMP_MS)
        assert (caught.value.reason, caught.value.field) == ("schema", field)


ODD = (
    b'{"id":"e","a":1,"b":true}',
    b'{"id":7,"a":1.5,"b":true,"y":0}',
    b'{"id":"e","a":1.5,"b":null,"y":true}',
    b'{"id":"e","y":true}',
    b'{"id":"e","a":"text","b":false}',
    b'{"a":1.5,"b":false,"y":1}',
    b'{"id":"e","a":1.5',
    b"",
    None,
    b'{"id":"e","b":true,"a":2.5,"y":1,"more":[1,2]}',
)


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.tuples(st.integers(0, 30), st.sampled_from([*ODD, None])), min_size=1, max_size=5),
    time_ms=st.sampled_from([9_500, -1, 300_000_000_000_000]),
    task=st.sampled_from(["binary", "regression"]),
)
def test_a_batch_of_plain_records_becomes_what_each_would(parts: list[tuple[int, bytes | None]], time_ms: int, task: str) -> None:
    by = decoder(task, time=None, features={"a": float, "b": bool | None})
    values = [value for plain, odd in parts for value in [b'{"id":"x","a":0.5,"b":true,"y":1}'] * plain + [odd] * (plain % 2)]
    records = Records.of(Record(offset, b"k", value, time_ms) for offset, value in enumerate(values))
    one_by_one = decoder(task, time=None, features={"a": float, "b": bool | None})
    one_by_one._plain = False
    expected = one_by_one.decode_batch(records)
    for _ in range(2):  # the second time it knows that not all are plain
        assert by.decode_batch(records) == expected
    assert len(expected.events) + len(expected.rejected) == len(values)


def test_a_batch_that_is_plain_is_columns_and_any_part_of_it() -> None:
    by = decoder(time=None, features={"a": float})
    batch = by.decode_batch(Records.of(Record(offset, None, b'{"id":"x","a":0.5,"y":1}', 9_500) for offset in range(5)))
    assert isinstance(batch.events, Events)
    listed = list(batch.events)
    assert listed == [Event(offset, "x", 9.5, {"a": 0.5}, True) for offset in range(5)]
    assert batch.events[-1] == listed[-1]
    assert batch.events[1:3] == listed[1:3]
    assert batch.events != listed[:4]
    assert batch.events != "text"
    assert list(batch.rows(1, 4).events) == listed[1:4]
    with pytest.raises(IndexError):
        batch.events[5]

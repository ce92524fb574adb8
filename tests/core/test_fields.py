"""Features and labels that are more than a type: what each value becomes, and what is refused at load."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import pytest
from river import compose, drift, linear_model, preprocessing

from stream_retrain import Field, Label, Pipeline, PipelineError, Schema, Sparse, Watch
from stream_retrain.core.digest import digest
from stream_retrain.core.fields import LEFT_OUT
from stream_retrain.core.schema_faults import schema_faults
from stream_retrain.core.time_features import time_reader
from stream_retrain.core.trial import example_events
from stream_retrain.errors import EventError
from stream_retrain.facts.values import Record
from tests.core import streams


def read(field: Field, value: Any) -> Any:
    reader = field.reader("place", False)
    return value if reader is None else reader(value)


@pytest.mark.parametrize(
    ("field", "value", "made"),
    [
        (Field(float, text=True), "12.50", 12.5),
        (Field(float, text=True), "-1e3", -1000.0),
        (Field(float, text=True), 3.0, 3.0),
        (Field(int, text=True), "+42", 42),
        (Field(int, text=True), "42.0", 42),
        (Field(bool, text=True), "Yes", True),
        (Field(bool, text=True), "0", False),
        (Field(float, minimum=0, maximum=10), 10.0, 10.0),
        (Field(float, minimum=0, outside="clip"), -5.0, 0.0),
        (Field(int, maximum=9, outside="clip"), 12, 9),
        (Field(float, maximum=9, outside="leave_out"), 12.0, LEFT_OUT),
        (Field(float, maximum=9, outside="null"), 12.0, None),
        (Field(float, maximum=9, outside="default", default=1.0), 12.0, 1.0),
        (Field(str, allowed=("a", "b")), "a", "a"),
        (Field(str, allowed=("a", "b"), outside="default", default="b"), "c", "b"),
        (Field(float, non_finite="leave_out"), math.nan, LEFT_OUT),
        (Field(float, non_finite="null"), -math.inf, None),
        (Field(float, text=True, non_finite="default", default=0.5), "NaN", 0.5),
    ],
)
def test_a_value_is_read_as_declared(field: Field, value: Any, made: Any) -> None:
    found = read(field, value)
    assert (found, type(found)) == (made, type(made))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (Field(float, text=True), "1_000", "is no number in text"),
        (Field(float, text=True), " 1", "is no number in text"),
        (Field(float, text=True), "1,5", "is no number in text"),
        (Field(float, text=True), "nan", "is not a finite number"),
        (Field(int, text=True), "1.5", "is no whole number in text"),
        (Field(int, text=True), "9" * 19, "is no whole number in text"),
        (Field(bool, text=True), "maybe", "says neither true nor false"),
        (Field(float, minimum=18, unit="years"), 17.0, "'17.0' years is below the minimum of 18"),
        (Field(float, maximum=1), 2.0, "above the maximum of 1"),
        (Field(str, allowed=("EUR",)), "USD", "'USD' is not among the allowed values"),
        (Field(float, maximum=1), math.inf, "is not a finite number"),
    ],
)
def test_what_is_not_allowed_is_refused_with_the_place(field: Field, value: Any, words: str) -> None:
    with pytest.raises(EventError, match=words) as caught:
        read(field, value)
    assert (caught.value.reason, caught.value.field) == ("schema", "place")


@pytest.mark.parametrize(
    ("label", "task", "value", "made"),
    [
        (Label("y", positive="yes"), "binary", "yes", True),
        (Label("y", positive="yes"), "binary", "no", False),
        (Label("y", positive="yes"), "binary", "", None),
        (Label("y", positive=("fraud", "chargeback"), negative="ok"), "binary", "chargeback", True),
        (Label("y", positive=2, negative=1), "binary", 1, False),
        (Label("y", aliases={"Y": True, "N": False, "?": None}), "binary", "N", False),
        (Label("y", aliases={"?": None}), "binary", "?", None),
        (Label("y", text=True), "binary", "true", True),
        (Label("y", text=True), "regression", "12.5", 12.5),
        (Label("y", text=True), "multiclass", "3", 3),
        (Label("y", aliases={"crimson": "red"}), "multiclass", "crimson", "red"),
    ],
)
def test_a_label_is_read_as_declared(label: Label, task: str, value: Any, made: Any) -> None:
    found = label.reader(task, None, "y")(value)
    assert (found, type(found)) == (made, type(made))


@pytest.mark.parametrize(
    ("label", "task", "value"),
    [
        (Label("y", positive="yes"), "binary", 1),
        (Label("y", positive="yes", negative="no"), "binary", "maybe"),
        (Label("y", positive=1), "binary", True),
        (Label("y", aliases={"Y": True}), "binary", "N"),
        (Label("y", text=True), "regression", "nan"),
        (Label("y", text=True), "multiclass", "three"),
        (Label("y", text=True), "multiclass", 1.5),
    ],
)
def test_a_label_of_another_kind_is_refused(label: Label, task: str, value: Any) -> None:
    with pytest.raises(EventError) as caught:
        label.reader(task, None, "y")(value)
    assert caught.value.field == "y"


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"features": {"a": Field(list)}}, "feature 'a' has type"),
    ({"features": {"a": Field(str, text=True)}}, "is a text already"),
    ({"features": {"a": Field(float, default="x")}}, "the default 'x', which is no float"),
    ({"features": {"a": Field(str, minimum=1)}}, "has a minimum or maximum, and is a str"),
    ({"features": {"a": Field(float, minimum=2, maximum=1)}}, "has the bounds 2 and 1"),
    ({"features": {"a": Field(float, allowed=["x"])}}, "use a tuple of float values"),  # type: ignore[arg-type]
    ({"features": {"a": Field(float, missing="skip")}}, "has missing='skip'"),  # type: ignore[arg-type]
    ({"features": {"a": Field(str, outside="clip")}}, "has outside='clip'"),
    ({"features": {"a": Field(float, missing="default")}}, "and no default"),
    ({"features": {"a..b": float}}, "the path 'a..b' of feature 'a..b' cannot be read: a part of it is empty"),
    ({"features": {"t": float, "t.x": float}}, "one is a part of the other"),
    ({"features": {"t.0": float, "t.x": float}}, "for a list and for an object"),
    ({"features": {"a": Field(float, "t.x"), "b": Field(str, "t.x")}}, "read 't.x' as different types"),
    ({"features": {"a": Field(float, "y.value")}, "label": "y.value"}, "is both label and feature 'a'"),
    ({"features": {"x" * 201: float}}, "use a text of 1 to 200 characters"),
    ({"features": Sparse(features_max=0)}, "features_max of Sparse is 0"),
    ({"features": Sparse("a", name_chars_max=5000)}, "name_chars_max of Sparse is 5000"),
    ({"features": Sparse("w"), "unknown": "refuse"}, "with Sparse needs path=None"),
    ({"label": Label("y", positive="yes", negative="yes")}, "must be different texts or numbers"),
    ({"label": Label("y", negative="no")}, "negative needs positive"),
    ({"label": Label("y", aliases={"Y": "yes"})}, "an alias means 'yes', which is no label of a binary task"),
    ({"label": Label("y", positive=1), "positive": 1}, "positive stands beside a Label"),
    ({"positive": "yes", "task": "regression"}, "belong to a binary task"),
    ({"unknown": "drop"}, "unknown is 'drop'"),
    ({"time_features": ("hours",)}, "there is no time feature 'hours'"),
    ({"time_features": "hour"}, "use a tuple of minute"),
    ({"time_zone": "Mars/Olympus"}, "time_zone is 'Mars/Olympus'"),
    ({"format": "xml"}, "format is 'xml'"),
    ({"format": "msgpack", "decode": len}, "decode takes the bytes of a record itself"),
    ({"decode": lambda _: {}}, "use a function at the top of a module"),
    ({"features": {"a": Field(float, minimum=0)}, "example": {"a": -1.0}}, "example: feature 'a': '-1.0' is below the minimum of 0"),
    ({"features": {"t.x": float}, "example": {"t": {"x": "5"}}}, "feature 't.x' is '5', which is no float"),
]


@pytest.mark.parametrize(("change", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_fault_of_a_schema_is_named(change: dict[str, Any], words: str) -> None:
    task = change.pop("task", "binary") if "task" in change else "binary"
    declared = Schema(**{"id": "id", "label": "y", "features": {"a": float}, **change})
    faults = list(schema_faults(declared, task))
    assert any(words in fault for fault in faults), faults


def as_json(record: Record) -> Any:
    return None if record.value == b"skip" else {"a": float(record.value or b""), "key": (record.key or b"").decode()}


def several(record: Record) -> Any:
    return [{}, {}]


CALLS: list[int] = []


def impure(record: Record) -> Any:
    CALLS.append(1)
    return {"a": float(len(CALLS))}


@pytest.mark.parametrize(
    ("decode", "example", "words"),
    [
        (as_json, (), "is tried at load on examples"),
        (as_json, b"no number", "raised ValueError"),
        (several, b"x", "gave a list for example 0; it gives one dict a record"),
        (impure, b"x", "it must depend on the record alone"),
    ],
)
def test_a_decode_function_is_tried_at_load(decode: Any, example: Any, words: str) -> None:
    faults = list(schema_faults(Schema(label="y", features={"a": float}, decode=decode, example=example), "binary"))
    assert any(words in fault for fault in faults), faults


def test_examples_of_a_decode_function_are_bytes_or_records() -> None:
    schema = Schema(label="y", features={"a": float, "key": str}, decode=as_json, example=[b"1.5", b"skip", Record(0, b"k", b"2", 0)])
    assert list(schema_faults(schema, "binary")) == []
    assert [x for x, _ in example_events(schema, "binary")][:2] == [{"a": 1.5, "key": ""}, {"a": 2.0, "key": "k"}]


def is_late(x: dict[str, Any]) -> dict[str, Any]:
    return {"late": x["time.hour"] >= 22}


def test_a_pipeline_of_such_a_schema_is_tried_with_values_that_it_allows() -> None:
    schema = Schema(
        id="meta.id",
        time="meta.at",
        time_unit="us",
        label="outcome.returned",
        positive="yes",
        features={
            "amount": Field(float, "txn.amount", text=True, minimum=100, unit="EUR"),
            "age": Field(int, "user.age", minimum=17.5, maximum=19.5, missing="leave_out"),
            "items.0.price": float,
        },
        time_features=("hour", "weekday"),
        time_zone="Europe/Berlin",
    )
    model = compose.FuncTransformer(is_late) + compose.Select("amount") | preprocessing.StandardScaler() | linear_model.LogisticRegression()
    made = Pipeline(name="orders", task="binary", source="orders", schema=schema, model=model)
    events = [x for x, _ in example_events(made.schema, "binary")]
    assert all(float(x["amount"] or 0) >= 100 and x.get("age", 18) in (18, 19) for x in events)
    assert len({x["time.hour"] for x in events}) > 2
    assert any("age" not in x for x in events)
    assert schema.required == ("amount", "items.0.price")
    assert schema.columns == {"meta": "the event time", "outcome": "the label", "txn": "a feature", "items": "a feature"}


def test_time_features_are_those_of_the_zone() -> None:
    at_s = 1_782_864_000.5  # 2026-07-01T00:00:00.5Z, a Wednesday
    names = ("minute", "hour", "weekday", "day", "month", "yearday", "second_of_day")
    assert list(time_reader(names, "UTC")(at_s).values()) == [0, 0, 2, 1, 7, 182, 0]
    assert list(time_reader(names, "America/New_York")(at_s).values()) == [0, 20, 1, 30, 6, 181, 72_000]
    assert time_reader(("day", "month"), "UTC")(-0.5) == {"time.day": 31, "time.month": 12}
    with pytest.raises(EventError, match="is no date in Asia/Tokyo"):
        time_reader(("hour",), "Asia/Tokyo")(253_402_300_799.0)


class TestDigest:
    """A schema that uses nothing new is, to states and logs, what it always was."""

    PLAIN = Schema(id="id", time="t", label="y", features={"a": float, "b": str | None})

    def test_of_a_plain_schema_is_that_of_the_fields_it_always_had(self) -> None:
        assert digest(self.PLAIN) == "938403129f8f01de79aac7496c5f18b381e53c9687ad8852fd810bbabbdcfa93"

    def test_differs_where_something_new_is_said(self) -> None:
        others: list[dict[str, Any]] = [{"positive": 1}, {"unknown": "refuse"}, {"time_features": ("hour",)}, {"format": "msgpack"}]
        changed = [digest(dataclasses.replace(self.PLAIN, **each)) for each in others]
        assert len({digest(self.PLAIN), *changed}) == len(others) + 1

    def test_a_schema_comes_back_from_a_pickle_as_it_was(self) -> None:
        for schema in (self.PLAIN, Schema(label=Label("y"), features=Sparse("w"), time_zone="Europe/Berlin", unknown="refuse")):
            assert pickle.loads(pickle.dumps(schema)) == schema


def test_sparse_features_are_tried_too() -> None:
    made = streams.pipeline(schema=Schema(id="id", label="y", features=Sparse("words", features_max=50)), watch=[], react=[])
    assert made.schema.sparse == Sparse("words", features_max=50)
    with pytest.raises(PipelineError, match="no detector watches those"):
        streams.pipeline(schema=Schema(label="y", features=Sparse("words")), watch=[Watch("feature:x", drift.ADWIN())], react=[])

"""Rows whose fields are nested, or of another format, are backtested as those of a flat record are."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream_retrain import Avro, Field, Schema, backtest
from stream_retrain.errors import SettingsError
from stream_retrain.facts.values import Event, Record
from stream_retrain.lane.batch import Records
from stream_retrain.lane.formats.decoder import EventDecoder
from tests.backtesting.source_support import BEGIN_MS, PIPELINE, opened, read, rows
from tests.core import streams

NESTED = Schema(id="meta.id", time="meta.at", label="out.y", features={"a": Field(float, "x.a"), "b": Field(float | None, "x.b.0")})


def nested(row: dict[str, Any]) -> dict[str, Any]:
    return {"meta": {"id": row["id"], "at": row["at"]}, "x": {"a": row["a"], "b": [row["b"]]}, "out": {"y": row["y"], "more": 1}}


def by_hand(record: Record) -> Any:
    row = msgspec.json.decode(record.value or b"")
    return {"id": row["meta"]["id"], "at": row["meta"]["at"], "a": row["x"]["a"], "b": row["x"]["b"][0], "y": row["out"]["y"]}


def event_of(row: dict[str, Any]) -> dict[str, Any]:
    data = {"a": row["a"], "b": row["b"], "y": row["y"]}
    return {"specversion": "1.0", "id": row["id"], "source": "/s", "type": "t", "time": row["at"], "data": data}


FLAT: dict[str, Any] = {"id": "id", "time": "at", "label": "y", "features": {"a": float, "b": float | None}}
EXAMPLE = msgspec.json.encode(nested({"id": "e", "at": "2026-01-01T00:00:00Z", "a": 1.0, "b": None, "y": True}))
WAYS: dict[str, tuple[Schema, Any]] = {
    "nested": (NESTED, nested),
    "decode": (Schema(**FLAT, decode=by_hand, example=EXAMPLE), nested),
    "msgpack": (Schema(**FLAT, format="msgpack"), dict),
    "cloudevents": (Schema(**{**FLAT, "id": "ce.id", "time": "ce.time"}, format="cloudevents"), event_of),
}


def events(schema: Schema, given: list[dict[str, Any]], **options: Any) -> list[Event]:
    pipeline = streams.pipeline(schema=schema)
    found = [record for _, record in read(given, pipeline, **options)]
    batch = EventDecoder.of(pipeline, record_bytes_max=100_000).decode_batch(Records.of(found))
    assert batch.rejected == []
    assert found[0].timestamp_ms == BEGIN_MS
    return batch.events


@pytest.mark.parametrize("way", WAYS)
def test_rows_become_the_events_of_flat_ones(way: str) -> None:
    schema, written = WAYS[way]
    given = rows(20)
    assert events(schema, [written(row) for row in given]) == events(PIPELINE.schema, given)


def test_labels_of_nested_rows_are_delayed_as_those_of_flat_ones() -> None:
    given = rows(50)
    assert events(NESTED, [nested(row) for row in given], labels="events=5") == events(PIPELINE.schema, given, labels="events=5")


@pytest.mark.parametrize("way", ["decode", "msgpack", "cloudevents"])
def test_labels_cannot_be_taken_out_of_other_formats(way: str) -> None:
    with pytest.raises(SettingsError, match="for records in JSON alone"):
        opened([], streams.pipeline(schema=WAYS[way][0]), labels="events=5")


def test_labels_cannot_be_taken_out_of_a_list() -> None:
    with pytest.raises(SettingsError, match="stands in a list"):
        opened([], streams.pipeline(schema=Schema(id="id", label="y.0", features={"a": float})), labels="events=5")


def test_rows_are_no_records_of_a_registry() -> None:
    with pytest.raises(SettingsError, match="rows are no records in Avro: replay the topic"):
        opened([], streams.pipeline(schema=Schema(**FLAT, format=Avro())))


def test_a_csv_with_dots_in_its_columns_is_read_by_escaped_names(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["id", "x.a", "y"])
        writer.writeheader()
        writer.writerow({"id": 1, "x.a": 2.5, "y": "true"})
    schema = Schema(id="id", label="y", features={"a": Field(float, r"x\.a")})
    [(_, record)] = read(str(file), streams.pipeline(schema=schema))
    assert EventDecoder(schema, "binary", record_bytes_max=1_000).decode(record) == Event(0, 1, 0.0, {"a": 2.5}, True)
    with pytest.raises(SettingsError, match=r"no field 'x' \(a feature\); there are 'id', 'x\.a', 'y'"):
        read(str(file), streams.pipeline(schema=Schema(id="id", label="y", features={"x.a": float})))


def test_what_decode_passes_over_is_counted_and_is_no_event() -> None:
    given = [{"id": f"e{number}", "a": number % 5, "y": number % 5 > 2} for number in range(100)]
    schema = Schema(id="id", label="y", features={"a": float}, decode=every_second, example=b'{"id": "e0", "a": 1, "y": true}')
    result = backtest(streams.pipeline(schema=schema), given, variants=[], progress=False, processes=1)
    assert (result.summary.events, result.summary.rejected) == (50, 0)


def every_second(record: Record) -> Any:
    row = msgspec.json.decode(record.value or b"")
    return row if int(row["id"][1:]) % 2 == 0 else None

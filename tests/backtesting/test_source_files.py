"""Files and rows of a program as sources: the same rows are the same records, whatever holds them; what is wrong is said or counted."""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import decimal
import gzip
import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain import Schema
from stream_retrain.backtesting import open_source as opening
from stream_retrain.backtesting import table
from stream_retrain.errors import SettingsError
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings
from tests.backtesting.source_support import BEGIN, BEGIN_MS, PIPELINE, SCHEMA, events, jsonl, opened, read, rows, spooled, values

ROWS = rows(50)


def as_csv(file: Path) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(ROWS[0]))
        writer.writeheader()
        writer.writerows({name: str(value).lower() if isinstance(value, bool) else value for name, value in row.items()} for row in ROWS)


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.csv": as_csv,
    "a.jsonl": lambda file: file.write_text(jsonl(ROWS)),
    "a.ndjson.gz": lambda file: file.write_bytes(gzip.compress(jsonl(ROWS).encode())),
    "a.jsonl.zst": lambda file: file.write_bytes(zstandard.ZstdCompressor().compress(jsonl(ROWS).encode())),
    "a.parquet": lambda file: pq.write_table(pa.Table.from_pylist(ROWS), file, row_group_size=7),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_same_rows_are_the_same_records_whatever_holds_them(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    options: dict[str, Any] = {"partition_by": "shop", "partitions": 4}
    found = read(tmp_path / name, **options)
    of_program = read(iter(ROWS), **options)
    assert [(partition, record._replace(value=None)) for partition, record in found] == [
        (partition, record._replace(value=None)) for partition, record in of_program
    ]
    assert values(found) == values(of_program) == ROWS
    source = opened(str(tmp_path / name))
    assert (source.name, source.estimate(), source.notes) == (name, 50, [])


def test_a_key_decides_the_partition_and_offsets_count_in_each(tmp_path: Path) -> None:
    found = read(iter(ROWS), partition_by="shop", partitions=4)
    for row, (partition, record) in zip(ROWS, found, strict=True):
        assert (partition, record.key) == (zlib.crc32(row["shop"].encode()) % 4, row["shop"].encode())
    for partition in {partition for partition, _ in found}:
        offsets = [record.offset for at, record in found if at == partition]
        assert offsets == list(range(len(offsets)))
    assert {(partition, record.key) for partition, record in read(iter(ROWS))} == {(0, None)}
    numbers = [{**row, "shop": number % 3} for number, row in enumerate(ROWS)]
    assert {record.key for _, record in read(iter(numbers), partition_by="shop")} == {b"0", b"1", b"2"}
    by_java = Settings(kafka={"partitioner": "murmur2_random"})
    assert [at for at, _ in read(iter(ROWS), settings=by_java, partition_by="shop", partitions=4)] != [at for at, _ in found]


def test_the_timestamp_is_the_event_time_so_that_no_event_is_ahead_of_its_record() -> None:
    strict = dataclasses.replace(PIPELINE, time_ahead_max_s=1e-9)
    times = [BEGIN + dt.timedelta(microseconds=number * 333) for number in range(40)]
    found = read(({**row, "at": time.isoformat()} for row, time in zip(ROWS, times, strict=False)), strict)
    accepted, rejected = events(found, strict)
    assert (len(accepted), rejected) == (40, 0)
    assert [record.timestamp_ms for _, record in found] == [BEGIN_MS + math.ceil(number * 0.333) for number in range(40)]
    assert [event.time_s for event in accepted] == [time.timestamp() for time in times]


@pytest.mark.parametrize(("unit", "factor"), [("s", 1), ("ms", 1000)])
def test_numbers_of_time_are_read_in_the_unit_of_the_schema(unit: Any, factor: int) -> None:
    pipeline = dataclasses.replace(PIPELINE, schema=dataclasses.replace(SCHEMA, time_unit=unit))
    seconds = [-5.0, 0.0, 1_767_225_600.25]
    found = read(({**row, "at": at * factor} for row, at in zip(ROWS, seconds, strict=False)), pipeline)
    assert [record.timestamp_ms for _, record in found] == [-5_000, 0, 1_767_225_600_250]
    [day] = read(iter([{**ROWS[0], "at": dt.datetime(1970, 1, 2)}]), pipeline)
    assert (day[1].timestamp_ms, values([day])[0]["at"]) == (86_400_000, 86_400 * factor)


def test_a_row_without_a_time_stands_at_that_of_the_row_before(tmp_path: Path) -> None:
    times = [None, "2026-01-01T00:01:00Z", None, "yesterday", 1e400, "2026-01-01T00:02:00Z", "2026-01-01T00:01:30Z"]
    source = opened(({**row, "at": at} for row, at in zip(ROWS, times, strict=False)))
    stamps = [record.timestamp_ms - BEGIN_MS for _, record in source.records()]
    assert stamps == [-BEGIN_MS, 60_000, 60_000, 60_000, 60_000, 120_000, 90_000]
    assert source.notes == ["rows without an event time, which stand at the time of the row before: 4"]


def test_without_a_time_in_the_schema_rows_count_as_one_second_apart() -> None:
    pipeline = dataclasses.replace(PIPELINE, schema=dataclasses.replace(SCHEMA, time=None))
    source = opened(iter(ROWS), pipeline)
    assert [event.time_s for event in events(source.records(), pipeline)[0]] == list(range(50))
    assert source.notes == ["the schema names no event time: rows count as one second apart, beginning with 1970"]


BROKEN = ['{"id":"x"', '{"id":"x","id":"x","at":"2026-01-01T00:00:00Z","a":1,"y":true}', "[1]", "null", '{"a":NaN}', '{"a":1e999}', "\x00"]


def test_a_line_that_is_no_row_is_a_dead_letter_beside_the_row_before(tmp_path: Path) -> None:
    good = jsonl(ROWS[:20]).splitlines()
    (tmp_path / "a.jsonl").write_text("\n".join([BROKEN[0], *good[:10], *BROKEN, *good[10:]]))
    source = opened(tmp_path / "a.jsonl", partition_by="shop", partitions=3)
    found = list(source.records())
    accepted, rejected = events(found)
    assert ([event.id for event in accepted], rejected) == ([row["id"] for row in ROWS[:20]], 8)
    before = found[10]
    for partition, record in found[11:18]:
        assert (partition, record.timestamp_ms, record.key) == (before[0], before[1].timestamp_ms, None)
    assert found[0] == (0, Record(0, None, b'{"id":"x"', 0))
    assert found[12][1].value == b"no row: " + BROKEN[1].encode()
    [note] = source.notes
    assert note.startswith("lines that are no rows, and so dead letters: 8; the first is line 1: it is not JSON: Expecting ',' delimiter")


def test_a_long_line_that_is_no_row_is_kept_in_part(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl(ROWS[:1]) + "x" * 300_000)
    [_, (_, record)] = read(tmp_path / "a.jsonl")
    assert record.value == b"x" * 100_000


def test_rows_without_a_key_are_dealt_in_turn_and_counted() -> None:
    given = [{**ROWS[0], "shop": "north"}, *({**row, "shop": shop} for row, shop in zip(ROWS, [None, "", None], strict=False))]
    del given[3]["shop"]
    source = opened(iter(given), partition_by="shop", partitions=2)
    found = list(source.records())
    assert [record.key for _, record in found[1:4]] == [None, b"", None]
    assert [partition for partition, _ in found[1:4]] == [0, 1, 0]
    assert source.notes == ["rows without a key ('shop'), which were dealt to the partitions in turn: 3"]


def test_a_file_may_be_read_again_and_gives_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(jsonl({**row, "shop": None} for row in ROWS) + "no row")
    source = opened(tmp_path / "a.jsonl", partition_by="shop", partitions=3, labels="exponential:mean_s=60")
    first, notes = list(source.records()), source.notes
    assert (list(source.records()), source.notes) == (first, notes)
    assert len(first) == 101


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", "id,at,a,b\n1,2,3,4\n", "it has no field 'y' (the label); there are 'id', 'at', 'a', 'b'"),
        ("a.csv", "id;at;a;b;y\n1;2;3;4;5\n", "it has no field 'a' (a feature), 'at' (the event time), 'id' (the id), 'y' (the label)"),
        ("a.csv", "id,at,a,b,y\n", "it has no rows"),
        ("a.csv", "", "it is empty"),
        ("a.csv", "a,a\n", "more than once"),
        ("a.jsonl", "", "it has no rows"),
        ("a.jsonl", "no\nrow\n", "none of its first 2 lines is a row, the first of which is line 1: it is not JSON"),
        ("a.jsonl", jsonl([{"id": 1, "at": None, "a": 1}] * 3), "its first 3 rows have no field 'y'"),
        ("a.parquet", "PAR1 is no table", "it cannot be read"),
        ("a.txt", "", "cannot tell what it is; use kafka://TOPIC, or a file .csv"),
        ("a.csv.gz", "plain", "it cannot be read: Not a gzipped file"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_as_a_whole_is_said(tmp_path: Path, name: str, content: str, reason: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError) as caught:
        read(tmp_path / name)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["none.csv", "none.jsonl.zst", "none.parquet"])
def test_a_file_that_is_not_there_is_said_when_it_is_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"it cannot be read: .*No such file"):
        opened(tmp_path / name)


def test_a_label_may_come_late_but_not_later_than_a_question_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ROWS_TRIED_MIN", 10)
    pipeline = dataclasses.replace(PIPELINE, pending_rows_max=30)
    questions = [{name: value for name, value in row.items() if name != "y"} for row in ROWS]
    answer = {"id": "e0", "y": True, "at": ROWS[0]["at"]}
    assert len(read(iter([*questions[:29], answer]), pipeline)) == 30
    given = iter([*questions, answer])
    with pytest.raises(SettingsError, match=r"its first 30 rows have no field 'y' \(the label\); there are 'id', 'at', 'shop'"):
        read(given, pipeline)
    assert len(list(given)) == 21


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"partitions": 3}, "3 partitions need partition_by"),
        ({"partitions": 0}, "partitions is 0; use 1 to 10,000"),
        ({"partition_by": "town"}, "its first 50 rows have no field 'town' (the key)"),
        ({"partition_by": "shop", "partitions": 2, "settings": Settings(kafka={"partitioner": "fnv1a"})}, "kafka.partitioner is 'fnv1a'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(iter(ROWS), **options)
    assert reason in str(caught.value)


def test_rows_of_a_program_are_taken_one_by_one_and_once() -> None:
    taken: list[int] = []

    def given() -> Iterator[dict[str, Any]]:
        for number, row in enumerate(ROWS):
            taken.append(number)
            yield row

    records = opened(given()).records()
    assert taken == []
    next(records)
    assert taken == [0]
    assert len(list(records)) == 49
    again = opened(ROWS)
    assert len(list(again.records())) == 50
    with pytest.raises(SettingsError, match="it has no rows"):
        list(again.records())


def test_values_of_numpy_and_pandas_are_what_json_would_hold() -> None:
    frame = pd.DataFrame([{**row, "a": np.float32(row["a"]), "at": pd.Timestamp(row["at"])} for row in ROWS])
    frame.loc[3, "a"] = np.nan
    accepted, rejected = events(read(frame.to_dict("records")))
    assert (len(accepted), rejected) == (49, 1)
    odd = {**ROWS[0], "a": np.float64(1.5), "y": np.bool_(True), "b": decimal.Decimal("2.50"), "at": np.datetime64("2026-01-01T00:00:01.5")}
    source = opened([{**odd, "at": pd.Timestamp("2026-01-01T00:00:01.5")}, {**ROWS[1], "at": pd.NaT, "b": pd.NA, "shop": odd["at"]}])
    found = list(source.records())
    assert values(found)[0] == {**ROWS[0], "a": 1.5, "y": True, "b": 2.5, "at": "2026-01-01T00:00:01.500000+00:00"}
    assert {name: values(found)[1][name] for name in ("at", "b", "shop")} == {"at": None, "b": None, "shop": "2026-01-01T00:00:01.500000"}
    assert found[0][1].timestamp_ms == BEGIN_MS + 1_500
    assert "event times without a zone are taken as UTC" in source.notes


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (pd.DataFrame(ROWS), "row 1 of the program is a str, not a dict; of a data frame give to_dict('records')"),
        ([({"a": 1}, True)], "row 1 of the program is a tuple, not a dict"),
        ([ROWS[0], {**ROWS[1], "a": 1j}], "rows of the program: row 2: it cannot be written as JSON: a complex is no value of JSON"),
        ([{**ROWS[1], "shop": "\ud800"}], "it cannot be written as JSON"),
        (7, "a source is a text, a path or an iterable of dicts, not a int"),
    ],
)
def test_rows_that_are_none_are_the_program_s_fault(given: Any, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(given)
    assert reason in str(caught.value)


def typed(**columns: pa.Array) -> pa.Table:
    base = {"id": pa.array(["x", "y"]), "a": pa.array([1.0, 2.0]), "y": pa.array([True, None])}
    return pa.table({**base, "at": pa.array([0, 1_500], pa.timestamp("ms", tz="UTC")), **columns})


@pytest.mark.parametrize(
    ("column", "held"),
    [
        (pa.array(["p", "q"]).dictionary_encode(), ["p", "q"]),
        (pa.array([decimal.Decimal("1.50"), None]), [1.5, None]),
        (pa.array([decimal.Decimal(2**53 + 1), decimal.Decimal(7)], pa.decimal128(20, 0)), [2**53 + 1, 7]),
        (pa.array([1, None], pa.int8()), [1, None]),
        (pa.array([float("nan"), 2.0]), [None, 2.0]),
        (pa.array([0, 1_500], pa.timestamp("ms", tz="Europe/Berlin")), ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.500000Z"]),
        (pa.array([1_999, None], pa.timestamp("ns")), ["1970-01-01T00:00:00.000001Z", None]),
        (pa.array([0, 86_400_000], pa.date64()), ["1970-01-01", "1970-01-02"]),
        (pa.array([90, None], pa.duration("s")), [90.0, None]),
        (pa.array([[1, 2], None]), [[1, 2], None]),
        (pa.array([{"p": 1}, None]), [{"p": 1}, None]),
        (pa.nulls(2), [None, None]),
        (pa.array([True, False]), [True, False]),
        (pa.array([2**63, 1], pa.uint64()), [2**63, 1]),
    ],
)
def test_columns_of_parquet_are_what_json_would_hold(tmp_path: Path, column: pa.Array, held: list[object]) -> None:
    pq.write_table(typed(key=column, unread=pa.array([1, 2])), tmp_path / "a.parquet")
    found = values(read(tmp_path / "a.parquet", partition_by="key"))
    assert [row["key"] for row in found] == held
    assert [(row["id"], row["at"]) for row in found] == [("x", "1970-01-01T00:00:00Z"), ("y", "1970-01-01T00:00:01.500000Z")]
    assert "unread" not in found[0]


def test_parquet_says_what_it_took_for_granted_and_what_it_cannot_read(tmp_path: Path) -> None:
    pq.write_table(typed(at=pa.array([0, 1], pa.timestamp("s"))), tmp_path / "a.parquet")
    source = opened(tmp_path / "a.parquet")
    assert [record.timestamp_ms for _, record in source.records()] == [0, 1_000]
    assert source.notes == ["the column 'at' says no zone: it is taken as UTC"]
    pq.write_table(typed(at=pa.array([0, 10**12], pa.timestamp("s"))), tmp_path / "b.parquet")
    with pytest.raises(SettingsError, match=r"b.parquet: column 'at' holds what cannot be read"):
        read(tmp_path / "b.parquet")
    pq.write_table(typed().drop_columns(["y"]), tmp_path / "c.parquet")
    with pytest.raises(SettingsError, match=r"c.parquet: it has no field 'y' \(the label\); there are 'id', 'a', 'at'"):
        opened(tmp_path / "c.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "d.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingsError, match=r"d.parquet: it cannot be read"):
        opened(tmp_path / "d.parquet")


def test_without_pyarrow_it_is_said_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"to read Parquet a package is needed: pip install 'stream_retrain\[backtest\]'"):
        opened(tmp_path / "a.parquet")


@pytest.mark.slow
def test_a_row_group_is_not_held_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "BATCH_ROWS", 5_000)
    count, rng = 600_000, np.random.default_rng(1)
    ids = pa.array([f"e{number:032}" for number in range(count)])
    columns = {"id": ids, "y": pa.array(rng.random(count) < 0.5), **{f"x{number}": rng.random(count) for number in range(8)}}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=count, use_dictionary=False, compression="none")
    del columns, ids
    before = pa.total_allocated_bytes()
    assert (tmp_path / "a.parquet").stat().st_size > 60_000_000
    most = 0
    for number, _ in table.Table(tmp_path / "a.parquet").rows({"id", "y", *(f"x{number}" for number in range(8))}):
        if number % 5_000 == 1:
            most = max(most, pa.total_allocated_bytes() - before)
    assert number == count
    assert most < 25_000_000


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), FLOATS, st.text(max_size=5))
TIMES = st.one_of(VALUES, st.datetimes(timezones=st.just(dt.UTC)))
ANY_ROWS = st.lists(st.fixed_dictionaries({**dict.fromkeys(["id", "a", "y", "shop"], VALUES), "at": TIMES}), min_size=1, max_size=30)


@given(ANY_ROWS, st.integers(1, 4), st.sampled_from([None, "events=2", "seconds=5", "seconds_field=a", "exponential:mean_s=1"]))
@settings(max_examples=60, deadline=None)
def test_a_source_that_was_spooled_is_read_back_as_the_same_records(
    tmp_path_factory: pytest.TempPathFactory, given: list[dict[str, Any]], partitions: int, labels: str | None
) -> None:
    options: dict[str, Any] = {"partition_by": "shop", "partitions": partitions, "labels": labels}
    direct = read(iter(given), **options)
    assert spooled(opened(iter(given), **options), tmp_path_factory.mktemp("spool")) == [
        (partition, record._replace(headers=None)) for partition, record in direct
    ]
    assert all(json.loads(record.value or b"") for _, record in direct)
    if labels is None:
        assert len(direct) == len(given)


def test_the_key_may_be_a_field_of_the_schema() -> None:
    pipeline = dataclasses.replace(PIPELINE, schema=Schema(id="id", time="at", label="y", features={"a": float}))
    assert {record.key for _, record in read(iter(ROWS[:2]), pipeline, partition_by="id")} == {b"e0", b"e1"}

"""Files to publish: values are kept, and every fault names the file and the line."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.engines.replay.rows import count_rows, read_rows
from stream_retrain.errors import SettingsError


def rows(folder: Path, name: str, content: bytes) -> list[dict[str, Any]]:
    (folder / name).write_bytes(content)
    return list(read_rows(folder / name))


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("1.50", 1.5),
        ("-0.0", -0.0),
        ("1e-05", 1e-05),
        ("1.0E-5", 1e-05),
        ("18446744073709551615", 2**64 - 1),
        *(
            (text, text)
            for text in ("00042", "-0", "+5", "1_000", "inf", "NAN", "Infinity", "12e45", "1e5", "0x1f", " 7", "1.", ".5", "1.0e999")
        ),
        *((text, text) for text in ("99999999999999999999", "123456789012345678901234567890", "\u0661")),
    ],
)
def test_a_cell_becomes_a_number_only_where_it_reads_back_the_same(tmp_path: Path, cell: str, value: object) -> None:
    [row] = rows(tmp_path, "a.csv", f"id,a\nx,{cell}\n".encode())
    assert (row["a"], type(row["a"])) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "content", "row"),
    [
        ("a.csv", b"\xef\xbb\xbfid,a\ne1,1.5\n", {"id": "e1", "a": 1.5}),
        ("a.jsonl", b'\xef\xbb\xbf{"id":"e1","a":1.5}\n', {"id": "e1", "a": 1.5}),
        ("a.jsonl.gz", gzip.compress(b'\n{"id":null}\n'), {"id": None}),
        ("a.csv", b'id,a\r\n"x\r\ny",1\r\n', {"id": "x\r\ny", "a": 1}),
    ],
)
def test_a_file_is_read_as_it_is_meant(tmp_path: Path, name: str, content: bytes, row: object) -> None:
    assert rows(tmp_path, name, content) == [row]
    assert count_rows(tmp_path / name) >= 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"id,a,a\nx,1,2\n", "line 1: its header has the column 'a' more than once"),
        ("a.csv", b"id,a\nx,1\ny,2,3\n", "line 3: it has 3 cells, and the header has 2"),
        ("a.csv", b'id,a\nx,"1\n', "line 2: it is not CSV"),
        ("a.csv", b"id\n\xff\n", "line 2: it is not UTF-8 text"),
        ("a.csv", b"", "it is empty"),
        ("a.jsonl", b'{"a":1}\n{"a":NaN}\n', "line 2: it is not JSON: NaN is no value of JSON"),
        ("a.jsonl", b'{"a":-Infinity}', "line 1: it is not JSON: -Infinity is no value of JSON"),
        ("a.jsonl", b'{"a":1e999}', "line 1: it is not JSON: 1e999 is beyond"),
        ("a.jsonl", b'{"a":1,"a":2}', "line 1: it is not JSON: the field 'a' stands in it more than once"),
        ("a.jsonl", b'{"a":["\\ud800"]}', "line 1: it is not JSON: it has half a surrogate pair"),
        ("a.jsonl", b'{"a":' + b"[" * 100_000, "line 1: it is not JSON"),
        ("a.jsonl", b"[1]", "line 1: it is not a JSON object"),
        ("a.jsonl.gz", gzip.compress(b'{"a":1}' * 99)[:30], "it cannot be read: Compressed file ended"),
        ("a.csv.gz", b"plain", "it cannot be read: Not a gzipped file"),
        ("a.parquet", b"", "cannot tell its format"),
    ],
)
def test_a_fault_is_named_with_file_and_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    with pytest.raises(SettingsError) as caught:
        rows(tmp_path, name, content)
    assert str(caught.value).startswith(f"{tmp_path / name}: {reason}")


def test_a_row_without_the_key_is_a_fault_and_a_null_key_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"c":null}\n{"d":1}\n')
    found = read_rows(tmp_path / "a.jsonl", key="c")
    assert next(found) == {"c": None}
    with pytest.raises(SettingsError, match="line 2: it has no field 'c', the key"):
        next(found)

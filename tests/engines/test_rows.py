"""Files to publish: values are kept, and every fault names the file and the line."""

from __future__ import annotations

import gzip
import random
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_retrain.engines.replay import rows as rows_module
from stream_retrain.engines.replay.rows import Broken, count_rows, estimate_rows, read_lines, read_rows
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
        ("a.jsonl.gz", gzip.compress(b'\n{"id":null}\n', mtime=0), {"id": None}),
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
        ("a.jsonl.gz", gzip.compress(b'{"a":1}' * 99, mtime=0)[:30], "it cannot be read: Compressed file ended"),
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


def lines(folder: Path, name: str, content: bytes) -> list[tuple[int, object]]:
    (folder / name).write_bytes(content)
    return [(number, (row.text, row.reason) if isinstance(row, Broken) else row) for number, row in read_lines(folder / name)]


NO_TEXT = "it is not UTF-8 text: invalid start byte at byte"


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.jsonl", b'{"a":1}\n[1]\n\n{"a":2}', [(1, {"a": 1}), (2, (b"[1]\n", "it is not a JSON object")), (4, {"a": 2})]),
        ("a.jsonl", b'{"a":"\xff"}\n{"a":2}', [(1, (b'{"a":"\xff"}\n', f"{NO_TEXT} 7")), (2, {"a": 2})]),
        ("a.csv", b"a,b\n3\n4,\n", [(2, (b"3\n", "it has 1 cells, and the header has 2")), (3, {"a": 4, "b": None})]),
        ("a.csv", b'a,b\n"x\ny",2\n4,5\n', [(2, {"a": "x\ny", "b": 2}), (4, {"a": 4, "b": 5})]),
        ("a.csv", b"a,b\n\xff,2\n4,5\n", [(2, (b"\xff,2\n", f"{NO_TEXT} 1")), (3, {"a": 4, "b": 5})]),
    ],
)
def test_a_line_that_is_no_row_is_given_as_it_is(tmp_path: Path, name: str, content: bytes, found: list[object]) -> None:
    assert lines(tmp_path, name, content) == found


@pytest.mark.parametrize("rest", ["", '4,"good"\n5,6\n', '4,"two\nlines"\n5,6\n'], ids=["end", "quoted", "quoted lines"])
def test_a_quotation_mark_that_is_never_closed_costs_its_own_line_only(tmp_path: Path, rest: str) -> None:
    good = lines(tmp_path, "good.csv", f"a,b\n1,2\n{rest}".encode())
    found = lines(tmp_path, "a.csv", f'a,b\n1,2\n3,"x\n{rest}'.encode())
    assert [row for _, row in found if isinstance(row, dict)] == [row for _, row in good]
    [(number, broken)] = [(number, row) for number, row in found if isinstance(row, tuple)]
    assert (number, broken[0]) == (3, b'3,"x\n')


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"") + b"\n"), max_size=12))
@settings(max_examples=200, deadline=None)
def test_whatever_stands_in_a_file_each_line_is_a_row_or_is_given(content: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = lines(Path(folder), "a.csv", b"a,b\n" + b"".join(content))
        numbers = [number for number, _ in found]
        assert numbers == sorted(set(numbers))
        for number, row in found:
            if isinstance(row, tuple):
                assert row[0] == content[number - 2]
        plain = {number + 2 for number, line in enumerate(content) if re.fullmatch(rb"[a-z0-9]+,[a-z0-9]+\n", line)}
        if b'"' not in b"".join(content):
            assert plain <= set(numbers)


ROWS = b"".join(b'{"a":%d}\n' % number for number in range(20_000))


def test_zstandard_is_read_frame_by_frame(tmp_path: Path) -> None:
    frame, skipped = zstandard.ZstdCompressor().compress, b"\x50\x2a\x4d\x18\x02\x00\x00\x00xx"
    content = frame(ROWS[:100_000]) + skipped + frame(b"") + frame(ROWS[100_000:])
    assert rows(tmp_path, "a.jsonl.zst", content) == [{"a": number} for number in range(20_000)]
    assert count_rows(tmp_path / "a.jsonl.zst") == 20_000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda whole: whole[:-1], "Compressed file ended before the end of a frame was reached"),
        (lambda whole: whole[: len(whole) // 2], "Compressed file ended before the end of a frame was reached"),
        (lambda whole: whole + b"more", "Unknown frame descriptor"),
        (lambda _: b"plain text", "Not a Zstandard file, or a damaged one"),
        (lambda whole: whole[:50] + bytes(20) + whole[70:], "a damaged one"),
    ],
)
def test_a_damaged_zstandard_file_is_not_taken_for_a_short_one(tmp_path: Path, content: Callable[[bytes], bytes], reason: str) -> None:
    whole = zstandard.ZstdCompressor(write_checksum=True).compress(ROWS)
    with pytest.raises(SettingsError, match=f"it cannot be read: .*{reason}"):
        rows(tmp_path, "a.jsonl.zst", content(whole))


def test_without_the_package_zstandard_says_how_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(SettingsError, match=r"a package is needed: pip install 'stream_retrain\[backtest\]'"):
        rows(tmp_path, "a.csv.zst", b"")


@pytest.mark.parametrize(
    ("suffix", "compress"), [("", bytes), (".gz", gzip.compress), (".zst", lambda content: zstandard.ZstdCompressor().compress(content))]
)
@pytest.mark.parametrize("count", [0, 10, 300_000])
def test_a_large_file_is_estimated_from_its_beginning(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes], count: int) -> None:
    file = tmp_path / f"a.jsonl{suffix}"
    rng = random.Random(1)
    file.write_bytes(compress(b"".join(b'{"a":%09d}\n' % rng.randrange(10**9) for _ in range(count))))
    assert estimate_rows(file) == (count if count < 100 else pytest.approx(count, rel=0.15))


def test_a_line_longer_than_memory_should_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "LINE_BYTES_MAX", 10)
    assert rows(tmp_path, "a.jsonl", b'{"a":123}\n') == [{"a": 123}]
    with pytest.raises(SettingsError, match=r"line 1: it is longer than 10 bytes; a file has one row a line"):
        rows(tmp_path, "a.jsonl", b'{"a":1234}\n')

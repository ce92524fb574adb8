"""Rows of a file as the objects a producer would have sent: CSV and JSON lines, plain or gzipped.

A file's values are kept. A CSV cell becomes a number only where that loses nothing a reader would miss: `12`, `1.50` and `1e-05` do,
`00042`, `1_000`, `12e45`, `inf` and an integer beyond 64 bits stay text. What JSON does not have (NaN, Infinity, a field named twice)
is refused. Each fault names the file and the line.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NoReturn

from stream_retrain.errors import SettingsError

__all__ = ["count_rows", "read_rows"]

CSV_SUFFIXES: Final = (".csv",)
JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
CELLS: Final = {"": None, "true": True, "True": True, "false": False, "False": False}
# A mantissa without a point and an exponent (12e45) is more often an article number than a measure.
DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][+-]?[0-9]{1,3})?")
INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}|1[0-9]{19}")
UNREADABLE: Final = (OSError, EOFError, zlib.error)
_COUNTED_BYTES: Final = 1 << 20


def read_rows(file: Path, limit: int | None = None, *, key: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows in order. An empty CSV cell is null, `true` and `false` are booleans; `key` is a field that every row must have.

    Raises `SettingsError` for a file that cannot be read or is of another kind, and for a line that is no row.
    """
    return itertools.islice(_rows(file, key), limit)


def count_rows(file: Path) -> int:
    """About how many rows the file has: its lines, without a CSV's header. Raises `SettingsError` where it cannot be read."""
    kind = _kind(file)
    try:
        with _opened(file) as stream:
            lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(_COUNTED_BYTES), b""))
    except UNREADABLE as error:
        raise _unreadable(file, error) from None
    return max(0, lines - 1) if kind in CSV_SUFFIXES else lines


def _rows(file: Path, key: str | None) -> Iterator[dict[str, Any]]:
    rows = _of_csv if _kind(file) in CSV_SUFFIXES else _of_json
    try:
        with _opened(file) as stream:
            for number, row in rows(file, _lines(file, stream)):
                if key is not None and key not in row:
                    raise _fault(file, number, f"it has no field {key!r}, the key")
                yield row
    except UNREADABLE as error:
        raise _unreadable(file, error) from None


def _lines(file: Path, stream: IO[bytes]) -> Iterator[str]:
    """The lines as text, without a byte order mark, and with their ends: a quoted cell of a CSV may hold some."""
    for number, line in enumerate(stream, start=1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise _fault(file, number, f"it is not UTF-8 text: {error.reason} at byte {error.start + 1}") from None


def _of_csv(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(lines, strict=True)
    names: list[str] | None = None
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise _fault(file, reader.line_num, f"it is not CSV: {error}") from None
        if not cells:
            continue
        if names is None:
            names = cells
            if twice := sorted(name for name, times in Counter(names).items() if times > 1):
                raise _fault(file, reader.line_num, f"its header has the column {twice[0]!r} more than once")
            continue
        if len(cells) != len(names):
            raise _fault(file, reader.line_num, f"it has {len(cells)} cells, and the header has {len(names)}")
        yield reader.line_num, {name: _cell(text) for name, text in zip(names, cells, strict=True)}
    if names is None:
        raise SettingsError(f"{file}: it is empty: a CSV begins with the names of its columns")


def _of_json(file: Path, lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = _parsed(line.strip())
            except (ValueError, RecursionError) as error:
                raise _fault(file, number, f"it is not JSON: {error}") from None
            if not isinstance(row, dict):
                raise _fault(file, number, "it is not a JSON object")
            yield number, row


def _cell(text: str) -> Any:
    if text in CELLS:
        return CELLS[text]
    if INTEGER.fullmatch(text) and int(text) < 2**64:
        return int(text)
    if not DECIMAL.fullmatch(text) and not _is_printed_float(text):
        return text
    number = float(text)
    return number if math.isfinite(number) else text


def _is_printed_float(text: str) -> bool:
    """Whether it is what Python prints for a number: `1e-05`, which has no point, is one."""
    try:
        return repr(float(text)) == text
    except ValueError:
        return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON; write null")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is beyond the numbers of 64 bits")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"{text[:40]} is beyond the integers of 64 bits; write it as text")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise ValueError(f"the field {twice!r} stands in it more than once")
    return row


def _parsed(line: str) -> Any:
    value = _JSON.decode(line)
    if "\\u" in line:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it has half a surrogate pair, which is no text") from None
    return value


_JSON: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, parse_int=_whole, object_pairs_hook=_object)


def _fault(file: Path, line: int, reason: str) -> SettingsError:
    return SettingsError(f"{file}: line {line}: {reason}")


def _unreadable(file: Path, error: Exception) -> SettingsError:
    return SettingsError(f"{file}: it cannot be read: {getattr(error, 'strerror', None) or error}")


def _kind(file: Path) -> str:
    suffixes = [suffix for suffix in file.suffixes if suffix != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in CSV_SUFFIXES + JSON_SUFFIXES:
        raise SettingsError(f"{file}: cannot tell its format; use .csv, .jsonl or .ndjson, plain or .gz")
    return kind


def _opened(file: Path) -> IO[bytes]:
    if file.suffix == ".gz":
        return gzip.open(file, "rb")  # type: ignore[return-value]  # it is one, but for its class
    return file.open("rb")

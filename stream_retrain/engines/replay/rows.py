"""Rows of a file as the objects a producer would have sent: CSV and JSON lines, plain, gzipped or in Zstandard.

A file's values are kept. A CSV cell becomes a number only where that loses nothing a reader would miss: `12`, `1.50` and `1e-05` do,
`00042`, `1_000`, `12e45`, `inf` and an integer beyond 64 bits stay text. What JSON does not have (NaN, Infinity, a field named twice)
is no row.

There are two readers. `read_rows` refuses a line that is no row, and names file and line. `read_lines` gives it as it is, for whoever
treats bad input as data. Both refuse a file that is not what its name says.
"""

from __future__ import annotations

import collections
import csv
import itertools
import json
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, NoReturn, TypeAlias

from stream_retrain.engines.replay.compressed import SUFFIXES, opened, share_read
from stream_retrain.errors import SettingsError

__all__ = ["Broken", "Row", "count_rows", "estimate_rows", "kind_of", "read_lines", "read_rows"]

Row: TypeAlias = dict[str, Any]

CSV_SUFFIXES: Final = (".csv",)
JSON_SUFFIXES: Final = (".jsonl", ".ndjson", ".json")
CELLS: Final = {"": None, "true": True, "True": True, "false": False, "False": False}
# A mantissa without a point and an exponent (12e45) is more often an article number than a measure.
DECIMAL: Final = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+([eE][+-]?[0-9]{1,3})?")
INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}|1[0-9]{19}")
UNREADABLE: Final = (OSError, EOFError, zlib.error)
LINE_BYTES_MAX: Final = 100_000_000
"""A longer line is more likely a file without lines, which memory might not hold."""
_COUNTED_BYTES: Final = 1 << 20


class Broken(NamedTuple):
    """A line that is no row."""

    text: bytes
    reason: str


def read_rows(file: Path, limit: int | None = None, *, key: str | None = None) -> Iterator[Row]:
    """The rows in order. An empty CSV cell is null, `true` and `false` are booleans; `key` is a field that every row must have.

    Raises `SettingsError` for a file that cannot be read or is of another kind, and for a line that is no row.
    """
    return itertools.islice(_whole_rows(file, key), limit)


def read_lines(file: Path) -> Iterator[tuple[int, Row | Broken]]:
    """The rows in order, each with the number of its line, and the lines that are none.

    A quotation mark that is never closed costs its own line only. Raises `SettingsError` for a file that cannot be read, is of another
    kind, or has a header that is none.
    """
    rows = _of_csv if _kind(file) in CSV_SUFFIXES else _of_json
    try:
        with opened(file) as stream:
            yield from rows(file, stream)
    except UNREADABLE as error:
        raise _unreadable(file, error) from None


def kind_of(file: Path) -> str | None:
    """The suffix that says what the file holds; None where it is none that is read here."""
    suffixes = [suffix for suffix in file.suffixes if suffix not in SUFFIXES]
    return suffixes[-1] if suffixes and suffixes[-1] in CSV_SUFFIXES + JSON_SUFFIXES else None


def count_rows(file: Path) -> int:
    """About how many rows the file has: its lines, without a CSV's header. Raises `SettingsError` where it cannot be read."""
    kind = _kind(file)
    try:
        with opened(file) as stream:
            lines = sum(block.count(b"\n") for block in iter(lambda: stream.read(_COUNTED_BYTES), b""))
    except UNREADABLE as error:
        raise _unreadable(file, error) from None
    return max(0, lines - 1) if kind in CSV_SUFFIXES else lines


def estimate_rows(file: Path) -> int:
    """The same from the file's first mebibyte, for a file that is too large to be read twice."""
    kind = _kind(file)
    try:
        with opened(file) as stream:
            block = stream.read(_COUNTED_BYTES)
            share = share_read(file, stream, len(block)) if len(block) == _COUNTED_BYTES else 1.0
    except UNREADABLE as error:
        raise _unreadable(file, error) from None
    lines = round(block.count(b"\n") / share)
    return max(0, lines - 1) if kind in CSV_SUFFIXES else lines


def _whole_rows(file: Path, key: str | None) -> Iterator[Row]:
    for number, row in read_lines(file):
        if isinstance(row, Broken):
            raise _fault(file, number, row.reason)
        if key is not None and key not in row:
            raise _fault(file, number, f"it has no field {key!r}, the key")
        yield row


def _lines(file: Path, stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers and their ends: a quoted cell of a CSV may hold some."""
    for number in itertools.count(1):
        line = stream.readline(LINE_BYTES_MAX + 1)
        if not line:
            return
        if len(line) > LINE_BYTES_MAX:
            raise _fault(file, number, f"it is longer than {LINE_BYTES_MAX:,} bytes; a file has one row a line")
        yield number, line


def _of_csv(file: Path, stream: IO[bytes]) -> Iterator[tuple[int, Row | Broken]]:
    feed = _Feed(_lines(file, stream))
    reader = csv.reader(feed, strict=True)
    names: list[str] | None = None
    while True:
        try:
            cells = next(reader)
            reason = feed.fault
        except StopIteration:
            break
        except csv.Error as error:
            cells, reason = [], feed.fault or f"it is not CSV: {error}"
        if not cells and reason is None:
            feed.go_on()
        elif names is None:
            names = _names(file, feed.number, cells, reason)
            feed.go_on()
        elif reason is not None or len(cells) != len(names):
            number, text = feed.give_back()
            yield number, Broken(text, reason or f"it has {len(cells)} cells, and the header has {len(names)}")
        else:
            yield feed.number, {name: _cell(text) for name, text in zip(names, cells, strict=True)}
            feed.go_on()
    if names is None:
        raise SettingsError(f"{file}: it is empty: a CSV begins with the names of its columns")


def _names(file: Path, number: int, cells: list[str], reason: str | None) -> list[str]:
    if reason is not None:
        raise _fault(file, number, reason)
    if twice := sorted(name for name, times in Counter(cells).items() if times > 1):
        raise _fault(file, number, f"its header has the column {twice[0]!r} more than once")
    return cells


class _Feed:
    """The lines of a CSV for `csv.reader`, which takes as many as the quotation marks of a row ask for.

    Protocol of use: after each row either `go_on`, or, where it is none, `give_back`.
    """

    def __init__(self, lines: Iterator[tuple[int, bytes]]) -> None:
        self._lines = lines
        self._again: collections.deque[tuple[int, bytes]] = collections.deque()
        self._taken: list[tuple[int, bytes]] = []
        self.fault: str | None = None
        """What is wrong with the text of a line that was taken for this row."""

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        taken = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(taken)
        try:
            return _text(*taken)
        except UnicodeDecodeError as error:
            self.fault = self.fault or _not_text(error)
            return taken[1].decode(errors="replace")

    @property
    def number(self) -> int:
        """Of the row's first line."""
        return self._taken[0][0]

    def go_on(self) -> None:
        """The lines that were taken are done with."""
        self._taken.clear()
        self.fault = None

    def give_back(self) -> tuple[int, bytes]:
        """The row's first line; those behind it are read again, as rows of their own."""
        first, *rest = self._taken
        self._again.extendleft(reversed(rest))
        self.go_on()
        return first


def _text(number: int, line: bytes) -> str:
    """A line as text, without a byte order mark."""
    return line.decode("utf-8-sig" if number == 1 else "utf-8")


def _not_text(error: UnicodeDecodeError) -> str:
    return f"it is not UTF-8 text: {error.reason} at byte {error.start + 1}"


def _of_json(file: Path, stream: IO[bytes]) -> Iterator[tuple[int, Row | Broken]]:
    for number, line in _lines(file, stream):
        try:
            text = _text(number, line).strip()
            if not text:
                continue
            row = _parsed(text)
        except UnicodeDecodeError as error:
            yield number, Broken(line, _not_text(error))
        except (ValueError, RecursionError) as error:
            yield number, Broken(line, f"it is not JSON: {error}")
        else:
            yield number, row if isinstance(row, dict) else Broken(line, "it is not a JSON object")


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
    if (kind := kind_of(file)) is None:
        raise SettingsError(f"{file}: cannot tell its format; use .csv, .jsonl or .ndjson, plain, .gz or .zst")
    return kind

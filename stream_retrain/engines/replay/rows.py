"""Rows of a file as the objects a producer would have sent: CSV and JSON lines, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from stream_retrain.errors import SettingsError

__all__ = ["count_rows", "read_rows"]

CSV_SUFFIXES = (".csv",)
JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")


def read_rows(file: Path, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows in order. A CSV cell that reads as a number is one, an empty cell is null, `true` and `false` are booleans.

    Raises `SettingsError` for a file that is missing, of another kind, or with a line that is no row (it names the line).
    """
    return itertools.islice(_rows(file), limit)


def count_rows(file: Path) -> int:
    """How many rows the file has (a CSV's header is none)."""
    with _open(file) as stream:
        lines = sum(1 for line in stream if line.strip())
    return lines - 1 if _kind(file) in CSV_SUFFIXES else lines


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    is_csv = _kind(file) in CSV_SUFFIXES
    with _open(file) as stream:
        if is_csv:
            for number, row in enumerate(csv.DictReader(stream), start=2):
                if None in row or None in row.values():
                    raise SettingsError(f"{file}: line {number} has another number of cells than the header")
                yield {name: _cell(text) for name, text in row.items()}
            return
        for number, line in enumerate(stream, start=1):
            if line.strip():
                yield _object(line, f"{file}: line {number}")


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SettingsError(f"{where} is not JSON: {error}") from None
    if not isinstance(row, dict):
        raise SettingsError(f"{where} is not a JSON object")
    return row


def _cell(text: str) -> Any:
    if text == "":
        return None
    if text in ("true", "True"):
        return True
    if text in ("false", "False"):
        return False
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _kind(file: Path) -> str:
    suffixes = [suffix for suffix in file.suffixes if suffix != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    if kind not in CSV_SUFFIXES + JSON_SUFFIXES:
        raise SettingsError(f"{file}: cannot tell its format; use .csv, .jsonl or .ndjson, plain or .gz")
    return kind


def _open(file: Path) -> IO[str]:
    try:
        if file.suffix == ".gz":
            return gzip.open(file, "rt", encoding="utf-8", newline="")
        return file.open(encoding="utf-8", newline="")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror or error}") from None

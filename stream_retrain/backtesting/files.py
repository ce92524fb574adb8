"""The files a backtest leaves beside its report: quality by interval, as Parquet or JSON lines, and decision logs, a CloudEvent a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from stream_retrain.backtesting.job import decisions_file
from stream_retrain.backtesting.result import BacktestCurves
from stream_retrain.errors import SettingsError

__all__ = ["check_intervals_path", "decisions_in", "interval_rows", "write_intervals"]

PARQUET: Final = ".parquet"
LINES: Final = (".jsonl", ".ndjson")


def check_intervals_path(path: Path) -> None:
    """Find out before a long backtest what would keep its intervals from being written. Raises `SettingsError`."""
    if path.suffix == PARQUET:
        _pyarrow()
    elif path.suffix not in LINES:
        raise SettingsError(f"{path}: intervals are written to a file {PARQUET}, {' or '.join(LINES)}; name one")
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise SettingsError(f"{path}: it cannot be written; name a file in a folder that is there and can be written to")


def interval_rows(curves: BacktestCurves) -> list[dict[str, Any]]:
    """The intervals as rows of a table: each metric is a column, and a partition of None is all of them together."""
    names = dict.fromkeys(name for each in curves.intervals for name in each.metrics)
    rows = []
    for each in curves.intervals:
        row: dict[str, Any] = {
            "variant": each.variant,
            "partition": each.partition,
            "number": each.number,
            "position": each.position,
            "from_time_s": each.from_time_s,
            "to_time_s": each.to_time_s,
            "events": each.events,
            "labelled": each.labelled,
            "loss": each.loss,
        }
        rows.append(row | {name: each.metrics.get(name) for name in names})
    return rows


def write_intervals(curves: BacktestCurves, path: Path) -> None:
    """Write the rows of `interval_rows`. Raises `SettingsError` where pyarrow is needed and not installed, `OSError`."""
    rows = interval_rows(curves)
    if path.suffix == PARQUET:
        arrow = _pyarrow()
        from pyarrow import parquet

        names = rows[0] if rows else ()
        parquet.write_table(arrow.table({name: [row[name] for row in rows] for name in names}), path)
        return
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, allow_nan=False) + "\n" for row in rows)


def decisions_in(folder: Path, variants: Sequence[str], partitions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The decisions of a backtest, variant by variant and partition by partition: each CloudEvent with its variant and partition."""
    for variant in variants:
        for partition in partitions:
            file = decisions_file(folder, variant, partition)
            if not file.exists():
                continue
            with file.open("rb") as lines:
                for line in lines:
                    yield {"variant": variant, "partition": partition, **json.loads(line)}


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
    except ImportError:
        raise SettingsError("Parquet needs pyarrow: pip install 'stream_retrain[backtest]'") from None
    module: ModuleType = pyarrow
    return module

"""Rows of a Parquet file, as JSON would hold them.

The file is read in pieces of a few thousand rows, and only the columns that are asked for, so that memory stays flat whatever its size.
Dictionary columns are their values; decimals are numbers; timestamps are times in UTC, and those of a column without a zone are taken as
UTC; a duration is its seconds. NaN becomes null when the row is encoded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any, Final

from stream_retrain.errors import SettingsError

__all__ = ["SUFFIXES", "Table"]

SUFFIXES: Final = (".parquet", ".pq")
INSTALL: Final = "pip install 'stream_retrain[backtest]'"
BATCH_ROWS: Final = 2_000
BUFFER_BYTES: Final = 1 << 20
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Table:
    """A Parquet file. Raises `SettingsError` where it cannot be read, is none, or pyarrow is not installed."""

    def __init__(self, file: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet as parquet
        except ImportError:
            raise SettingsError(f"{file}: to read Parquet a package is needed: {INSTALL}") from None
        self._file = file
        self._arrow: Any = pyarrow
        try:
            # Of a row group no more is in memory than the buffers of its columns: without the two it is read as a whole.
            self._parquet = parquet.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        self.columns: list[str] = self._parquet.schema_arrow.names
        if len(set(self.columns)) != len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise SettingsError(f"{file}: it has the column {twice!r} more than once")

    @property
    def count(self) -> int:
        """How many rows it has."""
        return int(self._parquet.metadata.num_rows)

    def without_zone(self, columns: Set[str]) -> list[str]:
        """Those of these columns that are timestamps which do not say of which zone."""
        types = self._arrow.types
        kinds = {name: self._parquet.schema_arrow.field(name).type for name in self.columns if name in columns}
        return [name for name, kind in kinds.items() if types.is_timestamp(kind) and kind.tz is None]

    def rows(self, columns: Set[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Its rows, numbered from 1, with those of these columns that it has."""
        names = [name for name in self.columns if name in columns]
        number = 0
        try:
            for batch in self._parquet.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
                given = [self._values(name, column) for name, column in zip(batch.schema.names, batch.columns, strict=True)]
                for values in zip(*given, strict=True):
                    number += 1
                    yield number, dict(zip(batch.schema.names, values, strict=True))
        except (self._arrow.ArrowException, OSError) as error:
            raise self._unreadable(error) from None

    def _values(self, name: str, column: Any) -> list[Any]:
        """A column as JSON would hold it."""
        types, kind = self._arrow.types, column.type
        if types.is_dictionary(kind):
            return self._values(name, column.dictionary_decode())
        if types.is_timestamp(kind):
            return self._mapped(name, self._microseconds(column, "timestamp"), lambda at: _EPOCH + dt.timedelta(microseconds=at))
        if types.is_duration(kind):
            return self._mapped(name, self._microseconds(column, "duration"), lambda length: length / 1e6)
        if types.is_decimal(kind):
            return self._mapped(name, column, int if kind.scale <= 0 else float)
        if (types.is_primitive(kind) and not types.is_temporal(kind)) and not column.null_count:
            return list(column.to_numpy(zero_copy_only=False).tolist())
        return self._mapped(name, column, None)

    def _microseconds(self, column: Any, kind: str) -> Any:
        return column.cast(getattr(self._arrow, kind)("us"), safe=False).cast(self._arrow.int64())

    def _mapped(self, name: str, column: Any, change: Callable[[Any], Any] | None) -> list[Any]:
        try:
            values: list[Any] = column.to_pylist()
            return values if change is None else [None if value is None else change(value) for value in values]
        except (OverflowError, ValueError) as error:  # such as a date beyond the year 9999, which Python has not
            raise SettingsError(f"{self._file}: column {name!r} holds what cannot be read: {error}") from None

    def _unreadable(self, error: Exception) -> SettingsError:
        return SettingsError(f"{self._file}: it cannot be read: {getattr(error, 'strerror', None) or error}")

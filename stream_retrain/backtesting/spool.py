"""A source, read once and kept on disk by partition, so that any number of variants can run over it in any number of processes.

Each partition has one file of chunks: a length, then the columns of its records, in MessagePack. Beside each record stands its *position*:
its number among the records of all partitions, in the order in which the source gave them. Positions are what a result is drawn
over, because they are the same for every variant and every partition.

Memory holds one chunk of each partition; the disk takes about what the records take. The files are private to one backtest.
"""

from __future__ import annotations

import bisect
import dataclasses
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec

from stream_retrain.backtesting.source import Source
from stream_retrain.errors import BacktestError
from stream_retrain.lane.batch import Records

__all__ = ["Chunk", "Spool", "SpooledPartition", "write_spool"]

CHUNK_RECORDS: Final = 2_000
REPORT_EVERY_RECORDS: Final = 10_000
_LENGTH: Final = struct.Struct(">I")
_encode: Final = msgspec.msgpack.Encoder().encode


class Chunk(NamedTuple):
    """Some consecutive records of a partition."""

    positions: list[int]
    records: Records


class _Columns(msgspec.Struct, array_like=True, gc=False):
    """A chunk as it stands in its file."""

    positions: list[int]
    offsets: list[int]
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps_ms: list[int]
    headers: list[list[tuple[str, bytes | None]] | None]


_decode: Final = msgspec.msgpack.Decoder(_Columns).decode


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpooledPartition:
    """The file of one partition. It can be sent to another process, which must see the same file."""

    partition: int
    path: Path
    records: int
    from_offset: int
    to_offset: int
    """The last one."""
    until: int | None = None
    """Only the records before this position; None: all in the file."""

    def chunks(self) -> Iterator[Chunk]:
        """Its records, in order of offset."""
        with self.path.open("rb") as file:
            while length := file.read(_LENGTH.size):
                columns = _decode(file.read(_LENGTH.unpack(length)[0]))
                records = Records(columns.offsets, columns.keys, columns.values, columns.timestamps_ms, columns.headers)
                if self.until is not None and columns.positions[-1] >= self.until:
                    if count := bisect.bisect_left(columns.positions, self.until):
                        yield Chunk(columns.positions[:count], records.rows(0, count))
                    return
                yield Chunk(columns.positions, records)

    def before(self, position: int) -> SpooledPartition | None:
        """Its records before a position; None where it has none."""
        cut = dataclasses.replace(self, until=position)
        count, last = 0, -1
        for _, records in cut.chunks():
            count, last = count + len(records), records.offsets[-1]
        return dataclasses.replace(cut, records=count, to_offset=last) if count else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spool:
    """Everything a source had."""

    source: str
    notes: tuple[str, ...]
    records: int
    partitions: tuple[SpooledPartition, ...]
    """By partition number; those without records are left out."""

    def before(self, position: int) -> Spool:
        """The records before a position, in the same files."""
        cut = [each.before(position) for each in self.partitions]
        return dataclasses.replace(self, records=position, partitions=tuple(each for each in cut if each is not None))


def write_spool(source: Source, folder: Path, on_progress: Callable[[int], None] = lambda _: None) -> Spool:
    """Read a source to its end into files in `folder`; `on_progress` is told how many records were read so far.

    Raises what the source raises, and `BacktestError` where the disk is full.
    """
    writers: dict[int, _Writer] = {}
    count = 0
    try:
        for partition, record in source.records():
            writer = writers.get(partition)
            if writer is None:
                writer = writers[partition] = _Writer(partition, folder / f"{partition}.spool")
            writer.add(count, record)
            count += 1
            if count % REPORT_EVERY_RECORDS == 0:
                on_progress(count)
    finally:
        for writer in writers.values():
            writer.close()
    on_progress(count)
    spooled = tuple(writers[partition].spooled() for partition in sorted(writers))
    return Spool(source=source.name, notes=tuple(source.notes), records=count, partitions=spooled)


class _Writer:
    """The file of a partition, while it is written."""

    def __init__(self, partition: int, path: Path) -> None:
        self._partition = partition
        self._path = path
        self._file: IO[bytes] = path.open("wb")
        self._rows: list[tuple[Any, ...]] = []
        self._records = 0
        self._from_offset = self._to_offset = -1

    def add(self, position: int, record: tuple[Any, ...]) -> None:
        if self._from_offset < 0:
            self._from_offset = record[0]
        self._to_offset = record[0]
        self._records += 1
        self._rows.append((position, *record))
        if len(self._rows) >= CHUNK_RECORDS:
            self._flush()

    def close(self) -> None:
        try:
            self._flush()
        finally:
            try:
                self._file.close()
            except OSError as error:
                raise self._unkept(error) from None

    def spooled(self) -> SpooledPartition:
        return SpooledPartition(
            partition=self._partition,
            path=self._path,
            records=self._records,
            from_offset=self._from_offset,
            to_offset=self._to_offset,
        )

    def _flush(self) -> None:
        if self._rows:
            encoded = _encode(list(zip(*self._rows, strict=True)))
            self._rows = []
            try:
                self._file.write(_LENGTH.pack(len(encoded)) + encoded)
            except OSError as error:
                raise self._unkept(error) from None

    def _unkept(self, error: OSError) -> BacktestError:
        folder = self._path.parent.parent
        return BacktestError(f"{folder}: the records cannot be kept there: {error.strerror or error}; name a folder with room with --spool")

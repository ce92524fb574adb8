"""Labels whose questions are not known yet: in memory, and as records of a compacted topic, so that a restart finds them.

A label waits under its place in the labels topic, as the key of its record; a record without a value says that it waits no longer. Both are
written in the transaction that commits the label's offset, or brings the label to its question.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from stream_retrain.lane.batch import Record

__all__ = ["Held", "Waiting", "held_of"]

BYTES_A_LABEL: Final = 600
KEY, STAMP, SINCE = "sr_label_key", "sr_label_timestamp_ms", "sr_since_ms"


class Held(NamedTuple):
    """A label that waits."""

    partition: int
    """Of the labels topic, as is the offset of `record`."""
    record: Record
    id: str
    since_ms: int
    """When it was first read, by the wall clock."""

    @property
    def key(self) -> bytes:
        """Of its record in the topic of those that wait."""
        return str(self.record.offset).encode()

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """What that record has besides the label's value."""
        stamped: list[tuple[str, str | bytes | None]] = [(STAMP, str(self.record.timestamp_ms)), (SINCE, str(self.since_ms))]
        return stamped if self.record.key is None else [(KEY, self.record.key), *stamped]


class Waiting:
    """The labels of one partition of the labels topic that wait, oldest first; at most so many, and so many bytes."""

    def __init__(self, rows_max: int, bytes_max: int) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._held: OrderedDict[int, Held] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def add(self, held: Held) -> None:
        """One more; what has no place any more is in `overdue`."""
        self._held[held.record.offset] = held
        self._bytes += _size(held)

    def drop(self, held: Held) -> None:
        """One waits no longer."""
        del self._held[held.record.offset]
        self._bytes -= _size(held)

    def overdue(self, before_ms: int) -> Iterator[tuple[Held, bool]]:
        """Those that came before a time, and those that have no place; and whether it was the place. Each must be dropped as it comes."""
        while self._held:
            oldest = next(iter(self._held.values()))
            full = len(self._held) > self._rows_max or self._bytes > self._bytes_max
            if not full and oldest.since_ms >= before_ms:
                return
            yield oldest, full


def held_of(records: Iterable[tuple[Record, Any]]) -> list[tuple[Record, int]]:
    """Of all records of a partition of the topic, with their headers, the labels that still wait, and when each was first read.

    In the order in which they began to wait. A record that is none of ours is passed over.
    """
    kept: dict[int, tuple[Record, int]] = {}
    for record, headers in records:
        told = dict(headers or ())
        try:
            offset = int(record.key or b"")
            if record.value is None:
                kept.pop(offset, None)
            else:
                kept[offset] = Record(offset, told.get(KEY), record.value, int(told[STAMP])), int(told[SINCE])
        except (KeyError, ValueError):
            continue
    return list(kept.values())


def _size(held: Held) -> int:
    return BYTES_A_LABEL + len(held.record.value or b"") + len(held.record.key or b"") + len(held.id)

"""Where a backtest's records come from: a bounded, ordered run of records, each with its partition.

A source is read once, from its beginning to its end, into a spool. It yields the records of all partitions in one order that is a
function of what it holds, never of timing: the order of a file, or the partitions of a topic merged by the timestamps of their records.
Within a partition offsets rise. A record is what a producer would have sent: bytes, key, timestamp.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from stream_retrain.lane.batch import Record

__all__ = ["Source"]


class Source(Protocol):
    """A bounded run of records. Reading may raise `SettingsError` (the source is not as asked) or `BrokerError`."""

    @property
    def name(self) -> str:
        """What it is called in reports: a file's name, or `kafka://topic` with its range."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a reader of the result must know of it, such as records that retention has deleted; complete once it was read."""
        ...

    def estimate(self) -> int | None:
        """About how many records it has, for a progress bar; None where nobody knows."""
        ...

    def records(self) -> Iterator[tuple[int, Record]]:
        """Each record with its partition."""
        ...

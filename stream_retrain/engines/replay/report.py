"""What came of verifying a live run, as values."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple, TypeAlias

from stream_retrain.engines.replay.comparison import Tally

__all__ = ["Impossible", "PartitionReport", "RunReport", "RunVerdict"]

RunVerdict: TypeAlias = Literal["equal", "different", "impossible"]


class Impossible(NamedTuple):
    """Outputs of these offsets of the source (the last one excluded) could not be compared, and why."""

    from_offset: int
    to_offset: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PartitionReport:
    """What came of one partition."""

    partition: int
    from_offset: int
    to_offset: int
    """Outputs of the records from the one to before the other were to be compared."""
    began: tuple[str, ...]
    """Where each replay began, in words."""
    records: int
    """Records that were learned, the silent ones included."""
    inputs: int
    """Recorded inputs that were given again."""
    tally: Tally
    impossible: tuple[Impossible, ...]
    notes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What came of all partitions."""

    pipeline: str
    topic: str
    group: str
    predictions: bool
    """Whether predictions and dead letters were compared, beside the decisions."""
    partitions: tuple[PartitionReport, ...]
    seconds: float

    @property
    def verdict(self) -> RunVerdict:
        """A difference that was found counts, whatever else could not be compared."""
        if any(each.tally.wrong for each in self.partitions):
            return "different"
        return "impossible" if any(each.impossible for each in self.partitions) else "equal"

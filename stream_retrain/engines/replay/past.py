"""What a verification reads: the topics of one partition, what the store keeps, and which part of it is wanted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Mapping
from typing import Literal, Protocol

from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Records
from stream_retrain.lane.put import Found
from stream_retrain.lane.step import OutputKind

__all__ = ["Bound", "KeptStates", "PartitionPast", "RunRange", "Wanted"]


class PartitionPast(Protocol):
    """What the topics hold of one partition. Reading raises `BrokerError`."""

    @property
    def first(self) -> int:
        """The first offset of the source that is retained."""
        ...

    @property
    def holes(self) -> str:
        """Why records of the source may be missing beyond `first`, in words; empty: none are."""
        ...

    def records(self, first: int, end: int) -> Generator[Records]:
        """The records of the source from an offset to before another, some thousand at a time. Raises `StateError` for deleted ones."""
        ...

    def outputs(self, kind: OutputKind, since: int) -> Generator[Found]:
        """Committed outputs in the order of their topic: all of source offsets from `since` on, and perhaps some before."""
        ...

    def whole_from(self, kind: OutputKind) -> int:
        """The source offset from which on the topic has every output it ever had; 0 where it has lost none."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class KeptStates:
    """What the store keeps of a shard. Each raises `StoreError`."""

    checkpoints: Callable[[ShardId], list[bytes]]
    artifact: Callable[[ShardId, str], bytes | None]
    parts: Callable[[ShardId], Mapping[str, bytes]] = lambda _: {}
    """What checkpoints name by digest."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be compared of a partition: outputs of source offsets from one to before another."""

    from_offset: int
    to_offset: int
    predictions: bool = False
    """Predictions and dead letters too."""
    from_checkpoint: bool = False
    """Begin with a checkpoint, even where the log has it all."""


@dataclasses.dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range as it was asked for: an offset, a time, or a place that each partition has of its own."""

    kind: Literal["start", "checkpoint", "end", "offset", "time"]
    value: float = 0.0
    """An offset, or seconds since the epoch."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RunRange:
    """What is to be verified of a run."""

    begin: Bound = Bound("start")
    end: Bound = Bound("end")
    partitions: tuple[int, ...] = ()
    """None: all."""
    predictions: bool = False
    from_checkpoint: bool = False

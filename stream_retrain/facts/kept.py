"""What became of the copies of models that a shard keeps (`facts.version`)."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from stream_retrain.facts.values import ShardId

__all__ = ["CopiesDropped", "CopiesWait", "CopyFact", "CopyKept"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CopyKept:
    """A copy of a model is where it belongs."""

    shard: ShardId
    version: str
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CopiesDropped:
    """Copies of models were dropped, because they were beyond a limit; what is known of the versions stays."""

    shard: ShardId
    copies: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CopiesWait:
    """How many copies wait for the object store; each time that changes, and each time it fails."""

    shard: ShardId
    waiting: int
    error: str = ""
    """Why the last one failed: it is tried again."""


CopyFact: TypeAlias = CopyKept | CopiesDropped | CopiesWait

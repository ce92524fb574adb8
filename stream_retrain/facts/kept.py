"""What is known of the versions of a shard, and what became of the copies of their models (`facts.version`)."""

from __future__ import annotations

import dataclasses
from typing import TypeAlias

from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version

__all__ = ["CopiesDropped", "CopiesWait", "CopyFact", "CopyKept", "KeptFact", "VersionsKnown"]


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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VersionsKnown:
    """What a worker knows of the versions of a shard: all of it when the shard is opened, and then what has changed."""

    shard: ShardId
    versions: tuple[Version, ...]
    whole: bool = False
    """These are all; otherwise each takes the place of what was known of it."""
    forgotten: tuple[str, ...] = ()
    """Ids of which nothing is known any more: there were too many."""
    unwritten: int = 0
    """Versions of the shard of which the store does not know the newest yet: it is about to be told, or it is away."""
    news: bool = True
    """A version began, ended, or its copy came or went; otherwise only its quality was seen again."""


CopyFact: TypeAlias = CopyKept | CopiesDropped | CopiesWait
KeptFact: TypeAlias = CopyFact | VersionsKnown

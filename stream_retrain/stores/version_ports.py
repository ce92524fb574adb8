"""The ports of versions (`facts.version`): their index, and the signed copies of the models.

The index (`VersionStore`) is the truth: a copy that it does not name may be deleted. Both carry the epoch of the shard's owner, as every
write of a shard does. What is brought in from outside belongs to no shard (`facts.version.imports_of`), so nobody claims it and its
epoch is 0.

Where copies go to an object store (setting `artifacts_url`), they wait in the store of the shards until they are there (`pending`). Its
names are made of the bytes they stand for. So a worker that lost its shard can overwrite nothing there, and no epoch is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version

__all__ = ["VERSIONS_MAX", "VERSION_BYTES_MAX", "ModelStore", "VersionStore"]

VERSIONS_MAX: Final = 1_000
"""Versions of a shard that are known; a copy of the model is kept of fewer."""
VERSION_BYTES_MAX: Final = 64_000
"""Of what is written down of one version."""


class VersionStore(Protocol):
    """The versions of each shard, by id."""

    def put(self, shard: ShardId, epoch: int, versions: Sequence[Version], forget: Iterable[str] = ()) -> None:
        """Write these down, each in place of what was known of it, and forget others; all at once. Raises `StaleEpochError`."""
        ...

    def partitions(self, pipeline: str, topic: str) -> list[int]:
        """The partitions of whose shards versions are known. It looks through all keys: for people, and no worker."""
        ...

    def all(self, shard: ShardId) -> list[Version]:
        """What is known, the oldest first; what cannot be read is left out and told."""
        ...


class ModelStore(Protocol):
    """Signed copies of models, by shard and name. A name stands for the same bytes for ever."""

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes) -> None:
        """Keep a copy; it is there for whoever loads it, or it is not there at all. Raises `StaleEpochError`."""
        ...

    def load(self, shard: ShardId, name: str) -> bytes | None:
        """The copy of that name; None if it is not there."""
        ...

    def names(self, shard: ShardId) -> list[str]:
        """The copies there are."""
        ...

    def drop(self, shard: ShardId, epoch: int, names: Iterable[str]) -> None:
        """Delete these, if they are there. Raises `StaleEpochError`."""
        ...

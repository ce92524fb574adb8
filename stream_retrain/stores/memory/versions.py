"""Versions and copies of models in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version
from stream_retrain.stores.memory.shards import Shards
from stream_retrain.stores.version_text import readable, written_version

__all__ = ["MemoryModelStore", "MemoryVersionStore"]


class MemoryVersionStore:
    """A `VersionStore` of texts in a dict."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def put(self, shard: ShardId, epoch: int, versions: Sequence[Version], forget: Iterable[str] = ()) -> None:
        texts = {version.id.encode(): written_version(version) for version in versions}
        with self._shards.owned(shard, epoch) as stored:
            stored.versions.update(texts)
            for id_ in forget:
                stored.versions.pop(id_.encode(), None)

    def partitions(self, pipeline: str, topic: str) -> list[int]:
        shards = [shard for shard in self._shards.ids() if (shard.pipeline, shard.topic) == (pipeline, topic)]
        return sorted(shard.partition for shard in shards if self.all(shard))

    def all(self, shard: ShardId) -> list[Version]:
        with self._shards.locked(shard) as stored:
            texts = list(stored.versions.items())
        return readable(shard, texts)


class MemoryModelStore:
    """A `ModelStore` of bytes in a dict."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes) -> None:
        with self._shards.owned(shard, epoch) as stored:
            stored.models[name] = sealed

    def load(self, shard: ShardId, name: str) -> bytes | None:
        with self._shards.locked(shard) as stored:
            return stored.models.get(name)

    def names(self, shard: ShardId) -> list[str]:
        with self._shards.locked(shard) as stored:
            return list(stored.models)

    def drop(self, shard: ShardId, epoch: int, names: Iterable[str]) -> None:
        with self._shards.owned(shard, epoch) as stored:
            for name in names:
                stored.models.pop(name, None)

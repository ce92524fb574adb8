"""Parts of checkpoints in memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.memory.shards import Shards

__all__ = ["MemoryPartStore"]


class MemoryPartStore:
    """A `PartStore` of bytes in a dict."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def keep(self, shard: ShardId, epoch: int, parts: Mapping[str, bytes]) -> int:
        with self._shards.owned(shard, epoch) as stored:
            stored.parts.update(parts)
            return len(stored.parts)

    def load(self, shard: ShardId) -> dict[str, bytes]:
        with self._shards.locked(shard) as stored:
            return dict(stored.parts)

    def drop(self, shard: ShardId, epoch: int, digests: Collection[str]) -> None:
        with self._shards.owned(shard, epoch) as stored:
            for digest in digests:
                stored.parts.pop(digest, None)

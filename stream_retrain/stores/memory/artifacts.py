"""Artifacts in memory."""

from __future__ import annotations

import time

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.memory.shards import Shards, StoredArtifact
from stream_retrain.stores.ports import ArtifactLimits, Evicted

__all__ = ["MemoryArtifactStore"]


class MemoryArtifactStore:
    """An `ArtifactStore` of bytes in a dict, oldest first."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes, limits: ArtifactLimits) -> Evicted:
        with self._shards.owned(shard, epoch) as stored:
            now_s, kept = time.time(), stored.artifacts
            kept.pop(name, None)
            kept[name] = StoredArtifact(sealed, now_s)
            evicted = Evicted()
            while len(kept) > 1:
                oldest = next(iter(kept))
                old = limits.age_max_s is not None and kept[oldest].kept_at_s < now_s - limits.age_max_s
                if not old and sum(len(each.sealed) for each in kept.values()) <= limits.bytes_max:
                    break
                evicted = Evicted(evicted.artifacts + 1, evicted.bytes + len(kept.pop(oldest).sealed))
            return evicted

    def load(self, shard: ShardId, name: str) -> bytes | None:
        with self._shards.locked(shard) as stored:
            found = stored.artifacts.get(name)
            return None if found is None else found.sealed

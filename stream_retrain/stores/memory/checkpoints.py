"""Checkpoints in memory."""

from __future__ import annotations

import time

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.memory.shards import Shards
from stream_retrain.stores.refusals import offset_below_stored, owned_by_group

__all__ = ["MemoryCheckpointStore"]


class MemoryCheckpointStore:
    """A `CheckpointStore` of bytes in a list."""

    def __init__(self, shards: Shards, group: str | None) -> None:
        self._shards = shards
        self._group = group

    def claim(self, shard: ShardId) -> int:
        with self._shards.locked(shard) as stored:
            if self._group and stored.group not in (None, self._group):
                raise owned_by_group(shard, self._group, stored.group, "it")
            stored.group = self._group or stored.group
            stored.epoch = max(stored.epoch + 1, time.time_ns() // 1_000_000)
            return stored.epoch

    def save(self, shard: ShardId, epoch: int, offset: int, sealed: bytes) -> None:
        with self._shards.owned(shard, epoch) as stored:
            if stored.checkpoints and offset < stored.checkpoints[0][0]:
                raise offset_below_stored(shard, offset, stored.checkpoints[0][0])
            before = [checkpoint for checkpoint in stored.checkpoints if checkpoint[0] < offset]
            stored.checkpoints = [(offset, sealed), *before[:1]]

    def load(self, shard: ShardId) -> list[bytes]:
        with self._shards.locked(shard) as stored:
            return [sealed for _, sealed in stored.checkpoints]

    def delete(self, shard: ShardId, epoch: int) -> None:
        with self._shards.owned(shard, epoch) as stored:
            stored.checkpoints.clear()

"""Requests in memory."""

from __future__ import annotations

import time

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.memory.shards import Shards
from stream_retrain.stores.ports import Asked

__all__ = ["MemoryRequestStore"]


class MemoryRequestStore:
    """A `RequestStore` of tuples in a list."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def ask(self, shard: ShardId, reason: str) -> int:
        with self._shards.locked(shard) as stored:
            stored.request_number = max(stored.request_number + 1, time.time_ns() // 1_000_000)
            stored.requests.append(Asked(stored.request_number, reason))
            return stored.request_number

    def waiting(self, shard: ShardId) -> list[Asked]:
        with self._shards.locked(shard) as stored:
            return list(stored.requests)

    def drop(self, shard: ShardId, through: int) -> None:
        with self._shards.locked(shard) as stored:
            stored.requests = [asked for asked in stored.requests if asked.number > through]

"""Requests in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from stream_retrain.errors import StoreError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.memory.shards import Shards
from stream_retrain.stores.ports import REQUESTS_MAX, Asked, cut_reason

__all__ = ["MemoryRequestStore"]


class MemoryRequestStore:
    """A `RequestStore` of tuples in a list."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def ask(self, shard: ShardId, reason: str) -> str:
        with self._shards.locked(shard) as stored:
            if len(stored.requests) >= REQUESTS_MAX:
                raise StoreError(f"{REQUESTS_MAX} requests wait for shard {shard} already")
            asked = Asked(uuid.uuid4().hex, cut_reason(reason))
            stored.requests.append(asked)
            return asked.token

    def waiting(self, shard: ShardId) -> list[Asked]:
        with self._shards.locked(shard) as stored:
            return list(stored.requests)

    def drop(self, shard: ShardId, requests: Iterable[Asked]) -> None:
        tokens = {asked.token for asked in requests}
        with self._shards.locked(shard) as stored:
            stored.requests = [asked for asked in stored.requests if asked.token not in tokens]

    def resume(self, shard: ShardId, offset: int) -> None:
        with self._shards.locked(shard) as stored:
            stored.resumed = offset

    def resumed(self, shard: ShardId) -> int | None:
        with self._shards.locked(shard) as stored:
            return stored.resumed

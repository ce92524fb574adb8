"""Requests in memory."""

from __future__ import annotations

from collections.abc import Iterable

from stream_retrain.facts.request import Asked, fitted
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.memory.shards import Shards
from stream_retrain.stores.ports import REQUESTS_MAX, Looked
from stream_retrain.stores.refusals import requests_full

__all__ = ["MemoryRequestStore"]


class MemoryRequestStore:
    """A `RequestStore` of a list."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def ask(self, shard: ShardId, asked: Asked) -> bool:
        with self._shards.locked(shard) as stored:
            if any(each.token == asked.token for each in stored.requests):
                return False
            if len(stored.requests) >= REQUESTS_MAX:
                raise requests_full(shard, REQUESTS_MAX)
            stored.requests.append(fitted(asked))
            return True

    def look(self, shard: ShardId) -> Looked:
        with self._shards.locked(shard) as stored:
            return Looked(list(stored.requests), stored.paused, stored.resumed)

    def drop(self, shard: ShardId, requests: Iterable[Asked]) -> None:
        tokens = {asked.token for asked in requests}
        with self._shards.locked(shard) as stored:
            stored.requests = [asked for asked in stored.requests if asked.token not in tokens]

    def pause(self, shard: ShardId, asked: Asked) -> bool:
        with self._shards.locked(shard) as stored:
            if asked.token in stored.pause_tokens:
                return False
            stored.pause_tokens.append(asked.token)
            if stored.paused is not None:
                return False
            stored.paused = fitted(asked)
            return True

    def resume(self, shard: ShardId, asked: Asked, offset: int | None = None) -> bool:
        with self._shards.locked(shard) as stored:
            if asked.token in stored.pause_tokens:
                return False
            stored.pause_tokens.append(asked.token)
            if offset is not None:
                stored.resumed = offset
            paused, stored.paused = stored.paused, None
            return paused is not None or offset is not None

"""Parts of checkpoints in Redis: one hash a shard (`stores.redis.scripts`). They never expire; a key of another type counts as none."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from typing import Any, Final

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.redis import scripts
from stream_retrain.stores.redis.parse import whole
from stream_retrain.stores.redis.server import RedisServer, WrongTypeError, key_of
from stream_retrain.stores.refusals import stale_epoch

__all__ = ["RedisPartStore"]

LOADED_AT_ONCE: Final = 64
"""Parts asked for with one call: some 8 MB of small models."""


class RedisPartStore:
    """A `PartStore` of hashes."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._keep = server.client.register_script(scripts.KEEP_PARTS)
        self._drop = server.client.register_script(scripts.DROP_PARTS)

    def keep(self, shard: ShardId, epoch: int, parts: Mapping[str, bytes]) -> int:
        args: list[Any] = [epoch]
        for pair in parts.items():
            args += pair
        doing = f"keep {len(parts)} parts of a checkpoint of shard {shard}, {sum(map(len, parts.values())):,} bytes,"
        answer: Any = self._server.call(doing, lambda: self._keep(keys=_keys(shard), args=args))
        if answer[0] == b"stale":
            raise stale_epoch(shard, epoch, int(answer[1]))
        return whole(answer[1], f"the number of parts of shard {shard}")

    def load(self, shard: ShardId) -> dict[str, bytes]:
        client, key, found = self._server.client, _keys(shard)[1], dict[str, bytes]()
        doing = f"load the parts of the checkpoints of shard {shard}"
        try:
            names: Any = self._server.call(doing, lambda: client.hkeys(key))
            for first in range(0, len(names), LOADED_AT_ONCE):
                asked = names[first : first + LOADED_AT_ONCE]
                values: Any = self._server.call(doing, functools.partial(client.hmget, key, asked))
                found |= {name.decode("ascii", "replace"): value for name, value in zip(asked, values, strict=True) if value is not None}
        except WrongTypeError:
            return {}
        return found

    def drop(self, shard: ShardId, epoch: int, digests: Collection[str]) -> None:
        doing = f"drop {len(digests)} parts of checkpoints of shard {shard}"
        answer: Any = self._server.call(doing, lambda: self._drop(keys=_keys(shard), args=[epoch, *digests]))
        if answer[0] == b"stale":
            raise stale_epoch(shard, epoch, int(answer[1]))


def _keys(shard: ShardId) -> list[str]:
    return [key_of(shard, name) for name in ("epoch", "parts")]

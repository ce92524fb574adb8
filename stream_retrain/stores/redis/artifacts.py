"""Artifacts in Redis: one hash of sealed models a shard, and a sorted set that says when each was kept (`stores.redis.scripts`).

They never expire by themselves: what is beyond a limit goes when the next one comes. A key of another type in their place is deleted
then.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import ArtifactLimits, Evicted
from stream_retrain.stores.redis import scripts
from stream_retrain.stores.redis.parse import whole
from stream_retrain.stores.redis.server import RedisServer, WrongTypeError, key_of
from stream_retrain.stores.refusals import stale_epoch

__all__ = ["RedisArtifactStore"]

LOG: Final = logging.getLogger("stream_retrain.stores")


class RedisArtifactStore:
    """An `ArtifactStore` of hashes."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._keep = server.client.register_script(scripts.KEEP)

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes, limits: ArtifactLimits) -> Evicted:
        age_max_ms = "" if limits.age_max_s is None else int(limits.age_max_s * 1000)
        args: list[Any] = [epoch, name, sealed, limits.bytes_max, age_max_ms]
        match self._try_keep(shard, args):
            case [b"stale", stored]:
                raise stale_epoch(shard, epoch, int(stored))
            case [b"damaged", key]:
                LOG.error("%s is none of this program's, and is deleted: it stands in the place of artifacts", key.decode())
                self._server.call(f"delete a damaged key of shard {shard}", lambda: self._server.client.delete(key))
                return self.keep(shard, epoch, name, sealed, limits)
            case [_, artifacts, size]:
                what = f"what was dropped of the artifacts of shard {shard}"
                return Evicted(whole(artifacts, what), whole(size, what))
        raise AssertionError("the script answers in one of these ways")

    def _try_keep(self, shard: ShardId, args: list[Any]) -> Any:
        keys = [key_of(shard, name) for name in ("epoch", "artifacts", "artifact_times")]
        return self._server.call(f"keep an artifact of {len(args[2]):,} bytes of shard {shard}", lambda: self._keep(keys=keys, args=args))

    def load(self, shard: ShardId, name: str) -> bytes | None:
        client, key = self._server.client, key_of(shard, "artifacts")
        try:
            found: Any = self._server.call(f"load artifact {name} of shard {shard}", lambda: client.hget(key, name))
        except WrongTypeError:
            return None
        return None if found is None else bytes(found)

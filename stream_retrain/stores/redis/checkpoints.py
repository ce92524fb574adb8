"""Checkpoints in Redis: one hash a checkpoint, two of them a shard (`stores.redis.scripts`)."""

from __future__ import annotations

from typing import Any

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.redis import scripts
from stream_retrain.stores.redis.server import RedisServer, key_of
from stream_retrain.stores.refusals import offset_below_stored, stale_epoch

__all__ = ["RedisCheckpointStore"]


class RedisCheckpointStore:
    """A `CheckpointStore` of hashes."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._claim = server.client.register_script(scripts.CLAIM)
        self._save = server.client.register_script(scripts.SAVE)
        self._load = server.client.register_script(scripts.LOAD)
        self._delete = server.client.register_script(scripts.DELETE)

    def claim(self, shard: ShardId) -> int:
        answer: Any = self._server.call(f"claim shard {shard}", lambda: self._claim(keys=[key_of(shard, "epoch")]))
        return int(answer[1])

    def save(self, shard: ShardId, epoch: int, offset: int, sealed: bytes) -> None:
        answer: Any = self._server.call(
            f"save a checkpoint of {len(sealed):,} bytes of shard {shard}",
            lambda: self._save(keys=_checkpoint_keys(shard), args=[epoch, offset, sealed]),
        )
        match answer:
            case [b"stale", stored]:
                raise stale_epoch(shard, epoch, int(stored))
            case [b"lower", stored]:
                raise offset_below_stored(shard, offset, int(stored))

    def load(self, shard: ShardId) -> list[bytes]:
        both: Any = self._server.call(f"load the checkpoints of shard {shard}", lambda: self._load(keys=_checkpoint_keys(shard)))
        return [sealed for sealed in both if sealed is not None]

    def delete(self, shard: ShardId, epoch: int) -> None:
        answer: Any = self._server.call(
            f"delete the checkpoints of shard {shard}", lambda: self._delete(keys=_checkpoint_keys(shard), args=[epoch])
        )
        match answer:
            case [b"stale", stored]:
                raise stale_epoch(shard, epoch, int(stored))


def _checkpoint_keys(shard: ShardId) -> list[str]:
    return [key_of(shard, name) for name in ("epoch", "checkpoint", "checkpoint_previous")]

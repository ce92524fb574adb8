"""Checkpoints in Redis: one hash a checkpoint, two of them a shard (`stores.redis.scripts`)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.redis import scripts
from stream_retrain.stores.redis.parse import whole
from stream_retrain.stores.redis.server import RedisServer, key_of
from stream_retrain.stores.refusals import offset_below_stored, owned_by_group, stale_epoch

__all__ = ["RedisCheckpointStore"]

_BOUND_BYTES: Final = 64
"""The beginning of what is sealed holds its own digest, so binding this much binds all of it."""


class RedisCheckpointStore:
    """A `CheckpointStore` of hashes."""

    def __init__(self, server: RedisServer, keyring: Keyring, group: str | None) -> None:
        self._server = server
        self._keyring = keyring
        self._group = group
        self._claim = server.client.register_script(scripts.CLAIM)
        self._save = server.client.register_script(scripts.SAVE)
        self._load = server.client.register_script(scripts.LOAD)
        self._delete = server.client.register_script(scripts.DELETE)

    def claim(self, shard: ShardId) -> int:
        keys = [key_of(shard, "epoch"), key_of(shard, "group")]
        answer: Any = self._server.call(f"claim shard {shard}", lambda: self._claim(keys=keys, args=[self._group or ""]))
        if answer[0] == b"group":
            raise owned_by_group(shard, self._group or "", answer[1].decode(), key_of(shard, "group"))
        return whole(answer[1], f"the epoch of shard {shard}")

    def save(self, shard: ShardId, epoch: int, offset: int, sealed: bytes) -> None:
        args = [epoch, offset, sealed, self._bound(self._keyring.signing_key, shard, offset, sealed)]
        match self._try_save(shard, args):
            case [b"stale", stored]:
                raise stale_epoch(shard, epoch, int(stored))
            case [b"lower", stored, beginning, seal]:
                higher = whole(stored, "an offset")
                if self._is_bound(shard, higher, beginning, seal):
                    raise offset_below_stored(shard, offset, higher)
                if self._try_save(shard, [*args, "over"])[0] == b"stale":
                    raise stale_epoch(shard, epoch, epoch + 1)

    def _try_save(self, shard: ShardId, args: list[Any]) -> Any:
        doing = f"save a checkpoint of {len(args[2]):,} bytes of shard {shard}"
        return self._server.call(doing, lambda: self._save(keys=_checkpoint_keys(shard), args=args))

    def _bound(self, key: Key | None, shard: ShardId, offset: int, sealed: bytes) -> str:
        """Binds an offset to what is sealed: an offset that anybody wrote would keep every later checkpoint out."""
        bound = b"%s\0%d\0%s" % (str(shard).encode(), offset, sealed[:_BOUND_BYTES])
        digest = hmac.new(key.secret, bound, hashlib.sha256) if key else hashlib.sha256(bound)
        return f"{key.id if key else ''}:{digest.hexdigest()}"

    def _is_bound(self, shard: ShardId, offset: int, beginning: bytes, seal: bytes) -> bool:
        key_id = seal.partition(b":")[0].decode("ascii", "replace")
        key = self._keyring.get(key_id)
        known = key is not None if key_id else not self._keyring.signs
        return known and hmac.compare_digest(seal, self._bound(key, shard, offset, beginning).encode())

    def load(self, shard: ShardId) -> list[bytes]:
        found: Any = self._server.call(f"load the checkpoints of shard {shard}", lambda: self._load(keys=_checkpoint_keys(shard)))
        return list(found)

    def delete(self, shard: ShardId, epoch: int) -> None:
        answer: Any = self._server.call(
            f"delete the checkpoints of shard {shard}", lambda: self._delete(keys=_checkpoint_keys(shard), args=[epoch])
        )
        match answer:
            case [b"stale", stored]:
                raise stale_epoch(shard, epoch, int(stored))


def _checkpoint_keys(shard: ShardId) -> list[str]:
    return [key_of(shard, name) for name in ("epoch", "checkpoint", "checkpoint_previous")]

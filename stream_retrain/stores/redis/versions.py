"""Versions in Redis: one hash of JSON texts a shard; and the copies of models, one hash of sealed bytes a shard.

    sr:{pipeline/topic/partition}:versions    texts by id (`stores.version_text`)
    sr:{pipeline/topic/partition}:models      sealed models by name
    sr:{pipeline/imported/-1}:...             the same of what was brought in from outside

They never expire by themselves. A key of another type in their place says nothing, and gives way to the next write.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version
from stream_retrain.stores.redis.scripts import GUARD
from stream_retrain.stores.redis.server import RedisServer, WrongTypeError, key_of
from stream_retrain.stores.refusals import stale_epoch
from stream_retrain.stores.version_ports import VERSION_BYTES_MAX, VERSIONS_MAX
from stream_retrain.stores.version_text import readable, written_version

__all__ = ["RedisModelStore", "RedisVersionStore"]

_PARTITION: Final = re.compile(r"(\d{1,9})\}:versions")
LOG: Final = logging.getLogger("stream_retrain.stores")

CHANGE: Final = (
    GUARD
    + """
local kind = redis.call('TYPE', KEYS[2]).ok
redis.call('SET', KEYS[1], ARGV[1])
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[2]) end
local pairs_end = 2 + 2 * tonumber(ARGV[2])
for at = 3, pairs_end, 2 do redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end
for at = pairs_end + 1, #ARGV do redis.call('HDEL', KEYS[2], ARGV[at]) end
return {'ok', kind}
"""
)
"""KEYS: epoch, hash. ARGV: epoch, how many pairs, the pairs of field and value, the fields to delete."""
ALL: Final = """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then return {} end
local kept, fields = {}, redis.call('HKEYS', KEYS[1])
for at = 1, math.min(#fields, tonumber(ARGV[1])) do
    if redis.call('HSTRLEN', KEYS[1], fields[at]) <= tonumber(ARGV[2]) then
        table.insert(kept, {fields[at], redis.call('HGET', KEYS[1], fields[at])})
    else
        table.insert(kept, {fields[at], ''})
    end
end
return kept
"""
"""KEYS: hash. ARGV: how many fields, the bytes of a value; of a longer one nothing is read."""


class RedisVersionStore:
    """A `VersionStore` of hashes."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._change = server.client.register_script(CHANGE)
        self._all = server.client.register_script(ALL)

    def put(self, shard: ShardId, epoch: int, versions: Sequence[Version], forget: Iterable[str] = ()) -> None:
        pairs = [part for version in versions for part in (version.id, written_version(version))]
        args: list[Any] = [epoch, len(versions), *pairs, *forget]
        keys = [key_of(shard, "epoch"), key_of(shard, "versions")]
        answer: Any = self._server.call(f"write versions of {shard}", lambda: self._change(keys=keys, args=args))
        _checked(answer, shard, epoch, keys[1])

    def partitions(self, pipeline: str, topic: str) -> list[int]:
        client, beginning = self._server.client, f"sr:{{{pipeline}/{topic}/"
        keys: Any = self._server.call(
            f"look for versions of {pipeline}", lambda: list(client.scan_iter(match=f"{beginning}*}}:versions", count=1_000))
        )
        found = [_PARTITION.fullmatch(key.decode("utf-8", "replace").removeprefix(beginning)) for key in keys]
        return sorted(int(each[1]) for each in found if each is not None)

    def all(self, shard: ShardId) -> list[Version]:
        key, args = key_of(shard, "versions"), [4 * VERSIONS_MAX, VERSION_BYTES_MAX]
        found: Any = self._server.call(f"read the versions of {shard}", lambda: self._all(keys=[key], args=args))
        return readable(shard, found)


class RedisModelStore:
    """A `ModelStore` of hashes."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._change = server.client.register_script(CHANGE)

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes) -> None:
        self._write(shard, epoch, f"keep a model of {len(sealed):,} bytes of {shard}", [epoch, 1, name, sealed])

    def load(self, shard: ShardId, name: str) -> bytes | None:
        client, key = self._server.client, key_of(shard, "models")
        try:
            found: Any = self._server.call(f"load the model {name} of {shard}", lambda: client.hget(key, name))
        except WrongTypeError:
            return None
        return None if found is None else bytes(found)

    def names(self, shard: ShardId) -> list[str]:
        client, key = self._server.client, key_of(shard, "models")
        try:
            found: Any = self._server.call(f"list the models of {shard}", lambda: client.hkeys(key))
        except WrongTypeError:
            return []
        return sorted(name.decode("utf-8", "replace") for name in found)

    def drop(self, shard: ShardId, epoch: int, names: Iterable[str]) -> None:
        if dropped := list(names):
            self._write(shard, epoch, f"drop models of {shard}", [epoch, 0, *dropped])

    def _write(self, shard: ShardId, epoch: int, doing: str, args: list[Any]) -> None:
        keys = [key_of(shard, "epoch"), key_of(shard, "models")]
        answer: Any = self._server.call(doing, lambda: self._change(keys=keys, args=args))
        _checked(answer, shard, epoch, keys[1])


def _checked(answer: Any, shard: ShardId, epoch: int, key: str) -> None:
    match answer:
        case [b"stale", stored]:
            raise stale_epoch(shard, epoch, int(stored))
        case [b"ok", kind] if kind not in (b"hash", b"none"):
            LOG.error("%s was none of this program's, and was deleted: it stood in the place of versions", key)

"""Where workers say how they stand: `sr:{group}:workers`, a hash of texts by instance, and `sr:{group}:workers_told`, when each was told.

Both expire with the last worker. What is older than `STATUS_EXPIRE_S`, by the server's clock, is deleted by whoever tells next.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from stream_retrain.errors import StateError
from stream_retrain.stores.ports import STATUS_EXPIRE_S, WORKERS_MAX, WorkerTold
from stream_retrain.stores.redis.parse import text, whole
from stream_retrain.stores.redis.server import RedisServer
from stream_retrain.stores.worker_status import STATUS_BYTES_MAX, WorkerStatus, read_status, written

__all__ = ["RedisWorkerStore"]

LOG: Final = logging.getLogger("stream_retrain.stores")
INSTANCE_BYTES_MAX: Final = 800

_BEGIN: Final = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[2]) end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
"""
TELL: Final = (
    _BEGIN
    + """
local function forget(instances)
    for _, each in ipairs(instances) do
        redis.call('HDEL', KEYS[1], each)
        redis.call('ZREM', KEYS[2], each)
    end
end
if redis.call('HLEN', KEYS[1]) > 2 * tonumber(ARGV[4]) then redis.call('DEL', KEYS[1]) end
forget(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - tonumber(ARGV[3]), 'LIMIT', 0, 1000))
forget(redis.call('ZRANGEBYSCORE', KEYS[2], now + tonumber(ARGV[3]), '+inf', 'LIMIT', 0, 1000))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
forget(redis.call('ZRANGE', KEYS[2], 0, -1 - tonumber(ARGV[4])))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 1
"""
)
"""KEYS: texts, times. ARGV: instance, text, milliseconds until it expires, how many workers are kept."""
ALL: Final = (
    _BEGIN
    + """
local kept = {}
for _, instance in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now - tonumber(ARGV[1]), now, 'LIMIT', 0, tonumber(ARGV[2]))) do
    local size = redis.call('HSTRLEN', KEYS[1], instance)
    if #instance <= tonumber(ARGV[4]) and size > 0 and size <= tonumber(ARGV[3]) then
        local age = now - math.floor(tonumber(redis.call('ZSCORE', KEYS[2], instance)))
        table.insert(kept, {instance, tostring(age), redis.call('HGET', KEYS[1], instance)})
    end
end
return kept
"""
)
"""KEYS: texts, times. ARGV: milliseconds until a text expires, how many workers, the bytes a text and an instance may have."""


class RedisWorkerStore:
    """A `WorkerStore` of one hash and one sorted set a group."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._tell = server.client.register_script(TELL)
        self._all = server.client.register_script(ALL)

    def tell(self, group: str, status: WorkerStatus) -> None:
        args: list[Any] = [status.instance, written(status), int(STATUS_EXPIRE_S * 1000), WORKERS_MAX]
        self._server.call(f"tell how a worker of group {group} stands", lambda: self._tell(keys=_keys(group), args=args))

    def all(self, group: str) -> list[WorkerTold]:
        args = [int(STATUS_EXPIRE_S * 1000), WORKERS_MAX, STATUS_BYTES_MAX, INSTANCE_BYTES_MAX]
        found: Any = self._server.call(f"read the workers of group {group}", lambda: self._all(keys=_keys(group), args=args))
        told = []
        for instance, age_ms, stored in found:
            try:
                status = read_status(stored, text(instance, "a worker's name", INSTANCE_BYTES_MAX))
                told.append(WorkerTold(status, whole(age_ms, "the age of a worker's status") / 1000))
            except StateError as error:
                LOG.warning("a worker of group %s is left out: %s", group, error)
        return sorted(told, key=lambda each: each.status.instance)

    def drop(self, group: str, instance: str) -> None:
        texts, times = _keys(group)

        def drop() -> None:
            # Not one transaction, which the user would need a right of its own for: who reads passes over what only one of the two has.
            with self._server.client.pipeline(transaction=False) as pipe:
                pipe.hdel(texts, instance)
                pipe.zrem(times, instance)
                pipe.execute()

        self._server.call(f"drop a worker of group {group}", drop)


def _keys(group: str) -> list[str]:
    """In braces, so that both are on one node; no shard's key begins so, because a shard has slashes in its name."""
    return [f"sr:{{{group}}}:workers", f"sr:{{{group}}}:workers_told"]

"""Requests in Redis: a sorted set a shard, by number; its numbers never start again while the server remembers them.

sr:{...}:requests         a sorted set: the number as score, `<number> <reason>` as member; expires a week after the last
sr:{...}:request_number   the last number given; the server's clock keeps it ascending after everything was flushed
"""

from __future__ import annotations

from typing import Any, Final

from stream_retrain.core.messages import ShardId
from stream_retrain.stores.redis_server import RedisServer, key_of
from stream_retrain.stores.requests import EXPIRE_S, Asked

__all__ = ["RedisRequestStore"]

ASK: Final = """
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local number = string.format('%.0f', math.max(tonumber(redis.call('GET', KEYS[2]) or '0') + 1, now_ms))
redis.call('SET', KEYS[2], number, 'EX', ARGV[2])
redis.call('ZADD', KEYS[1], number, number .. ' ' .. ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return number
"""


class RedisRequestStore:
    """A `RequestStore` of sorted sets."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._ask = server.client.register_script(ASK)

    def ask(self, shard: ShardId, reason: str) -> int:
        keys = [key_of(shard, "requests"), key_of(shard, "request_number")]
        number: Any = self._server.call(f"ask something of shard {shard}", lambda: self._ask(keys=keys, args=[reason, EXPIRE_S]))
        return int(number)

    def waiting(self, shard: ShardId) -> list[Asked]:
        key = key_of(shard, "requests")
        found: Any = self._server.call(f"read the requests of shard {shard}", lambda: self._server.client.zrange(key, 0, -1))
        return [Asked(int(number), reason.decode()) for number, _, reason in (member.partition(b" ") for member in found)]

    def drop(self, shard: ShardId, through: int) -> None:
        key = key_of(shard, "requests")
        self._server.call(f"drop the requests of shard {shard}", lambda: self._server.client.zremrangebyscore(key, "-inf", through))

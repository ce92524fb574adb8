"""Requests in Redis: one sorted set a shard, in order of number.

    sr:{...}:requests         a sorted set: the number as score, `<number> <reason>` as member
    sr:{...}:request_number   the last number given

Both expire a week after the last request. A number is at least the server's clock in milliseconds, so numbers ascend even after the
keys have expired or the server was flushed.
"""

from __future__ import annotations

from typing import Any, Final

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Asked
from stream_retrain.stores.redis.server import RedisServer, key_of

__all__ = ["RedisRequestStore"]

EXPIRE_S: Final = 7 * 86_400

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
        number: Any = self._server.call(f"add a request for shard {shard}", lambda: self._ask(keys=keys, args=[reason, EXPIRE_S]))
        return int(number)

    def waiting(self, shard: ShardId) -> list[Asked]:
        key = key_of(shard, "requests")
        found: Any = self._server.call(f"read the requests of shard {shard}", lambda: self._server.client.zrange(key, 0, -1))
        return [Asked(int(number), reason.decode()) for number, _, reason in (member.partition(b" ") for member in found)]

    def drop(self, shard: ShardId, through: int) -> None:
        key = key_of(shard, "requests")
        self._server.call(f"drop the requests of shard {shard}", lambda: self._server.client.zremrangebyscore(key, "-inf", through))

"""Requests in Redis: one sorted set a shard, `sr:{pipeline/topic/partition}:requests`, in the order in which they were asked.

A member is `<token> <reason>`; its score, the server's clock in milliseconds, orders and does nothing else. What is no such member is
deleted when it is met. The set expires a week after the last request. `sr:{pipeline/topic/partition}:resume` is the offset at which a
paused shard may go on, for a week.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterable
from typing import Any, Final

from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import REASON_BYTES_MAX, REQUESTS_MAX, Asked, cut_reason
from stream_retrain.stores.redis.parse import text, whole
from stream_retrain.stores.redis.server import RedisServer, key_of

__all__ = ["RedisRequestStore"]

EXPIRE_S: Final = 7 * 86_400
LOG: Final = logging.getLogger("stream_retrain.stores")
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MEMBER_BYTES_MAX: Final = REASON_BYTES_MAX + 65

_USABLE: Final = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
"""
ASK: Final = (
    _USABLE
    + """
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return 0 end
local now = redis.call('TIME')
redis.call('ZADD', KEYS[1], tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
)
"""KEYS: requests. ARGV: member, seconds until it expires, how many may wait."""
WAITING: Final = (
    _USABLE
    + """
local found = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)
local kept = {}
for _, member in ipairs(found) do
    if #member > tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], member) else table.insert(kept, member) end
end
return kept
"""
)
"""KEYS: requests. ARGV: how many, the bytes a member may have; a longer one is deleted unread."""


RESUMED: Final = """
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then return false end
return redis.call('GETRANGE', KEYS[1], 0, 30)
"""
"""KEYS: the offset at which a shard may go on. What is of another type says nothing."""


class RedisRequestStore:
    """A `RequestStore` of sorted sets."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._ask = server.client.register_script(ASK)
        self._waiting = server.client.register_script(WAITING)
        self._resumed = server.client.register_script(RESUMED)

    def ask(self, shard: ShardId, reason: str) -> str:
        asked = Asked(uuid.uuid4().hex, cut_reason(reason))
        args: list[Any] = [_member(asked), EXPIRE_S, REQUESTS_MAX]
        if not self._server.call(f"add a request for shard {shard}", lambda: self._ask(keys=[key_of(shard, "requests")], args=args)):
            raise StoreError(f"{REQUESTS_MAX} requests wait for shard {shard} already: see that a worker of the pipeline runs")
        return asked.token

    def waiting(self, shard: ShardId) -> list[Asked]:
        key, args = key_of(shard, "requests"), [REQUESTS_MAX, _MEMBER_BYTES_MAX]
        found: Any = self._server.call(f"read the requests of shard {shard}", lambda: self._waiting(keys=[key], args=args))
        readable, unreadable = [], []
        for member in found:
            try:
                readable.append(_asked(member))
            except StateError as error:
                LOG.warning("a request for %s is dropped: %s", shard, error)
                unreadable.append(member)
        self._remove(shard, unreadable)
        return readable

    def drop(self, shard: ShardId, requests: Iterable[Asked]) -> None:
        self._remove(shard, list(map(_member, requests)))

    def resume(self, shard: ShardId, offset: int) -> None:
        key = key_of(shard, "resume")
        self._server.call(f"resume shard {shard}", lambda: self._server.client.set(key, offset, ex=EXPIRE_S))

    def resumed(self, shard: ShardId) -> int | None:
        key = key_of(shard, "resume")
        try:
            found: Any = self._server.call(f"read where shard {shard} may go on", lambda: self._resumed(keys=[key]))
            return whole(found, "an offset to go on from") if found else None
        except StateError as error:
            LOG.warning("where %s may go on is not said: %s", shard, error)
            return None

    def _remove(self, shard: ShardId, members: list[bytes]) -> None:
        if members:
            key = key_of(shard, "requests")
            self._server.call(f"drop the requests of shard {shard}", lambda: self._server.client.zrem(key, *members))


def _member(asked: Asked) -> bytes:
    return f"{asked.token} {asked.reason}".encode()


def _asked(member: bytes) -> Asked:
    token, space, reason = text(member, "a request", _MEMBER_BYTES_MAX).partition(" ")
    if not space or not _TOKEN.fullmatch(token):  # or it could not be dropped: it would be another member than this one
        raise StateError(f"a request has no token: {member[:40]!r}")
    return Asked(token, reason)

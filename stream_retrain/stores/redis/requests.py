"""Requests in Redis: one sorted set a shard, `sr:{pipeline/topic/partition}:requests`, in the order in which they were asked.

A member is the JSON object of an `Asked`, its token first; its score orders and does nothing else: the server's clock in milliseconds, or
one more than the newest's.
Members `<token> <reason>` of earlier releases are read as retrain requests. What is neither is deleted when it is met. The set expires a
week after the last request.

`sr:{pipeline/topic/partition}:pause` is who paused the shard, in the same JSON, until it is deleted. `...:resume` is the offset at
which a shard may go on that is paused for its refused records, for a week.
`...:pause_tokens` is a list of the last tokens that paused the shard or resumed it, for a week: one that comes again does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from stream_retrain.errors import StateError
from stream_retrain.facts.request import TOKEN, Asked, fitted
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import PAUSE_TOKENS_MAX, REQUESTS_MAX, Looked
from stream_retrain.stores.redis.parse import text, whole
from stream_retrain.stores.redis.server import RedisServer, key_of
from stream_retrain.stores.refusals import requests_full

__all__ = ["RedisRequestStore"]

EXPIRE_S: Final = 7 * 86_400
LOG: Final = logging.getLogger("stream_retrain.stores")
_MEMBER_BYTES_MAX: Final = 8_000
"""A reason of control characters is six times as long in JSON."""
_ASKED: Final = msgspec.json.Decoder(Asked)

_OWN: Final = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local function is_of(member, token)
    for _, start in ipairs({'{"token":"' .. token .. '"', token .. ' '}) do
        if string.sub(member, 1, #start) == start then return true end
    end
    return false
end
"""
ASK: Final = (
    _OWN
    + """
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[3]) - 1)) do
    if is_of(member, ARGV[4]) then return 0 end
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[3]) then return -1 end
local now = redis.call('TIME')
local at_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local newest_ms = tonumber((redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES'))[2] or 0)
if newest_ms >= at_ms and newest_ms < at_ms + 1000 then at_ms = newest_ms + 1 end
redis.call('ZADD', KEYS[1], at_ms, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
"""
)
"""KEYS: requests. ARGV: member, seconds until it expires, how many may wait, token."""
LOOK: Final = (
    _OWN
    + """
local function short(key, bytes)
    if redis.call('TYPE', key).ok ~= 'string' then return false end
    return redis.call('GETRANGE', key, 0, bytes)
end
local found = redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)
local kept = {}
for _, member in ipairs(found) do
    if #member > tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], member) else table.insert(kept, member) end
end
return {kept, short(KEYS[2], tonumber(ARGV[2])), short(KEYS[3], 30)}
"""
)
"""KEYS: requests, pause, resume. ARGV: how many, the bytes a member may have; a longer one is deleted unread."""
DROP: Final = (
    _OWN
    + """
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[1]) - 1)) do
    for place = 2, #ARGV do
        if is_of(member, ARGV[place]) then redis.call('ZREM', KEYS[1], member) end
    end
end
return 1
"""
)
"""KEYS: requests. ARGV: how many are looked at, tokens."""
_ONCE: Final = """
local tokens, token = KEYS[1], ARGV[1]
local function had()
    local kind = redis.call('TYPE', tokens).ok
    if kind ~= 'list' and kind ~= 'none' then redis.call('DEL', tokens) end
    for _, each in ipairs(redis.call('LRANGE', tokens, 0, tonumber(ARGV[2]) - 1)) do
        if each == token then return true end
    end
    return false
end
local function remember()
    redis.call('LPUSH', tokens, token)
    redis.call('LTRIM', tokens, 0, tonumber(ARGV[2]) - 1)
    redis.call('EXPIRE', tokens, ARGV[3])
end
if had() then return 0 end
"""
PAUSE: Final = (
    _ONCE
    + """
local paused = redis.call('TYPE', KEYS[2]).ok == 'string'
if not paused then redis.call('SET', KEYS[2], ARGV[4]) end
remember()
if paused then return 0 end
return 1
"""
)
"""KEYS: pause tokens, pause. ARGV: token, how many are remembered, for how many seconds, who pauses it.

What is of another type is replaced.
"""
RESUME: Final = (
    _ONCE
    + """
local changed = redis.call('DEL', KEYS[2])
if ARGV[4] ~= '' then
    redis.call('SET', KEYS[3], ARGV[4], 'EX', ARGV[3])
    changed = 1
end
remember()
return changed
"""
)
"""KEYS: pause tokens, pause, resume. ARGV: token, how many are remembered, for how many seconds, the offset to go on from or nothing.

It deletes first, which a Redis out of memory does not refuse, so that it does not refuse what follows either.
"""


class RedisRequestStore:
    """A `RequestStore` of sorted sets."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        script = server.client.register_script
        self._ask, self._look, self._drop, self._pause, self._resume = map(script, (ASK, LOOK, DROP, PAUSE, RESUME))

    def ask(self, shard: ShardId, asked: Asked) -> bool:
        args: list[Any] = [_member(asked), EXPIRE_S, REQUESTS_MAX, asked.token]
        added: Any = self._server.call(f"add a request for shard {shard}", lambda: self._ask(keys=[key_of(shard, "requests")], args=args))
        if added == -1:
            raise requests_full(shard, REQUESTS_MAX)
        return bool(added)

    def look(self, shard: ShardId) -> Looked:
        keys, args = [key_of(shard, name) for name in ("requests", "pause", "resume")], [REQUESTS_MAX, _MEMBER_BYTES_MAX]
        found: Any = self._server.call(f"read the requests of shard {shard}", lambda: self._look(keys=keys, args=args))
        members, paused, resumed = found
        readable, unreadable = [], []
        for member in members:
            try:
                readable.append(_asked(member))
            except StateError as error:
                LOG.warning("a request for %s is dropped: %s", shard, error)
                unreadable.append(member)
        self._remove(shard, unreadable)
        return Looked(readable, None if paused is None else _paused(paused), _resumed(shard, resumed))

    def drop(self, shard: ShardId, requests: Iterable[Asked]) -> None:
        if tokens := [asked.token for asked in requests]:
            key = key_of(shard, "requests")
            self._server.call(f"drop requests of shard {shard}", lambda: self._drop(keys=[key], args=[REQUESTS_MAX, *tokens]))

    def pause(self, shard: ShardId, asked: Asked) -> bool:
        keys, args = [key_of(shard, name) for name in ("pause_tokens", "pause")], [*_once(asked), _member(asked)]
        return bool(self._server.call(f"pause shard {shard}", lambda: self._pause(keys=keys, args=args)))

    def resume(self, shard: ShardId, asked: Asked, offset: int | None = None) -> bool:
        keys = [key_of(shard, name) for name in ("pause_tokens", "pause", "resume")]
        args = [*_once(asked), "" if offset is None else offset]
        return bool(self._server.call(f"resume shard {shard}", lambda: self._resume(keys=keys, args=args)))

    def _remove(self, shard: ShardId, members: list[bytes]) -> None:
        if members:
            key = key_of(shard, "requests")
            self._server.call(f"drop the requests of shard {shard}", lambda: self._server.client.zrem(key, *members))


def _once(asked: Asked) -> list[Any]:
    return [asked.token, PAUSE_TOKENS_MAX, EXPIRE_S]


def _member(asked: Asked) -> bytes:
    return msgspec.json.encode(fitted(asked))


def _asked(member: bytes) -> Asked:
    """A member as it was asked; one that could not be found again by its token is none, because it could not be dropped."""
    if member.startswith(b"{"):
        try:
            asked = _ASKED.decode(member)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StateError(f"a request cannot be read ({error}): {member[:40]!r}") from None
        if not TOKEN.fullmatch(asked.token) or not member.startswith(f'{{"token":"{asked.token}"'.encode()):
            raise StateError(f"a request does not begin with a token: {member[:40]!r}")
        return fitted(asked)
    token, space, reason = text(member, "a request", _MEMBER_BYTES_MAX).partition(" ")
    if not space or not TOKEN.fullmatch(token):
        raise StateError(f"a request has no token: {member[:40]!r}")
    return fitted(Asked(token=token, reason=reason))


def _paused(found: bytes) -> Asked:
    """Who paused a shard; it is paused also where that cannot be read."""
    try:
        return _asked(found)
    except StateError:
        return Asked(token="unknown", do="pause", reason="what is stored of it cannot be read")  # noqa: S106 - a name, no secret


def _resumed(shard: ShardId, found: bytes | None) -> int | None:
    try:
        return whole(found, "an offset to go on from") if found else None
    except StateError as error:
        LOG.warning("where %s may go on is not said: %s", shard, error)
        return None

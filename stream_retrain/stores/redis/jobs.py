"""Jobs in Redis: one hash a shard, `sr:{pipeline/topic/partition}:job`, which expires some time after its last step or heartbeat.

Every step is one script that compares the token first, and the trainer's name, so a trainer whose job was replaced, dropped or taken up by
another can change nothing. The age of the last heartbeat is measured by the server's clock. A job that cannot be read raises `StateError`:
its owner asks again, a trainer drops it.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import JOB_LEASE_S, Ending, JobState, JobStatus, JobTaken
from stream_retrain.stores.redis.parse import text, whole
from stream_retrain.stores.redis.scripts import GUARD
from stream_retrain.stores.redis.server import RedisServer, key_of
from stream_retrain.stores.refusals import stale_epoch

__all__ = ["RedisJobStore"]

ERROR_BYTES_MAX: Final = 10_000
TOKEN_BYTES_MAX: Final = 200
FIELDS: Final = 10
STATUS: Final[dict[bytes, JobStatus]] = {b"waiting": "waiting", b"running": "running", b"ended": "ended"}

_NOW: Final = """
local time = redis.call('TIME')
local now_ms = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
"""
_MINE: Final = (
    _NOW
    + """
local found = redis.pcall('HMGET', KEYS[1], 'token', 'status', 'expire_ms', 'trainer', 'attempts', 'heartbeat_ms')
if found.err then return false end
local token, status, expire_ms, trainer, attempts, heartbeat_ms = unpack(found)
if token ~= ARGV[1] or status == 'ended' then return false end
if not expire_ms or #expire_ms > 10 or not string.match(expire_ms, '^%d+$') then expire_ms = '3600000' end
if not attempts or not string.match(attempts, '^%d%d?%d?%d?$') then attempts = '0' end
"""
)
_RUNNING: Final = f"{_MINE}if status ~= 'running' or trainer ~= ARGV[2] then return false end\n"
ASK: Final = (
    GUARD
    + _NOW
    + """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'token', ARGV[2], 'expire_ms', ARGV[3], 'attempts', ARGV[4],
    'status', 'waiting', 'rows', '0', 'heartbeat_ms', now_ms)
if ARGV[5] then redis.call('HSET', KEYS[2], 'base', ARGV[5]) end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {'ok', ''}
"""
)
"""KEYS: epoch, job. ARGV: epoch, token, milliseconds until it expires, attempts, base if there is one."""
TAKE: Final = (
    _MINE
    + """
if status == 'running' and heartbeat_ms and string.match(heartbeat_ms, '^%d+$') and #heartbeat_ms < 16 then
    local age_ms = tonumber(now_ms) - tonumber(heartbeat_ms)
    if age_ms >= 0 and age_ms < tonumber(ARGV[3]) then return {} end
end
attempts = string.format('%d', tonumber(attempts) + 1)
redis.call('HSET', KEYS[1], 'status', 'running', 'trainer', ARGV[2], 'attempts', attempts, 'heartbeat_ms', now_ms)
redis.call('PEXPIRE', KEYS[1], expire_ms)
return {attempts, redis.call('HGET', KEYS[1], 'base')}
"""
)
"""KEYS: job. ARGV: token, trainer, milliseconds after which a silent one has lost it. Attempts and base; nothing: another is at it."""
HEARTBEAT: Final = (
    _RUNNING
    + """
redis.call('HSET', KEYS[1], 'rows', ARGV[3], 'rows_total', ARGV[4], 'heartbeat_ms', now_ms)
redis.call('PEXPIRE', KEYS[1], expire_ms)
return 1
"""
)
"""KEYS: job. ARGV: token, trainer, rows, rows in total or ''."""
END: Final = (
    _RUNNING
    + """
redis.call('HSET', KEYS[1], 'status', 'ended', 'heartbeat_ms', now_ms, ARGV[3], ARGV[4], 'again', ARGV[5])
redis.call('HDEL', KEYS[1], 'base')
redis.call('PEXPIRE', KEYS[1], expire_ms)
return 1
"""
)
"""KEYS: job. ARGV: token, trainer, the field 'sealed' or 'error', its value, whether another attempt may succeed (0 or 1)."""
GIVE_BACK: Final = (
    _RUNNING
    + """
attempts = string.format('%d', math.max(0, tonumber(attempts) - 1))
redis.call('HSET', KEYS[1], 'status', 'waiting', 'attempts', attempts, 'heartbeat_ms', now_ms)
redis.call('PEXPIRE', KEYS[1], expire_ms)
return 1
"""
)
"""KEYS: job. ARGV: token, trainer."""
LOOK: Final = (
    _NOW
    + """
local found = redis.pcall('HMGET', KEYS[1], 'token', 'status', 'rows', 'rows_total', 'heartbeat_ms', 'sealed', 'error', 'again',
    'attempts')
if found.err then return {} end
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
table.insert(found, now_ms)
return found
"""
)
"""KEYS: job. The fields of its state and the server's clock in milliseconds; nothing where the key has another type."""
DROP: Final = """
local token = redis.pcall('HGET', KEYS[1], 'token')
if token == ARGV[1] or type(token) == 'table' then redis.call('DEL', KEYS[1]) end
"""
"""KEYS: job. ARGV: token."""


class RedisJobStore:
    """A `JobStore` of hashes."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._scripts = {script: server.client.register_script(script) for script in (ASK, TAKE, HEARTBEAT, END, GIVE_BACK, LOOK, DROP)}

    def ask(self, shard: ShardId, epoch: int, token: str, expire_s: float, *, base: bytes | None = None, attempts: int = 0) -> None:
        args: list[Any] = [epoch, token, int(expire_s * 1000), attempts, *([] if base is None else [base])]
        keys = [key_of(shard, "epoch"), key_of(shard, "job")]
        answer: Any = self._server.call(f"ask for a training of shard {shard}", lambda: self._scripts[ASK](keys=keys, args=args))
        if answer[0] == b"stale":
            raise stale_epoch(shard, epoch, int(answer[1]))

    def take(self, shard: ShardId, token: str, trainer: str) -> JobTaken | Literal["busy"] | None:
        found = self._run(TAKE, f"take the training of shard {shard}", shard, token, trainer, int(JOB_LEASE_S * 1000))
        if not found:
            return None if found is None else "busy"
        return JobTaken(attempt=whole(found[0], f"the attempts at the training of shard {shard}"), base=found[1])

    def heartbeat(self, shard: ShardId, token: str, trainer: str, rows: int, rows_total: int | None) -> bool:
        doing, total = f"send a heartbeat of the training of shard {shard}", "" if rows_total is None else rows_total
        return self._run(HEARTBEAT, doing, shard, token, trainer, rows, total) is not None

    def end(self, shard: ShardId, token: str, trainer: str, ending: Ending | None) -> bool:
        if ending is None:
            return self._run(GIVE_BACK, f"give the training of shard {shard} back", shard, token, trainer) is not None
        what = ("error", _cut(ending.error or "")) if ending.sealed is None else ("sealed", ending.sealed)
        return self._run(END, f"end the training of shard {shard}", shard, token, trainer, *what, int(ending.again)) is not None

    def look(self, shard: ShardId) -> JobState | None:
        found = self._run(LOOK, f"read the state of the training of shard {shard}", shard)
        return None if found is None else _state(shard, found)

    def drop(self, shard: ShardId, token: str) -> None:
        self._run(DROP, f"drop the training of shard {shard}", shard, token)

    def _run(self, script: str, doing: str, shard: ShardId, *args: Any) -> Any:
        return self._server.call(doing, lambda: self._scripts[script](keys=[key_of(shard, "job")], args=args))


def _cut(error: str) -> str:
    return error.encode("utf-8", "replace")[:ERROR_BYTES_MAX].decode("utf-8", "ignore")


def _state(shard: ShardId, found: list[Any]) -> JobState:
    """The state of a job, as its fields say. Raises `StateError`."""
    what = f"the training of shard {shard}"
    if len(found) != FIELDS:
        raise StateError(f"{what} is kept under a key of another type")
    token, status, rows, total, heartbeat_ms, sealed, error, again, attempts, now_ms = found
    if status not in STATUS:
        raise StateError(f"{what} has the status {str(status)[:40]}")
    ended = None
    if status == b"ended":
        ended = Ending(
            sealed=sealed, error=None if error is None else text(error, f"the error of {what}", ERROR_BYTES_MAX), again=again == b"1"
        )
    return JobState(
        token=text(token, f"the token of {what}", TOKEN_BYTES_MAX),
        status=STATUS[status],
        attempts=whole(attempts, f"the attempts at {what}"),
        rows=whole(rows, f"the rows of {what}"),
        rows_total=whole(total, f"the rows of {what}") if total else None,
        heartbeat_age_s=max(0, whole(now_ms, "the clock") - whole(heartbeat_ms, f"the heartbeat of {what}")) / 1000,
        ending=ended,
    )

"""Jobs in Redis: one hash a shard, `sr:{pipeline/topic/partition}:job`, which expires some time after its last step or heartbeat.

Every step is one script that compares token and status first, so a trainer whose job was replaced, dropped or ended can change nothing. The
age of the last heartbeat is measured by the server's clock. A job that cannot be read raises `StateError`, and its owner asks again.
"""

from __future__ import annotations

from typing import Any, Final

from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Ending, JobState, JobStatus, JobTaken
from stream_retrain.stores.redis.parse import text, whole
from stream_retrain.stores.redis.scripts import GUARD
from stream_retrain.stores.redis.server import RedisServer, key_of
from stream_retrain.stores.refusals import stale_epoch

__all__ = ["RedisJobStore"]

ERROR_BYTES_MAX: Final = 10_000
TOKEN_BYTES_MAX: Final = 200
FIELDS: Final = 9
STATUS: Final[dict[bytes, JobStatus]] = {
    b"waiting": "waiting",
    b"running": "running",
    b"given_back": "given_back",
    b"ended": "ended",
}

_NOW: Final = """
local time = redis.call('TIME')
local now_ms = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
"""
ASK: Final = (
    GUARD
    + _NOW
    + """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'token', ARGV[2], 'expire_ms', ARGV[3],
    'status', 'waiting', 'rows', '0', 'heartbeat_ms', now_ms)
if ARGV[4] then redis.call('HSET', KEYS[2], 'base', ARGV[4]) end
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {'ok', ''}
"""
)
"""KEYS: epoch, job. ARGV: epoch, token, milliseconds until it expires, base if there is one."""
STEP: Final = (
    _NOW
    + """
local found = redis.pcall('HMGET', KEYS[1], 'token', 'status', 'expire_ms', 'base')
if found.err or found[1] ~= ARGV[1] or found[2] ~= ARGV[2] then return false end
local expire_ms = found[3]
if not expire_ms or #expire_ms > 10 or not string.match(expire_ms, '^%d+$') then expire_ms = '3600000' end
redis.call('HSET', KEYS[1], 'heartbeat_ms', now_ms, unpack(ARGV, 3))
if ARGV[4] == 'ended' then redis.call('HDEL', KEYS[1], 'base') end
redis.call('PEXPIRE', KEYS[1], expire_ms)
return {found[4]}
"""
)
"""KEYS: job. ARGV: token, the status it must have, 'status', the next one, more fields and values. The base; nothing: it was refused."""
LOOK: Final = (
    _NOW
    + """
local found = redis.pcall('HMGET', KEYS[1], 'token', 'status', 'rows', 'rows_total', 'heartbeat_ms', 'sealed', 'error', 'again')
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
        self._scripts = {script: server.client.register_script(script) for script in (ASK, STEP, LOOK, DROP)}

    def ask(self, shard: ShardId, epoch: int, token: str, expire_s: float, *, base: bytes | None = None) -> None:
        args: list[Any] = [epoch, token, int(expire_s * 1000), *([] if base is None else [base])]
        keys = [key_of(shard, "epoch"), key_of(shard, "job")]
        answer: Any = self._server.call(f"ask for a training of shard {shard}", lambda: self._scripts[ASK](keys=keys, args=args))
        if answer[0] == b"stale":
            raise stale_epoch(shard, epoch, int(answer[1]))

    def take(self, shard: ShardId, token: str) -> JobTaken | None:
        found = self._step(shard, token, "waiting", "take", "status", "running")
        return None if found is None else JobTaken(base=found[0])

    def heartbeat(self, shard: ShardId, token: str, rows: int, rows_total: int | None) -> bool:
        told = ("status", "running", "rows", rows, "rows_total", "" if rows_total is None else rows_total)
        return self._step(shard, token, "running", "send a heartbeat of", *told) is not None

    def end(self, shard: ShardId, token: str, ending: Ending | None) -> bool:
        if ending is None:
            return self._step(shard, token, "running", "give back", "status", "given_back") is not None
        what = ("error", _cut(ending.error or "")) if ending.sealed is None else ("sealed", ending.sealed)
        return self._step(shard, token, "running", "end", "status", "ended", *what, "again", int(ending.again)) is not None

    def look(self, shard: ShardId) -> JobState | None:
        found = self._run(LOOK, f"read the state of the training of shard {shard}", shard)
        return None if found is None else _state(shard, found)

    def drop(self, shard: ShardId, token: str) -> None:
        self._run(DROP, f"drop the training of shard {shard}", shard, token)

    def _step(self, shard: ShardId, token: str, status: JobStatus, doing: str, *fields: Any) -> Any:
        return self._run(STEP, f"{doing} the training of shard {shard}", shard, token, status, *fields)

    def _run(self, script: str, doing: str, shard: ShardId, *args: Any) -> Any:
        return self._server.call(doing, lambda: self._scripts[script](keys=[key_of(shard, "job")], args=args))


def _cut(error: str) -> str:
    return error.encode("utf-8", "replace")[:ERROR_BYTES_MAX].decode("utf-8", "ignore")


def _state(shard: ShardId, found: list[Any]) -> JobState:
    """The state of a job, as its fields say. Raises `StateError`."""
    what = f"the training of shard {shard}"
    if len(found) != FIELDS:
        raise StateError(f"{what} is kept under a key of another type")
    token, status, rows, total, heartbeat_ms, sealed, error, again, now_ms = found
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
        rows=whole(rows, f"the rows of {what}"),
        rows_total=whole(total, f"the rows of {what}") if total else None,
        heartbeat_age_s=max(0, whole(now_ms, "the clock") - whole(heartbeat_ms, f"the heartbeat of {what}")) / 1000,
        ending=ended,
    )

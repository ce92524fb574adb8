"""The stores in Redis (or Valkey), 6.2 or later: what a shard leaves to the worker that takes it over.

Keys and scripts are described in `redis_scripts`. A lost connection is tried again for about a second, since every script may
be run twice (an append that was carried out before the connection broke then counts its rows as not new); an answer that
does not come in time is not waited for again, so that the driver hears of it soon.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream_retrain.core.messages import Learned, ShardId
from stream_retrain.errors import SettingsError, StateError
from stream_retrain.stores import redis_scripts
from stream_retrain.stores.base import Stores, WindowLimits, WindowSpan
from stream_retrain.stores.redis_errors import connection_lost, redacted, store_error
from stream_retrain.stores.refusals import offset_below_stored, stale_epoch
from stream_retrain.stores.window import WindowChunk, last_rows

__all__ = ["PERMANENT_KEYS", "RedisCheckpointStore", "RedisWindowStore", "redis_stores"]

PERMANENT_KEYS: Final = ("sr:{*}:epoch", "sr:{*}:window", "sr:{*}:checkpoint", "sr:{*}:checkpoint_previous")
"""Glob patterns of the keys that never expire: a shard's state must outlive any pause of its worker."""

_Answer = TypeVar("_Answer")
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
_HEALTH_CHECK_INTERVAL_S: Final = 30
_PAGE_ENTRIES: Final = (4, 8, 16, 32)


def redis_stores(url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> Stores:
    """A window store and a checkpoint store that share their epochs; nothing is sent until the first call.

    `timeout_s` is for one answer of the server. What the URL's query says (`?socket_timeout=10`) comes before these.
    Raises SettingsError if the URL is not one.
    """
    server = _Server(url, timeout_s, connect_timeout_s)
    return Stores(window=RedisWindowStore(server), checkpoints=RedisCheckpointStore(server), ping=server.ping)


class _Server:
    """A Redis client that speaks in `StoreError`s.

    It tries again by itself: redis-py's retries of a command, of a connection and of a health check multiply each other, and
    take a wrong password for a lost connection.
    """

    def __init__(self, url: str, timeout_s: float, connect_timeout_s: float) -> None:
        try:
            self._url = redacted(url)
            self.client = redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=connect_timeout_s,
                health_check_interval=_HEALTH_CHECK_INTERVAL_S,
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
            )
            pool = self.client.connection_pool
            pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"The Redis URL is wrong: {error}. It is like redis://user:password@host:6379/0") from None

    def call(self, doing: str, command: Callable[[], _Answer]) -> _Answer:
        """The answer to `command`; `doing` completes "Could not ..." in the message of an error."""
        for pause_s in (*_PAUSES_S, None):
            try:
                return command()
            except redis.RedisError as error:
                if pause_s is None or not connection_lost(error):
                    raise store_error(doing, self._url, error) from error
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def ping(self) -> None:
        self.call("get an answer to PING", self.client.ping)


def _key(shard: ShardId, name: str) -> str:
    return f"sr:{{{shard}}}:{name}"


class RedisWindowStore:
    """A `WindowStore`: one stream a shard, one entry a chunk."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._append = server.client.register_script(redis_scripts.APPEND)
        self._span = server.client.register_script(redis_scripts.SPAN)

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits) -> int:
        new: WindowChunk | None = chunk
        while new is not None:
            match self._append_chunk(shard, epoch, new, limits):
                case [b"stale", stored]:
                    raise stale_epoch(shard, epoch, int(stored))
                case [b"overlap", last_offset]:
                    new = new.above(int(last_offset))
                case _:
                    return new.rows
        return 0

    def _append_chunk(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits) -> Any:
        age_max_s = "" if limits.age_max_s is None else limits.age_max_s
        keys = [_key(shard, "epoch"), _key(shard, "window")]
        args = [epoch, f"{chunk.last_offset + 1}-0", *chunk, limits.rows_max, age_max_s]
        return self._server.call(f"append {chunk.rows} rows to the window of shard {shard}", lambda: self._append(keys=keys, args=args))

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        try:
            return last_rows(self._newest_first(shard), rows_max, since_time_s, through_offset)
        except StateError as error:
            raise StateError(f"Redis key {_key(shard, 'window')}: {error}") from error

    def _newest_first(self, shard: ShardId) -> Iterator[WindowChunk]:
        """The chunks in pages that grow, since most readers want a few. Trimming meanwhile takes only from the far end."""
        before = "+"
        for count in itertools.chain(_PAGE_ENTRIES, itertools.repeat(_PAGE_ENTRIES[-1])):
            page: Any = self._server.call(
                f"read the window of shard {shard}",
                functools.partial(self._server.client.xrevrange, _key(shard, "window"), before, "-", count),
            )
            for entry_id, fields in page:
                before = f"({entry_id.decode()}"
                yield _chunk(fields)
            if len(page) < count:
                return

    def span(self, shard: ShardId) -> WindowSpan | None:
        keys = [_key(shard, "epoch"), _key(shard, "window")]
        span: Any = self._server.call(f"read the span of the window of shard {shard}", lambda: self._span(keys=keys))
        if span is None:
            return None
        first, last, rows, oldest, newest = span
        return WindowSpan(
            rows=rows, first_offset=int(first), last_offset=int(last), oldest_time_s=float(oldest), newest_time_s=float(newest)
        )


def _chunk(fields: dict[bytes, bytes]) -> WindowChunk:
    return WindowChunk(
        first_offset=int(fields[b"first_offset"]),
        last_offset=int(fields[b"last_offset"]),
        rows=int(fields[b"rows"]),
        oldest_time_s=float(fields[b"oldest_time_s"]),
        newest_time_s=float(fields[b"newest_time_s"]),
        data=fields[b"chunk"],
    )


class RedisCheckpointStore:
    """A `CheckpointStore`: one hash a checkpoint, two of them a shard."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._claim = server.client.register_script(redis_scripts.CLAIM)
        self._save = server.client.register_script(redis_scripts.SAVE)
        self._load = server.client.register_script(redis_scripts.LOAD)
        self._delete = server.client.register_script(redis_scripts.DELETE)

    def claim(self, shard: ShardId) -> int:
        answer: Any = self._server.call(f"claim shard {shard}", lambda: self._claim(keys=[_key(shard, "epoch")]))
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
    return [_key(shard, name) for name in ("epoch", "checkpoint", "checkpoint_previous")]

"""The stores in Redis (or Valkey), 6.2 or later: what a shard leaves to the worker that takes it over.

Keys and scripts are described in `redis_scripts`. A lost connection is tried again for about a second, since every script may
be run twice (an append that was carried out before the connection broke then counts its rows as not new); an answer that
does not come in time is not waited for again, so that the driver hears of it soon.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from stream_retrain.core.messages import Learned, ShardId
from stream_retrain.errors import StateError
from stream_retrain.stores import redis_scripts
from stream_retrain.stores.base import Stores, WindowLimits, WindowSpan
from stream_retrain.stores.redis_jobs import RedisJobStore
from stream_retrain.stores.redis_requests import RedisRequestStore
from stream_retrain.stores.redis_server import RedisServer, key_of
from stream_retrain.stores.refusals import offset_below_stored, stale_epoch, window_gap
from stream_retrain.stores.window import WindowChunk, last_rows, next_rows

__all__ = ["PERMANENT_KEYS", "RedisCheckpointStore", "RedisWindowStore", "redis_stores"]

PERMANENT_KEYS: Final = ("sr:{*}:epoch", "sr:{*}:window", "sr:{*}:checkpoint", "sr:{*}:checkpoint_previous")
"""Glob patterns of the keys that never expire: a shard's state must outlive any pause of its worker."""

_PAGE_ENTRIES: Final = (4, 8, 16, 32)


def redis_stores(url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> Stores:
    """The stores of one server, which share their epochs; nothing is sent until the first call.

    `timeout_s` is for one answer of the server. What the URL's query says (`?socket_timeout=10`) comes before these.
    Raises SettingsError if the URL is not one.
    """
    server = RedisServer(url, timeout_s, connect_timeout_s)
    return Stores(
        window=RedisWindowStore(server),
        checkpoints=RedisCheckpointStore(server),
        jobs=RedisJobStore(server),
        requests=RedisRequestStore(server),
        ping=server.ping,
    )


class RedisWindowStore:
    """A `WindowStore`: one stream a shard, one entry a chunk."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._append = server.client.register_script(redis_scripts.APPEND)
        self._span = server.client.register_script(redis_scripts.SPAN)

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, *, after: int | None = None) -> int:
        new: WindowChunk | None = chunk
        while new is not None:
            match self._append_chunk(shard, epoch, new, limits, after):
                case [b"stale", stored]:
                    raise stale_epoch(shard, epoch, int(stored))
                case [b"gap", ends]:
                    raise window_gap(shard, after or 0, int(ends) if ends else None)
                case [b"overlap", last_offset]:
                    new = new.above(int(last_offset))
                case _:
                    return new.rows
        return 0

    def _append_chunk(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, after: int | None) -> Any:
        age_max_s = "" if limits.age_max_s is None else limits.age_max_s
        keys = [key_of(shard, "epoch"), key_of(shard, "window")]
        args = [epoch, f"{chunk.last_offset + 1}-0", *chunk, limits.rows_max, age_max_s, "" if after is None else after]
        return self._server.call(f"append {chunk.rows} rows to the window of shard {shard}", lambda: self._append(keys=keys, args=args))

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        try:
            return last_rows(self._newest_first(shard), rows_max, since_time_s, through_offset)
        except StateError as error:
            raise StateError(f"Redis key {key_of(shard, 'window')}: {error}") from error

    def _newest_first(self, shard: ShardId) -> Iterator[WindowChunk]:
        """Trimming meanwhile takes only from the far end."""
        sizes = itertools.chain(_PAGE_ENTRIES, itertools.repeat(_PAGE_ENTRIES[-1]))  # they grow, since most readers want a few
        return self._pages(shard, self._server.client.xrevrange, "+", "-", sizes)

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        try:
            return next_rows(self._oldest_first(shard, offset), offset, rows_max)
        except StateError as error:
            raise StateError(f"Redis key {key_of(shard, 'window')}: {error}") from error

    def _oldest_first(self, shard: ShardId, offset: int) -> Iterator[WindowChunk]:
        """The chunks that end beyond `offset`. An entry's id is one more than its last offset."""
        beyond = f"({max(offset, -1) + 1}-0"
        return self._pages(shard, self._server.client.xrange, beyond, "+", itertools.repeat(_PAGE_ENTRIES[-1]))

    def _pages(self, shard: ShardId, read: Callable[..., Any], start: str, end: str, sizes: Iterable[int]) -> Iterator[WindowChunk]:
        """The chunks from `start` to `end`, in pages of so many entries."""
        for count in sizes:
            command = functools.partial(read, key_of(shard, "window"), start, end, count)
            page: Any = self._server.call(f"read the window of shard {shard}", command)
            for entry_id, fields in page:
                start = f"({entry_id.decode()}"
                yield _chunk(fields)
            if len(page) < count:
                return

    def span(self, shard: ShardId) -> WindowSpan | None:
        keys = [key_of(shard, "epoch"), key_of(shard, "window")]
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

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._claim = server.client.register_script(redis_scripts.CLAIM)
        self._save = server.client.register_script(redis_scripts.SAVE)
        self._load = server.client.register_script(redis_scripts.LOAD)
        self._delete = server.client.register_script(redis_scripts.DELETE)

    def claim(self, shard: ShardId) -> int:
        answer: Any = self._server.call(f"claim shard {shard}", lambda: self._claim(keys=[key_of(shard, "epoch")]))
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
    return [key_of(shard, name) for name in ("epoch", "checkpoint", "checkpoint_previous")]

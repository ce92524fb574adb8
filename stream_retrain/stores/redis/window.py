"""Windows in Redis: one stream a shard, one entry a chunk (`stores.redis.scripts`)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from stream_retrain.errors import StateError
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores.ports import WindowLimits, WindowSpan
from stream_retrain.stores.redis import scripts
from stream_retrain.stores.redis.server import RedisServer, key_of
from stream_retrain.stores.refusals import stale_epoch, window_gap
from stream_retrain.stores.window import WindowChunk, last_rows, next_rows

__all__ = ["RedisWindowStore"]

_PAGE_ENTRIES: Final = (4, 8, 16, 32)


class RedisWindowStore:
    """A `WindowStore` of streams."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._append = server.client.register_script(scripts.APPEND)
        self._span = server.client.register_script(scripts.SPAN)

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
        """Trimming meanwhile removes only the oldest chunks, which are read last."""
        sizes = itertools.chain(_PAGE_ENTRIES, itertools.repeat(_PAGE_ENTRIES[-1]))  # small at first, because most callers want few rows
        return self._pages(shard, self._server.client.xrevrange, "+", "-", sizes)

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        try:
            return next_rows(self._oldest_first(shard, offset), offset, rows_max)
        except StateError as error:
            raise StateError(f"Redis key {key_of(shard, 'window')}: {error}") from error

    def _oldest_first(self, shard: ShardId, offset: int) -> Iterator[WindowChunk]:
        """The chunks that end beyond `offset`. The id of an entry is its last offset plus one."""
        beyond = f"({max(offset, -1) + 1}-0"
        return self._pages(shard, self._server.client.xrange, beyond, "+", itertools.repeat(_PAGE_ENTRIES[-1]))

    def _pages(self, shard: ShardId, read: Callable[..., Any], start: str, end: str, sizes: Iterable[int]) -> Iterator[WindowChunk]:
        """The chunks from `start` to `end`, read in pages of `sizes` entries."""
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

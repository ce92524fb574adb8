"""Windows in memory, encoded as in Redis, so that a caller who changes a row afterwards does not change the window."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.errors import StateError
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores.memory.shards import Shards, StoredShard
from stream_retrain.stores.ports import WindowLimits, WindowSpan
from stream_retrain.stores.refusals import window_gap
from stream_retrain.stores.window import WindowChunk, last_rows, next_rows

__all__ = ["MemoryWindowStore"]

LOG: Final = logging.getLogger("stream_retrain.stores")


class MemoryWindowStore:
    """A `WindowStore` of encoded chunks in a deque."""

    def __init__(self, shards: Shards, keyring: Keyring) -> None:
        self._shards = shards
        self._keyring = keyring

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, *, after: int | None = None) -> int:
        with self._shards.owned(shard, epoch) as stored:
            ends = stored.chunks[-1].last_offset if stored.chunks else None
            if after is not None and (ends is None or ends < after):
                raise window_gap(shard, after, ends)
            new = chunk if ends is None else chunk.above(ends)
            if new is None:
                return 0
            stored.chunks.append(new.sealed(shard, self._keyring))
            stored.rows += new.rows
            _trim(stored, limits)
            return new.rows

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        with self._shards.locked(shard) as stored:
            chunks = list(stored.chunks)
        return last_rows(self._sound(shard, reversed(chunks)), rows_max, since_time_s, through_offset, _left_out)

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        with self._shards.locked(shard) as stored:
            chunks = list(stored.chunks)
        return next_rows(self._sound(shard, chunks), offset, rows_max, _left_out)

    def _sound(self, shard: ShardId, chunks: Iterable[WindowChunk]) -> Iterator[WindowChunk]:
        for chunk in chunks:
            try:
                chunk.check(shard, self._keyring)
            except StateError as error:
                _left_out(chunk.last_offset, error)
            else:
                yield chunk

    def span(self, shard: ShardId) -> WindowSpan | None:
        with self._shards.locked(shard) as stored:
            chunks, rows = list(stored.chunks), stored.rows
        if not chunks:
            return None
        return WindowSpan(
            rows=rows,
            first_offset=chunks[0].first_offset,
            last_offset=chunks[-1].last_offset,
            oldest_time_s=min(chunk.oldest_time_s for chunk in chunks),
            newest_time_s=max(chunk.newest_time_s for chunk in chunks),
        )

    def clear(self, shard: ShardId, epoch: int) -> bool:
        with self._shards.owned(shard, epoch) as stored:
            held, stored.rows = bool(stored.chunks), 0
            stored.chunks.clear()
            return held


def _left_out(last_offset: int, error: StateError) -> None:
    LOG.warning("a chunk of a window is left out (offset %d): %s", last_offset, error)


def _trim(stored: StoredShard, limits: WindowLimits) -> None:
    """Drop the oldest chunks that are beyond a limit; the chunk just appended always stays."""
    newest_time_s = stored.chunks[-1].newest_time_s
    while len(stored.chunks) > 1:
        head = stored.chunks[0]
        old = limits.age_max_s is not None and head.newest_time_s < newest_time_s - limits.age_max_s
        if stored.rows - head.rows < limits.rows_max and not old:
            return
        stored.chunks.popleft()
        stored.rows -= head.rows

"""Windows in memory, encoded as in Redis, so that a caller who changes a row afterwards does not change the window."""

from __future__ import annotations

from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores.memory.shards import Shards, StoredShard
from stream_retrain.stores.ports import WindowLimits, WindowSpan
from stream_retrain.stores.refusals import window_gap
from stream_retrain.stores.window import WindowChunk, last_rows, next_rows

__all__ = ["MemoryWindowStore"]


class MemoryWindowStore:
    """A `WindowStore` of encoded chunks in a deque."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, *, after: int | None = None) -> int:
        with self._shards.owned(shard, epoch) as stored:
            ends = stored.chunks[-1].last_offset if stored.chunks else None
            if after is not None and (ends is None or ends < after):
                raise window_gap(shard, after, ends)
            new = chunk if ends is None else chunk.above(ends)
            if new is None:
                return 0
            stored.chunks.append(new)
            stored.rows += new.rows
            _trim(stored, limits)
            return new.rows

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        with self._shards.locked(shard) as stored:
            chunks = list(stored.chunks)
        return last_rows(reversed(chunks), rows_max, since_time_s, through_offset)

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        with self._shards.locked(shard) as stored:
            chunks = list(stored.chunks)
        return next_rows(chunks, offset, rows_max)

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

"""The stores in this process's memory: for tests, backtests and trying things out; gone when the process ends.

The twin of the Redis stores: the same chunks, the same trimming, the same refusals; one contract suite runs on both. Rows are
kept encoded, so what a caller does to a row afterwards does not reach the window.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator

from stream_retrain.core.messages import Learned, ShardId
from stream_retrain.stores.base import Stores, WindowLimits, WindowSpan
from stream_retrain.stores.jobs import Ending, JobState, JobStatus, Ticket
from stream_retrain.stores.refusals import offset_below_stored, stale_epoch, window_gap
from stream_retrain.stores.requests import Asked
from stream_retrain.stores.window import WindowChunk, last_rows, next_rows

__all__ = ["MemoryCheckpointStore", "MemoryJobStore", "MemoryRequestStore", "MemoryWindowStore", "memory_stores"]


def memory_stores() -> Stores:
    """The stores of one memory, which share their epochs."""
    shards = _Shards()
    return Stores(
        window=MemoryWindowStore(shards),
        checkpoints=MemoryCheckpointStore(shards),
        jobs=MemoryJobStore(shards),
        requests=MemoryRequestStore(shards),
        ping=lambda: None,
    )


@dataclasses.dataclass(slots=True)
class _Kept:
    """All that is kept of one shard; `rows` are those of all chunks; checkpoints newest first, each with its offset."""

    epoch: int = 0
    chunks: collections.deque[WindowChunk] = dataclasses.field(default_factory=collections.deque)
    rows: int = 0
    checkpoints: list[tuple[int, bytes]] = dataclasses.field(default_factory=list)
    job: _Job | None = None
    requests: list[Asked] = dataclasses.field(default_factory=list)
    request_number: int = 0


@dataclasses.dataclass(slots=True)
class _Job:
    """A job asked for; `beat_s` and `expires_s` are of the monotonic clock."""

    ticket: Ticket
    expire_s: float
    beat_s: float
    expires_s: float
    status: JobStatus = "waiting"
    rows: int = 0
    rows_total: int | None = None
    ending: Ending | None = None

    def touch(self) -> None:
        self.beat_s = time.monotonic()
        self.expires_s = self.beat_s + self.expire_s


class _Shards:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[ShardId, _Kept] = {}

    @contextlib.contextmanager
    def locked(self, shard: ShardId) -> Iterator[_Kept]:
        with self._lock:
            yield self._kept.setdefault(shard, _Kept())

    @contextlib.contextmanager
    def owned(self, shard: ShardId, epoch: int) -> Iterator[_Kept]:
        with self.locked(shard) as kept:
            if epoch < kept.epoch:
                raise stale_epoch(shard, epoch, kept.epoch)
            kept.epoch = epoch
            yield kept


class MemoryWindowStore:
    """A `WindowStore` of encoded chunks in a deque."""

    def __init__(self, shards: _Shards) -> None:
        self._shards = shards

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, *, after: int | None = None) -> int:
        with self._shards.owned(shard, epoch) as kept:
            ends = kept.chunks[-1].last_offset if kept.chunks else None
            if after is not None and (ends is None or ends < after):
                raise window_gap(shard, after, ends)
            new = chunk.above(kept.chunks[-1].last_offset) if kept.chunks else chunk
            if new is None:
                return 0
            kept.chunks.append(new)
            kept.rows += new.rows
            _trim(kept, limits)
            return new.rows

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        with self._shards.locked(shard) as kept:
            chunks = list(kept.chunks)
        return last_rows(reversed(chunks), rows_max, since_time_s, through_offset)

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        with self._shards.locked(shard) as kept:
            chunks = list(kept.chunks)
        return next_rows(chunks, offset, rows_max)

    def span(self, shard: ShardId) -> WindowSpan | None:
        with self._shards.locked(shard) as kept:
            chunks, rows = list(kept.chunks), kept.rows
        if not chunks:
            return None
        return WindowSpan(
            rows=rows,
            first_offset=chunks[0].first_offset,
            last_offset=chunks[-1].last_offset,
            oldest_time_s=min(chunk.oldest_time_s for chunk in chunks),
            newest_time_s=max(chunk.newest_time_s for chunk in chunks),
        )


def _trim(kept: _Kept, limits: WindowLimits) -> None:
    """Drop from the head what is beyond a limit; the chunk just appended always stays."""
    newest_time_s = kept.chunks[-1].newest_time_s
    while len(kept.chunks) > 1:
        head = kept.chunks[0]
        old = limits.age_max_s is not None and head.newest_time_s < newest_time_s - limits.age_max_s
        if kept.rows - head.rows < limits.rows_max and not old:
            return
        kept.chunks.popleft()
        kept.rows -= head.rows


class MemoryCheckpointStore:
    """A `CheckpointStore` of bytes in a list."""

    def __init__(self, shards: _Shards) -> None:
        self._shards = shards

    def claim(self, shard: ShardId) -> int:
        with self._shards.locked(shard) as kept:
            kept.epoch = max(kept.epoch + 1, time.time_ns() // 1_000_000)
            return kept.epoch

    def save(self, shard: ShardId, epoch: int, offset: int, sealed: bytes) -> None:
        with self._shards.owned(shard, epoch) as kept:
            if kept.checkpoints and offset < kept.checkpoints[0][0]:
                raise offset_below_stored(shard, offset, kept.checkpoints[0][0])
            before = [checkpoint for checkpoint in kept.checkpoints if checkpoint[0] < offset]
            kept.checkpoints = [(offset, sealed), *before[:1]]

    def load(self, shard: ShardId) -> list[bytes]:
        with self._shards.locked(shard) as kept:
            return [sealed for _, sealed in kept.checkpoints]

    def delete(self, shard: ShardId, epoch: int) -> None:
        with self._shards.owned(shard, epoch) as kept:
            kept.checkpoints.clear()


class MemoryJobStore:
    """A `JobStore` of objects in a dict."""

    def __init__(self, shards: _Shards) -> None:
        self._shards = shards

    def ask(self, shard: ShardId, epoch: int, ticket: Ticket, expire_s: float) -> None:
        with self._shards.owned(shard, epoch) as kept:
            kept.job = _Job(ticket=ticket, expire_s=expire_s, beat_s=0.0, expires_s=0.0)
            kept.job.touch()

    def take(self, shard: ShardId, token: str) -> Ticket | None:
        with self._open(shard, token) as job:
            if job is None:
                return None
            job.status = "running"
            return job.ticket

    def beat(self, shard: ShardId, token: str, rows: int, rows_total: int | None) -> bool:
        with self._open(shard, token) as job:
            if job is None:
                return False
            job.rows, job.rows_total = rows, rows_total
            return True

    def end(self, shard: ShardId, token: str, ending: Ending) -> bool:
        with self._open(shard, token) as job:
            if job is None:
                return False
            job.status, job.ending = "ended", ending
            return True

    def look(self, shard: ShardId) -> JobState | None:
        with self._shards.locked(shard) as kept:
            job = _unexpired(kept)
            if job is None:
                return None
            silent_s = time.monotonic() - job.beat_s
            return JobState(
                token=job.ticket.token,
                status=job.status,
                rows=job.rows,
                rows_total=job.rows_total,
                silent_s=silent_s,
                ending=job.ending,
            )

    def drop(self, shard: ShardId, token: str) -> None:
        with self._shards.locked(shard) as kept:
            if kept.job is not None and kept.job.ticket.token == token:
                kept.job = None

    @contextlib.contextmanager
    def _open(self, shard: ShardId, token: str) -> Iterator[_Job | None]:
        """The job, if it is that one and has not ended."""
        with self._shards.locked(shard) as kept:
            job = _unexpired(kept)
            if job is None or job.ticket.token != token or job.status == "ended":
                yield None
            else:
                job.touch()
                yield job


def _unexpired(kept: _Kept) -> _Job | None:
    if kept.job is not None and time.monotonic() >= kept.job.expires_s:
        kept.job = None
    return kept.job


class MemoryRequestStore:
    """A `RequestStore` of tuples in a list."""

    def __init__(self, shards: _Shards) -> None:
        self._shards = shards

    def ask(self, shard: ShardId, reason: str) -> int:
        with self._shards.locked(shard) as kept:
            kept.request_number = max(kept.request_number + 1, time.time_ns() // 1_000_000)
            kept.requests.append(Asked(kept.request_number, reason))
            return kept.request_number

    def waiting(self, shard: ShardId) -> list[Asked]:
        with self._shards.locked(shard) as kept:
            return list(kept.requests)

    def drop(self, shard: ShardId, through: int) -> None:
        with self._shards.locked(shard) as kept:
            kept.requests = [asked for asked in kept.requests if asked.number > through]

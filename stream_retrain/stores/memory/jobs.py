"""Jobs in memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from stream_retrain.facts.values import ShardId
from stream_retrain.stores.memory.shards import Shards, StoredJob, StoredShard
from stream_retrain.stores.ports import Ending, JobState, JobStatus, JobTaken

__all__ = ["MemoryJobStore"]


class MemoryJobStore:
    """A `JobStore` of objects in a dict."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def ask(self, shard: ShardId, epoch: int, token: str, expire_s: float, *, base: bytes | None = None) -> None:
        with self._shards.owned(shard, epoch) as stored:
            stored.job = StoredJob(token=token, base=base, expire_s=expire_s)
            stored.job.renew()

    def take(self, shard: ShardId, token: str) -> JobTaken | None:
        with self._step(shard, token, "waiting") as job:
            if job is None:
                return None
            job.status = "running"
            return JobTaken(base=job.base)

    def heartbeat(self, shard: ShardId, token: str, rows: int, rows_total: int | None) -> bool:
        with self._step(shard, token, "running") as job:
            if job is None:
                return False
            job.rows, job.rows_total = rows, rows_total
            return True

    def end(self, shard: ShardId, token: str, ending: Ending | None) -> bool:
        with self._step(shard, token, "running") as job:
            if job is None:
                return False
            if ending is None:
                job.status = "given_back"
            else:
                job.status, job.ending, job.base = "ended", ending, None
            return True

    def look(self, shard: ShardId) -> JobState | None:
        with self._shards.locked(shard) as stored:
            job = _unexpired(stored)
            if job is None:
                return None
            return JobState(
                token=job.token,
                status=job.status,
                rows=job.rows,
                rows_total=job.rows_total,
                heartbeat_age_s=time.monotonic() - job.heartbeat_s,
                ending=job.ending,
            )

    def drop(self, shard: ShardId, token: str) -> None:
        with self._shards.locked(shard) as stored:
            if stored.job is not None and stored.job.token == token:
                stored.job = None

    @contextlib.contextmanager
    def _step(self, shard: ShardId, token: str, status: JobStatus) -> Iterator[StoredJob | None]:
        """The job with that token, if it has that status."""
        with self._shards.locked(shard) as stored:
            job = _unexpired(stored)
            if job is None or (job.token, job.status) != (token, status):
                yield None
            else:
                job.renew()
                yield job


def _unexpired(stored: StoredShard) -> StoredJob | None:
    if stored.job is not None and time.monotonic() >= stored.job.expires_s:
        stored.job = None
    return stored.job

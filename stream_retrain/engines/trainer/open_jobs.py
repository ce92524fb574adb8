"""The jobs a trainer has taken on: how often each was attempted, and the results that `Trainer.poll` returns next.

The part of a trainer that does not depend on where its trainings run:

1. `add` takes a job on; an older job of the same shard fails as replaced.
2. `begin` counts an attempt.
3. `progressed` reports that it is running, `waits` that nobody has taken it.
4. `done` or `fail` ends it. `retry` ends it only after its last attempt; before that, it moves to the end of the queue.
5. `take_results` returns what has happened since the last call, in order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from stream_retrain.engines.trainer.jobs import Job, JobDone, JobFailed, JobProgressed, JobWaits, TrainerResult
from stream_retrain.facts.values import ShardId

__all__ = ["OpenJob", "OpenJobs"]


@dataclasses.dataclass(slots=True)
class OpenJob:
    """A job that is not over, and how many attempts were begun."""

    job: Job
    attempts: int = 0


class OpenJobs:
    """The open jobs of one trainer, at most one a shard, in the order in which they are to be attempted."""

    def __init__(self, attempts_max: int) -> None:
        self._attempts_max = attempts_max
        self._open: dict[ShardId, OpenJob] = {}
        self._results: list[TrainerResult] = []

    def __iter__(self) -> Iterator[OpenJob]:
        return iter(list(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def __getitem__(self, shard: ShardId) -> OpenJob:
        return self._open[shard]

    def add(self, job: Job) -> None:
        """Take a job on. Results of the same training that were not returned yet are dropped: they are not those of this job."""
        self.fail(job.shard, "a newer training of the shard took its place")
        this = (job.shard, job.training.number)
        self._results = [result for result in self._results if (result.shard, result.training) != this]
        self._open[job.shard] = OpenJob(job)

    def begin(self, shard: ShardId) -> Job:
        """An attempt at the shard's job begins; the job."""
        opened = self._open[shard]
        opened.attempts += 1
        return opened.job

    def progressed(self, shard: ShardId, rows: int, rows_total: int | None) -> None:
        """The shard's job is running."""
        training = self._open[shard].job.training.number
        self._results.append(JobProgressed(shard=shard, training=training, rows=rows, rows_total=rows_total))

    def waits(self, shard: ShardId, waited_s: float, trainers: int) -> None:
        """Nobody has taken the shard's job for so long."""
        training = self._open[shard].job.training.number
        self._results.append(JobWaits(shard=shard, training=training, waited_s=waited_s, trainers=trainers))

    def done(self, result: JobDone) -> None:
        """The job of the result's shard succeeded."""
        del self._open[result.shard]
        self._results.append(result)

    def fail(self, shard: ShardId, error: str, *, again: bool = False) -> None:
        """The shard's job, if it has one, has failed and is not attempted again here; `again`: it might succeed elsewhere."""
        if (opened := self._open.pop(shard, None)) is not None:
            training = opened.job.training.number
            self._results.append(JobFailed(shard=shard, training=training, error=error, attempts=opened.attempts, again=again))

    def retry(self, shard: ShardId, error: str) -> bool:
        """Whether the shard's job is to be attempted again after `error`; if not, it has failed."""
        if self._open[shard].attempts >= self._attempts_max:
            self.fail(shard, error, again=True)
            return False
        self._open[shard] = self._open.pop(shard)
        return True

    def take_results(self) -> list[TrainerResult]:
        """What has happened since the last call, in order."""
        results, self._results = self._results, []
        return results

    def clear(self) -> None:
        """Abandon every job, without results."""
        self._open.clear()

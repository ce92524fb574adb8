"""The port to a trainer: jobs in, results out.

A trainer carries out the trainings that take too long for the poll loop (law 6). Whoever uses one calls, in this order:

1. `submit(job)` once the window holds every row through `job.training.through_offset`. A shard has one job at a time: a newer one
   replaces the older one.
2. `poll()` about once a second. It returns what has happened since, in order. After `JobDone` or `JobFailed` the job is over.
3. `cancel(shard)` when the shard is released or the training is no longer wanted.
4. `close(deadline_s)` at the end. Unfinished jobs are abandoned. Their trainings are part of the shards' state, so the next owner
   submits them again.

The model in a `JobDone` is sealed: `codec.models.open_model` verifies it before it unpickles it. It has learned every row of the window
through `learned_through`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from stream_retrain.core.contest.challenger import TopicRange
from stream_retrain.core.contest.training import Training
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.facts.values import Learned, ShardId

__all__ = [
    "Job",
    "JobDone",
    "JobFailed",
    "JobProgressed",
    "JobWaits",
    "Progress",
    "TopicReader",
    "Trainer",
    "TrainerLimits",
    "TrainerResult",
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training to carry out: for which shard and owner, and from which model."""

    shard: ShardId
    epoch: int
    """The epoch that the shard's owner claimed. A job of an older epoch never replaces one of a newer epoch."""
    training: Training
    base: bytes | None = dataclasses.field(default=None, repr=False)
    """A sealed model to start from: the champion, if the challenger starts from it, or an earlier result of this training."""
    learned_through: int | None = None
    """Set if `base` is an earlier result: the offset it has learned through. The job is then only to catch up from there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """A training succeeded. `sealed` is the model, which has learned the window through `learned_through`."""

    shard: ShardId
    training: int
    sealed: bytes = dataclasses.field(repr=False)
    learned_through: int
    rows: int
    """Lessons: the rows learned, each counted once for every pass over it."""
    seconds: float
    gap: bool = False
    """The window was trimmed during the training beyond what the model had learned: it has missed the rows between."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobFailed:
    """A training ended without a model, and is not tried again; the champion stays."""

    shard: ShardId
    training: int
    error: str
    attempts: int
    again: bool = False
    """Its process has died or a store was away: whoever has attempts left may submit it again."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobProgressed:
    """A training is running: the lessons so far, and how many there will be if that is known."""

    shard: ShardId
    training: int
    rows: int
    rows_total: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobWaits:
    """Nobody has taken a job for `trainer_wait_s`, or for a minute since this was last reported."""

    shard: ShardId
    training: int
    waited_s: float
    trainers: int
    """Those that could take it, if they had nothing else to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainerLimits:
    """How long and how much memory one training may take, how often it is attempted, and how long it may wait."""

    timeout_s: float = 600.0
    memory_bytes_max: int = 2 * 1024**3
    """In addition to what a trainer's process uses by itself."""
    attempts_max: int = 2
    trainer_wait_s: float = 30.0
    """How long a job may wait for a trainer of its own process before that is reported."""

    @property
    def timeout_error(self) -> str:
        """The error of a training that was ended at `timeout_s`."""
        return f"it took longer than train_timeout_s = {self.timeout_s:g} s"


TrainerResult: TypeAlias = JobDone | JobFailed | JobProgressed | JobWaits
Progress: TypeAlias = Callable[[int, int | None], None]
"""Called with the lessons so far and the lessons in total; an exception it raises ends the training."""
TopicReader: TypeAlias = Callable[[Pipeline, Job, TopicRange], Iterable[Learned]]
"""Reads a range of a topic for a job, but not the rows of the job's own shard beyond `through_offset`: those are in the window."""


class Trainer(Protocol):
    """Carries out trainings; the module's docstring says in which order to call it."""

    def submit(self, job: Job) -> None:
        """Take the job on. An older job of the shard is abandoned and reported as failed."""
        ...

    def poll(self) -> list[TrainerResult]:
        """What has happened since the last call. Never waits for a training."""
        ...

    def cancel(self, shard: ShardId) -> None:
        """Abandon the shard's job, if it has one, and report it as failed."""
        ...

    def close(self, deadline_s: float) -> None:
        """Abandon every job and end, by `deadline_s` of the monotonic clock."""
        ...

"""What a trainer is asked and what it answers: jobs, results, and the port.

A trainer takes the trainings that are too long for the poll loop (law 6). Who feeds it calls, in this order:

1. `submit(job)` once the window holds every row through `job.training.through_offset`; a shard has one job at a time, and a newer
   one replaces the older;
2. `poll()` about once a second: what has happened since, in order. After `Trained` or `TrainingFailed` the job is over;
3. `cancel(shard)` when the shard goes elsewhere or wants it no more;
4. `close(deadline_s)` at the end. Jobs under way are given up; their trainings are part of the shards' state, so the next owner
   asks again.

A `Trained` model is under a seal. It is opened with `models.open_model`, which verifies before it unpickles, and has learned every
row of the window through `learned_through`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Final, Protocol, TypeAlias

from stream_retrain.core.messages import Learned, ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.training import TopicRange, Training

__all__ = [
    "REPLACED",
    "Job",
    "Progress",
    "TopicReader",
    "Trained",
    "Trainer",
    "TrainerLimits",
    "TrainerResult",
    "TrainingFailed",
    "TrainingProgressed",
    "without_stale",
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A training to be done: for which shard, by which owner, from what."""

    shard: ShardId
    epoch: int
    """The one its owner claimed: an older owner's job never takes the place of a newer one's."""
    training: Training
    base: bytes | None = dataclasses.field(default=None, repr=False)
    """A sealed model to go on from: the champion, where the challenger starts from it, or an earlier result of this training."""
    learned_through: int | None = None
    """Where `base` is an earlier result: the offset it has learned through. It then only catches up from there."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A training is done. `sealed` is the model, which has learned the window through `learned_through`."""

    shard: ShardId
    number: int
    sealed: bytes = dataclasses.field(repr=False)
    learned_through: int
    rows: int
    """Lessons: rows learned, each as often as there were passes."""
    seconds: float
    gap: bool = False
    """The window was trimmed while the model was being trained, beyond what it had learned: rows between are missing in it."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFailed:
    """A training came to nothing, and is not tried again; the champion goes on."""

    shard: ShardId
    number: int
    error: str
    attempts: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgressed:
    """A training is under way: lessons so far, and how many there will be where that is known."""

    shard: ShardId
    number: int
    rows: int
    rows_total: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainerLimits:
    """What one training may take, and how often it is begun."""

    timeout_s: float = 600.0
    memory_bytes_max: int = 2 * 1024**3
    """Beyond what a trainer's process takes by itself."""
    attempts_max: int = 2


REPLACED: Final = "a newer training of the shard took its place"
TrainerResult: TypeAlias = Trained | TrainingFailed | TrainingProgressed
Progress: TypeAlias = Callable[[int, int | None], None]
"""Hears of lessons so far and of lessons in all; what it raises ends the training."""
TopicReader: TypeAlias = Callable[[Pipeline, Job, TopicRange], Iterable[Learned]]
"""Reads a range of a topic for a job; rows of the job's own shard beyond `through_offset` are left to the window."""


class Trainer(Protocol):
    """Whoever carries out trainings; the module's docstring says in which order to call it."""

    def submit(self, job: Job) -> None:
        """Take the job on; the shard's older one, if there is one, is given up and reported as failed."""
        ...

    def poll(self) -> list[TrainerResult]:
        """What has happened since the last call. Never waits for a training."""
        ...

    def cancel(self, shard: ShardId) -> None:
        """Give the shard's job up, if it has one; it is reported as failed."""
        ...

    def close(self, deadline_s: float) -> None:
        """Give up everything and end, by `deadline_s` of the monotonic clock."""
        ...


def without_stale(results: Iterable[TrainerResult], job: Job) -> list[TrainerResult]:
    """What is still to be told when `job` is submitted: no end of an earlier job of the same number may be taken for its own."""
    return [result for result in results if (result.shard, result.number) != (job.shard, job.training.number)]

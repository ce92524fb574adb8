"""One training, wherever it runs: in a child process, in a separate trainer, or in the worker's own process in a backtest.

1. The model to start from: a fresh one, or the sealed one of the job, verified before it is unpickled.
2. The rows: from the window, through `through_offset` and not beyond, so that the same training always gets the same rows; or from
   a range of a topic.
3. `core.contest.training.train`, as many passes as the challenger declares.
4. Catching up: the rows that were appended to the window meanwhile, in rounds, until a round has few. The shard itself teaches the
   rows that come later.
5. The seal.

A `TrainingError` or a `StateError` would come again with every attempt. After a `StoreError` or a `BrokerError` another attempt may
succeed (`RETRIED`).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import open_model, seal_model
from stream_retrain.core.contest.cause import challenger_of
from stream_retrain.core.contest.challenger import Challenger, Window
from stream_retrain.core.contest.change_point import LOOK_BACK_EVENTS, events_since_worse
from stream_retrain.core.contest.training import train
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.watch.signals import signal_of
from stream_retrain.engines.trainer.jobs import Job, JobDone, Progress, TopicReader
from stream_retrain.errors import BrokerError, StoreError, TrainingError
from stream_retrain.facts.values import Learned
from stream_retrain.stores.ports import WindowStore

__all__ = ["RETRIED", "train_job"]

RETRIED: Final = (StoreError, BrokerError)
CATCH_UP_ROUNDS_MAX: Final = 10
CATCH_UP_ROWS_FEW: Final = 200
CATCH_UP_ROWS_MAX: Final = 10_000
ALL_ROWS: Final = 2**31
POLL_S: Final = 0.1


class _OutOfMemoryError(BaseException):
    """Not an Exception, because `train` skips a row on which the model raises one."""


@dataclasses.dataclass(slots=True)
class _Learner:
    """The model that is trained. Counts the rows it learned and those it raised on, and lets a lack of memory end the training."""

    model: Any
    learned: int = 0
    refused: int = 0
    first_refusal: str = ""

    def learn_one(self, x: Any, y: Any) -> None:
        try:
            self.model.learn_one(x, y)
        except MemoryError:
            raise _OutOfMemoryError from None
        except Exception as error:
            self.refused += 1
            self.first_refusal = self.first_refusal or f"{type(error).__name__}: {error}"
            raise
        self.learned += 1


def train_job(
    job: Job,
    pipeline: Pipeline,
    window: WindowStore,
    keyring: Keyring,
    progress: Progress = lambda _rows, _total: None,
    *,
    read_topic: TopicReader | None = None,
    rows_timeout_s: float = 0.0,
) -> JobDone:
    """Carry out `job`, by the numbered steps of this module.

    `rows_timeout_s` is how long to wait until the window holds the rows through `through_offset`. Raises `TrainingError`, `StateError`,
    `StoreError`, `BrokerError`, and what `progress` raises.
    """
    started_s = time.monotonic()
    challenger = challenger_of(pipeline, job.training)
    try:
        learner, generation = _base(job, challenger, pipeline, keyring)
        if job.learned_through is None:
            rows, total = _rows(job, challenger, pipeline, window, read_topic, rows_timeout_s)
            progress(0, total)
            _teach(learner, rows, challenger.passes, lambda lessons: progress(lessons, total))
        learned_through, gap = _catch_up(learner, job, window, progress)
        seconds = time.monotonic() - started_s
        extra = {"rows": str(learner.learned), "refused": str(learner.refused), "seconds": f"{seconds:.3f}", "gap": "yes" if gap else "no"}
        extra |= {"epoch": str(job.epoch), "training": str(job.training.number), "challenger": challenger.name}
        sealed = seal_model(
            learner.model, pipeline, job.shard, keyring, learned_through=learned_through, generation=generation, extra=extra
        )
    except (MemoryError, _OutOfMemoryError):
        raise TrainingError("the training needed more memory than train_memory_bytes_max allows") from None
    return JobDone(
        shard=job.shard,
        training=job.training.number,
        sealed=sealed,
        learned_through=learned_through,
        rows=learner.learned,
        seconds=seconds,
        gap=gap,
    )


def _base(job: Job, challenger: Challenger, pipeline: Pipeline, keyring: Keyring) -> tuple[_Learner, int]:
    """The model to train, and the generation it comes from."""
    if challenger.start != "champion" and job.learned_through is None:
        return _Learner(challenger.begin(pipeline.model, pipeline.task)), 0
    if job.base is None:
        raise TrainingError(f"challenger {challenger.name!r} starts from a model, and the job has none")
    header, model = open_model(job.base, pipeline, job.shard, keyring)
    return _Learner(model), header.generation


def _rows(
    job: Job,
    challenger: Challenger,
    pipeline: Pipeline,
    window: WindowStore,
    read_topic: TopicReader | None,
    rows_timeout_s: float,
) -> tuple[Iterable[Learned], int | None]:
    """The rows to learn, and how many lessons they make if that is known."""
    wanted = challenger.window
    if wanted is None:
        return [], 0
    if wanted.topic is not None:
        if read_topic is None:
            raise TrainingError(
                f"challenger {challenger.name!r} learns from topic {wanted.topic.topic!r}, and this trainer reads no topics"
            )
        return read_topic(pipeline, job, wanted.topic), None
    _await_rows(job, window, rows_timeout_s)
    rows = _from_window(wanted, job, pipeline, window)
    if not rows:
        raise TrainingError(_no_rows(job, window))
    return rows, len(rows) * challenger.passes


def _no_rows(job: Job, window: WindowStore) -> str:
    span, through = window.span(job.shard), job.training.through_offset
    text = f"the window of {job.shard} holds no rows through offset {through}"
    if span is None or span.first_offset <= through:
        return text
    return (
        f"{text}: by now it begins at {span.first_offset}. Newer rows took their place before the trainer came to read them;"
        " a larger window_rows_max of the pipeline keeps them for longer"
    )


def _await_rows(job: Job, window: WindowStore, timeout_s: float) -> None:
    """Rows are appended to the window after their offsets are committed: wait for the last one of the training. Raises `StoreError`."""
    until_s = time.monotonic() + timeout_s
    wanted = job.training.through_offset
    while True:
        span = window.span(job.shard)
        if span is not None and span.last_offset >= wanted:
            return
        if time.monotonic() >= until_s:
            ends = "is empty" if span is None else f"ends at offset {span.last_offset}"
            raise StoreError(f"The window of {job.shard} {ends}, and the training needs the rows through offset {wanted}")
        time.sleep(POLL_S)


def _from_window(wanted: Window, job: Job, pipeline: Pipeline, window: WindowStore) -> list[Learned]:
    through = job.training.through_offset
    if wanted.rows is not None:
        return window.last(job.shard, wanted.rows, through_offset=through)
    if wanted.seconds is not None:
        return window.last(job.shard, ALL_ROWS, since_time_s=job.training.time_s - wanted.seconds, through_offset=through)
    rows = window.last(job.shard, LOOK_BACK_EVENTS, through_offset=through)
    error = signal_of("error", pipeline.task)
    errors = [1.0 if row.y_pred is None else error(row.y, row.y_pred, None) for row in rows]
    return rows[len(rows) - events_since_worse(pipeline.task, errors) :]


def _teach(learner: _Learner, rows: Iterable[Learned], passes: int, progress: Callable[[int], None]) -> None:
    train(learner, rows, passes, progress)
    if learner.refused and not learner.learned:
        raise TrainingError(f"the model raised on every row, {learner.refused:,} of them; first {learner.first_refusal}")


def _catch_up(learner: _Learner, job: Job, window: WindowStore, progress: Progress) -> tuple[int, bool]:
    """Learn what was appended to the window since; through which offset, and whether rows between were trimmed before that."""
    learned_through = job.training.through_offset if job.learned_through is None else job.learned_through
    span = window.span(job.shard)
    gap = span is not None and span.first_offset > learned_through
    for _ in range(CATCH_UP_ROUNDS_MAX):
        rows = window.after(job.shard, learned_through, CATCH_UP_ROWS_MAX)
        if rows:
            train(learner, rows, 1, lambda _: progress(learner.learned, None))
            learned_through = rows[-1].offset
        if len(rows) < CATCH_UP_ROWS_FEW:
            break
    return learned_through, gap

"""The training itself, wherever it runs: a child process, a separate trainer, or this process in a backtest.

1. The model to begin with: a fresh one, or the sealed one of the job, verified before it is unpickled.
2. The rows: from the window, through `through_offset` and not beyond, so that the same training always has the same; or from a
   range of a topic.
3. `core.training.train`, as often as there are passes.
4. Catching up: rows that came to the window meanwhile, in rounds, until there are few. What comes later is the shard's to teach.
5. The seal.

What would fail again is a `TrainingError` (or a `StateError`); `StoreError` and `BrokerError` are the world's, and worth another try.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.change_point import LOOK_BACK_EVENTS, events_since_worse
from stream_retrain.core.messages import Learned
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.training import Challenger, TopicRange, Window, train
from stream_retrain.core.watching import signal_of
from stream_retrain.engines.trainer.jobs import Job, Progress, Trained
from stream_retrain.engines.trainer.models import open_model, seal_model
from stream_retrain.errors import StoreError, TrainingError
from stream_retrain.stores.base import WindowStore

__all__ = ["train_job"]

CATCH_UP_ROUNDS_MAX: Final = 10
CATCH_UP_ROWS_FEW: Final = 200
CATCH_UP_ROWS_MAX: Final = 10_000
ALL_ROWS: Final = 2**31
POLL_S: Final = 0.1


class _OutOfMemoryError(BaseException):
    """Not an Exception, because those a model raises on a row are passed over."""


@dataclasses.dataclass(slots=True)
class _Pupil:
    """A model that is being taught: keeps what it raised first, and lets no lack of memory pass for a bad row."""

    model: Any
    taught: int = 0
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
        self.taught += 1


def train_job(
    job: Job,
    challenger: Challenger,
    pipeline: Pipeline,
    window: WindowStore,
    keyring: Keyring,
    progress: Progress = lambda _rows, _total: None,
    *,
    read_topic: Callable[[TopicRange], Iterable[Learned]] | None = None,
    patience_s: float = 0.0,
) -> Trained:
    """Carry out `job`, by the numbered steps of this module.

    `patience_s` is how long to wait for the window to hold the rows through `through_offset`. Raises `TrainingError`, `StateError`,
    `StoreError`, `BrokerError`, and what `progress` raises.
    """
    started_s = time.monotonic()
    try:
        pupil, generation = _base(job, challenger, pipeline, keyring)
        if job.learned_through is None:
            rows, total = _rows(job, challenger, pipeline, window, read_topic, patience_s)
            learned_through = job.training.through_offset
            progress(0, total)
            _teach(pupil, rows, challenger.passes, lambda lessons: progress(lessons, total))
        else:
            learned_through = job.learned_through
        learned_through, gap = _catch_up(pupil, job, window, learned_through, progress)
        seconds = time.monotonic() - started_s
        told = {"rows": str(pupil.taught), "refused": str(pupil.refused), "seconds": f"{seconds:.3f}", "gap": "yes" if gap else "no"}
        told |= {"epoch": str(job.epoch), "training": str(job.training.number), "challenger": challenger.name}
        sealed = seal_model(pupil.model, pipeline, job.shard, keyring, learned_through=learned_through, generation=generation, extra=told)
    except (MemoryError, _OutOfMemoryError):
        raise TrainingError("the training needed more memory than train_memory_bytes_max allows") from None
    return Trained(
        shard=job.shard,
        number=job.training.number,
        sealed=sealed,
        learned_through=learned_through,
        rows=pupil.taught,
        seconds=seconds,
        gap=gap,
    )


def _base(job: Job, challenger: Challenger, pipeline: Pipeline, keyring: Keyring) -> tuple[_Pupil, int]:
    """The model to teach, and the generation it comes from."""
    if challenger.start != "champion" and job.learned_through is None:
        return _Pupil(challenger.begin(pipeline.model, pipeline.task)), 0
    if job.base is None:
        raise TrainingError(f"challenger {challenger.name!r} goes on from a model, and the job brought none")
    header, model = open_model(job.base, pipeline, job.shard, keyring)
    return _Pupil(model), header.generation


def _rows(
    job: Job,
    challenger: Challenger,
    pipeline: Pipeline,
    window: WindowStore,
    read_topic: Callable[[TopicRange], Iterable[Learned]] | None,
    patience_s: float,
) -> tuple[Iterable[Learned], int | None]:
    """The rows to learn, and how many lessons they come to where that is known."""
    wanted = challenger.window
    if wanted is None:
        return [], 0
    if wanted.topic is not None:
        if read_topic is None:
            raise TrainingError(f"challenger {challenger.name!r} learns from a topic, {wanted.topic.topic!r}, and this trainer reads none")
        return read_topic(wanted.topic), None
    _await_rows(job, window, patience_s)
    rows = _from_window(wanted, job, pipeline, window)
    if not rows:
        raise TrainingError(f"the window of {job.shard} holds no rows through offset {job.training.through_offset}")
    return rows, len(rows) * challenger.passes


def _await_rows(job: Job, window: WindowStore, patience_s: float) -> None:
    """Rows come to the window after their offsets are committed: wait for the last one asked for. Raises `StoreError`."""
    until_s = time.monotonic() + patience_s
    wanted = job.training.through_offset
    while True:
        span = window.span(job.shard)
        if span is not None and span.last_offset >= wanted:
            return
        if time.monotonic() >= until_s:
            ends = "is empty" if span is None else f"ends at offset {span.last_offset}"
            raise StoreError(f"The window of {job.shard} {ends}, and the training is of the rows through offset {wanted}")
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


def _teach(pupil: _Pupil, rows: Iterable[Learned], passes: int, progress: Callable[[int], None]) -> None:
    train(pupil, rows, passes, progress)
    if pupil.refused and not pupil.taught:
        raise TrainingError(f"the model raised on every row, {pupil.refused:,} of them; first {pupil.first_refusal}")


def _catch_up(pupil: _Pupil, job: Job, window: WindowStore, learned_through: int, progress: Progress) -> tuple[int, bool]:
    """Learn what the window got since; through which offset, and whether rows between were trimmed away unseen."""
    span = window.span(job.shard)
    gap = span is not None and span.first_offset > learned_through
    for _ in range(CATCH_UP_ROUNDS_MAX):
        rows = window.after(job.shard, learned_through, CATCH_UP_ROWS_MAX)
        if rows:
            train(pupil, rows, 1, lambda _: progress(pupil.taught, None))
            learned_through = rows[-1].offset
        if len(rows) < CATCH_UP_ROWS_FEW:
            break
    return learned_through, gap

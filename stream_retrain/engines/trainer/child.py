"""The process beside a worker that trains for it.

1. Say `Up`, and get a `Hello`: the pipeline, where the stores are, the keys. Secrets come this way only, never on a command line.
2. Load all of it and say `Ready`; or say why not, and end.
3. For each job: train it, saying now and then how far it is; say what came of it.
4. End when the worker is gone, or when there was nothing to do for a while.

The worker ends a training by ending this process: nothing here has to be asked to stop.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pickle
import socket
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.succession import challenger_of
from stream_retrain.engines.trainer.channel import Channel
from stream_retrain.engines.trainer.confine import be_nice, die_with_parent, limit_memory
from stream_retrain.engines.trainer.jobs import Job, TopicReader, Trained
from stream_retrain.engines.trainer.work import train_job
from stream_retrain.errors import BrokerError, PipelineError, StoreError, StreamRetrainError
from stream_retrain.loading import load_pipeline
from stream_retrain.stores import connect
from stream_retrain.stores.base import Stores

__all__ = ["Broken", "Failed", "Hello", "Message", "Progressed", "Ready", "Up", "main", "run"]

IDLE_S_MAX: Final = 600.0
PROGRESS_EVERY_S: Final = 0.5
PATIENCE_S: Final = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the child works with."""

    target: str | None
    """What to load the pipeline from; None: `pipeline` is pickled."""
    pipeline: bytes | None
    digest: str
    redis_url: str
    keyring: Keyring = dataclasses.field(repr=False)
    memory_bytes_max: int
    read_topic: bytes | None
    """A pickled `TopicReader`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Up:
    """The process runs and can be spoken to."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """It takes jobs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """It will never take jobs; another process would not either."""

    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Progressed:
    """The job it is at has come so far."""

    rows: int
    rows_total: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """The job it was at came to nothing; `again`: the world did not answer, and may the next time."""

    error: str
    again: bool


Message: TypeAlias = Up | Ready | Broken | Progressed | Failed | Trained


@dataclasses.dataclass(frozen=True, slots=True)
class _Work:
    """What jobs are done with."""

    pipeline: Pipeline
    stores: Stores
    keyring: Keyring
    read_topic: TopicReader | None


def main(descriptor: int, parent: int) -> None:
    """Serve the worker at the other end of `descriptor` until it is gone."""
    die_with_parent(parent)
    be_nice()
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send(Up())
    hello: Hello = channel.receive(IDLE_S_MAX)
    try:
        work = _prepared(hello)
    except Exception as error:  # noqa: BLE001 - the pipeline is foreign code: the worker must read what it raised
        channel.send(Broken(f"the trainer's process could not load the pipeline: {type(error).__name__}: {error}"))
        return
    limit_memory(hello.memory_bytes_max)
    channel.send(Ready())
    while (job := channel.receive(IDLE_S_MAX)) is not None:
        channel.send(_outcome(job, work, _throttled(channel)))


def _prepared(hello: Hello) -> _Work:
    pipeline: Pipeline = load_pipeline(hello.target) if hello.pipeline is None else pickle.loads(hello.pipeline)  # type: ignore[arg-type]
    if pipeline.digest() != hello.digest:
        raise PipelineError(["it has changed since the worker loaded it: start the worker again"], hello.target or pipeline.name)
    read_topic = None if hello.read_topic is None else pickle.loads(hello.read_topic)
    return _Work(pipeline, connect(hello.redis_url), hello.keyring, read_topic)


def _outcome(job: Job, work: _Work, progress: Callable[[int, int | None], None]) -> Trained | Failed:
    read = None if work.read_topic is None else functools.partial(work.read_topic, work.pipeline, job)
    try:
        challenger = challenger_of(work.pipeline, job.training)
        return train_job(job, challenger, work.pipeline, work.stores.window, work.keyring, progress, read_topic=read, patience_s=PATIENCE_S)
    except (StoreError, BrokerError) as error:
        return Failed(str(error), again=True)
    except StreamRetrainError as error:
        return Failed(str(error), again=False)


def _throttled(channel: Channel) -> Callable[[int, int | None], None]:
    told_at_s = 0.0

    def tell(rows: int, rows_total: int | None) -> None:
        nonlocal told_at_s
        if time.monotonic() - told_at_s >= PROGRESS_EVERY_S:
            told_at_s = time.monotonic()
            channel.send(Progressed(rows, rows_total))

    return tell


def run(arguments: list[str]) -> None:
    """The process: its end of the channel, as a file descriptor, and its parent's id."""
    try:
        main(int(arguments[0]), int(arguments[1]))
    except (EOFError, OSError):
        os._exit(0)  # the worker is gone, and nobody is left to be told

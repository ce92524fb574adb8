"""The child process that trains for one worker, or for a trainer of the pool.

1. It sends `Up` and receives a `Hello`: the pipeline, the URL of the stores, the keys. Secrets come this way only, never on a command
   line.
2. It loads the pipeline and sends `Ready`; if that fails, it sends `Broken` and ends. Code that was edited meanwhile is not even run: a
   pipeline is tried when it is loaded.
3. For each job: it trains, sends `Progressed` at intervals, and then the `JobDone` or `Failed`.
4. It ends when the worker has ended, or when no job has come for `IDLE_S_MAX`.

The worker stops a training by killing this process, so nothing here handles a request to stop.
"""

from __future__ import annotations

import dataclasses
import pickle
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.sources import edited, sources_digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.channel import Channel
from stream_retrain.engines.child_process import serve_parent
from stream_retrain.engines.confine import end_with_parent, limit_memory, lower_priority
from stream_retrain.engines.trainer.jobs import Job, JobDone, Progress
from stream_retrain.engines.trainer.work import RETRIED, train_job
from stream_retrain.errors import PipelineError, StreamRetrainError
from stream_retrain.loading import load_pipeline
from stream_retrain.logs import LogSetup, set_up_logging
from stream_retrain.stores import connect

__all__ = ["Broken", "Failed", "Hello", "Message", "Progressed", "Ready", "Up", "main", "run"]

IDLE_S_MAX: Final = 600.0
PROGRESS_EVERY_S: Final = 0.5
ROWS_TIMEOUT_S: Final = 30.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What the child needs for its jobs."""

    target: str | None
    """What to load the pipeline from; None: `pipeline` is pickled."""
    pipeline: bytes | None
    digest: str
    sources: str
    """The digest of the user's code that the worker has loaded (`codec.sources`)."""
    files: Mapping[str, str]
    """The files of that code, each with its digest."""
    redis_url: str
    keyring: Keyring = dataclasses.field(repr=False)
    memory_bytes_max: int
    read_topic: bytes | None
    """A pickled `TopicReader`."""
    log: LogSetup | None = None
    """How the parent logs."""
    parent: str = "worker"
    """What the parent is, in words: a worker or a trainer."""


@dataclasses.dataclass(frozen=True, slots=True)
class Up:
    """The process runs and reads messages."""


@dataclasses.dataclass(frozen=True, slots=True)
class Ready:
    """The process takes jobs."""


@dataclasses.dataclass(frozen=True, slots=True)
class Broken:
    """The process cannot take jobs, and another one could not either."""

    error: str


@dataclasses.dataclass(frozen=True, slots=True)
class Progressed:
    """The current job is running: the lessons so far, and in total."""

    rows: int
    rows_total: int | None


@dataclasses.dataclass(frozen=True, slots=True)
class Failed:
    """The current job failed. `again`: Kafka or Redis was unavailable, so another attempt may succeed."""

    error: str
    again: bool


Message: TypeAlias = Up | Ready | Broken | Progressed | Failed | JobDone
_Train: TypeAlias = Callable[[Job, Progress], JobDone]


def main(descriptor: int, parent: int) -> None:
    """Serve the worker at the other end of `descriptor` until it has ended."""
    end_with_parent(parent)
    lower_priority()
    channel = Channel(socket.socket(fileno=descriptor))
    channel.send(Up())
    hello: Hello = channel.receive(IDLE_S_MAX)
    try:
        train = _loaded(hello)
    except Exception as error:  # noqa: BLE001 - the pipeline is foreign code, and the worker must report what it raised
        channel.send(Broken(f"the trainer's process could not load the pipeline: {type(error).__name__}: {error}"))
        return
    limit_memory(hello.memory_bytes_max)
    channel.send(Ready())
    while (job := channel.receive(IDLE_S_MAX)) is not None:
        channel.send(_outcome(job, train, _throttled(channel)))


def _loaded(hello: Hello) -> _Train:
    """The function that carries out jobs, for the pipeline that the worker has. Raises what loading the pipeline raises."""
    if hello.log is not None:
        set_up_logging(hello.log)
    since = f"since the {hello.parent} loaded it"
    again = f"start the {hello.parent} again"
    if (file := edited(hello.files)) is not None:
        raise PipelineError([f"its code has changed {since}, in {file}: {again}"], hello.target or "")
    pipeline: Pipeline = load_pipeline(hello.target) if hello.pipeline is None else pickle.loads(hello.pipeline)  # type: ignore[arg-type]
    if pipeline.digest() != hello.digest:
        raise PipelineError([f"it has changed {since}: {again}"], hello.target or pipeline.name)
    if sources_digest(pipeline) != hello.sources:
        raise PipelineError([f"its code has changed {since}: {again}"], hello.target or pipeline.name)
    read_topic = None if hello.read_topic is None else pickle.loads(hello.read_topic)
    window = connect(hello.redis_url, keyring=hello.keyring).window

    def train(job: Job, progress: Progress) -> JobDone:
        return train_job(job, pipeline, window, hello.keyring, progress, read_topic=read_topic, rows_timeout_s=ROWS_TIMEOUT_S)

    return train


def _outcome(job: Job, train: _Train, progress: Progress) -> JobDone | Failed:
    try:
        return train(job, progress)
    except StreamRetrainError as error:
        return Failed(str(error), again=isinstance(error, RETRIED))


def _throttled(channel: Channel) -> Progress:
    """Sends the progress, but not more often than every `PROGRESS_EVERY_S`."""
    sent_s = 0.0

    def send(rows: int, rows_total: int | None) -> None:
        nonlocal sent_s
        if time.monotonic() - sent_s >= PROGRESS_EVERY_S:
            sent_s = time.monotonic()
            channel.send(Progressed(rows, rows_total))

    return send


def run(arguments: list[str]) -> None:
    """The process: its end of the channel, as a file descriptor, and its parent's id."""
    serve_parent(main, arguments)

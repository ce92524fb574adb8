"""Trainers of their own: an RQ worker that takes the trainings of one pipeline, each in a forked process.

What stands in RQ's queue is a request, not a program: whoever can write to Redis can ask for a training of this pipeline, and for
nothing else. So RQ's worker is used with a class of jobs that call one function, whatever function the queue names, and that
have no callbacks; arguments and results are JSON; a base model is verified before it is unpickled.

A training, in its forked process:

1. take the ticket; without one (dropped, replaced, ended) there is nothing to do;
2. end with the trainer, leave the processor to others, take `memory_bytes_max` more at most;
3. in a thread, every two seconds, give a sign of life; end the process when nobody waits for the result any more, or when the time is
   up;
4. train, and end the job with the sealed model or the error; while the store is away, try that again for a minute.

When the process dies, the trainer says so in its place. When the trainer dies, its signs of life stop, and the worker that asked
notices.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.messages import ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.succession import challenger_of
from stream_retrain.engines.trainer.confine import be_nice, die_with_parent, limit_memory
from stream_retrain.engines.trainer.jobs import Job, TopicReader, TrainerLimits
from stream_retrain.engines.trainer.rq import BEAT_EVERY_S, GIVEN_BACK, job_of, queue_name, require_rq
from stream_retrain.engines.trainer.work import train_job
from stream_retrain.errors import BrokerError, StateError, StoreError, StreamRetrainError
from stream_retrain.stores import connect
from stream_retrain.stores.jobs import Ending, JobStore
from stream_retrain.stores.redis_server import RedisServer

__all__ = ["TrainerWork", "serve_trainings"]

PATIENCE_S: Final = 30.0
ENDING_WITHIN_S: Final = 60.0
UNWANTED, TIMED_OUT = 70, 71
LOG: Final = logging.getLogger("stream_retrain.trainer")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainerWork:
    """What trainings are done with."""

    pipeline: Pipeline
    redis_url: str
    keyring: Keyring
    limits: TrainerLimits
    read_topic: TopicReader | None = None


def serve_trainings(work: TrainerWork, *, burst: bool = False) -> dict[str, int]:
    """Take trainings until SIGTERM or Ctrl-C (`burst`: until none is waiting); how many came to what.

    A training under way when the signal comes is given back, and asked for again. Raises `SettingsError` where rq is not installed,
    `StoreError` where Redis does not answer.
    """
    rq = require_rq()
    server = RedisServer(work.redis_url, 5.0, 2.0)
    server.ping()
    outcomes: collections.Counter[str] = collections.Counter()
    worker_class = _worker_class(rq, outcomes)
    worker = worker_class(
        [queue_name(work.pipeline)],
        connection=server.client,
        serializer=rq.serializers.JSONSerializer,
        job_class=_job_class(rq, functools.partial(_train, work, os.getpid())),
        log_job_description=False,
        work_horse_killed_handler=functools.partial(_killed, connect(work.redis_url).jobs, outcomes),
    )
    LOG.info("takes the trainings of pipeline %s (queue %s)", work.pipeline.name, queue_name(work.pipeline))
    worker.work(burst=burst, logging_level="ERROR")
    return {name: outcomes[name] for name in ("trained", "failed", "unwanted", "given_back")}


def _job_class(rq: Any, call: Callable[..., Any]) -> Any:
    """RQ's job, that does one thing only."""

    class TrainingJob(rq.job.Job):  # type: ignore[misc]
        success_callback = failure_callback = stopped_callback = None

        @property
        def func(self) -> Callable[..., Any]:
            return call

        @property
        def instance(self) -> None:
            return None

        def send_webhooks(self, *_: Any, **__: Any) -> None:
            """Nobody outside is called."""

    return TrainingJob


def _worker_class(rq: Any, outcomes: collections.Counter[str]) -> Any:
    """RQ's forking worker, that counts, and that does not wait for a training when it is told to stop."""

    class TrainingWorker(rq.Worker):  # type: ignore[misc]
        def execute_job(self, job: Any, queue: Any) -> Any:
            super().execute_job(job, queue)
            told = job.return_value(refresh=True)
            if isinstance(told, str):
                outcomes[told] += 1

        def handle_warm_shutdown_request(self) -> None:
            if self.horse_pid:
                outcomes["stopping"] = 1
                self.kill_horse()

    return TrainingWorker


def _killed(jobs: JobStore, outcomes: collections.Counter[str], call: Any, _pid: int, status: int, _usage: Any) -> None:
    """A training's process has ended without a word: say so, unless it has."""
    code = os.waitstatus_to_exitcode(status)
    if code in (UNWANTED, TIMED_OUT):
        outcomes["unwanted" if code == UNWANTED else "failed"] += 1
        return
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    error = GIVEN_BACK if outcomes["stopping"] else f"its trainer's process was ended by {how}"
    try:
        pipeline, topic, partition, token = call.args
        if jobs.end(ShardId(pipeline, topic, partition), token, Ending(error=error, again=True)):
            outcomes["given_back" if outcomes["stopping"] else "failed"] += 1
            LOG.warning("training of %s/%s/%s: %s", pipeline, topic, partition, error)
    except (StoreError, ValueError, TypeError) as untold:
        LOG.warning("the end of a training's process could not be told: %s", untold)


def _train(work: TrainerWork, parent: int, pipeline: str, topic: str, partition: int, token: str) -> str:
    """The call, in its forked process; "trained", "failed" or "unwanted"."""
    shard = ShardId(pipeline, topic, partition)
    stores = connect(work.redis_url)
    ticket = stores.jobs.take(shard, token)
    if ticket is None:
        LOG.info("a training of %s is not wanted any more", shard)
        return "unwanted"
    die_with_parent(parent)
    be_nice()
    limit_memory(work.limits.memory_bytes_max)
    signs = _SignsOfLife(stores.jobs, shard, token, work.limits.timeout_s)
    signs.start()
    try:
        job = job_of(shard, ticket)
        ending = _ending(work, job, signs)
    except StateError as error:
        ending = Ending(error=str(error))
    signs.stop()
    if ending.error is not None:
        LOG.warning("a training of %s failed: %s", shard, ending.error)
    _tell_the_end(stores.jobs, shard, token, ending)
    return "failed" if ending.sealed is None else "trained"


def _ending(work: TrainerWork, job: Job, signs: _SignsOfLife) -> Ending:
    window = connect(work.redis_url).window
    read = None if work.read_topic is None else functools.partial(work.read_topic, work.pipeline, job)
    LOG.info("training %d of %s begins", job.training.number, job.shard)
    try:
        challenger = challenger_of(work.pipeline, job.training)
        trained = train_job(job, challenger, work.pipeline, window, work.keyring, signs.progress, read_topic=read, patience_s=PATIENCE_S)
    except (StoreError, BrokerError) as error:
        return Ending(error=str(error), again=True)
    except StreamRetrainError as error:
        return Ending(error=str(error))
    LOG.info("training %d of %s: %s rows in %.1f s", job.training.number, job.shard, f"{trained.rows:,}", trained.seconds)
    return Ending(sealed=trained.sealed)


def _tell_the_end(jobs: JobStore, shard: ShardId, token: str, ending: Ending) -> None:
    until_s = time.monotonic() + ENDING_WITHIN_S
    while True:
        try:
            jobs.end(shard, token, ending)
        except StoreError as error:
            if time.monotonic() > until_s:
                raise
            LOG.warning("the end of a training of %s waits: %s", shard, error)
            time.sleep(1.0)
        else:
            return


class _SignsOfLife(threading.Thread):
    """Tells that the training goes on, and ends the process when it should not."""

    def __init__(self, jobs: JobStore, shard: ShardId, token: str, timeout_s: float) -> None:
        super().__init__(daemon=True)
        self._jobs = jobs
        self._shard = shard
        self._token = token
        self._timeout_s = timeout_s
        self._rows: tuple[int, int | None] = (0, None)
        self._over = threading.Event()

    def progress(self, rows: int, rows_total: int | None) -> None:
        self._rows = (rows, rows_total)

    def stop(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        until_s = time.monotonic() + self._timeout_s
        while not self._over.wait(max(0.0, min(BEAT_EVERY_S, until_s - time.monotonic()))):
            try:
                if time.monotonic() >= until_s:
                    error = f"it took longer than train_timeout_s = {self._timeout_s:g} s"
                    self._jobs.end(self._shard, self._token, Ending(error=error))
                    LOG.warning("a training of %s failed: %s", self._shard, error)
                    os._exit(TIMED_OUT)
                if not self._jobs.beat(self._shard, self._token, *self._rows):
                    LOG.info("a training of %s is not wanted any more", self._shard)
                    os._exit(UNWANTED)
            except StoreError as error:
                LOG.warning("no sign of life could be given: %s", error)

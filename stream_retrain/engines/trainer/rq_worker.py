"""A separate trainer: an RQ worker that carries out the trainings of one pipeline, each in a forked process.

Whoever can write to Redis can put calls into RQ's queue. They can ask for a training of this pipeline, and for nothing else: RQ's
worker is used with a class of jobs that call one function, whatever function the queue names, and that have no callbacks. Arguments
and results are JSON. A base model is verified before it is unpickled.

A training, in its forked process:

1. takes the ticket; if it was dropped, replaced or ended, there is nothing to do;
2. sets its limits: it ends with the trainer, runs at a low priority, and may use `memory_bytes_max` of additional memory;
3. starts a thread that sends a heartbeat every two seconds, and that ends the process when the result is no longer wanted or the
   time limit is reached;
4. trains, and ends the job with the sealed model or the error. While the store is unavailable, it tries to do so for a minute.

What the queue or a job holds that cannot be read is dropped with a line in the log, and the trainer goes on; only a signal or the loss of
Redis ends it. If the process of a training dies, the trainer ends the job in its place. If the trainer dies, its heartbeats stop, and the
worker that asked notices.
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
from stream_retrain.codec.sources import sources_digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.confine import end_with_parent, limit_memory, lower_priority
from stream_retrain.engines.trainer.jobs import Job, Progress, TopicReader, TrainerLimits
from stream_retrain.engines.trainer.rq import GIVEN_BACK, HEARTBEAT_EVERY_S, job_of, queue_name, require_rq
from stream_retrain.engines.trainer.work import RETRIED, train_job
from stream_retrain.errors import StateError, StoreError, StreamRetrainError
from stream_retrain.facts.telling import without_values
from stream_retrain.facts.values import ShardId
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Ending, JobStore, WindowStore
from stream_retrain.stores.redis.server import RedisServer

__all__ = ["TrainerWork", "serve_trainings"]

ROWS_TIMEOUT_S: Final = 30.0
ENDING_WITHIN_S: Final = 60.0
UNWANTED, TIMED_OUT = 70, 71
UNREADABLE_MAX: Final = 1_000
OUTCOMES: Final = ("trained", "failed", "unwanted", "given_back")
LOG: Final = logging.getLogger("stream_retrain.trainer")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainerWork:
    """What trainings need."""

    pipeline: Pipeline
    redis_url: str
    keyring: Keyring
    limits: TrainerLimits
    read_topic: TopicReader | None = None
    sources: str = dataclasses.field(init=False)
    """The digest of the user's code, as it was loaded (`codec.sources`)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", sources_digest(self.pipeline))


def serve_trainings(work: TrainerWork, *, burst: bool = False) -> dict[str, int]:
    """Carry out trainings until SIGTERM or Ctrl-C (`burst`: until none waits). Returns how many had each outcome.

    A training that runs when the signal comes is given back, and another trainer begins it again. Raises `SettingsError` if rq is not
    installed, `StoreError` if Redis is unavailable.
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
        work_horse_killed_handler=functools.partial(_killed, connect(work.redis_url, keyring=work.keyring).jobs, outcomes),
    )
    LOG.info("takes the trainings of pipeline %s (queue %s)", work.pipeline.name, queue_name(work.pipeline))
    _hang_up_is_stop(worker)
    worker.work(burst=burst, logging_level="ERROR")
    if not outcomes["ended"]:
        raise StoreError("the trainer lost its queue in Redis: see the log, and start it again")
    return {name: outcomes[name] for name in OUTCOMES}


def _hang_up_is_stop(worker: Any) -> None:
    """Take SIGHUP as SIGTERM, unless it is ignored (`nohup`)."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, worker.request_stop)


def _job_class(rq: Any, call: Callable[..., Any]) -> Any:
    """RQ's job class, limited to one function."""

    class TrainingJob(rq.job.Job):  # type: ignore[misc]
        success_callback = failure_callback = stopped_callback = None

        @property
        def func(self) -> Callable[..., Any]:
            return call

        @property
        def instance(self) -> None:
            return None

        def send_webhooks(self, *_: Any, **__: Any) -> None:
            """Does nothing: no other service is called."""

    return TrainingJob


def _worker_class(rq: Any, outcomes: collections.Counter[str]) -> Any:
    """RQ's forking worker, which also counts outcomes, and which does not wait for a training when it is told to stop."""

    class TrainingWorker(rq.Worker):  # type: ignore[misc]
        def execute_job(self, job: Any, queue: Any) -> Any:
            try:
                super().execute_job(job, queue)
                _count(outcomes, job)
            except rq.exceptions.StopRequested:  # told to stop just after the training ended
                _count(outcomes, job)
                raise
            except Exception as error:  # noqa: BLE001 - a call's fields are whatever somebody put there
                error.job_id = job.id  # type: ignore[attr-defined]
                _forget_call(self, error)

        def dequeue_job_and_maintain_ttl(self, timeout: int | None, max_idle_time: int | None = None) -> Any:
            """The next call; None where none waits, which ends the loop. What cannot be read is dropped."""
            for _ in range(UNREADABLE_MAX):
                try:
                    found = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
                except Exception as error:  # noqa: BLE001 - the queue holds whatever somebody put there
                    _forget_call(self, error)
                else:
                    outcomes["ended"] = int(found is None)
                    return found
            raise StoreError(f"{UNREADABLE_MAX:,} entries of the queue one after the other could not be read")

        def run_maintenance_tasks(self) -> None:
            try:
                super().run_maintenance_tasks()
            except Exception as error:  # noqa: BLE001 - it reads every call that is kept, and some may be anybody's
                _forget_call(self, error)

        def handle_warm_shutdown_request(self) -> None:
            outcomes["ended"] = 1
            if self.horse_pid:
                outcomes["stopping"] = 1
                self.kill_horse()

    return TrainingWorker


def _count(outcomes: collections.Counter[str], job: Any) -> None:
    outcome = job.return_value(refresh=True)
    if outcome in OUTCOMES:
        outcomes[outcome] += 1


def _forget_call(worker: Any, error: Exception) -> None:
    """Remove from RQ's keys what could not be read, so that it does not come again at the next start. Being told to stop goes on up."""
    if isinstance(error, require_rq().exceptions.StopRequested):
        raise error
    LOG.warning("a call in the trainer's queue is dropped: %s: %s", type(error).__name__, " ".join(str(error).split())[:300])
    job_id = getattr(error, "job_id", None)
    for queue in worker.queues:
        for key, kind in ((queue.key, b"list"), (queue.intermediate_queue_key, b"list")):
            if worker.connection.type(key) not in (kind, b"none"):
                worker.connection.delete(key)
            elif job_id is not None:
                worker.connection.lrem(key, 0, job_id)
    if job_id is not None:
        worker.connection.delete(f"rq:job:{job_id}")


def _killed(jobs: JobStore, outcomes: collections.Counter[str], call: Any, _pid: int, status: int, _usage: Any) -> None:
    """A training's process has died: end its job, unless the process itself has done so."""
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
            level = logging.WARNING if outcomes["stopping"] else logging.ERROR
            LOG.log(level, "training of %s/%s/%s: %s", pipeline, topic, partition, error)
    except (StoreError, ValueError, TypeError) as unwritten:
        LOG.warning("the end of a training's process could not be written to the store: %s", unwritten)


def _train(work: TrainerWork, parent: int, pipeline: str, topic: str, partition: int, token: str) -> str:
    """The function of every call, in its forked process; returns "trained", "failed" or "unwanted"."""
    shard = ShardId(pipeline, topic, partition)
    stores = connect(work.redis_url, keyring=work.keyring)
    try:
        ticket = stores.jobs.take(shard, token)
    except StateError as error:
        LOG.error("%s", error)
        _write_ending(stores.jobs, shard, token, Ending(error=str(error)))
        return "failed"
    if ticket is None:
        LOG.info("a training of %s is no longer wanted", shard)
        return "unwanted"
    end_with_parent(parent)
    lower_priority()
    limit_memory(work.limits.memory_bytes_max)
    heartbeat = _Heartbeat(stores.jobs, shard, token, work.limits)
    heartbeat.start()
    try:
        ending = _ending(work, job_of(shard, ticket), stores.window, heartbeat.progress)
    except StateError as error:
        ending = Ending(error=str(error))
    heartbeat.stop()
    if ending.error is not None:
        LOG.error("a training of %s failed: %s", shard, without_values(ending.error))
    _write_ending(stores.jobs, shard, token, ending)
    return "failed" if ending.sealed is None else "trained"


def _ending(work: TrainerWork, job: Job, window: WindowStore, progress: Progress) -> Ending:
    training = job.training.number
    if job.sources and job.sources != work.sources:
        return Ending(error="the trainer has loaded other code than the worker: start both again with the same files")
    LOG.info("training %d of %s begins", training, job.shard)
    try:
        done = train_job(job, work.pipeline, window, work.keyring, progress, read_topic=work.read_topic, rows_timeout_s=ROWS_TIMEOUT_S)
    except StreamRetrainError as error:
        return Ending(error=str(error), again=isinstance(error, RETRIED))
    LOG.info("training %d of %s: %s rows in %.1f s", training, job.shard, f"{done.rows:,}", done.seconds)
    return Ending(sealed=done.sealed)


def _write_ending(jobs: JobStore, shard: ShardId, token: str, ending: Ending) -> None:
    until_s = time.monotonic() + ENDING_WITHIN_S
    while True:
        try:
            jobs.end(shard, token, ending)
        except StoreError as error:
            if time.monotonic() > until_s:
                raise
            LOG.warning("the end of a training of %s waits for the store: %s", shard, error)
            time.sleep(1.0)
        else:
            return


class _Heartbeat(threading.Thread):
    """Sends heartbeats with the progress of the training, and ends the process when the training must not go on."""

    def __init__(self, jobs: JobStore, shard: ShardId, token: str, limits: TrainerLimits) -> None:
        super().__init__(daemon=True)
        self._jobs = jobs
        self._shard = shard
        self._token = token
        self._limits = limits
        self._rows: tuple[int, int | None] = (0, None)
        self._stopped = threading.Event()

    def progress(self, rows: int, rows_total: int | None) -> None:
        self._rows = (rows, rows_total)

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def run(self) -> None:
        until_s = time.monotonic() + self._limits.timeout_s
        while not self._stopped.wait(max(0.0, min(HEARTBEAT_EVERY_S, until_s - time.monotonic()))):
            try:
                if time.monotonic() >= until_s:
                    error = self._limits.timeout_error
                    self._jobs.end(self._shard, self._token, Ending(error=error))
                    LOG.error("a training of %s failed: %s", self._shard, error)
                    os._exit(TIMED_OUT)
                if not self._jobs.heartbeat(self._shard, self._token, *self._rows):
                    LOG.info("a training of %s is no longer wanted", self._shard)
                    os._exit(UNWANTED)
            except StoreError as error:
                LOG.warning("no heartbeat could be sent: %s", error)

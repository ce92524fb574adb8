"""The worker's side of separate trainers (`stream-retrain trainer`), which are called through RQ.

RQ carries only the call. Its queue is named after the pipeline's name and digest, so that only trainers that have loaded exactly this
pipeline take calls from it. The `JobStore` holds the job, its progress and its result. RQ's own arguments and results are JSON.

1. `submit` writes a ticket, with the sealed base model, to the store, and puts a call into the queue.
2. `poll` reads the state of each open job. A trainer at work sends a heartbeat every two seconds. If none has come for `LEASE_S`, the
   trainer counts as dead, and the job is submitted again under another token, for `attempts_max` attempts in all. If the trainer was
   only disconnected, it finds that its token is no longer valid, and ends the training.
3. A result is returned after its seal was verified, and that it belongs to this very training. Nothing is unpickled here.

While the store is unavailable, jobs stay as they are.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import secrets
import time
from typing import Any, Final

import msgspec

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import verify_model
from stream_retrain.codec.sources import sources_digest
from stream_retrain.core.contest.training import Training
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.jobs import Job, JobDone, TrainerLimits, TrainerResult
from stream_retrain.engines.trainer.open_jobs import OpenJobs
from stream_retrain.errors import SettingsError, StaleEpochError, StateError, StoreError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Ending, JobState, JobStore, Ticket
from stream_retrain.stores.redis.server import RedisServer

__all__ = ["GIVEN_BACK", "HEARTBEAT_EVERY_S", "LEASE_S", "RqTrainer", "job_of", "queue_name", "require_rq"]

HEARTBEAT_EVERY_S: Final = 2.0
LEASE_S: Final = 12.0
QUEUED_S_MAX: Final = 3_600.0
WAITS_EVERY_S: Final = 60.0
"""How often it is reported again that nobody takes a job."""
STORE_PAUSE_S: Final = 5.0
GIVEN_BACK: Final = "its trainer was told to stop, and gave the training back"
"""Not counted as an attempt: stopping trainers one after the other must not use up the attempts."""
KEPT_S: Final = 300
"""How long RQ keeps its record of a finished call."""
LOG: Final = logging.getLogger("stream_retrain.trainer")


class _Text(msgspec.Struct, frozen=True, kw_only=True):
    """The text of a ticket."""

    epoch: int
    training: Training
    learned_through: int | None
    sources: str = ""


@dataclasses.dataclass(slots=True)
class _Call:
    """One attempt at a job: its token, whether it is in the queue, and what was reported of it."""

    token: str
    sent: bool = False
    rows_reported: int = -1
    waits_told_s: float = -math.inf
    """After how long it was last reported that nobody takes it."""


def queue_name(pipeline: Pipeline) -> str:
    """The queue of the trainers that have loaded this pipeline."""
    return f"stream_retrain.{pipeline.name}.{pipeline.digest()[:12]}"


def job_of(shard: ShardId, ticket: Ticket) -> Job:
    """The job of a ticket. Raises `StateError` if the ticket cannot be read."""
    try:
        text = msgspec.json.decode(ticket.text, type=_Text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"The ticket of a training of {shard} cannot be read ({error}): ask again") from None
    return Job(
        shard=shard, epoch=text.epoch, training=text.training, base=ticket.base, learned_through=text.learned_through, sources=text.sources
    )


def require_rq() -> Any:
    """The package rq. Raises `SettingsError` if it is not installed."""
    try:
        import rq
    except ImportError:
        raise SettingsError("separate trainers need rq, which is not installed: pip install 'stream_retrain[rq]'") from None
    return rq


class RqTrainer:
    """A `Trainer` whose jobs are carried out by `stream-retrain trainer` processes."""

    def __init__(self, pipeline: Pipeline, redis_url: str, store: JobStore, keyring: Keyring, limits: TrainerLimits) -> None:
        """Raises `SettingsError` if rq is not installed."""
        rq = require_rq()
        self._pipeline = pipeline
        self._store = store
        self._keyring = keyring
        self._limits = limits
        self._sources = sources_digest(pipeline)
        self._server = RedisServer(redis_url, 5.0, 2.0)
        self._queue: Any = rq.Queue(queue_name(pipeline), connection=self._server.client, serializer=rq.serializers.JSONSerializer)
        self._registered = rq.worker_registration.WORKERS_BY_QUEUE_KEY % self._queue.name
        self._jobs = OpenJobs(limits.attempts_max)
        self._calls: dict[ShardId, _Call] = {}
        """The current attempt at each open job; none before the first."""
        self._not_before_s = 0.0

    def submit(self, job: Job) -> None:
        self._calls.pop(job.shard, None)
        self._jobs.add(job)
        self._look_at(job.shard)

    def poll(self) -> list[TrainerResult]:
        for opened in self._jobs:
            if time.monotonic() >= self._not_before_s:
                self._look_at(opened.job.shard)
        return self._jobs.take_results()

    def cancel(self, shard: ShardId) -> None:
        self._drop(shard)
        self._jobs.fail(shard, "cancelled")

    def close(self, deadline_s: float) -> None:
        for shard in list(self._calls):
            if time.monotonic() < deadline_s:
                self._drop(shard)
        self._calls.clear()
        self._jobs.clear()

    def _look_at(self, shard: ShardId) -> None:
        """Send the call of a job, or read the state of the call that was sent."""
        call = self._calls.get(shard)
        try:
            if call is None or not call.sent:
                self._send(shard)
                return
            state = self._looked_up(shard)
            if state is None or state.token != call.token:
                self._retry(shard, "the store has lost it")
            else:
                self._follow(shard, call, state)
        except StaleEpochError as error:
            self._fail(shard, str(error))
        except StoreError as error:
            LOG.warning("the training of %s waits for the store: %s", shard, error)
            self._not_before_s = time.monotonic() + STORE_PAUSE_S

    def _looked_up(self, shard: ShardId) -> JobState | None:
        """The state of the shard's job; None where there is none that can be read: the job is then asked for again."""
        try:
            return self._store.look(shard)
        except StateError as error:
            LOG.error("%s", error)
            return None

    def _send(self, shard: ShardId) -> None:
        """Begin an attempt: 1 make a token; 2 write the ticket; 3 queue the call. A call whose ticket was replaced does nothing."""
        job, limits = self._jobs.begin(shard), self._limits
        call = _Call(f"{job.epoch}-{job.training.number}-{secrets.token_hex(6)}")
        self._calls[shard] = call
        text = msgspec.json.encode(
            _Text(epoch=job.epoch, training=job.training, learned_through=job.learned_through, sources=self._sources)
        )
        try:
            expire_s = QUEUED_S_MAX + limits.timeout_s + KEPT_S
            self._store.ask(shard, job.epoch, Ticket(token=call.token, text=text, base=job.base), expire_s)
            self._server.call(
                f"queue the training of shard {shard}",
                lambda: self._queue.enqueue_call(
                    "stream_retrain.engines.trainer.rq_worker.train",
                    args=[*shard, call.token],
                    timeout=int(limits.timeout_s) + 60,
                    ttl=int(QUEUED_S_MAX),
                    result_ttl=KEPT_S,
                    failure_ttl=KEPT_S,
                    description=f"training {job.training.number} of {shard}",
                    job_id=call.token,
                ),
            )
        except StoreError:
            self._jobs.uncount(shard)
            raise
        call.sent = True

    def _follow(self, shard: ShardId, call: _Call, state: JobState) -> None:
        """Act on the state of a call that was sent."""
        age_s = state.heartbeat_age_s
        match state.status:
            case "ended":
                assert state.ending is not None
                self._end(shard, state.ending)
            case "running" if age_s > LEASE_S:
                self._retry(shard, f"its trainer died: no heartbeat for {age_s:.0f} s")
            case "running" if state.rows > call.rows_reported:
                call.rows_reported = state.rows
                self._jobs.progressed(shard, state.rows, state.rows_total)
            case "waiting" if age_s > QUEUED_S_MAX:
                self._fail(shard, f"no trainer took it for {QUEUED_S_MAX:.0f} s: start stream-retrain trainer with exactly this pipeline")
            case "waiting" if age_s > max(self._limits.trainer_wait_s, call.waits_told_s + WAITS_EVERY_S):
                call.waits_told_s = age_s
                self._jobs.waits(shard, age_s, self._server.call("count the trainers", self._trainers))

    def _trainers(self) -> int:
        """Trainers of this very pipeline that are alive."""
        client: Any = self._server.client
        keys = client.smembers(self._registered)
        return int(client.exists(*keys)) if keys else 0

    def _end(self, shard: ShardId, ending: Ending) -> None:
        if ending.sealed is None:
            error = ending.error or "its trainer gave no reason"
            if ending.again:
                self._retry(shard, error)
            else:
                self._fail(shard, error)
            return
        try:
            result = self._verified(self._jobs[shard].job, ending.sealed)
        except StateError as error:
            self._fail(shard, f"its result was refused: {error}")
        else:
            self._drop(shard)
            self._jobs.done(result)

    def _verified(self, job: Job, sealed: bytes) -> JobDone:
        """The result, as its signed header describes it. Raises `StateError`."""
        header, _ = verify_model(sealed, self._pipeline, job.shard, self._keyring)
        extra = header.extra
        if (extra.get("epoch"), extra.get("training")) != (str(job.epoch), str(job.training.number)):
            raise StateError(f"A model of {job.shard} is of another training")
        try:
            return JobDone(
                shard=job.shard,
                training=job.training.number,
                sealed=sealed,
                learned_through=header.offset - 1,
                rows=int(extra["rows"]),
                seconds=float(extra["seconds"]),
                gap=extra["gap"] == "yes",
            )
        except (KeyError, ValueError) as error:
            raise StateError(f"A model of {job.shard} does not say how it was trained: {error}") from None

    def _retry(self, shard: ShardId, error: str) -> None:
        """Begin another attempt, or fail the job if the last one was its last."""
        if error == GIVEN_BACK:
            self._jobs.uncount(shard)
        training = self._jobs[shard].job.training.number
        if not self._jobs.retry(shard, error):
            self._drop(shard)
            return
        LOG.warning("training %d of %s begins again: %s", training, shard, error)
        self._send(shard)

    def _fail(self, shard: ShardId, error: str) -> None:
        self._drop(shard)
        self._jobs.fail(shard, error)

    def _drop(self, shard: ShardId) -> None:
        """Remove a job from the store; its trainer finds the token gone and ends. If the store is unavailable, the job expires later."""
        call = self._calls.pop(shard, None)
        if call is None:
            return
        try:
            self._store.drop(shard, call.token)
        except StoreError as error:
            LOG.warning("a training of %s could not be cancelled in the store: %s", shard, error)

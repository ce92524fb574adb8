"""Trainers of their own, asked through RQ: the worker's side.

RQ carries the call, from a queue of the pipeline's name and digest, so that only trainers that have loaded the very same pipeline take
it. What the call is about, how far it is and what came of it stand in the `JobStore`; RQ's own arguments and results are JSON.

1. `submit` puts a ticket (and the sealed base model) into the store, and a call into the queue.
2. `poll` looks at each open job. A trainer at work gives a sign of life every two seconds; one that has been silent for `LEASE_S` is
   dead, and the job is asked for again under another token, up to `attempts_max` times. Had it only been cut off, it finds its
   token gone and ends.
3. A result's seal is verified, and that it is of this very training, before it is handed on; nothing is unpickled here.

While the store is away, jobs are left alone.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
import time
from typing import Any, Final

import msgspec

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.messages import ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.training import Training
from stream_retrain.engines.trainer.jobs import (
    REPLACED,
    Job,
    Trained,
    TrainerLimits,
    TrainerResult,
    TrainingFailed,
    TrainingProgressed,
    without_stale,
)
from stream_retrain.engines.trainer.models import verify_model
from stream_retrain.errors import SettingsError, StaleEpochError, StateError, StoreError
from stream_retrain.stores.jobs import JobState, JobStore, Ticket
from stream_retrain.stores.redis_server import RedisServer

__all__ = ["BEAT_EVERY_S", "GIVEN_BACK", "LEASE_S", "RqTrainer", "job_of", "queue_name", "require_rq"]

BEAT_EVERY_S: Final = 2.0
LEASE_S: Final = 12.0
QUEUED_S_MAX: Final = 3_600.0
WARN_AFTER_S: Final = 30.0
STORE_PAUSE_S: Final = 5.0
GIVEN_BACK: Final = "its trainer was told to stop, and gave it back"
"""No failed attempt: whoever stops trainers one after the other must not use the attempts up."""
KEPT_S: Final = 300
"""How long RQ keeps what it knows of a call that is over."""
LOG: Final = logging.getLogger("stream_retrain.trainer")


class _Text(msgspec.Struct, frozen=True, kw_only=True):
    """What a ticket says."""

    epoch: int
    training: Training
    learned_through: int | None


@dataclasses.dataclass(slots=True)
class _Asked:
    """A job, under which token it was asked for, and what was told of it."""

    job: Job
    token: str = ""
    attempts: int = 0
    sent: bool = False
    rows_told: int = -1
    warned: bool = False


def queue_name(pipeline: Pipeline) -> str:
    """The queue of those who have loaded this pipeline."""
    return f"stream_retrain.{pipeline.name}.{pipeline.digest()[:12]}"


def job_of(shard: ShardId, ticket: Ticket) -> Job:
    """The job that a ticket asks for. Raises `StateError` where it is none."""
    try:
        text = msgspec.json.decode(ticket.text, type=_Text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"The ticket of a training of {shard} cannot be read ({error}): ask again") from None
    return Job(shard=shard, epoch=text.epoch, training=text.training, base=ticket.base, learned_through=text.learned_through)


def require_rq() -> Any:
    """The package rq. Raises `SettingsError` where it is not installed."""
    try:
        import rq
    except ImportError:
        raise SettingsError("trainers of their own need rq, which is not installed: pip install 'stream_retrain[rq]'") from None
    return rq


class RqTrainer:
    """A `Trainer` that asks `stream-retrain trainer` processes."""

    def __init__(self, pipeline: Pipeline, redis_url: str, jobs: JobStore, keyring: Keyring, limits: TrainerLimits) -> None:
        """Raises `SettingsError` where rq is not installed."""
        rq = require_rq()
        self._pipeline = pipeline
        self._jobs = jobs
        self._keyring = keyring
        self._limits = limits
        self._server = RedisServer(redis_url, 5.0, 2.0)
        self._queue: Any = rq.Queue(queue_name(pipeline), connection=self._server.client, serializer=rq.serializers.JSONSerializer)
        self._asked: dict[ShardId, _Asked] = {}
        self._results: list[TrainerResult] = []
        self._not_before_s = 0.0

    def submit(self, job: Job) -> None:
        if (older := self._asked.pop(job.shard, None)) is not None:
            self._fail(older, REPLACED)
        self._results = without_stale(self._results, job)
        self._asked[job.shard] = _Asked(job)
        self._look_at(self._asked[job.shard])

    def poll(self) -> list[TrainerResult]:
        for asked in list(self._asked.values()):
            if time.monotonic() >= self._not_before_s:
                self._look_at(asked)
        results, self._results = self._results, []
        return results

    def cancel(self, shard: ShardId) -> None:
        if (asked := self._asked.pop(shard, None)) is not None:
            self._drop(asked)
            self._fail(asked, "cancelled")

    def close(self, deadline_s: float) -> None:
        for asked in self._asked.values():
            if time.monotonic() < deadline_s:
                self._drop(asked)
        self._asked.clear()

    def _look_at(self, asked: _Asked) -> None:
        """Ask for a job, or see how it stands."""
        try:
            if not asked.sent:
                self._send(asked)
                return
            state = self._jobs.look(asked.job.shard)
            if state is None or state.token != asked.token:
                self._again(asked, "the store has lost it")
            else:
                self._follow(asked, state)
        except StaleEpochError as error:
            self._over(asked, str(error))
        except StoreError as error:
            LOG.warning("the training of %s waits for the store: %s", asked.job.shard, error)
            self._not_before_s = time.monotonic() + STORE_PAUSE_S

    def _send(self, asked: _Asked) -> None:
        """1 a token of its own; 2 the ticket; 3 the call. A call whose ticket was replaced meanwhile comes to nothing."""
        job, limits = asked.job, self._limits
        asked.attempts += 1
        asked.token = f"{job.epoch}-{job.training.number}-{secrets.token_hex(6)}"
        asked.rows_told, asked.warned = -1, False
        text = msgspec.json.encode(_Text(epoch=job.epoch, training=job.training, learned_through=job.learned_through))
        try:
            expire_s = QUEUED_S_MAX + limits.timeout_s + KEPT_S
            self._jobs.ask(job.shard, job.epoch, Ticket(token=asked.token, text=text, base=job.base), expire_s)
            self._server.call(
                f"queue the training of shard {job.shard}",
                lambda: self._queue.enqueue_call(
                    "stream_retrain.engines.trainer.rq_worker.train",
                    args=[*job.shard, asked.token],
                    timeout=int(limits.timeout_s) + 60,
                    ttl=int(QUEUED_S_MAX),
                    result_ttl=KEPT_S,
                    failure_ttl=KEPT_S,
                    description=f"training {job.training.number} of {job.shard}",
                    job_id=asked.token,
                ),
            )
        except StoreError:
            asked.attempts -= 1  # nobody has tried
            raise
        asked.sent = True

    def _follow(self, asked: _Asked, state: JobState) -> None:
        shard, number = asked.job.shard, asked.job.training.number
        match state.status:
            case "ended":
                self._end(asked, state)
            case "running" if state.silent_s > LEASE_S:
                self._again(asked, f"its trainer died: no sign of life for {state.silent_s:.0f} s")
            case "running" if state.rows > asked.rows_told:
                asked.rows_told = state.rows
                self._results.append(TrainingProgressed(shard=shard, number=number, rows=state.rows, rows_total=state.rows_total))
            case "waiting" if state.silent_s > QUEUED_S_MAX:
                self._over(asked, f"no trainer took it for {QUEUED_S_MAX:.0f} s: start stream-retrain trainer with this very pipeline")
            case "waiting" if state.silent_s > WARN_AFTER_S and not asked.warned:
                asked.warned = True
                LOG.warning("training %d of %s waits: does stream-retrain trainer run, with this very pipeline?", number, shard)

    def _end(self, asked: _Asked, state: JobState) -> None:
        assert state.ending is not None
        if state.ending.sealed is None:
            error = state.ending.error or "its trainer gave no reason"
            if state.ending.again:
                self._again(asked, error)
            else:
                self._over(asked, error)
            return
        try:
            result = self._verified(asked.job, state.ending.sealed)
        except StateError as error:
            self._over(asked, f"its result was refused: {error}")
        else:
            self._asked.pop(asked.job.shard, None)
            self._drop(asked)
            self._results.append(result)

    def _verified(self, job: Job, sealed: bytes) -> Trained:
        """The result as its signed header tells it. Raises `StateError`."""
        header, _ = verify_model(sealed, self._pipeline, job.shard, self._keyring)
        told = header.extra
        if (told.get("epoch"), told.get("training")) != (str(job.epoch), str(job.training.number)):
            raise StateError(f"A model of {job.shard} is of another training")
        return Trained(
            shard=job.shard,
            number=job.training.number,
            sealed=sealed,
            learned_through=header.offset - 1,
            rows=int(told["rows"]),
            seconds=float(told["seconds"]),
            gap=told["gap"] == "yes",
        )

    def _again(self, asked: _Asked, error: str) -> None:
        """Ask once more, or give it up when it has had its attempts."""
        if error == GIVEN_BACK:
            asked.attempts -= 1
        if asked.attempts >= self._limits.attempts_max:
            self._over(asked, error)
            return
        LOG.warning("training %d of %s begins again: %s", asked.job.training.number, asked.job.shard, error)
        asked.sent = False
        self._send(asked)

    def _over(self, asked: _Asked, error: str) -> None:
        self._asked.pop(asked.job.shard, None)
        self._drop(asked)
        self._fail(asked, error)

    def _drop(self, asked: _Asked) -> None:
        """Let whoever is at it know, by its token being gone; what cannot be dropped now expires."""
        try:
            self._jobs.drop(asked.job.shard, asked.token)
        except StoreError as error:
            LOG.warning("a training of %s could not be taken back: %s", asked.job.shard, error)

    def _fail(self, asked: _Asked, error: str) -> None:
        job = asked.job
        self._results.append(TrainingFailed(shard=job.shard, number=job.training.number, error=error, attempts=asked.attempts))

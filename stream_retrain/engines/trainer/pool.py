"""The worker's side of the pool: trainings are asked for by tickets, which `stream-retrain trainer` processes take from Kafka.

1. `submit` writes the job to the `JobStore`, and then sends a ticket with its token.
2. `poll` reads the state of each open job. A trainer at work sends heartbeats. If it dies, its group gives the ticket to another, which
   takes the job up: the worker has nothing to do. A job that failed and may succeed in another attempt is asked for again, for
   `attempts_max` attempts in all.
3. A job that nobody has taken for a while is asked for again under another token, which puts its ticket into another partition: its
   trainer may be busy, and another one idle. The older ticket is void from then on.
4. A result is returned after its seal was verified, and that it belongs to this very training. Nothing is unpickled here.

While the store is unavailable, jobs stay as they are.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import random
import secrets
import time
from collections.abc import Callable
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import verify_model
from stream_retrain.codec.sources import sources_digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.jobs import Job, JobDone, TrainerLimits, TrainerResult
from stream_retrain.engines.trainer.open_jobs import OpenJobs
from stream_retrain.engines.trainer.tickets import Ticket, TicketQueue, seal_ticket
from stream_retrain.errors import BrokerError, StaleEpochError, StateError, StoreError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Ending, JobState, JobStore

__all__ = ["PoolTrainer"]

LOOK_EVERY_S: Final = 0.5
WAITING_S_MAX: Final = 3_600.0
WAITS_EVERY_S: Final = 60.0
"""How often it is reported again that nobody takes a job."""
MOVE_AFTER_S: Final = 10.0
"""After how long in one partition a ticket is put into another; each time twice as long."""
SILENT_S: Final = 30.0
"""A job whose trainer is silent for so long is with no other either: its ticket may be lost."""
PAUSE_S: Final = 5.0
KEPT_S: Final = 300.0
LOG: Final = logging.getLogger("stream_retrain.trainer")


@dataclasses.dataclass(slots=True)
class _Call:
    """What was done for an open job; times are of the monotonic clock."""

    asked_ms: int
    place: int
    since_s: float
    """When it was asked for, or when its trainer last gave a sign of life."""
    token: str = ""
    sent: bool = False
    look_s: float = 0.0
    rows: int = -1
    """Those reported last."""
    told_s: float = -math.inf
    """After how long it was last reported that nobody takes it."""
    move_s: float = MOVE_AFTER_S
    """After how long its ticket is put into another partition."""


class PoolTrainer:
    """A `Trainer` whose jobs are carried out by `stream-retrain trainer` processes, wherever they run."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: JobStore,
        queue: TicketQueue,
        keyring: Keyring,
        limits: TrainerLimits,
        trainers: Callable[[], int],
    ) -> None:
        """`trainers` counts those that could take jobs of this pipeline; it may raise `StoreError`."""
        self._pipeline = pipeline
        self._store = store
        self._queue = queue
        self._keyring = keyring
        self._limits = limits
        self._trainers = trainers
        self._sources = sources_digest(pipeline)
        self._jobs = OpenJobs(limits.attempts_max)
        self._calls: dict[ShardId, _Call] = {}

    def submit(self, job: Job) -> None:
        self._jobs.add(job)
        self._calls[job.shard] = _Call(int(time.time() * 1000), job.shard.partition, time.monotonic())
        self._look_at(job.shard)

    def poll(self) -> list[TrainerResult]:
        self._queue.poll()
        now_s = time.monotonic()
        for shard in [shard for shard, call in self._calls.items() if now_s >= call.look_s]:
            self._look_at(shard)
        return self._jobs.take_results()

    def cancel(self, shard: ShardId) -> None:
        self._fail(shard, "cancelled")

    def close(self, deadline_s: float) -> None:
        for shard in list(self._calls):
            if time.monotonic() < deadline_s:
                self._drop(shard)
        self._calls.clear()
        self._jobs.clear()

    def _look_at(self, shard: ShardId) -> None:
        """Send the ticket of a job, or read the state of a job that was sent."""
        call = self._calls[shard]
        call.look_s = time.monotonic() + LOOK_EVERY_S
        try:
            if not call.sent:
                self._send(shard, call)
                return
            state = self._state(shard)
            if state is None or state.token != call.token:
                self._jobs.begin(shard)  # its store may lose it again and again
                self._again(shard, call, "the store has lost it")
            else:
                self._follow(shard, call, state)
        except StaleEpochError as error:
            self._fail(shard, str(error))
        except (StoreError, BrokerError) as error:
            LOG.warning("the training of %s waits: %s", shard, error)
            call.look_s = time.monotonic() + PAUSE_S

    def _state(self, shard: ShardId) -> JobState | None:
        """The state of the shard's job; None where there is none that can be read: the job is then asked for again."""
        try:
            return self._store.look(shard)
        except StateError as error:
            LOG.error("%s", error)
            return None

    def _send(self, shard: ShardId, call: _Call) -> None:
        """1 Make a token; 2 write the job; 3 send its ticket. From step 2 on, an older ticket of the shard is void."""
        opened, now_ms = self._jobs[shard], int(time.time() * 1000)
        job = opened.job
        call.token, call.rows, call.sent = f"{job.epoch}-{job.training.number}-{secrets.token_hex(6)}", -1, False
        expire_s = WAITING_S_MAX + self._limits.timeout_s + KEPT_S
        self._store.ask(shard, job.epoch, call.token, expire_s, base=job.base, attempts=opened.attempts)
        ticket = Ticket(
            shard=shard,
            token=call.token,
            epoch=job.epoch,
            training=job.training,
            learned_through=job.learned_through,
            sources=self._sources,
            base=None if job.base is None else hashlib.sha256(job.base).hexdigest(),
            attempts_max=self._limits.attempts_max,
            asked_ms=call.asked_ms,
            sent_ms=now_ms,
        )
        token = call.token

        def lost() -> None:
            call.sent = call.sent and call.token != token

        self._queue.put(call.place, seal_ticket(ticket, self._pipeline, self._keyring), lost)
        call.sent = True

    def _follow(self, shard: ShardId, call: _Call, state: JobState) -> None:
        """Act on the state of a job that was sent."""
        now_s, opened = time.monotonic(), self._jobs[shard]
        opened.attempts = state.attempts
        if state.ending is not None:
            self._end(shard, call, state.ending)
            return
        running = state.status == "running"
        if running and (alive_s := now_s - state.heartbeat_age_s) > call.since_s:
            call.since_s, call.told_s, call.move_s = alive_s, -math.inf, MOVE_AFTER_S
        if running and state.rows > call.rows:
            call.rows = state.rows
            self._jobs.progressed(shard, state.rows, state.rows_total)
        waited_s = now_s - call.since_s
        if waited_s > WAITING_S_MAX:
            self._fail(shard, f"no trainer took it for {WAITING_S_MAX:.0f} s: start stream-retrain trainer with exactly this pipeline")
            return
        if waited_s > max(self._limits.trainer_wait_s, call.told_s + WAITS_EVERY_S):
            call.told_s = waited_s
            self._jobs.waits(shard, waited_s, self._trainers())
        if waited_s > (max(call.move_s, SILENT_S) if running else call.move_s):
            call.move_s = waited_s * 2
            call.place = random.randrange(2**16)
            self._send(shard, call)

    def _end(self, shard: ShardId, call: _Call, ending: Ending) -> None:
        if ending.sealed is None:
            error = ending.error or "its trainer gave no reason"
            if ending.again:
                self._again(shard, call, error)
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

    def _again(self, shard: ShardId, call: _Call, error: str) -> None:
        """Ask for another attempt, or fail the job if the last one was its last."""
        training = self._jobs[shard].job.training.number
        if self._jobs.retry(shard, error):
            LOG.warning("training %d of %s begins again: %s", training, shard, error)
            call.since_s = time.monotonic()
            self._send(shard, call)
        else:
            self._drop(shard)

    def _fail(self, shard: ShardId, error: str) -> None:
        self._drop(shard)
        self._jobs.fail(shard, error)

    def _drop(self, shard: ShardId) -> None:
        """Remove a job from the store; its trainer finds the token gone and ends. If the store is unavailable, the job expires later."""
        call = self._calls.pop(shard, None)
        if call is None or not call.token:
            return
        try:
            self._store.drop(shard, call.token)
        except StoreError as error:
            LOG.warning("a training of %s could not be cancelled in the store: %s", shard, error)

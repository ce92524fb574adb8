"""The worker's side of the pool: trainings are asked for by tickets, which `stream-retrain trainer` processes take from Kafka.

The worker alone is responsible for a job, from `submit` until it has ended:

1. It writes the job to the `JobStore` under a new token, and sends a ticket with that token. Older tickets of the shard are void then.
2. While nobody has taken the job, it sends the same ticket again every `QUIET_S`, to a partition chosen at random: a ticket may be lost, or
   wait for a trainer that is busy. Only the first trainer can take a token.
3. A trainer at work sends heartbeats. If there was none for `QUIET_S`, or if the attempt failed and another may succeed, the worker begins
   at 1 again, for `attempts_max` attempts in all. So it does at once if the trainer gave the job back; that was no attempt.
4. It returns the result, after its seal was verified and that it belongs to this very training. Nothing is unpickled here.

While the store is unavailable, jobs stay as they are.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import random
import secrets
import time
from collections.abc import Callable
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.models import verify_model
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.jobs import Job, JobDone, TrainerLimits, TrainerResult
from stream_retrain.engines.trainer.open_jobs import OpenJobs
from stream_retrain.engines.trainer.tickets import QUIET_S, Ticket, TicketQueue, seal_ticket
from stream_retrain.errors import StaleEpochError, StateError, StoreError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import Ending, JobState, JobStore

__all__ = ["PoolTrainer"]

LOOK_EVERY_S: Final = 0.5
WAITING_S_MAX: Final = 3_600.0
WAITS_EVERY_S: Final = 60.0
"""How often it is reported again that nobody takes a job."""
PAUSE_S: Final = 5.0
KEPT_S: Final = 300.0
LOG: Final = logging.getLogger("stream_retrain.trainer")


@dataclasses.dataclass(slots=True)
class _Call:
    """How an open job was asked for; times are of the monotonic clock."""

    asked_ms: int
    since_s: float
    """When it was asked for, or when its trainer last gave a sign of life."""
    token: str = ""
    ticket: bytes = b""
    """What was put; empty: it is to be asked for under a new token."""
    put_s: float = 0.0
    look_s: float = 0.0
    told_s: float = -math.inf
    """After how long it was last reported that nobody takes it."""


class PoolTrainer:
    """A `Trainer` whose jobs are carried out by `stream-retrain trainer` processes, wherever they run."""

    def __init__(
        self, pipeline: Pipeline, store: JobStore, queue: TicketQueue, keyring: Keyring, limits: TrainerLimits, trainers: Callable[[], int]
    ) -> None:
        """`trainers` counts those that could take jobs of this pipeline; it may raise `StoreError`."""
        self._pipeline = pipeline
        self._store = store
        self._queue = queue
        self._keyring = keyring
        self._limits = limits
        self._trainers = trainers
        self._jobs = OpenJobs(limits.attempts_max)
        self._calls: dict[ShardId, _Call] = {}

    def submit(self, job: Job) -> None:
        self._jobs.add(job)
        self._calls[job.shard] = _Call(int(time.time() * 1000), time.monotonic())
        self._look_at(job.shard)

    def poll(self) -> list[TrainerResult]:
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
        """Read the state of a job that was asked for, and ask for one that was not, or is to be asked for again."""
        call = self._calls[shard]
        call.look_s = time.monotonic() + LOOK_EVERY_S
        try:
            if call.ticket:
                self._follow(shard, call, self._store.look(shard))
            if shard in self._calls and not call.ticket:
                self._ask(shard, call)
        except StaleEpochError as error:
            self._fail(shard, str(error))
        except StateError as error:
            self._again(shard, call, str(error))
        except StoreError as error:
            LOG.warning("the training of %s waits: %s", shard, error)
            call.since_s = time.monotonic()  # its trainer could send no heartbeats either
            call.look_s = call.since_s + PAUSE_S

    def _ask(self, shard: ShardId, call: _Call) -> None:
        job, token = self._jobs[shard].job, secrets.token_hex(8)
        expire_s = WAITING_S_MAX + self._limits.timeout_s + KEPT_S
        self._store.ask(shard, job.epoch, token, expire_s, base=job.base)
        self._jobs.begin(shard)
        ticket = Ticket.of(job, token, self._jobs[shard].attempts, call.asked_ms)
        call.token, call.ticket = token, seal_ticket(ticket, self._pipeline, self._keyring)
        self._put(shard, call)

    def _put(self, shard: ShardId, call: _Call) -> None:
        """Put the ticket: the first of a job by the number of the shard, which spreads them evenly, and later ones anywhere."""
        self._queue.put(random.randrange(2**16) if call.put_s else shard.partition, call.ticket)
        call.put_s = time.monotonic()

    def _follow(self, shard: ShardId, call: _Call, state: JobState | None) -> None:
        """Act on the state of a job; with the ticket removed, it is asked for again."""
        if state is None or state.token != call.token:
            self._again(shard, call, "the store has lost it")
        elif state.ending is not None:
            self._end(shard, call, state.ending)
        elif state.status == "given_back":
            self._jobs[shard].attempts -= 1
            call.ticket = b""
        elif state.status == "running":
            call.since_s, call.told_s = max(call.since_s, time.monotonic() - state.heartbeat_age_s), -math.inf
            self._jobs.progressed(shard, state.rows, state.rows_total)
            if time.monotonic() - call.since_s > QUIET_S:
                self._again(shard, call, f"its trainer has sent no heartbeat for {QUIET_S:.0f} s")
        else:
            self._waits(shard, call)

    def _waits(self, shard: ShardId, call: _Call) -> None:
        now_s = time.monotonic()
        waited_s = now_s - call.since_s
        if waited_s > WAITING_S_MAX:
            self._fail(shard, f"no trainer took it for {WAITING_S_MAX:.0f} s: start stream-retrain trainer with exactly this pipeline")
            return
        if waited_s > max(self._limits.trainer_wait_s, call.told_s + WAITS_EVERY_S):
            call.told_s = waited_s
            self._jobs.waits(shard, waited_s, self._trainers())
        if now_s - call.put_s > QUIET_S:
            self._put(shard, call)

    def _end(self, shard: ShardId, call: _Call, ending: Ending) -> None:
        if ending.sealed is None:
            error = ending.error or "its trainer gave no reason"
            return self._again(shard, call, error) if ending.again else self._fail(shard, error)
        try:
            result = self._verified(self._jobs[shard].job, ending.sealed)
        except StateError as error:
            return self._fail(shard, f"its result was refused: {error}")
        self._drop(shard)
        return self._jobs.done(result)

    def _verified(self, job: Job, sealed: bytes) -> JobDone:
        """The result, as its signed header describes it. Raises `StateError`."""
        header, _ = verify_model(sealed, self._pipeline, job.shard, self._keyring)
        extra = header.extra
        if (extra.get("epoch"), extra.get("training")) != (str(job.epoch), str(job.training.number)):
            raise StateError(f"A model of {job.shard} is of another training")
        try:
            rows, seconds, gap = int(extra["rows"]), float(extra["seconds"]), extra["gap"] == "yes"
        except (KeyError, ValueError) as error:
            raise StateError(f"A model of {job.shard} does not say how it was trained: {error}") from None
        training, through = job.training.number, header.offset - 1
        return JobDone(shard=job.shard, training=training, sealed=sealed, learned_through=through, rows=rows, seconds=seconds, gap=gap)

    def _again(self, shard: ShardId, call: _Call, error: str) -> None:
        """Let it be asked for again, or fail it if the last attempt was its last."""
        if self._jobs.retry(shard, error):
            LOG.warning("the training of %s begins again: %s", shard, error)
            call.ticket, call.since_s = b"", time.monotonic()
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

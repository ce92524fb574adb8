"""A trainer of the pool: it takes tickets, and has a child process do each training, while it stays a member of its groups.

Protocol of use: `run`, or `turn` again and again and then `close`. A turn:

1. receives tickets. What is no genuine ticket is dropped with a line in the log. Of each shard only the ticket sent last is kept;
2. looks at the trainings under way: sends a heartbeat every two seconds, and ends a training that is no longer wanted. When a training
   is over it writes the result or the error; while the store is unavailable it tries again;
3. begins trainings while a child is free: the pipelines in turn, and of each the one that was asked for first. A job that another trainer
   is at is left to it, and looked at again.

A ticket is done (its offset may be committed) when its training is over, or is not wanted. So if this process dies, others receive what
it has not done, and take up a job once its heartbeats have stopped for `JOB_LEASE_S`. `close` gives back what is under way.

The child has the limits of `engines.trainer.process`. Nothing that Kafka or Redis hold is unpickled here; the child verifies a model first.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.sources import sources_digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.jobs import JobDone, JobFailed, JobProgressed, Trainer
from stream_retrain.engines.trainer.tickets import Misfit, Received, Ticket, TicketSource, open_ticket
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.telling import without_values
from stream_retrain.facts.values import ShardId
from stream_retrain.logs import fields_with
from stream_retrain.stores.ports import Ending, JobStore

__all__ = ["OUTCOMES", "Served", "TicketServer"]

HEARTBEAT_EVERY_S: Final = 2.0
BUSY_EVERY_S: Final = 1.0
STORE_PAUSE_S: Final = 2.0
TURN_S: Final = 0.1
OUTCOMES: Final = ("trained", "failed", "unwanted", "given_back", "dropped")
LOG: Final = logging.getLogger("stream_retrain.trainer")


@dataclasses.dataclass(slots=True, kw_only=True)
class Served:
    """A pipeline, where its tickets come from, and what makes its child processes."""

    pipeline: Pipeline
    source: TicketSource
    trainer: Callable[[], Trainer]
    """It attempts a job once: attempts are counted in the store."""
    sources: str = ""
    """The digest of the user's code, as it was loaded (`codec.sources`)."""

    def __post_init__(self) -> None:
        self.sources = self.sources or sources_digest(self.pipeline)


@dataclasses.dataclass(slots=True)
class _Held:
    """A ticket that is not done."""

    ticket: Ticket | Misfit
    received: Received
    served: Served
    not_before_s: float = 0.0

    def done(self) -> None:
        self.served.source.done(self.received)


@dataclasses.dataclass(slots=True)
class _Child:
    """A child process and the training it does; it is kept for the next one of the same pipeline."""

    trainer: Trainer
    served: Served
    held: _Held | None = None
    rows: tuple[int, int | None] = (0, None)
    ending: Ending | None = None
    """How the training ended, until it is written."""
    next_s: float = 0.0
    """When the store is told next."""


class TicketServer:
    """A trainer of one or several pipelines, with up to `children` trainings at a time."""

    def __init__(self, served: Sequence[Served], jobs: JobStore, keyring: Keyring, name: str, *, children: int = 1) -> None:
        """`name` is this trainer's, and no other's."""
        self._served = collections.deque(served)
        self._jobs = jobs
        self._keyring = keyring
        self._name = name
        self._children_max = children
        self._children: list[_Child] = []
        self._waiting: dict[ShardId, _Held] = {}
        self._store_s = 0.0
        """Before that, the store is not asked for further jobs."""
        self._began_s = time.monotonic()
        self._outcomes: collections.Counter[str] = collections.Counter()

    @property
    def outcomes(self) -> dict[str, int]:
        """How many tickets came to what."""
        return {name: self._outcomes[name] for name in OUTCOMES}

    @property
    def doing(self) -> str:
        """What it does now, in words."""
        tickets = [child.held.ticket for child in self._children if child.held is not None]
        return ", ".join(f"training {each.training.number} of {each.shard}" for each in tickets if isinstance(each, Ticket)) or "idle"

    def shown(self, pipeline: str) -> dict[str, object]:
        """How this trainer stands, as `engines.announce` tells it: a worker without shards."""
        return {
            "instance": self._name,
            "pipeline": pipeline,
            "version": version("stream_retrain"),
            "pid": os.getpid(),
            "state": "running",
            "detail": self.doing,
            "ready": True,
            "missing": [],
            "store": "up",
            "partitions": None,
            "uptime_s": time.monotonic() - self._began_s,
            "commit_age_s": None,
            "checkpoint_age_s": None,
            "shards": {},
        }

    def run(self, stop: Callable[[], bool], *, burst: bool = False, shutdown_timeout_s: float = 5.0) -> dict[str, int]:
        """Serve until `stop()` (`burst`: until nothing waits); the outcomes. Raises `BrokerError`."""
        try:
            while not stop():
                self.turn()
                if burst and self.is_idle:
                    break
        finally:
            self.close(time.monotonic() + shutdown_timeout_s)
        return self.outcomes

    def turn(self, wait_s: float = TURN_S) -> None:
        """One turn, by the numbered steps of this module; it waits for tickets, for at most `wait_s`. Raises `BrokerError`."""
        for served in list(self._served):
            for received in served.source.receive(wait_s / len(self._served)):
                self._received(served, received)
        now_s = time.monotonic()
        for child in self._children:
            if child.held is not None:
                self._follow(child, child.held, now_s)
        while now_s >= self._store_s and self._busy < self._children_max and (held := self._next(now_s)) is not None:
            self._begin(held, now_s)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and nothing waits here but for other trainers."""
        now_s = time.monotonic()
        waits = any(held.not_before_s <= now_s for held in self._waiting.values())
        return not self._busy and not waits and now_s >= self._store_s and all(served.source.caught_up for served in self._served)

    def close(self, deadline_s: float) -> None:
        """Give back what is under way, and leave the groups; given up at `deadline_s` of the monotonic clock."""
        for child in self._children:
            child.trainer.close(deadline_s)
            if child.held is not None:
                self._give_back(child.held)
        for served in self._served:
            served.source.close(deadline_s)

    @property
    def _busy(self) -> int:
        return sum(child.held is not None for child in self._children)

    def _received(self, served: Served, received: Received) -> None:
        try:
            ticket = open_ticket(received.value, served.pipeline, self._keyring)
        except StateError as error:
            self._outcomes["dropped"] += 1
            told, why = fields_with("ticket.dropped", pipeline=served.pipeline.name), str(error).split(": ")[0]
            LOG.warning("a ticket of pipeline %s is dropped: %s", served.pipeline.name, why, extra=told)
            ticket = None
        if ticket is None:
            served.source.done(received)
            return
        held = _Held(ticket, received, served)
        at_work = next((child.held for child in self._children if child.held and child.held.ticket.token == ticket.token), None)
        before = self._waiting.get(ticket.shard) if at_work is None else at_work
        if before is None:
            self._waiting[ticket.shard] = held
        elif at_work is not None or held.ticket.sent_ms <= before.ticket.sent_ms:  # received again, or an older one
            _adopt(before, held)
        else:
            before.done()
            self._waiting[ticket.shard] = held

    def _next(self, now_s: float) -> _Held | None:
        """The ticket to begin with: of the pipeline whose turn it is, the one that was asked for first."""
        for held in [held for held in self._waiting.values() if not held.served.source.owns(held.received)]:
            del self._waiting[held.ticket.shard]
        for _ in range(len(self._served)):
            served = self._served[0]
            self._served.rotate(-1)
            ready = [held for held in self._waiting.values() if held.served is served and held.not_before_s <= now_s]
            if ready:
                return min(ready, key=lambda held: held.ticket.asked_ms)
        return None

    def _begin(self, held: _Held, now_s: float) -> None:
        """Take the job of a ticket that waits, and hand it to a child."""
        ticket, shard = held.ticket, held.ticket.shard
        try:
            taken = self._jobs.take(shard, ticket.token, self._name)
        except StoreError as error:
            self._store_away(error)
            return
        except StateError as error:
            LOG.error("%s", error)
            taken = None
        if taken == "busy":
            held.not_before_s = now_s + BUSY_EVERY_S
            return
        del self._waiting[shard]
        if taken is None:
            self._over("unwanted", held)
            return
        child = self._child_for(held.served)
        child.held, child.rows, child.ending, child.next_s = held, (0, None), None, 0.0
        if isinstance(ticket, Misfit):
            child.ending = Ending(error=ticket.reason)
        elif ticket.sources != held.served.sources:
            child.ending = Ending(error="the trainer has loaded other code than the worker: start both again with the same files")
        elif taken.attempt > ticket.attempts_max:
            child.ending = Ending(error=f"its trainers died, {ticket.attempts_max} of them one after the other")
        else:
            try:
                child.trainer.submit(ticket.job(taken.base))
                LOG.info("training %d of %s begins, attempt %d", ticket.training.number, shard, taken.attempt)
            except StateError as error:
                child.ending = Ending(error=str(error))
        self._follow(child, held, now_s)

    def _child_for(self, served: Served) -> _Child:
        """A child that is free: one of this pipeline's, else another one in the place of what is free longest."""
        free = [child for child in self._children if child.held is None]
        for child in free:
            if child.served is served:
                return child
        if len(self._children) >= self._children_max:
            free[0].trainer.close(time.monotonic())
            self._children.remove(free[0])
        self._children.append(_Child(served.trainer(), served))
        return self._children[-1]

    def _follow(self, child: _Child, held: _Held, now_s: float) -> None:
        """Learn how the training gets on, and tell the store."""
        shard, token = held.ticket.shard, held.ticket.token
        for result in child.trainer.poll():
            match result:
                case JobProgressed():
                    child.rows = (result.rows, result.rows_total)
                case JobDone():
                    child.ending, child.next_s = Ending(sealed=result.sealed), 0.0
                    LOG.info("training %d of %s: %s rows in %.1f s", result.training, shard, f"{result.rows:,}", result.seconds)
                case JobFailed():
                    child.ending, child.next_s = Ending(error=result.error, again=result.again), 0.0
        if now_s < child.next_s:
            return
        try:
            if child.ending is None:
                child.next_s = now_s + HEARTBEAT_EVERY_S
                wanted = self._jobs.heartbeat(shard, token, self._name, *child.rows)
            else:
                wanted = self._jobs.end(shard, token, self._name, child.ending)
        except StoreError as error:
            child.next_s = now_s + STORE_PAUSE_S
            LOG.warning("a training of %s waits for the store: %s", shard, error)
            return
        if wanted and child.ending is None:
            return
        if child.ending is None:
            child.trainer.cancel(shard)
            child.trainer.poll()
        elif child.ending.error is not None:
            LOG.error("a training of %s failed: %s", shard, without_values(child.ending.error))
        child.held = None
        self._over("unwanted" if not wanted or child.ending is None else "failed" if child.ending.sealed is None else "trained", held)

    def _over(self, outcome: str, held: _Held) -> None:
        self._outcomes[outcome] += 1
        held.done()
        if outcome == "unwanted":
            LOG.info("a training of %s is not wanted any more: it has expired, or was replaced, cancelled or ended", held.ticket.shard)

    def _give_back(self, held: _Held) -> None:
        shard = held.ticket.shard
        try:
            if self._jobs.end(shard, held.ticket.token, self._name, None):
                self._outcomes["given_back"] += 1
                LOG.warning("a training of %s is given back: its trainer was told to stop", shard)
        except StoreError as error:
            LOG.warning("a training of %s could not be given back: %s", shard, error)

    def _store_away(self, error: StoreError) -> None:
        self._store_s = time.monotonic() + STORE_PAUSE_S
        LOG.warning("tickets wait for the store: %s", error)


def _adopt(before: _Held, held: _Held) -> None:
    """The same ticket again, or an older one of the shard: the one that is kept stands for both."""
    if before.ticket.token == held.ticket.token:
        before.received, held.received = held.received, before.received
    if before.received[:2] != held.received[:2]:
        held.done()

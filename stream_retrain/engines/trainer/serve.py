"""A trainer of the pool: it takes tickets, and has a child process do each training, while it stays a member of its groups.

Protocol of use: `run`, or `turn` again and again and then `close`. A turn:

1. receives tickets. What is no genuine ticket, or is one for trainers of another version, is dropped with a line in the log. Of each shard
   only the ticket sent last is kept;
2. looks at the trainings under way: sends a heartbeat every two seconds, and ends a training that is no longer wanted. When a training
   is over it writes the result or the error; while the store is unavailable it tries again;
3. begins trainings while a child is free: the pipelines in turn, and of each the one that was asked for first.

Nothing is lost with this process: a worker sends a ticket again until its job was taken, and asks again for a job whose heartbeats have
stopped. `close` gives back what is under way.

The child has the limits of `engines.trainer.process`. Nothing that Kafka or Redis hold is unpickled here; the child verifies a model first.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.announce import without_shards
from stream_retrain.engines.trainer.jobs import JobDone, JobFailed, JobProgressed, Trainer
from stream_retrain.engines.trainer.tickets import QUIET_S, Ticket, TicketSource, open_ticket
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.telling import without_values
from stream_retrain.facts.values import ShardId
from stream_retrain.logs import fields_with
from stream_retrain.stores.ports import Ending, JobStore

__all__ = ["Served", "TicketServer"]

HEARTBEAT_EVERY_S: Final = 2.0
TURN_S: Final = 0.1
BURST_S: Final = QUIET_S + 5.0
"""With nothing to do for so long, nothing waits, though the end of a topic was not seen: each ticket would have come again."""
LOG: Final = logging.getLogger("stream_retrain.trainer")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A pipeline, where its tickets come from, and what makes its child processes."""

    pipeline: Pipeline
    source: TicketSource
    trainer: Callable[[], Trainer]
    """It attempts a job once: attempts are counted by the worker."""


@dataclasses.dataclass(slots=True)
class _Child:
    """A child process and the training it does; it is kept for the next one of the same pipeline."""

    trainer: Trainer
    served: Served
    ticket: Ticket | None = None
    rows: tuple[int, int | None] = (0, None)
    ending: Ending | None = None
    """How the training ended, until it is written."""
    next_s: float = 0.0
    """When the store is told next."""


class TicketServer:
    """A trainer of one or several pipelines, with up to `children` trainings at a time."""

    def __init__(self, served: Sequence[Served], jobs: JobStore, keyring: Keyring, *, children: int = 1) -> None:
        self._served = collections.deque(served)
        self._jobs = jobs
        self._keyring = keyring
        self._children_max = children
        self._children: list[_Child] = []
        self._waiting: dict[ShardId, Ticket] = {}
        self._began_s = self._busy_s = time.monotonic()
        self._missed: set[ShardId] = set()
        """Of whom a ticket was given up, which comes again."""
        self.outcomes = dict.fromkeys(("trained", "failed", "unwanted", "given_back", "dropped"), 0)
        """How many tickets came to what."""

    @property
    def doing(self) -> str:
        """What it does now, in words."""
        return ", ".join(_told(child.ticket) for child in self._children if child.ticket is not None) or "idle"

    def shown(self, instance: str, pipeline: str) -> dict[str, object]:
        """How this trainer stands, as `engines.announce` tells it: a worker without shards."""
        return without_shards(instance, pipeline, self.doing, self._began_s)

    def run(self, stop: Callable[[], bool], *, burst: bool = False, shutdown_timeout_s: float = 5.0) -> dict[str, int]:
        """Serve until `stop()` (`burst`: until nothing waits); the outcomes. Raises `BrokerError`."""
        try:
            while not stop():
                self.turn()
                if burst and self._nothing_waits():
                    break
        finally:
            self.close(time.monotonic() + shutdown_timeout_s)
        return self.outcomes

    def turn(self, wait_s: float = TURN_S) -> None:
        """One turn, by the numbered steps of this module; it waits for tickets, for at most `wait_s`. Raises `BrokerError`."""
        for served in self._served:
            for sealed in served.source.receive(wait_s / len(self._served)):
                self._received(served, sealed)
        try:
            for child in self._children:
                if child.ticket is not None:
                    self._follow(child, child.ticket)
            while self._busy < self._children_max and self._waiting:
                self._begin()
        except StoreError as error:  # a result is written later; a ticket that was to begin comes again
            LOG.warning("trainings wait for the store: %s", error)
        if self._busy:
            self._busy_s = time.monotonic()

    def close(self, deadline_s: float) -> None:
        """Give back what is under way, and leave the groups; given up at `deadline_s` of the monotonic clock."""
        for child in self._children:
            child.trainer.close(deadline_s)
            try:
                if child.ticket is not None and self._jobs.end(child.ticket.wanted.shard, child.ticket.token, None):
                    self.outcomes["given_back"] += 1
                    LOG.warning("%s is given back: its trainer was told to stop", _told(child.ticket))
            except StoreError as error:
                LOG.warning("a training could not be given back: %s", error)
        for served in self._served:
            served.source.close(deadline_s)

    def _nothing_waits(self) -> bool:
        """Whether every ticket was served that the topics have for this trainer; where they do not say, after `BURST_S` without work."""
        if self._busy or self._waiting:
            return False
        told = not self._missed and all(served.source.at_end() for served in self._served)
        return told or time.monotonic() - self._busy_s > BURST_S

    @property
    def _busy(self) -> int:
        return sum(child.ticket is not None for child in self._children)

    def _received(self, served: Served, sealed: bytes) -> None:
        try:
            ticket = open_ticket(sealed, served.pipeline, self._keyring)
        except StateError as error:
            self.outcomes["dropped"] += 1
            told = fields_with("ticket.dropped", pipeline=served.pipeline.name)
            LOG.warning("a ticket of pipeline %s is dropped: %s", served.pipeline.name, str(error).split(": ")[0], extra=told)
            return
        shard = ticket.wanted.shard
        self._missed.discard(shard)
        self._waiting[shard] = max(ticket, self._waiting.get(shard, ticket), key=lambda each: (each.wanted.epoch, each.sent_ms))

    def _begin(self) -> None:
        """Take the job that was asked for first of the pipeline whose turn it is, and hand it to a child. Raises `StoreError`."""
        self._served.rotate(-1)
        served = self._served[-1]
        ours = [ticket for ticket in self._waiting.values() if ticket.wanted.shard.pipeline == served.pipeline.name]
        if not ours:
            return
        ticket = self._waiting.pop(min(ours, key=lambda each: each.asked_ms).wanted.shard)
        self._missed.add(ticket.wanted.shard)
        taken = self._jobs.take(ticket.wanted.shard, ticket.token)
        self._missed.discard(ticket.wanted.shard)
        if taken is None:
            self.outcomes["unwanted"] += 1
            return
        child = self._child_for(served)
        child.ticket, child.rows, child.ending, child.next_s = ticket, (0, None), None, 0.0
        try:
            child.trainer.submit(ticket.job(taken.base))
            LOG.info("%s begins, attempt %d", _told(ticket), ticket.attempt)
        except StateError as error:
            child.ending = Ending(error=str(error))
        self._follow(child, ticket)

    def _child_for(self, served: Served) -> _Child:
        """A child that is free: one of this pipeline's, else another one in the place of what is free longest."""
        free = [child for child in self._children if child.ticket is None]
        for child in free:
            if child.served is served:
                return child
        if len(self._children) >= self._children_max:
            free[0].trainer.close(time.monotonic())
            self._children.remove(free[0])
        self._children.append(_Child(served.trainer(), served))
        return self._children[-1]

    def _follow(self, child: _Child, ticket: Ticket) -> None:
        """Learn how the training gets on, and tell the store. Raises `StoreError`."""
        for result in child.trainer.poll():
            match result:
                case JobProgressed():
                    child.rows = (result.rows, result.rows_total)
                case JobDone():
                    child.ending, child.next_s = Ending(sealed=result.sealed), 0.0
                    LOG.info("%s: %s rows in %.1f s", _told(ticket), f"{result.rows:,}", result.seconds)
                case JobFailed():
                    child.ending, child.next_s = Ending(error=result.error, again=result.again), 0.0
                    LOG.error("%s failed: %s", _told(ticket), without_values(result.error))
        shard, ending, now_s = ticket.wanted.shard, child.ending, time.monotonic()
        if now_s < child.next_s:
            return
        child.next_s = now_s + HEARTBEAT_EVERY_S
        if ending is not None:
            wanted = self._jobs.end(shard, ticket.token, ending)
        elif wanted := self._jobs.heartbeat(shard, ticket.token, *child.rows):
            return
        else:
            child.trainer.cancel(shard)
            child.trainer.poll()
        if not wanted:
            LOG.info("%s is not wanted any more: it has expired, or was replaced, cancelled or ended", _told(ticket))
        self.outcomes["unwanted" if ending is None or not wanted else "failed" if ending.sealed is None else "trained"] += 1
        child.ticket = None


def _told(ticket: Ticket) -> str:
    return f"training {ticket.wanted.training.number} of {ticket.wanted.shard}"

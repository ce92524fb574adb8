"""Tickets: how a worker asks the trainers of the pool for a training, and the two ends of the topic that carries them.

A ticket is sealed, so whoever can write to the topic can ask for nothing. It names the version of the pipeline (the digest in its header),
the user's code, and the model to start from by its hash; that model itself, progress and result are in the `JobStore`, under the ticket's
token. A ticket whose token is no longer there asks for nothing: so one that is old, replaced, cancelled or sent again by somebody else does
no harm.

The trainers of a pipeline are a consumer group for each version of it (`trainers_group`). Every group reads every ticket; a trainer passes
over those of another version, and their own group has them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from stream_retrain.codec.checkpoint import checkpoint_header, header_misfit
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import seal, unseal
from stream_retrain.core.contest.training import Training
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.jobs import Job
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId

__all__ = ["Misfit", "Received", "Ticket", "TicketQueue", "TicketSource", "open_ticket", "seal_ticket", "trainers_group"]

KIND: Final = "ticket"


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    shard: ShardId
    token: str
    epoch: int
    training: Training
    learned_through: int | None
    sources: str
    """The digest of the user's code that the worker has loaded (`codec.sources`)."""
    base: str | None
    """The SHA-256 of the sealed model to start from."""
    attempts_max: int
    asked_ms: int
    """When the training was first asked for, by the worker's clock: trainers take the oldest first."""
    sent_ms: int

    def job(self, base: bytes | None) -> Job:
        """The job, with the model that the store has for it. Raises `StateError` if that is not the one of the ticket."""
        if (None if base is None else hashlib.sha256(base).hexdigest()) != self.base:
            raise StateError(f"the model that the training of {self.shard} is to start from was changed in the store")
        return Job(shard=self.shard, epoch=self.epoch, training=self.training, base=base, learned_through=self.learned_through)


class Misfit(NamedTuple):
    """A genuine ticket that this process cannot serve, and why not."""

    shard: ShardId
    token: str
    reason: str
    asked_ms: int = 0
    sent_ms: int = 0


class Received(NamedTuple):
    """A record of the topic, and where it stands."""

    partition: int
    offset: int
    value: bytes


class TicketQueue(Protocol):
    """The worker's end of the topic. No call waits for Kafka."""

    def put(self, place: int, ticket: bytes, lost: Callable[[], None]) -> None:
        """Send a ticket; neighbouring places are different partitions. `lost` is called from within `poll` if it was not delivered."""
        ...

    def poll(self) -> None:
        """Learn what became of those that were put. Call it often."""
        ...


class TicketSource(Protocol):
    """A trainer's end of the topic: a member of the group, for as long as `receive` is called."""

    def receive(self, timeout_s: float) -> list[Received]:
        """What has arrived. Raises `BrokerError` if the membership cannot go on."""
        ...

    def owns(self, received: Received) -> bool:
        """Whether its partition is still this trainer's; if not, another one receives it."""
        ...

    def done(self, received: Received) -> None:
        """It needs not be received again, by anybody."""
        ...

    @property
    def caught_up(self) -> bool:
        """Whether everything in the topic that is this trainer's has been received."""
        ...

    def close(self, deadline_s: float) -> None:
        """Leave the group, so that others receive what is not done; given up at `deadline_s` of the monotonic clock."""
        ...


def trainers_group(group: str, pipeline: Pipeline) -> str:
    """The consumer group of the trainers that have loaded exactly this pipeline; `group` is that of its workers."""
    return f"{group}.trainers.{pipeline.digest()[:12]}"


def seal_ticket(ticket: Ticket, pipeline: Pipeline, keyring: Keyring) -> bytes:
    """The ticket, signed, as it travels."""
    return seal(_header(pipeline, ticket.shard, {"token": ticket.token}), msgspec.json.encode(ticket), keyring)


def open_ticket(data: bytes, pipeline: Pipeline, keyring: Keyring) -> Ticket | Misfit | None:
    """A genuine ticket of this very pipeline; None: of another version of it. Raises `StateError` for anything else."""
    header, payload = unseal(data, keyring, where="A ticket")
    shard, token = ShardId(header.pipeline, header.topic, header.partition), header.extra.get("token", "")
    wanted = _header(pipeline, shard, {})
    if (header.kind, header.pipeline) != (KIND, pipeline.name):
        raise StateError(f"it is a {header.kind} of pipeline {header.pipeline!r}")
    if header.pipeline_digest != wanted.pipeline_digest:
        return None
    if (misfit := header_misfit(header, wanted)) is not None:
        return Misfit(shard, token, f"the trainer cannot serve the worker: {misfit}. Give both the same release, River and Python")
    try:
        ticket = msgspec.json.decode(payload, type=Ticket)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return Misfit(shard, token, f"the trainer cannot read the worker's ticket ({error}): give both the same release")
    if (ticket.shard, ticket.token) != (shard, token):
        raise StateError("its header is of another ticket")
    return ticket


def _header(pipeline: Pipeline, shard: ShardId, extra: dict[str, str]) -> Any:
    return checkpoint_header(pipeline, shard, 0, 0, kind=KIND, extra=extra)

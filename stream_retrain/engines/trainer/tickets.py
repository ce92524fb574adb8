"""Tickets: how a worker asks the trainers of the pool for a training, and the two ends of the topic that carries them.

A ticket is sealed, so whoever can write to the topic can ask for nothing. It names the pipeline's version, the user's code, and the model
to start from by its hash. That model itself, progress and result are in the `JobStore`, under the ticket's token. A token that is no
longer there, or was taken, asks for nothing: so a ticket that is old, replaced, cancelled or sent twice does no harm. Nor does one that is
lost, because its worker sends it again until somebody has taken it.

The trainers that can serve a worker (the same pipeline, user's code, River, Python and layout of states) are a consumer group of their own
(`trainers_group`). Every group reads every ticket, and passes over those of another version: so trainers of two versions can run side by
side.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import time
from typing import Final, Protocol

import msgspec

from stream_retrain.codec.checkpoint import checkpoint_header, header_misfit
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, seal, unseal
from stream_retrain.codec.sources import sources_digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.trainer.jobs import Job
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId

__all__ = ["QUIET_S", "Ticket", "TicketQueue", "TicketSource", "open_ticket", "seal_ticket", "trainers_group"]

KIND: Final = "ticket"
QUIET_S: Final = 10.0
"""After how long a ticket that nobody has taken, or a job whose trainer is silent, is sent again."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    wanted: Job
    """The job, without the model to start from."""
    base: str | None
    """The SHA-256 of that model, sealed as it is."""
    token: str
    attempt: int
    asked_ms: int
    """When the training was first asked for, by the worker's clock: trainers take the oldest first."""
    sent_ms: int

    @classmethod
    def of(cls, job: Job, token: str, attempt: int, asked_ms: int) -> Ticket:
        """A ticket for a job, sent now."""
        wanted, sent_ms = dataclasses.replace(job, base=None), int(time.time() * 1000)
        return cls(wanted=wanted, base=_hash(job.base), token=token, attempt=attempt, asked_ms=asked_ms, sent_ms=sent_ms)

    def job(self, base: bytes | None) -> Job:
        """The job, with the model that the store has for it. Raises `StateError` if that is not the one of the ticket."""
        if _hash(base) != self.base:
            raise StateError(f"the model that the training of {self.wanted.shard} is to start from was changed in the store")
        return dataclasses.replace(self.wanted, base=base)


class TicketQueue(Protocol):
    """The worker's end of the topic. It does not wait for Kafka."""

    def put(self, place: int, ticket: bytes) -> None:
        """Send a ticket; neighbouring places are different partitions. It may be lost: it is put again if nobody takes it."""
        ...


class TicketSource(Protocol):
    """A trainer's end of the topic: a member of the group, for as long as `receive` is called."""

    def receive(self, timeout_s: float) -> list[bytes]:
        """What has arrived; it is not received again. Raises `BrokerError` if the membership cannot go on."""
        ...

    def at_end(self) -> bool:
        """Whether all that is there for this trainer was received; false also for a trainer that has no part of the topic."""
        ...

    def close(self, deadline_s: float) -> None:
        """Leave the group; given up at `deadline_s` of the monotonic clock."""
        ...


def trainers_group(group: str, pipeline: Pipeline) -> str:
    """The consumer group of the trainers that can serve the workers of `group`, if those have what this process has."""
    return f"{group}.trainers.{_version(_header(pipeline, ShardId(pipeline.name, '', 0)))}"


def seal_ticket(ticket: Ticket, pipeline: Pipeline, keyring: Keyring) -> bytes:
    """The ticket, signed, as it travels."""
    return seal(_header(pipeline, ticket.wanted.shard), msgspec.json.encode(ticket), keyring)


def open_ticket(data: bytes, pipeline: Pipeline, keyring: Keyring) -> Ticket:
    """A genuine ticket that this process can serve. Raises `StateError` for anything else; its message says what it is."""
    header, payload = unseal(data, keyring, where="A ticket")
    shard = ShardId(pipeline.name, header.topic, header.partition)
    wanted = _header(pipeline, shard)
    if (misfit := header_misfit(header, wanted)) is not None:
        raise StateError(misfit)
    if _version(header) != _version(wanted):
        what = "other code" if header.pipeline_digest == wanted.pipeline_digest else "another version of the pipeline"
        raise StateError(f"its worker has loaded {what}")
    try:
        ticket = msgspec.json.decode(payload, type=Ticket)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(f"another release wrote it ({error})") from None
    if ticket.wanted.shard != shard:
        raise StateError("its header is of another shard")
    return ticket


def _header(pipeline: Pipeline, shard: ShardId) -> Header:
    return checkpoint_header(pipeline, shard, 0, 0, kind=KIND, extra={"sources": _sources(pipeline)})


def _version(header: Header) -> str:
    """What must be the same on both sides, in short."""
    same = (header.pipeline_digest, header.extra, header.schema, header.versions.river, header.versions.python.split(".")[:2])
    return hashlib.sha256(repr(same).encode()).hexdigest()[:12]


def _hash(sealed: bytes | None) -> str | None:
    return None if sealed is None else hashlib.sha256(sealed).hexdigest()


_sources = functools.lru_cache(maxsize=8)(sources_digest)
"""Computed once, early: what a file is edited to later is not what this process runs."""

"""The port of trainings that are done elsewhere: what was asked, who is at it, what came of it.

A shard has one job at most, under a token that its asker made up. The steps of a job, each refused once another job has taken its
place:

1. the shard's owner asks, with a ticket and a sealed base model;
2. a trainer takes it, and gives signs of life: from the time since the last one the owner tells that the trainer has died;
3. the trainer ends it, with a sealed model or with an error;
4. the owner looks, verifies the seal, and drops the job.

Whatever nobody touches for `expire_s` is gone. A ticket is data (JSON), never pickle; models are under seals.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, Protocol, TypeAlias

from stream_retrain.core.messages import ShardId

__all__ = ["Ending", "JobState", "JobStatus", "JobStore", "Ticket"]

JobStatus: TypeAlias = Literal["waiting", "running", "ended"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What is asked: the words of it, as the trainer reads them, and the model to go on from."""

    token: str
    text: bytes
    base: bytes | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of a job: a sealed model, or an error and whether trying again may help."""

    sealed: bytes | None = dataclasses.field(default=None, repr=False)
    error: str | None = None
    again: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """How a job stands."""

    token: str
    status: JobStatus
    rows: int
    rows_total: int | None
    silent_s: float
    """Seconds since it was asked for, taken, or gave a sign of life, by the store's clock."""
    ending: Ending | None


class JobStore(Protocol):
    """One job a shard, between its owner and whoever trains."""

    def ask(self, shard: ShardId, epoch: int, ticket: Ticket, expire_s: float) -> None:
        """Put a job in the place of the shard's former one. Raises `StaleEpochError`."""
        ...

    def take(self, shard: ShardId, token: str) -> Ticket | None:
        """The ticket, for whoever begins to train; None where the job was dropped, replaced or ended."""
        ...

    def beat(self, shard: ShardId, token: str, rows: int, rows_total: int | None) -> bool:
        """Give a sign of life and say how far it is; False: nobody waits for it any more."""
        ...

    def end(self, shard: ShardId, token: str, ending: Ending) -> bool:
        """Say what came of it; False: nobody waits for it any more. Only the first ending counts."""
        ...

    def look(self, shard: ShardId) -> JobState | None:
        """How the shard's job stands; None: there is none."""
        ...

    def drop(self, shard: ShardId, token: str) -> None:
        """Forget the job, if it is still that one."""
        ...

"""What a worker knows of schedules in wall time."""

from __future__ import annotations

import dataclasses

from stream_retrain.facts.values import ShardId

__all__ = ["ScheduleMissed", "ScheduleSeen"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSeen:
    """A schedule in wall time of a rule, and when it is due next, in seconds since the epoch."""

    rule: int
    schedule: str
    at_s: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleMissed:
    """Times of a schedule passed at which a shard was not asked: no worker had it, or the request before them still waited."""

    shard: ShardId
    rule: int
    schedule: str
    count: int
    """How many; at most 1,000 are counted."""
    late_s: float
    """How long ago the newest was; where that one was asked all the same, those before it were missed."""

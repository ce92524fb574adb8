"""What a lane leaves of its run: sums by interval, readings, marks, the points of duels, and counts. Small, and ready to be sent.

One variant over one partition makes one recording; `backtesting.summing` adds them up to a result.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from stream_retrain.backtesting.result import DriftReading, DuelPoint, GenerationSpan, Mark

__all__ = ["IntervalSums", "Recording", "RecordingLimits"]


class IntervalSums(NamedTuple):
    """One interval of a lane, as sums, so that those of several partitions can be added."""

    number: int
    from_time_s: float | None
    to_time_s: float | None
    events: int
    labelled: int
    losses: int
    """Labels that have a loss: of a regression not those whose prediction failed."""
    loss_sum: float
    metrics: dict[str, float]
    rejected: int = 0
    drifts: int = 0
    replacements: int = 0
    duels: int = 0
    trainings: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecordingLimits:
    """How much a lane may leave; the more partitions there are, the less of each."""

    marks_max: int
    """Of each kind."""
    duels_max: int
    duel_points_max: int
    """Of each contestant of a duel."""
    generations_max: int

    @classmethod
    def of(cls, partitions: int) -> RecordingLimits:
        """Some thousand marks and some ten thousand points of duels for each variant."""
        share = max(1, partitions)
        return cls(
            marks_max=max(25, 1_000 // share),
            duels_max=max(10, 100 // share),
            duel_points_max=40,
            generations_max=max(50, 1_000 // share),
        )


@dataclasses.dataclass(slots=True, kw_only=True)
class Recording:
    """One variant over one partition, as far as it has come."""

    variant: str
    partition: int
    intervals: list[IntervalSums] = dataclasses.field(default_factory=list)
    readings: list[DriftReading] = dataclasses.field(default_factory=list)
    duel_points: list[DuelPoint] = dataclasses.field(default_factory=list)
    marks: list[Mark] = dataclasses.field(default_factory=list)
    generations: list[GenerationSpan] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    """What was thinned, in words."""
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    """Over all labels."""
    records: int = 0
    events: int = 0
    rejected: int = 0
    labelled: int = 0
    drifts: int = 0
    replacements: int = 0
    duels: int = 0
    trainings: int = 0
    generation: int = 0
    first_rejected: str = ""
    """Where and why, in words."""
    out_of_order: int = 0
    """Events that are earlier than one before them,"""
    earlier_s_max: float = 0.0
    """and by how much at most."""
    stopped_in: int | None = None
    """The interval in which it was interrupted, of which it may have a part; None: it has come to the end."""
    cpu_s: float = 0.0
    """Measured."""

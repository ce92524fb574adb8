"""What came of a backtest, as values: the same for the command line, for Python and for the report.

Everything but the measured speed (`cpu_us`, `events_per_s`, `seconds`) is a function of the source, the pipeline and the options.

A backtest is drawn over *positions*: the numbers of the records among all partitions, in the order of the source. They are cut into
intervals of equal length, the same for every variant and partition.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

__all__ = [
    "BacktestCurves",
    "BacktestSummary",
    "Comparison",
    "DriftReading",
    "DuelPoint",
    "GenerationSpan",
    "Incident",
    "Interval",
    "Mark",
    "MarkKind",
    "VariantSummary",
]

MarkKind: TypeAlias = Literal[
    "drift", "reset", "duel_started", "lead_changed", "promoted", "training_requested", "training_joined", "training_failed"
]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One variant in one interval of one partition; `partition` None is all of them together."""

    variant: str
    partition: int | None
    number: int
    """From 0; interval `number` has the positions from `position` on."""
    position: int
    from_time_s: float | None
    """Event time of its first event; None where it has no event."""
    to_time_s: float | None
    events: int
    """Events (questions and labelled events) in it."""
    labelled: int
    """Labels that came in it."""
    loss: float | None
    """Mean over those labels: the share missed, or of a regression the mean absolute error. None without labels."""
    metrics: dict[str, float]
    """The pipeline's metrics, rolling, as they stood at its end; of all partitions the mean, weighted by labels."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriftReading:
    """What a detector showed at the end of an interval."""

    variant: str
    partition: int
    number: int
    """Of the interval."""
    position: int
    signal: str
    detector: str
    statistic: float | None
    threshold: float | None
    estimate: float | None
    width: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuelPoint:
    """The evidence of one challenger at a moment of a duel."""

    variant: str
    partition: int
    duel: int
    contestant: str
    position: int
    events: int
    """Of the duel, so far."""
    e_value: float
    passes_at: float | None = None
    """The e-value at which it would take the lead, were it the only challenger: 1 over the error that the next change may have."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something that happened, to be drawn over the curves."""

    variant: str
    partition: int
    kind: MarkKind
    offset: int
    position: int
    time_s: float
    text: str
    """What happened, in words."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSpan:
    """How long a generation served; `until_position` None: to the end."""

    variant: str
    partition: int
    generation: int
    from_position: int
    until_position: int | None
    from_time_s: float | None
    cause: str
    """`begin`, `reset`, or the name of the contestant that took over."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Something that is known to have happened in the world, given by whoever asks for the report."""

    text: str
    position: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VariantSummary:
    """One variant over the whole source."""

    name: str
    control: bool
    """It is there for comparison: the previous label (or last value), or resets every hundred labels."""
    description: str
    """Model, watches and rules in words."""
    metric: str
    """The pipeline's first metric; of a tuned run its first that is known of a part."""
    quality: float | None
    """Its value over all labels; of several partitions the mean, weighted by labels. None without labels."""
    metrics: dict[str, float]
    loss: float | None
    kappa_temporal: float | None
    """1 - loss / loss of the control `previous label` (or `last value`): 0 is no better than it, 1 is without error."""
    labelled: int
    drifts: int
    replacements: int
    """How often another model took the champion's place, by a reset or by a duel."""
    duels: int
    trainings: int
    generations: dict[int, int]
    """By partition, the generation at the end."""
    cpu_us: float
    """CPU time an event. Measured: not the same in the next run."""
    events_per_s: float
    """On one core. Measured."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two variants on the same labels: the mean difference of their losses, with its 95 % confidence interval."""

    better: str
    worse: str
    difference: float
    """loss(worse) - loss(better), at least 0."""
    low: float
    high: float
    intervals: int
    """On how many interval means it rests."""

    @property
    def is_shown(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSummary:
    """All figures of a backtest, without its curves."""

    pipeline: str
    task: str
    source: str
    events: int
    """Records that were events of the schema."""
    rejected: int
    """Records that were none: what would have been dead letters."""
    from_position: int
    """The first position that anything here is of: 0, or where the later part of a tuned run begins."""
    partitions: list[int]
    from_time_s: float | None
    to_time_s: float | None
    interval_records: int
    """Positions an interval has."""
    variants: list[VariantSummary]
    """In the order asked for."""
    controls: list[VariantSummary]
    ranking: list[Comparison]
    """Neighbours in the order of their loss, best first, controls included."""
    incidents: list[Incident]
    notes: list[str]
    """What a reader must know: what retention deleted, what a replay does otherwise than a live run."""
    partial: bool
    """It was interrupted: figures are of what had been read by then."""
    command: str
    """How to run it again."""
    versions: dict[str, str]
    seconds: float
    """Measured."""

    @property
    def metric(self) -> str:
        """The metric in which all are told: that of the first variant. A variant that declares others may not have it."""
        return self.variants[0].metric if self.variants else "Quality"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BacktestCurves:
    """What is drawn; all in order of variant (as in the summary, controls last), partition and position."""

    intervals: list[Interval]
    readings: list[DriftReading]
    duels: list[DuelPoint]
    marks: list[Mark]
    generations: list[GenerationSpan]

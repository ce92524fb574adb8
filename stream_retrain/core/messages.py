"""What goes into a shard and what comes out: events in, facts out.

Facts about every event (`Predicted`, `Learned`) are plain named tuples in lists, because the hot path makes one of each an
event; rare facts are frozen dataclasses. A fact is something that happened; nothing here has behaviour.

Time is event time, in seconds since the epoch (UTC); offsets are Kafka offsets of the shard's one partition.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, NamedTuple, TypeAlias

__all__ = [
    "ChallengerJoined",
    "Decided",
    "DriftDetected",
    "Event",
    "Fact",
    "Features",
    "Label",
    "LeaderChanged",
    "Learned",
    "MemberRestarted",
    "ModelReset",
    "Outcome",
    "Predicted",
    "RejectReason",
    "Rejected",
    "Requested",
    "ShardId",
    "TrainingFailed",
    "TrainingRequested",
    "Unmatched",
    "WarningRaised",
]

Feature: TypeAlias = float | int | str | bool
Features: TypeAlias = dict[str, Feature]
Label: TypeAlias = bool | int | str | float

RejectReason: TypeAlias = Literal["empty", "too_large", "decode", "schema", "duplicate", "model"]
"""Why a record was refused: a closed set, so that it can be a metric's label.

- `empty`: no value (a tombstone)          - `too_large`: more bytes than `record_bytes_max`
- `decode`: not JSON                       - `schema`: a field is missing or does not fit
- `duplicate`: its id is waiting for an answer already
- `model`: the model raised on it
"""


class ShardId(NamedTuple):
    """Names a shard: the pipeline, and the partition it is learned from."""

    pipeline: str
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.pipeline}/{self.topic}/{self.partition}"


class Event(NamedTuple):
    """One record, decoded. A question has `x` and no `y`; an answer has `y` and no `x`; an event with both is answered at once."""

    offset: int
    id: str
    time_s: float
    x: Features | None
    y: Label | None


class Predicted(NamedTuple):
    """A question was answered by the model of `generation`, which had learned nothing from this event."""

    offset: int
    id: str
    y_pred: Label | None
    probability: float | None
    """Of the positive class (binary) or of the answer (multiclass); None for regression or where the model gives none."""
    generation: int


class Learned(NamedTuple):
    """A labelled event the model learned, with the prediction made for it before: a row of the window.

    `offset` is that of the record which brought the label; `x` is what the prediction was made from.
    """

    offset: int
    time_s: float
    x: Features
    y: Label
    y_pred: Label | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A record that could not become an event: it moved nothing, and goes to the dead-letter topic."""

    offset: int
    reason: RejectReason
    detail: str
    field: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """An answer came whose question is not waiting, or a question expired before its answer: counted, learned by nothing."""

    offset: int
    id: str
    reason: Literal["no_question", "expired_age", "expired_rows"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetected:
    """A detector said that its signal changed, in a direction it was asked to watch."""

    offset: int
    time_s: float
    signal: str
    detector: str
    direction: Literal["up", "down"]
    value: float | None
    """The signal's value at this event, in the signal's own unit; None for a category."""
    generation: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WarningRaised:
    """A detector grew suspicious of its signal: an early sign, which may pass."""

    offset: int
    time_s: float
    signal: str
    detector: str
    generation: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Somebody asked for the reaction of the rules on requests; they are asked at the next label."""

    offset: int
    time_s: float
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The policy's answer to a trigger, as data: what was asked for, or why nothing was."""

    offset: int
    time_s: float
    trigger: str
    reaction: str
    outcome: Literal["done", "ignored", "cooldown", "in_duel", "in_training"]
    generation: int
    """The champion's generation when the decision was taken."""
    events_seen: int
    """Labelled events the shard had learned by then."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelReset:
    """The champion was replaced by a fresh model; `generation` is the fresh one's."""

    offset: int
    time_s: float
    generation: int
    cause: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequested:
    """A challenger is to be trained off the hot path; the champion goes on meanwhile."""

    offset: int
    time_s: float
    training: int
    challenger: str
    cause: str
    generation: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ChallengerJoined:
    """A challenger came back from the trainer and races from this event on."""

    offset: int
    time_s: float
    training: int
    duel: int
    challenger: str
    lessons: int
    """What it learned from: rows times passes."""
    learned_through: int
    """The last offset the trainer taught it."""
    caught_up: int
    """Rows it was taught after that, before it joined."""
    gap: bool
    """Whether rows between are missing in it, because the window was trimmed meanwhile."""
    generation: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TrainingFailed:
    """A training ended without a model; the champion goes on."""

    offset: int
    time_s: float
    training: int
    challenger: str
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MemberRestarted:
    """A member of a model that adapts by itself began afresh."""

    offset: int
    time_s: float
    member: str
    restarts: int
    """Of this member, this one included."""
    generation: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeaderChanged:
    """Another member of a model that adapts by itself weighs most in its answers."""

    offset: int
    time_s: float
    before: str
    now: str
    weights: dict[str, float]
    generation: int


Fact: TypeAlias = (
    Rejected
    | Unmatched
    | DriftDetected
    | WarningRaised
    | Requested
    | Decided
    | ModelReset
    | TrainingRequested
    | ChallengerJoined
    | TrainingFailed
    | MemberRestarted
    | LeaderChanged
)


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a batch of events did: columns for the facts every event has, objects for the rare ones; all in order of offset."""

    predicted: list[Predicted] = dataclasses.field(default_factory=list)
    learned: list[Learned] = dataclasses.field(default_factory=list)
    facts: list[Any] = dataclasses.field(default_factory=list)
    """`Fact`s, and those of `core.duel`."""

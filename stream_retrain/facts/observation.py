"""How a shard stands at a moment, for metrics, status and reports."""

from __future__ import annotations

import dataclasses
from typing import Final, NamedTuple

from stream_retrain.facts.duel import ContestantStanding

__all__ = ["DuelStanding", "KeysHeld", "LabelCounts", "MemorySeen", "Observation", "Reading", "Standing"]


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a detector shows at a moment; None where it shows no such thing."""

    statistic: float | None = None
    """The number it tests."""
    threshold: float | None = None
    """The line at which it fires."""
    estimate: float | None = None
    """Its estimate of the signal's present mean."""
    width: int | None = None
    """The events that estimate rests on."""
    warning: bool = False


class Standing(NamedTuple):
    """How the members of a model that adapts by itself stand; the tuples go by `members`, whose names and number never change."""

    members: tuple[str, ...]
    weights: tuple[float, ...]
    """How much each counts, by how well it predicted lately; they add up to 1."""
    restarts: tuple[int, ...]
    """How often each has started afresh, by its own alarm or because it raised."""
    failures: tuple[int, ...]
    """How often each raised and was left out of a prediction or a lesson."""
    leader: str
    """The leading member; another must weigh twice as much to take its place, so that equals do not take turns."""
    changes: int
    """Restarts and changes of the leader so far: while it stays the same, neither happened."""


class KeysHeld(NamedTuple):
    """How many keys have a model, and what became of models so far."""

    hot: int
    """Ready to predict."""
    cold: int
    """Put away."""
    hot_bytes: int
    cold_bytes: int
    put_away: int
    taken_back: int
    dropped: int
    shared_answers: int
    """Predictions of the shared model alone."""


class MemorySeen(NamedTuple):
    """About how much memory models took when they were measured."""

    model_bytes: int
    """The largest one."""
    shard_bytes: int
    """All of the shard."""
    model_bytes_max: int | None
    """The lowest limit that is declared."""
    shard_bytes_max: int | None


class DuelStanding(NamedTuple):
    """How a duel in progress stands."""

    number: int
    leader: str
    """The contestant that serves."""
    events: int
    """Scored so far."""
    passes_at: float
    """The e-value at which a lone challenger takes the lead."""
    contestants: tuple[ContestantStanding, ...]
    """In the order they came, the champion first; the e-values are those against the leader."""
    rematch: bool = False
    """Without an end before the lead changes; it holds nothing up."""


class LabelCounts(NamedTuple):
    """What became of questions that waited and of answers, since the shard began."""

    joined: int = 0
    """Answers that found their question."""
    unjoined: int = 0
    """Answers that found none: duplicates, corrections, late ones, those without a question, and those that were kept too long."""
    expired: int = 0
    """Questions that expired."""
    early: int = 0
    """Answers kept now, because their question has not come."""

    @property
    def join_rate(self) -> float | None:
        """The share of answers that found their question; None before the first one."""
        answers = self.joined + self.unjoined
        return self.joined / answers if answers else None


NO_LABELS: Final = LabelCounts()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What can be seen of a shard from outside."""

    generation: int
    events_seen: int
    """Labelled events learned."""
    questions_seen: int
    """Questions predicted."""
    pending: int
    """Questions waiting for their label."""
    newest_time_s: float
    running: dict[str, float]
    rolling: dict[str, float]
    readings: dict[tuple[str, str], Reading]
    """By signal and detector."""
    duel: DuelStanding | None = None
    """The duel in progress."""
    training: int | None = None
    """The training it waits for."""
    labels: LabelCounts = NO_LABELS
    members: Standing | None = None
    """Of a model that adapts by itself."""
    memory: MemorySeen | None = None
    """As it was measured last; None where no rule is of memory, or nothing was measured yet."""
    keys: KeysHeld | None = None
    """Of a model that has one for each key."""

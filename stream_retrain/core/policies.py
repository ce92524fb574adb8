"""Triggers, reactions, and the rules that join them: what to do, never the doing of it.

A rule is `On.drift("error", Reset())`: a trigger and a reaction. `Policy.decide` is asked with a small frozen view when
something happened, and answers with `Decision`s; the shard carries them out. Rules are asked in the order they are declared; of
the rules that hold for one event at most one changes the model, the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias, assert_never

from stream_retrain.core.evidence import Evidence
from stream_retrain.core.messages import DriftDetected

__all__ = ["CHALLENGERS", "Challenge", "Decision", "Ignore", "On", "Policy", "PolicySpec", "Reaction", "Reset", "Situation"]


CHALLENGERS: Final = ("fresh", "since_change")


@dataclasses.dataclass(frozen=True, slots=True)
class Ignore:
    """Do nothing but say so: the drift is a fact and a decision, and the model goes on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reset:
    """Replace the champion by a fresh model, and the detectors on its signals by fresh detectors."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """Let challengers race the champion on the live events; one that is shown to be better takes its place.

    "fresh" starts from nothing, "since_change" from the labelled events since the most likely moment the errors rose (of the last
    400, which the shard keeps). `evidence` says how much must be shown and how long it is looked for; nothing is replaced on less.
    While a duel lasts every event costs about as many models as race.
    """

    challengers: tuple[str, ...] = CHALLENGERS
    evidence: Evidence = dataclasses.field(default_factory=Evidence)

    def faults(self) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        yield from self.evidence.faults()
        if not self.challengers or len(set(self.challengers)) != len(self.challengers) or set(self.challengers) - set(CHALLENGERS):
            yield f"challengers are {self.challengers!r}; use {' and '.join(map(repr, CHALLENGERS))}, or one of them"


Reaction: TypeAlias = Ignore | Reset | Challenge


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """Trigger: a detector on `signal` fired in the direction it watches."""

    signal: str

    def __str__(self) -> str:
        return f"drift:{self.signal}"


@dataclasses.dataclass(frozen=True, slots=True)
class On:
    """A rule: when `trigger` holds, do `do`; after that, not again for `cooldown_events` labelled events."""

    trigger: Drift
    do: Reaction
    cooldown_events: int = 0

    @classmethod
    def drift(cls, signal: str, do: Reaction, *, cooldown_events: int = 0) -> On:
        """React when the watch on `signal` detects a change in the direction it was asked for."""
        return cls(Drift(signal), do, cooldown_events)

    def faults(self, watched: Sequence[str]) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        where = f"react {self.trigger}"
        if not isinstance(self.do, Ignore | Reset | Challenge):
            yield f"{where}: {self.do!r} is not a reaction; use Ignore(), Reset() or Challenge()"
        elif isinstance(self.do, Challenge):
            yield from (f"{where}: {fault}" for fault in self.do.faults())
        if self.trigger.signal not in watched:
            yield f"{where}: nothing watches {self.trigger.signal!r}; add Watch({self.trigger.signal!r}, ...) to watch"
        if self.cooldown_events < 0:
            yield f"{where}: cooldown_events is {self.cooldown_events}; use 0 or more"


@dataclasses.dataclass(frozen=True, slots=True)
class Situation:
    """What a policy may know when it decides."""

    events_seen: int
    """Labelled events learned so far, this one included."""
    generation: int
    drifts: tuple[DriftDetected, ...]
    """Drifts detected at this event."""
    dueling: bool = False
    """Whether a duel is in progress: nothing restarts it, and nothing else changes the model meanwhile."""


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """The answer of one rule."""

    rule: On
    outcome: Literal["done", "ignored", "cooldown", "in_duel"]
    index: int
    """Which rule of the pipeline, from 0."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PolicySpec:
    """The rules of a pipeline."""

    rules: tuple[On, ...]

    def build(self, snapshot: dict[str, Any] | None = None) -> Policy:
        """A running policy: fresh, or as `snapshot` left it."""
        return Policy(self, snapshot)


class Policy:
    """The rules, and when each last acted."""

    def __init__(self, spec: PolicySpec, snapshot: dict[str, Any] | None = None) -> None:
        self._rules = spec.rules
        self._acted_at: dict[int, int] = dict(snapshot["acted_at"]) if snapshot else {}

    def decide(self, situation: Situation) -> list[Decision]:
        """One decision for each rule whose trigger holds, in the order of the rules."""
        signals = {drift.signal for drift in situation.drifts}
        decisions: list[Decision] = []
        changed = False
        for index, rule in enumerate(self._rules):
            if rule.trigger.signal not in signals:
                continue
            if changed or self._cools_down(index, situation.events_seen):
                decisions.append(Decision(rule, "cooldown", index))
                continue
            match rule.do:
                case Ignore():
                    decisions.append(Decision(rule, "ignored", index))
                case Reset() | Challenge() if situation.dueling:
                    decisions.append(Decision(rule, "in_duel", index))
                    continue
                case Reset() | Challenge():
                    decisions.append(Decision(rule, "done", index))
                    changed = True
                case _:
                    assert_never(rule.do)
            self._acted_at[index] = situation.events_seen
        return decisions

    def snapshot(self) -> dict[str, Any]:
        """What `PolicySpec.build` needs to go on from here."""
        return {"acted_at": dict(self._acted_at)}

    def _cools_down(self, index: int, events_seen: int) -> bool:
        acted_at = self._acted_at.get(index)
        return acted_at is not None and events_seen - acted_at < self._rules[index].cooldown_events

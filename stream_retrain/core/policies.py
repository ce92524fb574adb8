"""Reactions, and the rules that join them to triggers: what to do, never the doing of it.

A rule is `On.drift("error", Reset())`: a trigger and a reaction. `Policy.decide` is shown a `Moment`, and answers with `Decision`s; the
shard carries them out. Rules are asked in the order they are declared; of the rules that hold at one event at most one changes the
model, the first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack

from stream_retrain.core.evidence import Evidence
from stream_retrain.core.training import ADDITIVE, FRESH, SINCE_CHANGE, Challenger, Start, Window
from stream_retrain.core.triggers import (
    AllOf,
    AnyOf,
    Caution,
    Declared,
    Drift,
    Every,
    Moment,
    Request,
    Threshold,
    Trigger,
)

__all__ = ["Challenge", "Decision", "FineTune", "Ignore", "On", "Policy", "PolicySpec", "Race", "Reaction", "Reset", "Retrain"]

KNOWN: Final = {challenger.name: challenger for challenger in (FRESH, SINCE_CHANGE, ADDITIVE)}
NAME_OF_ANOTHER: Final = "another"


@dataclasses.dataclass(frozen=True, slots=True)
class Ignore:
    """Do nothing but say so: the drift is a fact and a decision, and the model goes on."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reset:
    """Replace the champion by a fresh model, and the detectors on its signals by fresh detectors."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Challenge:
    """Let challengers race the champion on the live events; one that is shown to be better takes its place.

    challengers
        "fresh" starts from nothing, "since_change" from the labelled events since the most likely moment the errors rose; both are
        the pipeline's model. "additive" is of another family, cheap and quick to learn. Give `Challenger`s for others, or a River
        model: one of another family, which starts from nothing. `("fresh", "since_change")` keeps to the pipeline's model.
    window
        One more challenger, trained on it ("window").
    evidence
        How much must be shown and how long it is looked for; nothing is replaced on less.
    rematch
        Whether, where a model of another family has won, the best of the pipeline's own goes on racing it: it may learn more slowly
        and still be the better one in the end. It lasts until it has won its place, or something else is to be done.

    While a duel lasts every event costs about as many models as race.
    """

    challengers: Sequence[Any] = ("fresh", "since_change", "additive")
    window: Window | None = None
    evidence: Evidence = dataclasses.field(default_factory=Evidence)
    rematch: bool = True

    def contestants(self) -> tuple[Challenger, ...]:
        """The challengers, as declared."""
        named = [_challenger(each) for each in self.challengers]
        if self.window is not None:
            named.append(Challenger(name="window", window=self.window))
        return tuple(named)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retrain:
    """Train a fresh model on `window`, `passes` times over it, and let it race the champion for its place."""

    window: Window
    passes: int = 1
    model: Any = None
    """A River model of another family, or "additive"; None: the pipeline's."""
    evidence: Evidence = dataclasses.field(default_factory=Evidence)

    def contestants(self) -> tuple[Challenger, ...]:
        """The one challenger."""
        return (Challenger(name="retrained", window=self.window, passes=self.passes, model=self.model),)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FineTune:
    """Go on training a copy of the champion on `window` (warm start), and let it race the champion for its place."""

    window: Window
    passes: int = 1
    model: Any = None
    """A River model that has learned, to go on from in the champion's stead: a stored version that the pipeline's module loads."""
    evidence: Evidence = dataclasses.field(default_factory=Evidence)

    def contestants(self) -> tuple[Challenger, ...]:
        """The one challenger."""
        start: Start = "champion" if self.model is None else "given"
        return (Challenger(name="fine_tuned", start=start, window=self.window, passes=self.passes, model=self.model),)


Race: TypeAlias = Challenge | Retrain | FineTune
"""The reactions that end in a duel."""
Reaction: TypeAlias = Ignore | Reset | Race


def _challenger(given: Any) -> Challenger:
    if isinstance(given, Challenger):
        return given
    if isinstance(given, str):
        return KNOWN.get(given) or Challenger(name=given, window=Window())  # `_race_faults` says what is wrong with it
    return Challenger(name=NAME_OF_ANOTHER, model=given)


def _race_faults(race: Race) -> Iterator[str]:
    yield from race.evidence.faults()
    unknown = [each for each in getattr(race, "challengers", ()) if isinstance(each, str) and each not in KNOWN]
    if unknown:
        yield f"challengers {', '.join(map(repr, unknown))}: use {', '.join(map(repr, KNOWN))}, a Challenger or a River model"
        return
    contestants = race.contestants()
    names = [challenger.name for challenger in contestants]
    if not names or len(set(names)) != len(names):
        yield f"challengers {names}: give at least one, each with a name of its own"
    for challenger in contestants:
        yield from challenger.faults()
    if sum(challenger.by_trainer for challenger in contestants) > 1:
        yield "at most one challenger may need the trainer (a window the shard does not keep, or several passes)"


class Measured(TypedDict, total=False):
    """How a threshold is measured; the defaults are those of `Threshold`."""

    over_events: int
    events_min: int


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class On:
    """A rule: when `trigger` holds, do `do`; after that (of a duel: after its end), not again for `cooldown_events` labelled events."""

    trigger: Trigger
    do: Reaction
    cooldown_events: int = 0

    @classmethod
    def drift(cls, signal: str, do: Reaction, *, cooldown_events: int = 0) -> On:
        """React when the watch on `signal` detects a change in the direction it was asked for."""
        return cls(Drift(signal), do, cooldown_events)

    @classmethod
    def warning(cls, signal: str, do: Reaction, *, cooldown_events: int = 0) -> On:
        """React when a detector on `signal` enters its warning zone (see `Watch.warning`)."""
        return cls(Caution(signal), do, cooldown_events)

    @classmethod
    def every(cls, *, events: int | None = None, seconds: float | None = None, do: Reaction) -> On:
        """React every so many labelled events, or at the first event of each period of event time."""
        return cls(Every(events=events, seconds=seconds), do)

    @classmethod
    def below(cls, metric: Any, limit: float, *, do: Reaction, cooldown_events: int = 0, **measured: Unpack[Measured]) -> On:
        """React when the champion's `metric` over its last `over_events` answers is below `limit`, once there are `events_min`."""
        return cls(Threshold(metric=metric, below=limit, **measured), do, cooldown_events)

    @classmethod
    def above(cls, metric: Any, limit: float, *, do: Reaction, cooldown_events: int = 0, **measured: Unpack[Measured]) -> On:
        """React when the champion's `metric` (an error such as "mae") is above `limit`; else as `below`."""
        return cls(Threshold(metric=metric, above=limit, **measured), do, cooldown_events)

    @classmethod
    def request(cls, do: Reaction) -> On:
        """React when somebody asks: `stream-retrain retrain`."""
        return cls(Request(), do)

    @classmethod
    def any_of(cls, *triggers: Trigger, do: Reaction, cooldown_events: int = 0) -> On:
        """React when one of several triggers holds: `On.any_of(Drift("error"), Every(events=100_000), do=...)`."""
        return cls(AnyOf(triggers), do, cooldown_events)

    @classmethod
    def all_of(cls, *triggers: Trigger, within_events: int, do: Reaction, cooldown_events: int = 0) -> On:
        """React when all of several triggers have held within so many labelled events."""
        return cls(AllOf(triggers, within_events), do, cooldown_events)

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        trigger_faults = list(self.trigger.faults(declared))
        where = f"react {type(self.trigger).__name__}" if trigger_faults else f"react {self.trigger}"
        yield from (f"{where}: {fault}" for fault in trigger_faults)
        if not isinstance(self.do, Reaction):
            yield f"{where}: {self.do!r} is not a reaction; use Ignore(), Reset(), Challenge(), Retrain(...) or FineTune(...)"
        elif isinstance(self.do, Race):
            yield from (f"{where}: {fault}" for fault in _race_faults(self.do))
        if self.cooldown_events < 0:
            yield f"{where}: cooldown_events is {self.cooldown_events}; use 0 or more"


Outcome: TypeAlias = Literal["done", "ignored", "cooldown", "in_duel", "in_training"]


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """The answer of one rule."""

    rule: On
    outcome: Outcome
    index: int
    """Which rule of the pipeline, from 0."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class PolicySpec:
    """The rules of a pipeline."""

    rules: tuple[On, ...]

    @property
    def every_event(self) -> bool:
        """Whether a rule must be shown every event, and not only those at which something happened."""
        return any(rule.trigger.every_event for rule in self.rules)

    def build(self, snapshot: dict[str, Any] | None = None) -> Policy:
        """A running policy: fresh, or as `snapshot` left it."""
        return Policy(self, snapshot)


class Policy:
    """The rules, their triggers, and when each last acted."""

    def __init__(self, spec: PolicySpec, snapshot: dict[str, Any] | None = None) -> None:
        self._rules = spec.rules
        saved = snapshot["triggers"] if snapshot else [None] * len(spec.rules)
        self._triggers = [rule.trigger.build(each) for rule, each in zip(spec.rules, saved, strict=True)]
        self._acted_at: dict[int, int] = dict(snapshot["acted_at"]) if snapshot else {}

    def decide(self, moment: Moment, *, dueling: bool = False, training: bool = False) -> list[Decision]:
        """One decision for each rule whose trigger holds, in the order of the rules.

        `dueling`: nothing restarts a duel in progress, and nothing else changes the model meanwhile. `training`: the trainer works for
        this shard, on one thing at a time.
        """
        decisions: list[Decision] = []
        changed = False
        for index, (rule, trigger) in enumerate(zip(self._rules, self._triggers, strict=True)):
            if not trigger.fires(moment):
                continue
            outcome = self._outcome(index, rule, moment, busy=changed, dueling=dueling, training=training)
            decisions.append(Decision(rule, outcome, index))
            if outcome in ("done", "ignored"):
                self._acted_at[index] = moment.events_seen
            changed = changed or outcome == "done"
        return decisions

    def acted(self, index: int, events_seen: int) -> None:
        """What a rule began (a duel) is over: its cool-down counts from here."""
        self._acted_at[index] = events_seen

    def snapshot(self) -> dict[str, Any]:
        """What `PolicySpec.build` needs to go on from here."""
        return {"acted_at": dict(self._acted_at), "triggers": [trigger.snapshot() for trigger in self._triggers]}

    def _outcome(self, index: int, rule: On, moment: Moment, *, busy: bool, dueling: bool, training: bool) -> Outcome:
        acted_at = self._acted_at.get(index)
        if busy or (acted_at is not None and moment.events_seen - acted_at < rule.cooldown_events):
            return "cooldown"
        if isinstance(rule.do, Ignore):
            return "ignored"
        if dueling:
            return "in_duel"
        if training and isinstance(rule.do, Race) and any(challenger.by_trainer for challenger in rule.do.contestants()):
            return "in_training"
        return "done"

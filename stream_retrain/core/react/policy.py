"""The policy of a shard: it is shown a `Moment`, and returns `Decision`s; the shard carries them out.

Rules are asked in the order they are declared; of the rules that hold at one event at most one changes the model, the first.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from stream_retrain.core.react.reactions import Ignore, Race
from stream_retrain.core.react.rules import On
from stream_retrain.core.react.triggers import Moment
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.policy import DecisionOutcome

__all__ = ["Decision", "Policy", "PolicySpec"]

_POLICY: Final = Part.of("policy", "rules")
_RULE: Final = Part.of("rule", "acted_at", "trigger")


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What one rule comes to at an event: done, or why not."""

    rule: On
    outcome: DecisionOutcome
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

    def build(self, saved: Saved | None = None) -> Policy:
        """A running policy: fresh, or as it was saved; a rule that is saved as None begins afresh. Raises `StateError`."""
        return Policy(self, saved)


class Policy:
    """The rules, their triggers, and when each last acted."""

    def __init__(self, spec: PolicySpec, saved: Saved | None = None) -> None:
        self._rules = spec.rules
        none: list[Saved | None] = [None] * len(spec.rules)
        rules = [
            {"acted_at": None, "trigger": None} if each is None else _RULE.load(each)
            for each in (none if saved is None else _POLICY.load(saved)["rules"])
        ]
        self._triggers = [rule.trigger.build(each["trigger"]) for rule, each in zip(spec.rules, rules, strict=True)]
        self._acted_at: list[int | None] = [each["acted_at"] for each in rules]

    def decide(self, moment: Moment, *, in_duel: bool = False, in_training: bool = False, replaceable: int | None = None) -> list[Decision]:
        """One decision for each rule whose trigger holds, in the order of the rules.

        `in_duel`: nothing restarts a duel in progress, and nothing else changes the model meanwhile. `in_training`: the trainer works
        for this shard, on one thing at a time. `replaceable`: the rule that may train another challenger although its duel is in progress.
        """
        decisions: list[Decision] = []
        changed = False
        for index, (rule, trigger) in enumerate(zip(self._rules, self._triggers, strict=True)):
            seen = moment._replace(due=True) if index in moment.scheduled else moment
            if not trigger.fires(seen):
                continue
            outcome = self._outcome(index, moment, changed=changed, in_duel=in_duel and index != replaceable, in_training=in_training)
            decisions.append(Decision(rule, outcome, index))
            if outcome in ("done", "ignored"):
                self._acted_at[index] = moment.events_seen
            changed = changed or outcome == "done"
        return decisions

    def acted(self, index: int, events_seen: int) -> None:
        """What a rule began (a duel) is over: its cool-down counts from here."""
        self._acted_at[index] = events_seen

    def snapshot(self) -> Saved:
        """What `PolicySpec.build` needs to go on from here."""
        return _POLICY.save(
            rules=[
                _RULE.save(acted_at=acted_at, trigger=trigger.snapshot())
                for acted_at, trigger in zip(self._acted_at, self._triggers, strict=True)
            ]
        )

    def _outcome(self, index: int, moment: Moment, *, changed: bool, in_duel: bool, in_training: bool) -> DecisionOutcome:
        rule, acted_at = self._rules[index], self._acted_at[index]
        if changed or (acted_at is not None and moment.events_seen - acted_at < rule.cooldown_events):
            return "cooldown"
        if isinstance(rule.do, Ignore):
            return "ignored"
        if in_duel and not rule.makes_room:
            return "in_duel"
        if in_training and isinstance(rule.do, Race) and any(challenger.by_trainer for challenger in rule.do.contestants()):
            return "in_training"
        return "done"

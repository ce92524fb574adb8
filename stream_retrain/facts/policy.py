"""What was asked for, what the policy decided, and the reset it can decide on."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Final, Literal, TypeAlias

from stream_retrain.facts.telling import Counter, Level

__all__ = ["Decided", "DecisionOutcome", "ModelReset", "Requested"]

DecisionOutcome: TypeAlias = Literal["done", "ignored", "cooldown", "in_duel", "in_training"]

_SAID: Final[dict[DecisionOutcome, str]] = {
    "done": "started",
    "ignored": "nothing to do but to say so",
    "cooldown": "not done: it is cooling down, or another rule acted at this event",
    "in_duel": "not done: a duel is in progress",
    "in_training": "not done: a training is in progress",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Somebody asked for the reaction of the rules on requests; they are asked at the next label."""

    kind: ClassVar[str] = "policy.requested"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("requests")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    reason: str
    token: str = ""
    """The request's own, which no other has."""

    @property
    def sentence(self) -> str:
        return f"a reaction was requested: {self.reason}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the policy decided about a trigger, as data: what was asked for, or why nothing was."""

    kind: ClassVar[str] = "policy.decided"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("policy_decisions", ("reaction", "outcome"))
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    trigger: str
    reaction: str
    outcome: DecisionOutcome
    generation: int
    """The champion's generation when the decision was taken."""
    events_seen: int
    """Labelled events the shard had learned by then."""

    @property
    def sentence(self) -> str:
        return f"{self.trigger} -> {self.reaction}: {_SAID[self.outcome]}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelReset:
    """The champion was replaced by a fresh model; `generation` is the fresh one's."""

    kind: ClassVar[str] = "model.reset"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("resets")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    generation: int
    cause: str

    @property
    def sentence(self) -> str:
        return f"the model was reset; generation {self.generation} serves"

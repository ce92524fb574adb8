"""What was asked for, what the policy decided, and what either can do to the champion at once."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Final, Literal, TypeAlias

from stream_retrain.facts.request import RequestKind
from stream_retrain.facts.telling import Counter, Level

__all__ = ["Decided", "DecisionOutcome", "ModelPromoted", "ModelReset", "PromotedHow", "RequestRefused", "Requested"]

DecisionOutcome: TypeAlias = Literal["done", "ignored", "cooldown", "in_duel", "in_training"]

PromotedHow: TypeAlias = Literal["promote", "rollback"]

_SAID: Final[dict[DecisionOutcome, str]] = {
    "done": "started",
    "ignored": "nothing to do but to say so",
    "cooldown": "not done: it is cooling down, or another rule acted at this event",
    "in_duel": "not done: a duel is in progress",
    "in_training": "not done: a training is in progress",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """Somebody asked for the reaction of the rules on requests, or a schedule for that of its own; they are asked at the next label."""

    kind: ClassVar[str] = "policy.requested"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("requests")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    reason: str
    token: str = ""
    """The request's own, which no other has."""
    by: str = ""
    """Who asked, and by which door."""
    rule: int | None = None
    """Of a schedule in wall time: its rule."""

    @property
    def sentence(self) -> str:
        return f"a reaction was requested{_by(self.by)}: {self.reason}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """What somebody asked for could not be done, and nothing has changed."""

    kind: ClassVar[str] = "request.refused"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("requests_refused", ("do",))
    level: ClassVar[Level] = "warning"

    offset: int
    time_s: float
    do: RequestKind
    token: str
    detail: str
    reason: str = ""
    by: str = ""

    @property
    def sentence(self) -> str:
        return f"a {self.do} that was asked for{_by(self.by)} was refused: {self.detail}"


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
    reason: str = ""
    by: str = ""
    """Where somebody asked for it: what they said, and who they are."""
    token: str = ""
    """The request's own; empty: a rule of the pipeline asked."""

    @property
    def sentence(self) -> str:
        return f"the model was reset{_by(self.by)}; generation {self.generation} serves"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelPromoted:
    """A version that somebody asked for took the champion's place; `generation` is its new one."""

    kind: ClassVar[str] = "model.promoted"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("promotions", ("how",))
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    generation: int
    version: str
    how: PromotedHow
    family: str
    """The challenger it came as; empty: it is the pipeline's own model."""
    digest: str
    """Of the model as it began to serve; with the token it names the artifact that a replay is given."""
    reason: str
    token: str
    by: str = ""

    @property
    def sentence(self) -> str:
        back = "serves again, after a rollback" if self.how == "rollback" else "was promoted"
        return f"version {self.version} {back}{_by(self.by)}; generation {self.generation} serves"


def _by(by: str) -> str:
    return f" by {by}" if by else ""

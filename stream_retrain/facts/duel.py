"""What happened in a duel."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Final, Literal, TypeAlias

from stream_retrain.facts.telling import Counter, Level

__all__ = [
    "ContestantFailed",
    "ContestantStanding",
    "DuelEnded",
    "DuelFact",
    "DuelResult",
    "DuelStarted",
    "LeadCause",
    "LeadChanged",
    "LossName",
]

LeadCause: TypeAlias = Literal["evidence", "failure"]
DuelResult: TypeAlias = Literal["promoted", "kept", "undecided", "superseded"]
LossName: TypeAlias = Literal["log", "brier", "miss", "cost", "relative"]
"""By which loss a duel is decided: of probabilities, of labels, by the author's costs; or of a regression (`RelativeLoss`)."""
LOSSES: Final[dict[str, str]] = {
    "log": "log loss",
    "brier": "Brier score",
    "miss": "share of labels missed",
    "cost": "mean cost",
    "relative": "relative error",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContestantStanding:
    """How a contestant stands when something happens."""

    name: str
    loss_mean: float
    """Over all events of the duel it was scored on, by the loss of the duel, from 0 to 1."""
    events: int
    e_value: float
    """Evidence that it is better than the model that served until now, since the last change; 1 is none."""
    e_value_against: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuelStarted:
    """Challengers were trained and race the champion from the next question on."""

    kind: ClassVar[str] = "duel.started"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("duels_started")
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    duel: int
    contestants: tuple[str, ...]
    trained_on: tuple[int, ...]
    """Events each has learned for the duel, in the order of `contestants`; the champion's 0 means it is as it was."""
    generation: int
    cause: str
    loss: LossName

    @property
    def sentence(self) -> str:
        rematch = ", a rematch" if self.cause == "rematch" else ""
        return f"duel {self.duel} started{rematch}: {', '.join(self.contestants)}; the {LOSSES[self.loss]} decides"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LeadChanged:
    """Another contestant serves from the next question on."""

    kind: ClassVar[str] = "duel.lead_changed"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("lead_changes", ("cause",))
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    duel: int
    before: str
    now: str
    cause: LeadCause
    events: int
    standings: tuple[ContestantStanding, ...]
    generation: int
    """The number under which it serves."""
    loss: LossName

    @property
    def sentence(self) -> str:
        why = f"the evidence says that its {LOSSES[self.loss]} is lower" if self.cause == "evidence" else f"{self.before} is out"
        return f"{self.now} serves in place of {self.before}: {why}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContestantFailed:
    """A contestant raised where another did not, and is out."""

    kind: ClassVar[str] = "duel.contestant_failed"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("contestants_failed")
    level: ClassVar[Level] = "warning"

    offset: int
    time_s: float
    duel: int
    name: str
    detail: str

    @property
    def sentence(self) -> str:
        return f"{self.name} is out of duel {self.duel}: it raised {self.detail}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuelEnded:
    """The duel is over and `winner` is the champion.

    `promoted`: it is a challenger. `kept`: it is the champion, and every challenger was shown to be worse, lost the lead again, failed, or
    predicted the same as it. `undecided`: it is the champion, and of some challenger nothing was shown. `superseded`: somebody asked for
    another champion, and nobody has won; the decision that follows says who it is.
    """

    kind: ClassVar[str] = "duel.ended"
    published: ClassVar[bool] = True
    counted: ClassVar[Counter] = Counter("duels_ended", ("result",))
    level: ClassVar[Level] = "info"

    offset: int
    time_s: float
    duel: int
    result: DuelResult
    winner: str
    """Empty where it was superseded."""
    events: int
    changes: int
    standings: tuple[ContestantStanding, ...]
    generation: int
    """The winner's; where it was superseded, that of who led."""
    loss: LossName
    held_by: str | None
    """The metric of the pipeline by which a contestant was worse that the evidence had favoured: so it was not given the lead."""

    @property
    def sentence(self) -> str:
        if self.result == "superseded":
            return f"duel {self.duel} ended, superseded: somebody asked for another champion"
        stands = f"{self.winner} is the champion" if self.result == "promoted" else "the champion stays"
        if self.held_by is not None:
            stands += f"; another has the lower loss, and was held up because its {self.held_by} is worse"
        return f"duel {self.duel} ended, {self.result} by {LOSSES[self.loss]}: {stands}"


DuelFact: TypeAlias = DuelStarted | LeadChanged | ContestantFailed | DuelEnded

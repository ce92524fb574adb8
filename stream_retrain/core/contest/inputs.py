"""What comes to a shard from outside its log: trained challengers, trainings that failed, and what somebody asked for.

Protocol of use, for whoever drives a shard (law 3: state is a function of the pipeline, the log and the recorded outside inputs):

1. `Shard.receive` takes an input between two batches. Nothing happens yet; the input is part of the state from then on.
2. A checkpoint with the input in it is written before any later event is committed. So recovery either has the input, or nobody has
   seen anything that came after it.
3. The input takes effect with the shard's next event, whose outcome tells so: the facts travel in the same transaction as that event's
   outputs, exactly once, and replay from the checkpoint meets the input at the same event.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeAlias

from stream_retrain.facts.policy import PromotedHow
from stream_retrain.facts.request import RequestKind
from stream_retrain.facts.training import ChallengerJoined, ChallengerWaits

__all__ = ["ASKED", "Input", "NotTrained", "Promote", "Refused", "Request", "Reset", "Trained"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """The challenger of a training, ready to race."""

    training: int
    model: Any
    lessons: int
    """Rows times passes, in the trainer."""
    learned_through: int
    """The last offset it learned there."""
    gap: bool = False
    """The window was trimmed before it could learn all of it: some rows between are missing in it."""
    caught_up: int = 0
    """Rows it was taught after that, so that it has learned through the last event of the shard."""
    digest: str = ""
    """Of the model as it is now (`core.digest`): the name under which it is kept for a replay; empty: it is not."""

    def __setstate__(self, values: list[Any]) -> None:
        """As pickle saved it; before there were digests there was one value less."""
        for field, value in zip(dataclasses.fields(self), [*values, ""], strict=False):
            object.__setattr__(self, field.name, value)

    def joined(self, offset: int, time_s: float, *, duel: int, challenger: str, generation: int) -> ChallengerJoined:
        """It races from this event on."""
        return ChallengerJoined(offset=offset, time_s=time_s, duel=duel, **self._told(challenger, generation))

    def waits(self, offset: int, time_s: float, *, challenger: str, generation: int) -> ChallengerWaits:
        """It waits for another rule's duel to end."""
        return ChallengerWaits(offset=offset, time_s=time_s, **self._told(challenger, generation))

    def _told(self, challenger: str, generation: int) -> dict[str, Any]:
        fields = ("training", "lessons", "learned_through", "caught_up", "gap", "digest")
        return {"challenger": challenger, "generation": generation, **{name: getattr(self, name) for name in fields}}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class NotTrained:
    """A training ended without a model."""

    training: int
    error: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Somebody asks for the reaction of the rules on requests, or a schedule for that of its own."""

    reason: str
    token: str = ""
    """No other request has it; one that the shard has had is passed over. Without a token it is always taken."""
    by: str = ""
    rule: int | None = None
    """Of a schedule in wall time: its rule."""

    def __setstate__(self, values: list[Any]) -> None:
        """As pickle saved it; earlier releases knew of two values."""
        for field, value in zip(dataclasses.fields(self), [*values, "", None][:4], strict=True):
            object.__setattr__(self, field.name, value)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """Somebody wants the champion to begin afresh."""

    reason: str
    token: str
    by: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Promote:
    """Somebody wants a version to serve: a model as it was kept, which nobody else holds."""

    version: str
    how: PromotedHow
    model: Any
    family: str
    """As in `core.contest.contestant.Contestant`."""
    digest: str
    """Of the model as it is now (`core.digest`)."""
    reason: str
    token: str
    by: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What somebody asked for cannot be done: it changes nothing, and is told."""

    do: RequestKind
    detail: str
    """Why, in words that a person can act on."""
    reason: str
    token: str
    by: str = ""


Input: TypeAlias = Trained | NotTrained | Request | Reset | Promote | Refused
ASKED: Final = (Request, Reset, Promote, Refused)
"""Inputs that somebody asked for: each has a token, and a shard takes no token twice."""

"""What came to a shard from outside its log, as the decisions topic records it.

Every input that has an effect tells it, at the offset of the event with which it takes effect (`core.contest.inputs`):

    training.joined, training.waits    a challenger came back: by the name of its artifact
    training.failed                    a training came to nothing
    policy.requested                   a request to the rules
    model.reset, with a token          a request to begin afresh; without one, a rule did it
    model.promoted                     a request for a version: by the name of its artifact
    request.refused                    a request that changed nothing
    shard.restored                     no input: the lane began again, and from what

An input that tells nothing (of a training that nobody waits for, a request that was had) has no effect on the state. A challenger that
waited tells again when it joins. So a recorded challenger is given only to a shard that waits for its training, and a request only once.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Final, Protocol, TypeAlias, assert_never

import msgspec

from stream_retrain.codec.artifacts import artifact_name, promoted_name
from stream_retrain.core.contest.commands import Train
from stream_retrain.core.contest.inputs import NotTrained, Promote, Refused, Request, Reset, Trained
from stream_retrain.facts.policy import ModelPromoted, ModelReset, Requested, RequestRefused
from stream_retrain.facts.restored import ShardRestored
from stream_retrain.facts.training import ChallengerJoined, ChallengerWaits, TrainingFailed
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.put import Found
from stream_retrain.lane.warm import WarmModel

__all__ = ["Artifacts", "Came", "Promoted", "Recorded", "give", "recorded_in", "recorded_of"]

_TYPE: Final = re.compile(rb'"type":"io\.streamretrain\.([a-z_.]+)\.v1"')


@dataclasses.dataclass(frozen=True, slots=True)
class Came:
    """A challenger came back from the trainer."""

    training: int
    artifact: str
    """Its name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Promoted:
    """A version took the champion's place."""

    fact: ModelPromoted
    artifact: str
    """The name of its model."""


class Artifacts(Protocol):
    """What was kept for a replay; each raises `StateError` where it cannot be had."""

    def trained(self, name: str) -> Trained:
        """The challenger of that name."""
        ...

    def promoted(self, name: str) -> WarmModel:
        """The model of that name."""
        ...


Recorded: TypeAlias = Came | NotTrained | Request | Reset | Promoted | Refused | ShardRestored
_FACTS: Final = {
    each.kind.encode(): msgspec.json.Decoder(msgspec.defstruct("Event", [("data", each)]))
    for each in (ChallengerJoined, ChallengerWaits, TrainingFailed, Requested, ModelReset, ModelPromoted, RequestRefused, ShardRestored)
}


def recorded_of(value: bytes | None) -> Recorded | None:
    """What a decision records; None where it is of another kind, or cannot be read."""
    kind = _TYPE.search(value or b"")
    decoder = _FACTS.get(kind[1]) if kind else None
    if decoder is None:
        return None
    try:
        fact = decoder.decode(value or b"").data  # type: ignore[attr-defined]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    match fact:
        case ChallengerJoined() | ChallengerWaits():
            return Came(fact.training, artifact_name(fact.training, fact.digest))
        case TrainingFailed():
            return NotTrained(training=fact.training, error=fact.error)
        case Requested():
            return Request(reason=fact.reason, token=fact.token, by=fact.by, rule=fact.rule)
        case ModelReset():
            return Reset(reason=fact.reason, token=fact.token, by=fact.by) if fact.token else None
        case ModelPromoted():
            return Promoted(fact, promoted_name(fact.digest, fact.token))
        case RequestRefused():
            return Refused(do=fact.do, detail=fact.detail, reason=fact.reason, token=fact.token, by=fact.by)
        case _:
            return fact if isinstance(fact, ShardRestored) else None


def recorded_in(decisions: Iterable[Found]) -> list[tuple[int, Recorded]]:
    """What decisions record, each with the offset of the event with which it takes effect, in their order."""
    return [(found.identity.offset, each) for found in decisions if (each := recorded_of(found.put.value)) is not None]


def give(lane: Lane, recorded: Recorded, artifacts: Artifacts) -> bool:
    """Give a lane what was recorded, before the event at which it takes effect; whether it was an input that it had not had.

    Raises `StateError` where an artifact cannot be had.
    """
    match recorded:
        case ShardRestored():
            lane.announcing = recorded
            return False
        case Came():
            if not _waits_for(lane, recorded.training):
                return False
            lane.receive(artifacts.trained(recorded.artifact))
        case NotTrained():
            if not _waits_for(lane, recorded.training):
                return False
            lane.receive(recorded)
        case Request() | Reset() | Refused():
            if recorded.token in lane.shard.requests_taken:
                return False
            lane.receive(recorded)
        case Promoted():
            fact = recorded.fact
            if fact.token in lane.shard.requests_taken:
                return False
            found = artifacts.promoted(recorded.artifact)
            told = {name: getattr(fact, name) for name in ("version", "how", "digest", "reason", "token", "by")}
            lane.receive(Promote(model=found.model, family=found.family, **told))
        case _:
            assert_never(recorded)
    return True


def _waits_for(lane: Lane, training: int) -> bool:
    return any(isinstance(each, Train) and each.training.number == training for each in lane.outstanding())

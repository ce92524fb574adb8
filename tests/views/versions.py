"""Versions made by hand, as a shard that has changed its model every minute has them."""

from __future__ import annotations

from typing import Any, Final

from stream_retrain.facts.duel import ContestantStanding
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Artifact, Came, Ended, Moment, Quality, Software, TrainedOn, Version

__all__ = ["BEGAN_S", "generations", "trained"]

BEGAN_S: Final = 1_767_225_600.0
"""2026-01-01, midnight (UTC)."""
WAYS: Final[tuple[tuple[Came, str], ...]] = (
    ("lead", "drift:error"),
    ("promoted", "request"),
    ("rolled_back", "request"),
    ("reset", "every:7000_events"),
    ("lead", "every:2500_events"),
    ("lead", "request"),
)
STANDINGS: Final = (
    ContestantStanding(name="champion", loss_mean=0.25, events=400, e_value=1.0, e_value_against=1.0),
    ContestantStanding(name="fresh", loss_mean=0.125, events=400, e_value=64.0, e_value_against=0.5),
)


def generations(shard: ShardId, count: int, *, began_s: float = BEGAN_S, every_s: float = 60.0, reason: str = "") -> list[Version]:
    """That many, the last of which serves. The first is new; then each of the ways in turn; `reason`: of those by hand."""
    return [_generation(shard, number, began_s + every_s * number, every_s, number == count - 1, reason) for number in range(count)]


def _generation(shard: ShardId, number: int, at_s: float, every_s: float, serves: bool, reason: str) -> Version:
    came, cause = WAYS[(number - 1) % len(WAYS)] if number else ("new", "new")
    ended_by: Ended = "lead" if (after := WAYS[number % len(WAYS)][0]) not in ("promoted", "rolled_back", "reset") else after
    hand = {"by": "cli:ann", "reason": reason, "token": "8f3c"} if cause == "request" else {}
    duel: dict[str, Any] = {"duel": number, "loss": "log", "duel_events": 400, "standings": STANDINGS} if came == "lead" else {}
    return Version(
        id=f"{shard.partition}-g{number}",
        pipeline=shard.pipeline,
        topic=shard.topic,
        partition=shard.partition,
        came=came,
        cause=cause,
        generation=number,
        began=_moment(number, at_s),
        ended=None if serves else _moment(number + 1, at_s + every_s),
        ended_by=None if serves else ended_by,
        parent=f"{shard.partition}-g{number - 1}" if number else "",
        replaced=f"{shard.partition}-g{number - 1}" if number else "",
        challenger="fresh" if came == "lead" else "",
        quality=Quality(before={"Accuracy": 0.81}, since={"Accuracy": 0.9}, events_before=900 * number, events=900),
        pipeline_digest="cd" * 32,
        model_digest="ab" * 32,
        software=Software(stream_retrain="0.2.0", river="0.26.1", python="3.11.7"),
        artifact=Artifact(name=f"{shard.partition}-g{number}-0123456789ab", bytes=2_703, state="kept", learned_through=900 * number),
        **hand,
        **duel,
    )


def _moment(number: int, at_s: float) -> Moment:
    return Moment(offset=900 * number, time_s=at_s - 1.0, wall_s=at_s)


def trained(shard: ShardId, number: int, *, after_s: float) -> Version:
    """A challenger that a trainer brought, and that was rejected."""
    return Version(
        id=f"{shard.partition}-t{number}",
        pipeline=shard.pipeline,
        topic=shard.topic,
        partition=shard.partition,
        came="trained",
        training=number,
        challenger="fresh",
        cause="drift:error",
        began=Moment(offset=int(after_s * 15), time_s=BEGAN_S + after_s, wall_s=BEGAN_S + after_s),
        ended=Moment(offset=int(after_s * 15) + 9, time_s=BEGAN_S + after_s + 1, wall_s=BEGAN_S + after_s + 1),
        ended_by="rejected",
        duel=number,
        standings=STANDINGS,
        trained_on=TrainedOn(window="the last 500 rows", lessons=500, seconds=0.4),
    )

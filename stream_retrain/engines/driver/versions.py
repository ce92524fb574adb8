"""What is known of each version of a shard, as a fold over what its lane tells.

A replay tells the same facts again, so a version that is known already, and began with the same event, stays as it is: it keeps the
wall time at which it really began, and what its metrics said then. What a lane does not tell is added by whoever drives it: the
worker's clock (`wall_s`), what is seen of the shard about once a second (`seen`), how long a training took.

`changed` are the versions to write down; `seen` alone makes none of those, because what it adds may be written with the next one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from stream_retrain.core.contest.challenger import Challenger, Window
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.reactions import Race
from stream_retrain.facts.observation import Observation
from stream_retrain.facts.restored import RestoredFrom
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import (
    Artifact,
    Came,
    Ended,
    Moment,
    Quality,
    Software,
    TrainedOn,
    Version,
    generation_id,
    is_version_id,
    training_id,
)

__all__ = ["ShardVersions"]

ANEW: Final = ("earliest", "latest", "window", "new", "warm", "previous")
"""How a shard comes back with another history than the one that is written down."""
CHAMPION: Final = "champion"
_MADE_BY_HAND: Final[dict[str, tuple[Came, Ended]]] = {"promote": ("promoted", "promoted"), "rollback": ("rolled_back", "rolled_back")}


class ShardVersions:
    """The versions of one shard, by id."""

    def __init__(
        self, pipeline: Pipeline, shard: ShardId, known: Iterable[Version], software: Software, clock_s: Callable[[], float]
    ) -> None:
        self._shard = shard
        self._made = {"pipeline_digest": pipeline.digest(), "software": software}
        self._challengers = _challengers(pipeline)
        self._clock_s = clock_s
        self._known = {version.id: version for version in known}
        self._changed: set[str] = set()
        self._stale: set[str] = set()
        self._duel_causes: dict[int, str] = {}
        self._last_seen: Observation | None = None
        self.generation = 0

    def __iter__(self) -> Any:
        return iter(list(self._known.values()))

    def get(self, id_: str) -> Version | None:
        """The version of that id."""
        return self._known.get(id_)

    @property
    def serving(self) -> str:
        """The id of the version that serves."""
        return generation_id(self._shard.partition, self.generation)

    def began(self, how: RestoredFrom, generation: int, from_offset: int, origin: str = "") -> None:
        """The shard is open: from where its state comes, and who serves in it; `origin`: of a model from elsewhere that it begins with."""
        self.generation = generation
        now = Moment(offset=from_offset, time_s=None, wall_s=self._clock_s())
        for version in self:
            beyond = (version.began is not None and version.began.offset >= from_offset) or (version.generation or 0) > generation
            lost = how in ANEW and (how != "previous" or beyond) and version.ended is None and version.id != self.serving
            if lost:
                self._put(dataclasses.replace(version, ended=now, ended_by="begun_anew"))
        known, anew = self._known.get(self.serving), how in ANEW and how != "previous"
        if known is None or (anew and not self._is_same(known, now)):
            came: Came = "warm" if how == "warm" or origin else "new" if anew else "restored"
            parent = origin if is_version_id(origin) else ""
            self._begin(came, generation, now, cause=how, parent=parent, reason="" if parent or not origin else f"from {origin}")
        elif known.ended is not None and how == "previous":
            self._put(dataclasses.replace(known, ended=None, ended_by=None))

    def take(self, facts: Sequence[Any]) -> None:
        """What a batch did."""
        for fact in facts:
            if (handle := _HANDLERS.get(fact.kind)) is not None:
                handle(self, fact)

    def seen(self, observation: Observation) -> None:
        """How the shard stands, about once a second."""
        self._last_seen = observation
        known = self._known.get(generation_id(self._shard.partition, observation.generation))
        if known is not None and known.ended is None:
            events = max(0, observation.events_seen - known.quality.events_before)
            quality = dataclasses.replace(known.quality, since=_finite(observation.rolling), events=events)
            if quality != known.quality:
                self._known[known.id] = dataclasses.replace(known, quality=quality)
                self._stale.add(known.id)

    def taught(self, training: int, seconds: float) -> None:
        """A training was handed over: how long it took."""
        self._change(training_id(self._shard.partition, training), lambda of: {"trained_on": _trained(of, seconds=seconds)})

    def copied(self, id_: str, artifact: Artifact, *, model_digest: str | None = None, error: str = "") -> None:
        """A copy of its model is kept, or what became of one."""
        digest = {} if model_digest is None else {"model_digest": model_digest}
        self._change(id_, lambda _: {"artifact": artifact, "error": error, **digest})

    def forget(self, ids: Iterable[str]) -> None:
        """Know nothing more of these."""
        for id_ in ids:
            self._known.pop(id_, None)
            self._changed.discard(id_)
            self._stale.discard(id_)

    def changed(self, *, all_of_it: bool = False) -> list[Version]:
        """What is to be written down; with `all_of_it` also where only what was seen of it is newer."""
        return [self._known[id_] for id_ in sorted(self._changed | self._stale if all_of_it else self._changed)]

    def written(self, versions: Iterable[Version]) -> None:
        """These are written down."""
        for version in versions:
            if self._known.get(version.id) is version:
                self._changed.discard(version.id)
                self._stale.discard(version.id)

    def _requested(self, fact: Any) -> None:
        declared = self._challengers.get(fact.challenger)
        window = "" if declared is None else _words(declared.window)
        self._first(
            training_id(self._shard.partition, fact.training),
            self._at(fact),
            came="trained",
            training=fact.training,
            challenger=fact.challenger,
            family=fact.challenger if declared is not None and declared.model is not None else "",
            cause=fact.cause,
            parent=self.serving if declared is not None and declared.start == "champion" else "",
            trained_on=TrainedOn(window=window, through_offset=fact.offset),
        )

    def _came(self, fact: Any) -> None:
        told = {name: getattr(fact, name) for name in ("lessons", "learned_through", "caught_up", "gap")}
        duel = {"duel": fact.duel} if fact.kind == "training.joined" else {}
        id_ = training_id(self._shard.partition, fact.training)
        if id_ not in self._known:  # it was asked for before anybody kept versions
            self._first(id_, self._at(fact), came="trained", training=fact.training, challenger=fact.challenger)
        self._change(id_, lambda of: {"trained_on": _trained(of, **told), **duel})

    def _failed(self, fact: Any) -> None:
        id_ = training_id(self._shard.partition, fact.training)
        self._change(id_, lambda of: self._ended(of, fact, "failed") | {"error": of.error or fact.error})

    def _started(self, fact: Any) -> None:
        self._duel_causes[fact.duel] = fact.cause

    def _led(self, fact: Any) -> None:
        raced = self._racing(fact.duel, fact.now)
        parent, family = self._came_from(fact.duel, fact.now, raced)
        won_by = _e_value(fact) if fact.cause == "evidence" else None
        if raced is not None:
            self._change(raced.id, lambda of: {"won_by": won_by if of.won_by is None else of.won_by})
        self._begin(
            "lead",
            fact.generation,
            self._at(fact),
            by_whom="lead",
            challenger=fact.now,
            family=family,
            training=None if raced is None else raced.training,
            parent=parent,
            cause=self._duel_causes.get(fact.duel) or (raced.cause if raced is not None else ""),
            reason="" if fact.cause == "evidence" else f"{fact.before} raised",
            duel=fact.duel,
            loss=fact.loss,
            duel_events=fact.events,
            standings=fact.standings,
            won_by=won_by,
        )

    def _over(self, fact: Any) -> None:
        told = {"standings": fact.standings, "duel_events": fact.events, "loss": fact.loss}
        for version in self:
            if version.duel != fact.duel or version.ended is not None:
                continue
            if version.generation is not None:  # it leads, and this is how its duel ended
                self._put(dataclasses.replace(version, **told))
                continue
            lost: Ended = "rejected" if fact.result in ("promoted", "kept") else fact.result
            ended = self._ended(version, fact, "promoted" if version.challenger == fact.winner else lost)
            self._put(dataclasses.replace(version, **ended, **told))

    def _reset(self, fact: Any) -> None:
        told = {name: getattr(fact, name, "") for name in ("reason", "by", "token")}
        self._begin("reset", fact.generation, self._at(fact), by_whom="reset", cause=fact.cause, **told)

    def _promoted(self, fact: Any) -> None:
        came, ended = _MADE_BY_HAND[fact.how]
        told = {name: getattr(fact, name, "") for name in ("reason", "by", "token", "family")}
        self._begin(came, fact.generation, self._at(fact), by_whom=ended, parent=fact.version, cause="request", **told)

    def _begin(self, came: Came, generation: int, at: Moment, *, by_whom: Ended | None = None, **told: Any) -> None:
        """Another generation serves from the event after this one on."""
        replaced = ""
        if by_whom is not None:
            replaced = self.serving
            self._change(replaced, lambda of: self._ended_at(of, at, by_whom))
        self.generation = generation
        seen = self._last_seen
        quality = Quality() if seen is None else Quality(before=_finite(seen.rolling), events_before=seen.events_seen)
        self._first(self.serving, at, came=came, generation=generation, replaced=replaced, quality=quality, **told)

    def _first(self, id_: str, at: Moment, **told: Any) -> None:
        """A version begins, unless it is known that it began there."""
        known = self._known.get(id_)
        if known is not None and self._is_same(known, at):
            return
        where = {"pipeline": self._shard.pipeline, "topic": self._shard.topic, "partition": self._shard.partition}
        self._put(Version(id=id_, began=at, **where, **self._made, **told))  # type: ignore[arg-type]

    def _is_same(self, known: Version, at: Moment) -> bool:
        return known.began is not None and known.began.offset == at.offset and known.ended_by != "begun_anew"

    def _ended(self, of: Version, fact: Any, by: Ended) -> dict[str, Any]:
        return self._ended_at(of, self._at(fact), by)

    def _ended_at(self, of: Version, at: Moment, by: Ended) -> dict[str, Any]:
        if of.ended is not None and of.ended.offset == at.offset and of.ended_by == by:
            return {}
        return {"ended": at, "ended_by": by}

    def _racing(self, duel: int, name: str) -> Version | None:
        """The training whose challenger races under a name."""
        found = [
            each for each in self if each.training is not None and each.generation is None and (each.duel, each.challenger) == (duel, name)
        ]
        return found[-1] if found else None

    def _came_from(self, duel: int, name: str, raced: Version | None) -> tuple[str, str]:
        """What a contestant that takes the lead goes on from, and its family."""
        of_duel = [each for each in self if each.generation is not None and each.generation <= self.generation]
        own = [each for each in of_duel if each.duel == duel and each.challenger == name]
        before = [each for each in of_duel if each.duel != duel]
        if own:  # it led before, and wins its place back
            return own[-1].id, own[-1].family
        if name == CHAMPION:
            return (before[-1].id, before[-1].family) if before else ("", "")
        if raced is not None:
            return raced.id, raced.family
        declared = self._challengers.get(name)
        if declared is None:
            return "", ""
        if declared.start == CHAMPION and before:
            return before[-1].id, before[-1].family
        return "", name if declared.model is not None else ""

    def _at(self, fact: Any) -> Moment:
        return Moment(offset=fact.offset, time_s=fact.time_s if math.isfinite(fact.time_s) else None, wall_s=self._clock_s())

    def _change(self, id_: str, change: Callable[[Version], Mapping[str, Any]]) -> None:
        known = self._known.get(id_)
        if known is not None and (new := dataclasses.replace(known, **change(known))) != known:
            self._put(new)

    def _put(self, version: Version) -> None:
        self._known[version.id] = version
        self._changed.add(version.id)


_HANDLERS: Final[dict[str, Callable[[ShardVersions, Any], None]]] = {
    "training.requested": ShardVersions._requested,
    "training.joined": ShardVersions._came,
    "training.waits": ShardVersions._came,
    "training.failed": ShardVersions._failed,
    "duel.started": ShardVersions._started,
    "duel.lead_changed": ShardVersions._led,
    "duel.ended": ShardVersions._over,
    "model.reset": ShardVersions._reset,
    "model.promoted": ShardVersions._promoted,
}


def _challengers(pipeline: Pipeline) -> dict[str, Challenger]:
    """The pipeline's challengers by name; where two rules have one of a name, the first."""
    races = [rule.do for rule in pipeline.react if isinstance(rule.do, Race)]
    found: dict[str, Challenger] = {}
    for race in races:
        for each in race.contestants():
            found.setdefault(each.name, each)
    return found


def _words(window: Window | None) -> str:
    """A declared window in words."""
    if window is None:
        return ""
    if window.topic is not None:
        return f"topic {window.topic.topic}"
    if window.seconds is not None:
        return f"the last {window.seconds:g} s"
    return "since the change" if window.since_change else f"the last {window.rows} rows"


def _trained(of: Version, **changes: Any) -> TrainedOn:
    return dataclasses.replace(of.trained_on or TrainedOn(), **changes)


def _e_value(fact: Any) -> float | None:
    """Of whoever takes the lead."""
    found = [each.e_value for each in fact.standings if each.name == fact.now and math.isfinite(each.e_value)]
    return found[0] if found else None


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}

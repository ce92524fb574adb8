"""What the page shows of the past: rolling scores by time, and the marks on their axis. A fold over facts, of bounded size.

A shard has three rings of points: one a second, one every 15 seconds, one every 6 minutes, each of `POINTS` points. So the last minutes are
there in full, the last hour and the last day thinned, and a page that is opened late can draw them all. A point is the rolling score as
it was observed then. Marks are the last facts of each kind that a chart shows; a replay makes none, because nobody noted their time.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from stream_retrain.facts.observation import DuelStanding, Observation
from stream_retrain.facts.shard import DriftDetected
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Assigned, Observed, Processed, Released, Retrying, WorkerFact
from stream_retrain.views.sentences import shown
from stream_retrain.views.shard_status import EVIDENCE_MAX

__all__ = ["History"]

POINTS: Final = 240
STEPS_S: Final = (0.5, 15.0, 360.0)
"""The least time between two points of a ring: the first takes every observation, which come about once a second."""
MARKS: Final = 60
METRICS: Final = 5
"""Scores a point has, at most: the first that the pipeline declares."""
MARKED: Final = frozenset(
    {
        *("drift.detected", "drift.warned", "duel.started", "duel.lead_changed", "duel.ended", "model.reset"),
        "model.promoted",
        *("training.requested", "training.joined", "training.failed", "member.restarted"),
    }
)

Point: TypeAlias = tuple[float, ...]
"""When, and the scores in the order of their names."""


class History:
    """Folds worker facts; `snapshot` may be called by other threads."""

    def __init__(self, clock_s: Callable[[], float] = time.time) -> None:
        self._clock_s = clock_s
        self._shards: dict[ShardId, _Past] = {}
        self._held: set[ShardId] = set()

    def __call__(self, fact: WorkerFact) -> None:
        """Take one fact."""
        match fact:
            case Assigned():
                self._held.add(fact.shard)
                self._shards.setdefault(fact.shard, _Past())
            case Observed() if fact.shard in self._held:
                self._shards[fact.shard].observed(fact.observation, self._clock_s())
            case Processed() if fact.facts and not fact.replayed and fact.shard in self._held:
                self._shards[fact.shard].happened(fact, self._clock_s())
            case Released():
                self._held.discard(fact.shard)
                self._shards.pop(fact.shard, None)
            case Retrying():
                # The shards are opened again, most likely here: what is known of them is kept for that, and dropped at the next time.
                self._shards = {id_: past for id_, past in self._shards.items() if id_ in self._held}
                self._held = set()

    def snapshot(self) -> dict[str, Any]:
        """By shard: the scores' names, the points in order of time, and the marks."""
        held = self._held.copy()
        found = sorted(((id_, past) for id_, past in self._shards.copy().items() if id_ in held), key=lambda each: each[0])
        return {"shards": {f"{id_.topic}/{id_.partition}": past.shown() for id_, past in found}}


class _Past:
    """What is kept of one shard."""

    def __init__(self) -> None:
        self._metrics: tuple[str, ...] = ()
        self._rings: tuple[collections.deque[Point], ...] = tuple(collections.deque(maxlen=POINTS) for _ in STEPS_S)
        self._marks: dict[str, collections.deque[dict[str, Any]]] = {}
        self._duel: _Race | None = None

    def observed(self, seen: Observation, now_s: float) -> None:
        if seen.duel is not None:
            self._race(seen.duel, now_s)
        rolling = seen.rolling
        self._metrics = self._metrics or tuple(rolling)[:METRICS]
        if not rolling or not seen.events_seen:
            return
        point = (now_s, *(rolling.get(name, math.nan) for name in self._metrics))
        for ring, step_s in zip(self._rings, STEPS_S, strict=True):
            if not ring or now_s - ring[-1][0] >= step_s:
                ring.append(point)

    def _race(self, duel: DuelStanding, now_s: float) -> None:
        """Where the evidence has `POINTS` points, every second one goes, and from then on they are taken half as often."""
        evidence = {each.name: min(each.e_value, EVIDENCE_MAX) for each in duel.contestants}
        if self._duel is None or self._duel.number != duel.number:
            self._duel = _Race(number=duel.number, points=[])
        race = self._duel
        if race.points and now_s - race.points[-1][0] < race.step_s:
            return
        race.points = [*race.points, (now_s, evidence)]
        if len(race.points) > POINTS:
            race.points, race.step_s = race.points[::2], max(1.0, race.step_s) * 2

    def happened(self, batch: Processed, now_s: float) -> None:
        for fact in batch.facts:
            if fact.kind in MARKED:
                mark = {"at_s": round(now_s, 2), **shown(fact)}
                ring = fact.kind
                if isinstance(fact, DriftDetected):
                    ring += f" of {fact.signal}"  # a season in one feature must not drive out the drifts of the error
                self._marks.setdefault(ring, collections.deque(maxlen=MARKS)).append(mark)

    def shown(self) -> dict[str, Any]:
        """A coarser ring is shown for the time before the finer one begins."""
        points: list[Point] = []
        for ring in self._rings:
            found = list(ring.copy())
            points = [point for point in found if not points or point[0] < points[0][0]] + points
        marks = [mark for ring in self._marks.copy().values() for mark in ring.copy()]
        columns = list(zip(*points, strict=True)) or [()] * (1 + len(self._metrics))
        return {
            "t": [round(at_s, 1) for at_s in columns[0]],
            "metrics": {name: list(map(_short, column)) for name, column in zip(self._metrics, columns[1:], strict=True)},
            "marks": sorted(marks, key=lambda mark: (mark["at_s"], mark["offset"])),
            "duel": self._duel.shown() if self._duel is not None else None,
        }


@dataclasses.dataclass(slots=True, kw_only=True)
class _Race:
    """The e-values of the last duel's contestants over time; an empty step takes every observation."""

    number: int
    points: list[tuple[float, dict[str, float]]]
    step_s: float = 0.0

    def shown(self) -> dict[str, Any]:
        points = self.points
        names = sorted({name for _, evidence in points for name in evidence})
        found = {name: [_short(evidence.get(name, 1.0)) for _, evidence in points] for name in names}
        return {"number": self.number, "t": [round(at_s, 1) for at_s, _ in points], "e": found}


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None

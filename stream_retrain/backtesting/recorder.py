"""The fold that makes a recording: it is shown each step of a lane, and looks at the lane between two steps.

Protocol of use, for the job that runs the lane:

1. `enter(number)` before the first records of an interval: the one before it is closed, with the lane as it stands.
2. `begin(piece)` before the lane takes records of that interval, `take(step, piece)` after each step over some of them.
3. `close(stopped_in)` at the end.

Everything is a function of the steps and of where they end, so a job must cut the same log into the same steps every time. Memory is
bounded: one row for each interval, and lists that are thinned (`RecordingLimits`).
"""

from __future__ import annotations

import bisect
import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from stream_retrain.backtesting.recording import IntervalSums, Recording, RecordingLimits
from stream_retrain.backtesting.result import DriftReading, DuelPoint, GenerationSpan, Mark, MarkKind
from stream_retrain.backtesting.thinned import Thinned
from stream_retrain.facts.shard import (
    ChallengerJoined,
    ContestantStanding,
    DriftDetected,
    DuelEnded,
    DuelStarted,
    LeadChanged,
    ModelReset,
    Passed,
    Rejected,
    ShardFact,
    TrainingFailed,
    TrainingRequested,
)
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import Event, Learned
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.step import Step

__all__ = ["Piece", "Recorder"]

_DRAWN: Final[dict[type[Any], MarkKind]] = {
    DriftDetected: "drift",
    ModelReset: "reset",
    DuelStarted: "duel_started",
    LeadChanged: "lead_changed",
    TrainingRequested: "training_requested",
    ChallengerJoined: "training_joined",
    TrainingFailed: "training_failed",
}
_REPLACES: Final = (ModelReset, LeadChanged)


class Piece(NamedTuple):
    """Some records of one interval, as a lane takes them: their offsets and positions, and the events among them."""

    offsets: Sequence[int]
    positions: Sequence[int]
    events: Sequence[Event]

    def position(self, offset: int) -> int:
        """The position of a record that is among them."""
        return self.positions[bisect.bisect_left(self.offsets, offset)]


class Recorder:
    """The recording of one lane while it runs."""

    def __init__(self, variant: str, lane: Lane, task: str, limits: RecordingLimits) -> None:
        self._lane = lane
        self._regression = task == "regression"
        self._made = Recording(variant=variant, partition=lane.id.partition)
        self._limits = limits
        self._number: int | None = None
        self._position = 0
        """Of the last record."""
        self._newest_s: float | None = None
        self._from_s: float | None = None
        self._to_s: float | None = None
        self._marks: dict[MarkKind, Thinned[Mark]] = {}
        self._spans: Thinned[GenerationSpan] = Thinned(limits.generations_max)
        self._serving: tuple[int, int, float | None, str] | None = None
        """The generation that serves: its number, since which position and event time, and why."""
        self._duels: Thinned[_Race] = Thinned(limits.duels_max)
        self._race: _Race | None = None

    def enter(self, number: int) -> None:
        """The records that follow are of another interval."""
        self._leave()
        self._number = number
        self._from_s = self._to_s = None
        self._events = self._labelled = self._losses = 0
        self._loss_sum = 0.0
        self._before = self._counts()

    def begin(self, piece: Piece) -> None:
        """A piece follows, in one step or in several: see its event times."""
        events = piece.events
        if self._serving is None:
            self._serving = (0, piece.positions[0], events[0].time_s if events else None, "begin")
        if not events:
            return
        times = [event.time_s for event in events]
        self._from_s = times[0] if self._from_s is None else self._from_s
        newest = list(itertools.accumulate(times, max, initial=times[0] if self._newest_s is None else self._newest_s))
        if earlier := sum(map(operator.lt, times, newest)):
            self._made.out_of_order += earlier
            self._made.earlier_s_max = max(self._made.earlier_s_max, *map(operator.sub, newest, times))
        self._newest_s = newest[-1]
        self._to_s = times[-1]

    def take(self, step: Step, piece: Piece) -> None:
        """A step over some of a piece's records."""
        made = self._made
        rejected = self._refused(step.facts) if step.facts else 0
        made.records += step.records
        made.rejected += rejected
        self._events += step.records - rejected - sum(isinstance(fact, Passed) for fact in step.facts)
        if step.learned:
            self._score(step.learned)
        for fact in step.facts:
            self._fact(fact, piece)
        self._position = piece.position(self._lane.next_offset - 1)
        self._look_at_duel()

    def worked(self, cpu_s: float) -> None:
        """So much CPU time was spent on it."""
        self._made.cpu_s += cpu_s

    def close(self, stopped_in: int | None = None) -> Recording:
        """The recording: the lane has come to its end, or was stopped in an interval."""
        self._leave()
        made, lane = self._made, self._lane
        seen = lane.observe()
        made.metrics, made.generation, made.stopped_in = seen.running, seen.generation, stopped_in
        if self._serving is not None:
            self._spans.add(self._span(None))
        made.generations = self._spans.kept
        made.marks = sorted((mark for kept in self._marks.values() for mark in kept.kept), key=operator.attrgetter("position"))
        made.duel_points = [point for race in self._duels.kept for point in race.points()]
        made.notes = [
            *(_thinned(f"marks of kind {kind}", kept) for kind, kept in self._marks.items() if kept.every > 1),
            *([_thinned("generations", self._spans)] if self._spans.every > 1 else []),
            *([_thinned("duels", self._duels)] if self._duels.every > 1 else []),
        ]
        return made

    def _leave(self) -> None:
        """Close the interval that is open, with the lane as it stands."""
        if self._number is None:
            return
        made, seen = self._made, self._lane.observe()
        sums = (self._events, self._labelled, self._losses, self._loss_sum)
        counts = map(operator.sub, self._counts(), self._before)
        made.intervals.append(IntervalSums(self._number, self._from_s, self._to_s, *sums, seen.rolling, *counts))
        made.events += self._events
        made.labelled += self._labelled
        for (signal, detector), reading in seen.readings.items():
            made.readings.append(
                DriftReading(
                    variant=made.variant,
                    partition=made.partition,
                    number=self._number,
                    position=self._position,
                    signal=signal,
                    detector=detector,
                    statistic=reading.statistic,
                    threshold=reading.threshold,
                    estimate=reading.estimate,
                    width=reading.width,
                )
            )
        self._number = None

    def _counts(self) -> tuple[int, ...]:
        """What has happened so far, in the order of an interval's fields."""
        made = self._made
        return made.rejected, made.drifts, made.replacements, made.duels, made.trainings

    def _refused(self, facts: Sequence[ShardFact]) -> int:
        """How many records were rejected; the first of all is kept in words."""
        refused = [fact for fact in facts if isinstance(fact, Rejected)]
        if refused and not self._made.first_rejected:
            first = refused[0]
            where = f"partition {self._made.partition}, offset {first.offset}"
            self._made.first_rejected = f"{where}, {first.reason}: {f'{first.field}: ' if first.field else ''}{cut(first.detail, 200)}"
        return len(refused)

    def _score(self, learned: Sequence[Learned]) -> None:
        self._labelled += len(learned)
        if self._regression:
            errors = [abs(y - y_pred) for _, _, _, y, y_pred in learned if y_pred is not None]  # type: ignore[operator]
            self._losses += len(errors)
            self._loss_sum += math.fsum(errors)
        else:
            self._losses += len(learned)
            self._loss_sum += sum([y != y_pred for _, _, _, y, y_pred in learned])

    def _fact(self, fact: ShardFact, piece: Piece) -> None:
        kind = _DRAWN.get(type(fact))
        if isinstance(fact, DuelEnded) and fact.result == "promoted":
            kind = "promoted"
        made = self._made
        made.drifts += isinstance(fact, DriftDetected)
        made.duels += isinstance(fact, DuelStarted)
        made.trainings += isinstance(fact, TrainingRequested)
        made.replacements += isinstance(fact, _REPLACES)
        if kind is not None:
            self._mark(kind, fact, piece)
        match fact:
            case ModelReset():
                self._serve(fact.generation, piece.position(fact.offset), fact.time_s, "reset")
            case LeadChanged():
                self._serve(fact.generation, piece.position(fact.offset), fact.time_s, fact.now)
                self._point(piece.position(fact.offset), fact.events, fact.standings, fact.before)
            case DuelStarted():
                self._race = _Race(made.variant, made.partition, fact.duel, self._limits.duel_points_max)
                self._duels.add(self._race)
                none = [ContestantStanding(name=name, loss_mean=0, events=0, e_value=1, e_value_against=1) for name in fact.contestants]
                self._point(piece.position(fact.offset), 0, none, fact.contestants[0])
            case DuelEnded():
                self._point(piece.position(fact.offset), fact.events, fact.standings, fact.winner)
                self._race = None

    def _mark(self, kind: MarkKind, fact: Any, piece: Piece) -> None:
        mark = Mark(
            variant=self._made.variant,
            partition=self._made.partition,
            kind=kind,
            offset=fact.offset,
            position=piece.position(fact.offset),
            time_s=fact.time_s,
            text=fact.sentence,
        )
        if kind not in self._marks:
            self._marks[kind] = Thinned(self._limits.marks_max)
        self._marks[kind].add(mark)

    def _serve(self, generation: int, position: int, time_s: float, cause: str) -> None:
        """Another generation serves from the event after `position` on."""
        self._spans.add(self._span(position))
        self._serving = (generation, position, time_s, cause)

    def _span(self, until: int | None) -> GenerationSpan:
        assert self._serving is not None
        generation, position, time_s, cause = self._serving
        return GenerationSpan(
            variant=self._made.variant,
            partition=self._made.partition,
            generation=generation,
            from_position=position,
            until_position=until,
            from_time_s=time_s,
            cause=cause,
        )

    def _look_at_duel(self) -> None:
        if self._race is None:
            return
        duel = self._lane.shard.duel
        if duel is not None and duel.number == self._race.number:
            self._race.passes_at = duel.passes_at
            self._point(self._position, duel.events, duel.contestants, duel.leader)

    def _point(self, position: int, events: int, standings: Sequence[ContestantStanding], leader: str) -> None:
        if self._race is not None:
            self._race.add(position, events, standings, leader)


class _Race:
    """The evidence of one duel over time; of the one that leads there is none."""

    def __init__(self, variant: str, partition: int, number: int, points_max: int) -> None:
        self.number = number
        self.passes_at: float | None = None
        """As it was seen last: after a change of lead it is another."""
        self._variant = variant
        self._partition = partition
        self._points_max = points_max
        self._of: dict[str, Thinned[DuelPoint]] = {}

    def add(self, position: int, events: int, standings: Sequence[ContestantStanding], leader: str) -> None:
        for each in standings:
            if each.name != leader:
                kept = self._of.setdefault(each.name, Thinned(self._points_max))
                kept.add(
                    DuelPoint(
                        variant=self._variant,
                        partition=self._partition,
                        duel=self.number,
                        contestant=each.name,
                        position=position,
                        events=events,
                        e_value=each.e_value,
                        passes_at=self.passes_at,
                    )
                )

    def points(self) -> list[DuelPoint]:
        found = [point for kept in self._of.values() for point in kept.kept]
        return sorted(found, key=lambda point: (point.position, point.contestant, point.events))


def _thinned(what: str, kept: Thinned[Any]) -> str:
    return f"of {kept.added:,} {what} one in {kept.every} is kept"

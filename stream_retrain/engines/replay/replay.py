"""The lane of a pipeline over records or events that are all there already: for backtests, the demo and benchmarks.

Everything is the live code but time and place: the driver over stores in memory with a simulated clock. Trainings are done in this process
by the same function, and a challenger joins after a declared number of labelled events in place of the time its training takes. So
the same log gives the same steps, every time.

Several replays may take the same decoded batch. Each cuts it for itself, where a challenger of its own joins.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.contest.commands import Train
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.cron import Cron
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.engines.replay.clock import SimulatedClock
from stream_retrain.engines.trainer import InlineTrainer, Job, TopicReader, TrainerResult
from stream_retrain.facts.values import Event, ShardId
from stream_retrain.lane.batch import Batch, Record, Records
from stream_retrain.lane.encoder import encode_nothing
from stream_retrain.lane.lane import Encode, Lane
from stream_retrain.lane.step import Step
from stream_retrain.stores import connect
from stream_retrain.stores.start import Start

__all__ = ["JOINS_AFTER_EVENTS", "Replay", "replay", "replay_events"]

JOINS_AFTER_EVENTS: Final = 500
BATCH_EVENTS: Final = 500
BATCH_S: Final = 1.0
"""How far the clock goes with each step: as far as the driver waits between two looks for inputs."""
_Item = TypeVar("_Item")


def replay(
    pipeline: Pipeline,
    records: Iterable[Record],
    *,
    partition: int = 0,
    joins_after_events: int = JOINS_AFTER_EVENTS,
    outputs: bool = True,
) -> Iterator[tuple[Lane, Step]]:
    """The lane and each step of it over the records of one partition, in order of offset.

    joins_after_events
        Labelled events between the request for a training and the event before which its challenger joins, at least 1.
    outputs
        Whether the steps have outputs; without, nothing is encoded.
    """
    encoder = None if outputs else encode_nothing
    run = Replay(pipeline, partition=partition, joins_after_events=joins_after_events, encoder=encoder)
    return _steps(run, records, Records.of)


def replay_events(
    pipeline: Pipeline, events: Iterable[Event], *, joins_after_events: int = JOINS_AFTER_EVENTS
) -> Iterator[tuple[Lane, Step]]:
    """The same over events that never were records; the steps have no outputs."""
    return _steps(Replay(pipeline, joins_after_events=joins_after_events, encoder=encode_nothing), events, Batch.of_events)


def _steps(run: Replay, log: Iterable[_Item], columns: Callable[[list[_Item]], Records | Batch]) -> Iterator[tuple[Lane, Step]]:
    rest = iter(log)
    while chunk := list(itertools.islice(rest, BATCH_EVENTS)):
        for step in run.take(columns(chunk)):
            yield run.lane, step


class Replay:
    """One pipeline over one partition: `take` its records, batch by batch in order of offset, to their end."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        partition: int = 0,
        joins_after_events: int = JOINS_AFTER_EVENTS,
        step_records_max: int = BATCH_EVENTS,
        encoder: Encode | None = None,
        read_topic: TopicReader | None = None,
        start: Start | None = None,
    ) -> None:
        """A replay from the first record on.

        step_records_max
            After how many records a step ends at the latest, for those who look at the lane between two steps.
        encoder
            What makes the outputs; None: the driver's own, so that they are a worker's to the byte, headers included.
        start
            With what it begins, where the pipeline names a start: there is no store here to find it in.
        """
        stores, keyring = connect("memory://"), Keyring.unsigned()
        self._partition = partition
        self._joins_after = joins_after_events
        self._step_records_max = step_records_max
        self._clock = SimulatedClock()
        self._trainer = _Waiting(InlineTrainer(pipeline, stores, keyring, read_topic))
        limits = DriverLimits(checkpoint_events=2**63, checkpoint_interval_s=float("inf"), keeps_window=pipeline.trains)
        wall = self._wall_s = SimulatedClock(-math.inf)
        self._driver = Driver(
            pipeline, stores, keyring, limits, lambda _: None, self._clock, self._trainer, encoder, start=start, wall_s=wall
        )
        self._driver.open(partition, Log(committed=None, low=0, high=0), self._clock.now_s)
        self.lane: Lane = self._driver.lanes[partition]
        self._trains = pipeline.trains
        self._scheduled = any(isinstance(each, Cron) for each in pipeline.triggers)
        self._due: int | None = None
        """The labelled events after which the challenger of the training under way joins."""

    def take(self, given: Records | Batch) -> Iterator[Step]:
        """The steps of these records, which end where a challenger joins."""
        at = 0
        while at < len(given):
            end = min(len(given), at + self._records_until_look())
            if self._scheduled:
                end = self._until_due(given, at, end)
            step = self._driver.take(self._partition, given.rows(at, end))
            at = end
            if step is not None:
                self._look(step)
                yield step

    def _look(self, step: Step) -> None:
        """Commit a step, ask for the trainings it wants, and let a challenger join that is due."""
        for command in step.commands:
            if isinstance(command, Train):
                self._due = command.training.events_seen + self._joins_after
        self._driver.committed(self._driver.unsent().offsets)
        if self._due is not None and self.lane.shard.events_seen >= self._due:
            self._due, self._trainer.released = None, True
        self._clock.advance(BATCH_S)
        self._driver.settle(self._clock.now_s)
        self._trainer.released = False

    def _until_due(self, given: Records | Batch, first: int, end: int) -> int:
        """Ask what is due before the first record, by the time at which it was written; up to which record nothing more is due.

        A worker would have asked at that very time, however long there was no record then.
        """
        records = given if isinstance(given, Records) else given.records
        times_ms, wall, schedules = records.timestamps_ms, self._wall_s, self._driver.schedules
        at_s = times_ms[first] / 1000
        if (due_s := schedules.next_due_s(self.lane.id)) <= at_s:
            wall.now_s = max(wall.now_s, due_s)
            self._clock.advance(BATCH_S)
            self._driver.settle(self._clock.now_s)
        wall.now_s = max(wall.now_s, at_s)
        due_s = schedules.next_due_s(self.lane.id)
        return next((row for row in range(first + 1, end) if times_ms[row] / 1000 >= due_s), end)

    def _records_until_look(self) -> int:
        """How many records may be taken before the next look: a training asked for in them must not be due before their end."""
        if not self._trains:
            return self._step_records_max
        left = self._joins_after if self._due is None else self._due - self.lane.shard.events_seen
        return max(1, min(self._step_records_max, left))


class _Waiting:
    """A trainer that begins its job when its result is due, so that it learns what the window holds then."""

    def __init__(self, trainer: InlineTrainer) -> None:
        self._trainer = trainer
        self._job: Job | None = None
        self.released = False

    def submit(self, job: Job) -> None:
        self._job = job

    def poll(self) -> list[TrainerResult]:
        if self._job is None or not self.released:
            return []
        self._trainer.submit(self._job)
        self._job = None
        return self._trainer.poll()

    def cancel(self, shard: ShardId) -> None:  # noqa: ARG002 - there is one
        self._job = None

    def close(self, deadline_s: float) -> None:  # noqa: ARG002 - there is nothing to wait for
        self._job = None

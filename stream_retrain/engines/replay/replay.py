"""The lane of a pipeline over records or events that are all there already: for backtests, the demo and benchmarks.

Everything is the live code but time and place: the driver over stores in memory with a simulated clock. Trainings are done in this process
by the same function, and a challenger joins after a declared number of labelled events in place of the time its training takes. So
the same log gives the same steps, every time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.contest.commands import Train
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.engines.replay.clock import SimulatedClock
from stream_retrain.engines.trainer import InlineTrainer, Job, TrainerResult
from stream_retrain.facts.values import Event, ShardId
from stream_retrain.lane.batch import Batch, Record, Records
from stream_retrain.lane.encoder import encode, encode_nothing
from stream_retrain.lane.lane import Encode, Lane
from stream_retrain.lane.step import Step
from stream_retrain.stores import connect

__all__ = ["JOINS_AFTER_EVENTS", "replay", "replay_events"]

JOINS_AFTER_EVENTS: Final = 500
BATCH_EVENTS: Final = 500
BATCH_S: Final = 1.0
"""How far the clock goes with each batch: as far as the driver waits between two looks for inputs."""
_PARTITION: Final = 0
_Item = TypeVar("_Item")


def replay(
    pipeline: Pipeline, records: Iterable[Record], *, joins_after_events: int = JOINS_AFTER_EVENTS, outputs: bool = True
) -> Iterator[tuple[Lane, Step]]:
    """The lane and each step of it over the records of one partition, in order of offset.

    joins_after_events
        Labelled events between the request for a training and the event before which its challenger joins, at least 1.
    outputs
        Whether the steps have outputs; without, nothing is encoded.
    """
    return _Replay(pipeline, joins_after_events, encode if outputs else encode_nothing).steps(records, Records.of)


def replay_events(
    pipeline: Pipeline, events: Iterable[Event], *, joins_after_events: int = JOINS_AFTER_EVENTS
) -> Iterator[tuple[Lane, Step]]:
    """The same over events that never were records; the steps have no outputs."""
    return _Replay(pipeline, joins_after_events, encode_nothing).steps(events, Batch.of_events)


class _Replay:
    """One partition, from its first record to its last."""

    def __init__(self, pipeline: Pipeline, joins_after_events: int, encoder: Encode) -> None:
        stores, keyring = connect("memory://"), Keyring.unsigned()
        self._joins_after = joins_after_events
        self._clock = SimulatedClock()
        self._trainer = _Waiting(InlineTrainer(pipeline, stores, keyring))
        limits = DriverLimits(checkpoint_events=2**63, checkpoint_interval_s=float("inf"))
        self._driver = Driver(pipeline, stores, keyring, limits, lambda _: None, self._clock, self._trainer, encoder)
        self._driver.open(_PARTITION, Log(committed=None, low=0, high=0), self._clock.now_s)
        self._due: int | None = None
        """The labelled events after which the challenger of the training under way joins."""

    def steps(self, log: Iterable[_Item], columns: Callable[[list[_Item]], Records | Batch]) -> Iterator[tuple[Lane, Step]]:
        """Take the log, in batches that end where a challenger joins."""
        driver, lane, rest = self._driver, self._driver.lanes[_PARTITION], iter(log)
        while chunk := list(itertools.islice(rest, self._events_until_join(lane))):
            step = driver.take(_PARTITION, columns(chunk))
            if step is None:
                continue
            yield lane, step
            for command in step.commands:
                if isinstance(command, Train):
                    self._due = command.training.events_seen + self._joins_after
            driver.committed(driver.unsent().offsets)
            if self._due is not None and lane.shard.events_seen >= self._due:
                self._due, self._trainer.released = None, True
            self._clock.advance(BATCH_S)
            driver.settle(self._clock.now_s)
            self._trainer.released = False

    def _events_until_join(self, lane: Lane) -> int:
        """How many events may be taken before the next look: a training asked for in them must not be due before their end."""
        left = self._joins_after if self._due is None else self._due - lane.shard.events_seen
        return max(1, min(BATCH_EVENTS, left))


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

"""Sources and pipelines for the tests of backtests: logs in memory, small and seeded."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from river import drift, linear_model, tree

from stream_retrain import Challenge, Evidence, On, Pipeline, Retrain, Watch, Window
from stream_retrain.backtesting.job import Job, JobDone, run_job
from stream_retrain.backtesting.recording import RecordingLimits
from stream_retrain.backtesting.spool import Spool, write_spool
from stream_retrain.backtesting.variants import Variant
from stream_retrain.cli import main
from stream_retrain.facts.values import Event
from stream_retrain.lane.batch import Record
from tests.core import streams


@dataclasses.dataclass
class Log:
    """A source of records that are all there."""

    rows: Sequence[tuple[int, Record]]
    name: str = "a log"
    notes: list[str] = dataclasses.field(default_factory=list)

    def estimate(self) -> int | None:
        return len(self.rows)

    def records(self) -> Iterator[tuple[int, Record]]:
        return iter(self.rows)


def value_of(event: Event) -> bytes:
    """An event as the JSON of a producer."""
    row: dict[str, Any] = {"id": event.id, **(event.x or {})}
    return json.dumps(row if event.y is None else {**row, "y": event.y}).encode()


def log_of(events: Iterable[Event], partitions: int = 1) -> Log:
    """Events as records, dealt to partitions in turn; the time of an event is its record's."""
    rows, offsets = [], [0] * partitions
    for number, event in enumerate(events):
        partition = number % partitions
        record = Record(offsets[partition], b"k%d" % (number % 3), value_of(event), int(event.time_s * 1000))
        rows.append((partition, record))
        offsets[partition] += 1
    return Log(rows)


def drifting(count: int, flip_at: int, partitions: int = 1) -> Log:
    """A concept that turns around, each event answered at once."""
    return log_of(streams.events(streams.rows(count, flip_at=flip_at)), partitions)


def trains(**changes: Any) -> Pipeline:
    """A pipeline with everything: a duel at each drift, with a challenger from the trainer."""
    race = Challenge(window=Window(rows=500), evidence=Evidence(events_max=300))
    parts: dict[str, Any] = {
        "model": tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1),
        "watch": [Watch("error", drift.ADWIN())],
        "react": [On.drift("error", race, cooldown_events=100)],
    }
    return streams.pipeline(**{**parts, **changes})


def retrains(**changes: Any) -> Pipeline:
    """A pipeline whose only challenger comes from the trainer."""
    react = [On.drift("error", Retrain(window=Window(rows=500), evidence=Evidence(events_max=300)), cooldown_events=100)]
    return trains(**{"react": react, **changes})


class Slow(linear_model.LogisticRegression):  # type: ignore[misc]
    """After the first 200 labels of a process each takes it a while, so that what is begun is not at its end when a test ends it."""

    _learned = itertools.count(1)

    def learn_one(self, x: dict[str, float], y: bool, w: float = 1.0) -> None:
        super().learn_one(x, y, w)
        if next(Slow._learned) > 200:
            time.sleep(0.005)


def slow() -> tuple[Pipeline, Log]:
    """A pipeline and a log over which no machine has run it in less than half a minute, with a job for each of two processes."""
    return streams.pipeline(model=Slow(), watch=(), react=()), drifting(6_000, 3_000, partitions=2)


def spooled(log: Log, folder: Path) -> Spool:
    """The log in files."""
    folder.mkdir(exist_ok=True)
    return write_spool(log, folder)


def ran(
    variants: Sequence[Variant],
    log: Log,
    folder: Path,
    *,
    interval_records: int = 100,
    joins_after_events: int = 150,
    limits: RecordingLimits | None = None,
    stop_after: int | None = None,
) -> list[JobDone]:
    """A job for each partition, with all variants and their decision logs in `folder`; told to stop after so many pieces."""
    spool = spooled(log, folder)
    done = []
    for number, partition in enumerate(spool.partitions):
        pieces = iter(range(10**9))
        job = Job(
            number=number,
            partition=partition,
            variants=tuple(range(len(variants))),
            interval_records=interval_records,
            joins_after_events=joins_after_events,
            record_bytes_max=1_000_000,
            limits=limits or RecordingLimits.of(len(spool.partitions)),
            decisions=folder,
        )
        done.append(run_job(job, variants, lambda _: None, lambda pieces=pieces: next(pieces) == stop_after))  # type: ignore[misc]
    return done


def decisions_of(file: Path) -> list[dict[str, Any]]:
    """The CloudEvents of a decision log."""
    return [json.loads(line) for line in file.read_bytes().splitlines()]


class Ended(NamedTuple):
    """What a command came to."""

    code: int
    out: str
    err: str


def typed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """`stream-retrain` with these arguments, in this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    for number, handler in before.items():
        signal.signal(number, handler)
    written = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return Ended(ended.value.code, written.out, written.err)

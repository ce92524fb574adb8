"""A backtest from beginning to end: the source into a spool, jobs over it, and the sum of what they leave.

In this order:

1. Everything that can be refused is refused before the source is read.
2. The source is read once, into a folder of its own (`backtesting.spool`), which is removed at the end, whatever happens.
3. The variants are dealt into groups, and each group over each partition is a job (`backtesting.job`).
4. Jobs run in child processes, on a cluster, or in this process, where the variants cannot be sent to another.
5. Their recordings are added up (`backtesting.summing`).

Interrupted while it reads, it has nothing to show, and KeyboardInterrupt is raised. Interrupted later, it ends with what every job has
come to, and says so in the result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from stream_retrain.backtesting.cluster import check_cluster
from stream_retrain.backtesting.interrupt import SIGNALS, interruptions
from stream_retrain.backtesting.job import Job, JobDone
from stream_retrain.backtesting.later import later
from stream_retrain.backtesting.recording import RecordingLimits
from stream_retrain.backtesting.result import BacktestCurves, BacktestSummary, Incident
from stream_retrain.backtesting.source import Source
from stream_retrain.backtesting.spool import Spool, write_spool
from stream_retrain.backtesting.summing import Run, summed
from stream_retrain.backtesting.tuning.result import Tuning
from stream_retrain.backtesting.variants import Chosen, Variant, attached, controls_of
from stream_retrain.backtesting.versions import versions
from stream_retrain.backtesting.workplace import Workplace, workplace
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.wire import Schemas
from stream_retrain.engines.replay.replay import JOINS_AFTER_EVENTS
from stream_retrain.errors import SettingsError
from stream_retrain.stores.start import Start

__all__ = [
    "Options",
    "Planned",
    "Ran",
    "Unwatched",
    "Watching",
    "adding_up",
    "check_options",
    "interval_of",
    "jobs_over",
    "place_for",
    "run_backtest",
    "run_over",
    "spooled",
    "with_controls",
]

INTERVALS: Final = 200
INTERVAL_RECORDS_MIN: Final = 25


class Watching(Protocol):
    """Who is told how far a backtest is."""

    def reading(self, records: int, about: int | None) -> None:
        """So many records were read, of about so many, if anybody knows."""
        ...

    def running(self, lane_records: int, total: int) -> None:
        """So many records times variants are done, of so many."""
        ...


class Unwatched:
    """Nobody is told."""

    def reading(self, records: int, about: int | None) -> None: ...

    def running(self, lane_records: int, total: int) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a backtest is run. `joins_after_events` and `record_bytes_max` make a difference to its figures, and no other."""

    joins_after_events: int = JOINS_AFTER_EVENTS
    """Labelled events between the request for a training and the event before which its challenger joins."""
    controls: bool = True
    processes: int | None = None
    """None: as many as there are cores."""
    spool: Path | None = None
    """The folder in which the source is kept meanwhile; None: the system's for temporary files."""
    decisions: Path | None = None
    """The folder for decision logs; None: there are none."""
    cluster: str | None = None
    """The address of a dask scheduler."""
    target: str | None = None
    """The PIPELINE of the command line that the variants were loaded from; None: they were made here."""
    schemas: Schemas | None = None
    """The Schema Registry, where records are of one."""
    starts: Mapping[str, Start] = dataclasses.field(default_factory=dict)
    """By name, the models that variants begin with (`stores.start`)."""
    record_bytes_max: int = 1_000_000
    """As the worker's setting: larger records are rejected."""
    incidents: Sequence[Incident] = ()
    command: str = ""
    """How to run it again."""
    signals: Sequence[signal.Signals] = SIGNALS
    """What interrupts it."""


class Ran(NamedTuple):
    """What came of a backtest."""

    summary: BacktestSummary
    curves: BacktestCurves
    jobs: list[JobDone]
    tuning: Tuning | None = None


def run_backtest(chosen: Chosen, source: Source, options: Options, watching: Watching | None = None) -> Ran:
    """Run every variant, and the controls of the pipeline itself, over a source.

    Raises `SettingsError` for options and sources that are not as they must be, `BrokerError` where Kafka does not answer, `OSError` where
    a file cannot be written, `BacktestError` where a process or a machine was lost, KeyboardInterrupt while the source is read.
    """
    began = time.monotonic()
    told = watching or Unwatched()
    check_options(options)
    planned = with_controls(chosen, options)
    with spooled(source, options, told) as spool, interruptions(options.signals) as stopped:
        total = spool.records * len(planned.variants)
        return run_over(planned, spool, options, adding_up(told, total), stopped, began)


class Planned(NamedTuple):
    """The variants of a run, its controls among them, and where it runs."""

    own: Pipeline
    variants: list[Variant]
    place: Workplace
    notes: list[str]


def with_controls(chosen: Chosen, options: Options) -> Planned:
    """What is chosen, and the controls. Raises `SettingsError` where it cannot be run as the options say."""
    controls = controls_of(chosen.own) if options.controls else Chosen(chosen.own, [], [])
    variants = [*chosen.variants, *controls.variants]
    return Planned(chosen.own, variants, place_for(variants, options), [*chosen.notes, *controls.notes])


def place_for(variants: Sequence[Variant], options: Options) -> Workplace:
    """Where these variants run. Raises `SettingsError`."""
    return workplace(variants, target=options.target, processes=options.processes, cluster=options.cluster, spool=options.spool)


@contextlib.contextmanager
def spooled(source: Source, options: Options, watching: Watching) -> Iterator[Spool]:
    """The source, read to its end into a folder that is there for as long as this lasts."""
    with tempfile.TemporaryDirectory(prefix="stream-retrain-backtest-", dir=options.spool) as folder:
        yield _read(source, Path(folder), watching)


def interval_of(spool: Spool) -> int:
    """How many positions an interval has."""
    return max(INTERVAL_RECORDS_MIN, -(-spool.records // INTERVALS))


def run_over(
    planned: Planned,
    spool: Spool,
    options: Options,
    on_progress: Callable[[int], None],
    stopped: Callable[[], bool],
    began: float,
    from_interval: int = 0,
) -> Ran:
    """Run over a spool. Everything of the result is of the intervals from `from_interval` on; what was learned before stays learned."""
    variants, place = planned.variants, planned.place
    interval_records = interval_of(spool)
    jobs = jobs_over(variants, spool, place.groups(attached(variants, options.schemas), spool.partitions), interval_records, options)
    done = place.run(jobs, on_progress, stopped)
    recordings = [recording for each in done for recording in each.recordings]
    partial = len(done) < len(jobs) or any(recording.stopped_in is not None for recording in recordings)
    from_position = from_interval * interval_records
    if from_interval:
        recordings = [later(recording, from_interval, from_position) for recording in recordings]
    run = Run(
        own=planned.own,
        variants=variants,
        source=spool.source,
        partitions=[each.partition for each in spool.partitions],
        interval_records=interval_records,
        from_position=from_position,
        notes=[*spool.notes, *planned.notes, *_trained(variants, options), *place.notes],
        incidents=options.incidents,
        partial=partial,
        command=options.command,
        versions=versions(),
        seconds=time.monotonic() - began,
    )
    summary, curves = summed(run, recordings)
    if not summary.events and not partial and not from_interval:
        raise SettingsError(f"{summary.source}: none of its {spool.records:,} records is an event of the schema; {' '.join(summary.notes)}")
    return Ran(summary, curves, done)


def check_options(options: Options) -> None:
    """Raises `SettingsError` for what no run could be."""
    if options.joins_after_events < 1:
        raise SettingsError(f"joins_after_events is {options.joins_after_events}; use at least 1")
    if options.processes is not None and options.processes < 1:
        raise SettingsError(f"processes is {options.processes}; use at least 1")
    if options.cluster is not None:
        check_cluster(options.cluster)
    if options.spool is not None and not options.spool.is_dir():
        raise SettingsError(
            f"spool {options.spool}: there is no such folder; make it, or leave it to the system's folder for temporary files"
        )
    if options.decisions is not None:
        _make(options.decisions)


def _make(decisions: Path) -> None:
    try:
        decisions.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=decisions):
            pass
    except OSError as error:
        raise SettingsError(
            f"decisions {decisions}: nothing can be written there: {error.strerror or error}; name another folder"
        ) from None


def _read(source: Source, folder: Path, watching: Watching) -> Spool:
    about = source.estimate()
    watching.reading(0, about)
    spool = write_spool(source, folder, lambda records: watching.reading(records, about))
    if not spool.records:
        raise SettingsError(f"{source.name}: it has no records")
    return spool


def jobs_over(
    variants: Sequence[Variant], spool: Spool, groups: Sequence[tuple[int, ...]], interval_records: int, options: Options
) -> list[Job]:
    """One job for each group over each partition."""
    limits = RecordingLimits.of(len(spool.partitions))
    of_topic = any(variant.pipeline.trains_on_topic for variant in variants)
    pairs = [(partition, group) for partition in spool.partitions for group in groups]
    return [
        Job(
            number=number,
            partition=partition,
            variants=group,
            interval_records=interval_records,
            joins_after_events=options.joins_after_events,
            record_bytes_max=options.record_bytes_max,
            schemas=options.schemas,
            starts=options.starts,
            limits=limits,
            topic=spool.partitions if of_topic else (),
            decisions=options.decisions,
        )
        for number, (partition, group) in enumerate(pairs)
    ]


def adding_up(watching: Watching, total: int) -> Callable[[int], None]:
    """Tells how far it is, from what was done since the last call."""
    done = 0
    watching.running(0, total)

    def on_progress(lane_records: int) -> None:
        nonlocal done
        done += lane_records
        watching.running(done, total)

    return on_progress


def _trained(variants: Sequence[Variant], options: Options) -> list[str]:
    """What stands in a replay for the time that trainings take."""
    after = f"{options.joins_after_events:,} labelled events after it was asked for"
    notes = ["Times are event times: schedules run on them, and no clock does."]
    if any(variant.pipeline.trains for variant in variants):
        notes.append(f"A challenger from the trainer joins {after}, in place of the time its training takes.")
    for name, start in options.starts.items():
        which = [repr(each.name) for each in variants if each.pipeline.start == name]
        notes.append(f"The shards of {', '.join(which)} begin with the model of {start.origin}; those of other variants begin untrained.")
    return notes

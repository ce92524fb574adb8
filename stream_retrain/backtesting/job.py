"""One job of a backtest: a group of variants over one partition, in one process.

The partition's records are read and decoded once for each distinct schema, and every variant of the group takes the same batch. A piece of
a chunk ends where an interval ends, and a step of a lane at `STEP_RECORDS_MAX` at the latest, so that what is looked at between two steps
is looked at in the same places, whatever else runs in the process. So a recording is a function of the partition, the variant and the
options.

Memory holds one chunk, the lanes and their recordings. Decisions go to a file for each lane, as they come.
"""

from __future__ import annotations

import bisect
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from stream_retrain.backtesting.recorder import Piece, Recorder
from stream_retrain.backtesting.recording import Recording, RecordingLimits
from stream_retrain.backtesting.spool import Chunk, SpooledPartition
from stream_retrain.backtesting.spooled_topic import SpooledTopic
from stream_retrain.backtesting.variants import Variant, attached
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.wire import Schemas
from stream_retrain.engines.replay.replay import Replay
from stream_retrain.lane.batch import Batch, Records
from stream_retrain.lane.encoder import encode_decided, encode_nothing
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.stores.start import Start

__all__ = ["Job", "JobDone", "decisions_file", "run_job"]

STEP_RECORDS_MAX: Final = 50
"""How often the evidence of a duel is looked at: shorter steps cost nothing that could be measured."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run. It can be sent to another process, which must see its files."""

    number: int
    partition: SpooledPartition
    variants: tuple[int, ...]
    """Which of the backtest's variants, by their place in the order."""
    interval_records: int
    joins_after_events: int
    record_bytes_max: int
    limits: RecordingLimits
    topic: tuple[SpooledPartition, ...] = ()
    """All partitions, where a challenger learns from the topic."""
    schemas: Schemas | None = None
    """The Schema Registry, where records are of one."""
    starts: Mapping[str, Start] = dataclasses.field(default_factory=dict)
    """By name, the models that variants begin with."""
    decisions: Path | None = None
    """The folder for decision logs; None: there are none."""

    @property
    def lane_records(self) -> int:
        """How much there is to do: records times variants."""
        return self.partition.records * len(self.variants)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobDone:
    """What a job came to."""

    number: int
    recordings: list[Recording]
    cpu_s: float
    """Of everything it did. Measured."""


def decisions_file(folder: Path, variant: str, partition: int) -> Path:
    """Where the decisions of one variant over one partition stand, one CloudEvent a line."""
    return folder / f"{variant}.{partition}.jsonl"


def run_job(job: Job, variants: Sequence[Variant], on_progress: Callable[[int], None], stopped: Callable[[], bool]) -> JobDone:
    """Run a job to its end, or until `stopped()`: it then has what it has come to.

    on_progress
        Is told the lane records done since the last call.

    Raises `OSError` where a file cannot be read or written.
    """
    began = time.process_time()
    variants = attached(variants, job.schemas)
    with ExitStack() as files:
        decoders = _Decoders([variants[index].pipeline for index in job.variants], job.record_bytes_max)
        lanes = [_Lane(variants[index], job, files) for index in job.variants]
        number, interrupted = 0, False
        for number, piece in _pieces(job):
            if stopped():
                interrupted = True
                break
            for each, (batch, decode_s) in zip(lanes, decoders.decode(piece.records), strict=True):
                each.take(number, piece, batch, decode_s)
            on_progress(len(piece.records) * len(lanes))
        recordings = [each.recorder.close(number if interrupted else None) for each in lanes]
    return JobDone(number=job.number, recordings=recordings, cpu_s=time.process_time() - began)


def _pieces(job: Job) -> Iterator[tuple[int, Chunk]]:
    """The records of a partition, cut where an interval ends, each with the number of its interval."""
    each = job.interval_records
    for positions, records in job.partition.chunks():
        first = 0
        while first < len(positions):
            number = positions[first] // each
            end = bisect.bisect_left(positions, (number + 1) * each, first)
            yield number, Chunk(positions[first:end], records.rows(first, end))
            first = end


class _Decoders:
    """One decoder for each distinct schema of a group of pipelines."""

    def __init__(self, pipelines: Sequence[Pipeline], record_bytes_max: int) -> None:
        decoders: dict[str, EventDecoder] = {}
        self._of_lane: list[str] = []
        for pipeline in pipelines:
            known = digest((pipeline.schema.without_example(), pipeline.task, pipeline.time_ahead_max_s))
            if known not in decoders:
                decoders[known] = EventDecoder.of(pipeline, record_bytes_max=record_bytes_max)
            self._of_lane.append(known)
        self._decoders = decoders

    def decode(self, records: Records) -> Iterator[tuple[Batch, float]]:
        """The batch for each lane in turn, and the CPU time it took to decode."""
        made: dict[str, tuple[Batch, float]] = {}
        for known, decoder in self._decoders.items():
            began = time.process_time()
            batch = decoder.decode_batch(records)
            made[known] = (batch, time.process_time() - began)
        for known in self._of_lane:
            yield made[known]


class _Lane:
    """A variant over the partition, with its recorder and its decision log."""

    def __init__(self, variant: Variant, job: Job, files: ExitStack) -> None:
        partition = job.partition.partition
        self._log: IO[bytes] | None = None
        if job.decisions is not None:
            self._log = files.enter_context(decisions_file(job.decisions, variant.name, partition).open("wb"))
        self._replay = Replay(
            variant.pipeline,
            partition=partition,
            joins_after_events=job.joins_after_events,
            step_records_max=STEP_RECORDS_MAX,
            encoder=encode_decided if self._log is not None else encode_nothing,
            read_topic=SpooledTopic(job.topic, job.record_bytes_max) if job.topic else None,
            start=job.starts.get(variant.pipeline.start or ""),
        )
        self.recorder = Recorder(variant.name, self._replay.lane, variant.pipeline.task, job.limits)
        self._number = -1

    def take(self, number: int, piece: Chunk, batch: Batch, decode_s: float) -> None:
        """Take a piece of an interval; to decode it took so long."""
        began = time.process_time()
        recorder, log = self.recorder, self._log
        if number != self._number:
            recorder.enter(number)
            self._number = number
        seen = Piece(piece.records.offsets, piece.positions, batch.events)
        recorder.begin(seen)
        for step in self._replay.take(batch):
            recorder.take(step, seen)
            if log is not None and step.outputs:
                log.writelines(value + b"\n" for _, _, _, value, _ in step.outputs if value is not None)
        recorder.worked(decode_s + time.process_time() - began)

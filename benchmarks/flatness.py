"""Whether the shipped models keep state, checkpoint pause and cost flat over millions of events.

    python -m benchmarks.flatness --model adaptive_classifier [--events 10000000] [--turn-events 250000] [--json FILE]

One model at a time goes through the driver over stores in memory: records are decoded, predicted, learned and encoded, rows enter the
window, and checkpoints are pickled and sealed as often as a worker does it by default. Each line of the report is about the events since
the line before it, and all times are CPU time of the process:

- `us_per_event`: what the driver takes for a record, without its checkpoints;
- `batch_ms_max`: the longest batch of 500 records, which a stall inside a model would show in;
- `pause_ms`: a checkpoint, the median of them; `state_bytes`: the largest one;
- `rss_mb`: the memory of the process, the stream and the stores included;
- `error`: the part of labels that were not predicted, or the mean absolute error over that of the mean: it shows that there is something
  to learn, and that it is still learned at the end.

CPU time is longer on a busy machine. So the states of all lines are kept, and at the end each of them takes its next events again, in turns
with the others: `us_in_turns` can be compared from line to line.

With `--keep FILE` what a run has come to is written there with each line, and the same command goes on from it.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pickle
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.flatness_stream import BATCH, EVENTS_PER_S, SCHEMA, Stream
from stream_retrain import Pipeline, Schema
from stream_retrain.codec.checkpoint import checkpoint_header, open_payload
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import seal
from stream_retrain.codec.state import dump_state
from stream_retrain.core.schema import Task
from stream_retrain.engines.collector import spare_the_collector
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.memory_guard import resident_bytes
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Checkpointed, WorkerFact
from stream_retrain.lane.batch import Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from stream_retrain.lane.shard import Shard
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    QuickTree,
    QuickTreeRegressor,
    RestartingClassifier,
    RestartingRegressor,
    adaptive_classifier,
    adaptive_regressor,
)
from stream_retrain.stores.memory import memory_stores

__all__ = ["MODELS", "Line", "run"]

MODELS: Final[dict[str, tuple[Task, Callable[[], Any]]]] = {
    "adaptive_classifier": ("binary", adaptive_classifier),
    "adaptive_regressor": ("regression", adaptive_regressor),
    "additive": ("binary", AdditiveClassifier),
    "additive_regressor": ("regression", AdditiveRegressor),
    "restarting_tree": ("binary", lambda: RestartingClassifier(QuickTree())),
    "restarting_tree_regressor": ("regression", lambda: RestartingRegressor(QuickTreeRegressor())),
    "tree": ("binary", QuickTree),
    "tree_regressor": ("regression", QuickTreeRegressor),
}
AGAIN: Final = 6
"""Batches that the state of a line takes again at the end; the first of them is not timed."""
ROUNDS: Final = 5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was measured since the line before."""

    events: int
    """So far."""
    us_per_event: float
    batch_ms_max: float
    pause_ms: float
    pause_ms_max: float
    state_bytes: int
    rss_mb: float
    error: float
    changes: int
    """Restarts and changes of the leader so far."""


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """The state at a line, and the batches after it."""

    state: bytes
    batches: list[Records] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class SoFar:
    """What a run has come to."""

    stream: Stream
    events: int = 0
    lines: list[Line] = dataclasses.field(default_factory=list)
    kept: list[Kept] = dataclasses.field(default_factory=list)

    @classmethod
    def read(cls, file: Path) -> SoFar:
        found = pickle.loads(file.read_bytes())
        assert isinstance(found, cls)
        return found

    def write(self, file: Path) -> None:
        """Whole, whenever the process ends."""
        new = file.with_name(f"{file.name}.new")
        new.write_bytes(pickle.dumps(self))
        new.replace(file)


class Meter:
    """The figures since the last line."""

    def __init__(self) -> None:
        self.events = 0
        self.cpu_s = self.batch_s_max = self.missed = self.without = 0.0
        self.pauses_s: list[float] = []
        self.state_bytes = 0

    def line(self, events: int, changes: int) -> Line:
        pauses = self.pauses_s or [0.0]
        return Line(
            events=events,
            us_per_event=round(self.cpu_s * 1e6 / self.events, 1),
            batch_ms_max=round(self.batch_s_max * 1e3, 1),
            pause_ms=round(statistics.median(pauses) * 1e3, 1),
            pause_ms_max=round(max(pauses) * 1e3, 1),
            state_bytes=self.state_bytes,
            rss_mb=round(resident_bytes() / 1e6, 1),
            error=round(self.missed / self.without, 4),
            changes=changes,
        )

    def took(self, events: int, cpu_s: float) -> None:
        self.events += events
        self.cpu_s += cpu_s
        self.batch_s_max = max(self.batch_s_max, cpu_s)

    def paused(self, cpu_s: float, state_bytes: int) -> None:
        self.pauses_s.append(cpu_s)
        self.state_bytes = max(self.state_bytes, state_bytes)

    def score(self, labels: Sequence[Any], predictions: Sequence[Any], regression: bool) -> None:
        """Add up what was missed, and what would be missed without a model."""
        if not regression:
            self.missed += sum(label is not prediction for label, prediction in zip(labels, predictions, strict=True))
            self.without += len(labels)
            return
        mean = statistics.fmean(labels)
        self.missed += sum(abs(label - prediction) for label, prediction in zip(labels, predictions, strict=True))
        self.without += sum(abs(label - mean) for label in labels)


def run(
    model: str,
    events: int,
    turn_events: int,
    every: int,
    tell: Callable[[Line], None],
    limits: DriverLimits | None = None,
    keep: Path | None = None,
) -> list[float]:
    """Drive `events` records through a model, and tell a line every `every` of them; what an event costs after each line (`in_turns`)."""
    task, make = MODELS[model]
    pipeline = Pipeline(name="flatness", task=task, source="flatness", schema=Schema(label="y", features=SCHEMA), model=make())
    so_far = SoFar(Stream(task, turn_events)) if keep is None or not keep.exists() else SoFar.read(keep)
    for line in so_far.lines:
        tell(line)
    driven, meter = Driven(pipeline, so_far, limits or DriverLimits()), Meter()
    while so_far.events < events or len(so_far.kept[-1].batches) < AGAIN:
        records, labels = so_far.stream.take()
        for each in so_far.kept[-AGAIN:]:
            if len(each.batches) < AGAIN:
                each.batches.append(records)
        if so_far.events >= events:
            continue
        driven.take(records, labels, meter)
        so_far.events += len(records)
        if so_far.events % every < BATCH:
            so_far.lines.append(meter.line(so_far.events, driven.changes))
            so_far.kept.append(Kept(dump_state(driven.lane.snapshot())))
            tell(so_far.lines[-1])
            meter = Meter()
            if keep is not None:
                so_far.write(keep)
    return in_turns(pipeline, so_far.kept)


class Driven:
    """The driver over stores in memory, from where a run has come to."""

    def __init__(self, pipeline: Pipeline, so_far: SoFar, limits: DriverLimits) -> None:
        self._regression = pipeline.task == "regression"
        self._saved: list[Checkpointed] = []
        stores, keyring, id_ = memory_stores(Keyring.unsigned()), Keyring.unsigned(), ShardId(pipeline.name, pipeline.source, 0)
        if so_far.kept:
            sealed = seal(checkpoint_header(pipeline, id_, so_far.events, 0), so_far.kept[-1].state, keyring)
            stores.checkpoints.save(id_, stores.checkpoints.claim(id_), so_far.events, sealed)
        self._driver = Driver(pipeline, stores, keyring, limits, self._note)
        self._driver.open(0, Log(so_far.events or None, 0, so_far.events), so_far.events / EVENTS_PER_S)
        self.lane = self._driver.lanes[0]

    @property
    def changes(self) -> int:
        """Restarts and changes of the leader so far."""
        members = self.lane.observe().members
        return members.changes if members else 0

    def take(self, records: Records, labels: list[Any], meter: Meter) -> None:
        """One turn: learn, commit, and write a checkpoint if one is due."""
        began = time.process_time()
        step = self._driver.take(0, records)
        took_s = time.process_time() - began
        assert step is not None
        meter.took(len(records), took_s)
        meter.score(labels, [each.prediction for each in step.predicted], self._regression)
        self._driver.committed(self._driver.unsent().offsets)
        began, before = time.process_time(), len(self._saved)
        self._driver.settle(self.lane.next_offset / EVENTS_PER_S)
        if len(self._saved) > before:
            meter.paused(time.process_time() - began, self._saved[-1].bytes)

    def _note(self, fact: WorkerFact) -> None:
        if isinstance(fact, Checkpointed):
            self._saved.append(fact)


def in_turns(pipeline: Pipeline, kept: Sequence[Kept]) -> list[float]:
    """Microseconds of CPU time for an event after each line, each the least of `ROUNDS`."""
    decoder, id_ = EventDecoder.of(pipeline, record_bytes_max=1_000_000), ShardId(pipeline.name, pipeline.source, 0)
    least = [math.inf] * len(kept)
    for _ in range(ROUNDS):
        for place, each in enumerate(kept):
            lane = Lane(id_, Shard(pipeline, open_payload(each.state, pipeline, "a line")), decoder)
            lane.take(each.batches[0])
            began = time.process_time()
            for batch in each.batches[1:]:
                lane.take(batch)
            took_s = time.process_time() - began
            least[place] = min(least[place], took_s / sum(map(len, each.batches[1:])))
    return [round(took_s * 1e6, 1) for took_s in least]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one model and print a line of a table for every part of its events."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="adaptive_classifier")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--turn-events", type=int, default=250_000, help="events between changes of the concept; 0: it never changes")
    parser.add_argument("--every", type=int, help="events between lines (default: a tenth of them)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the lines there as JSON, after each of them")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="write there what the run has come to, and go on from it")
    wanted = parser.parse_args(arguments)
    lines: list[Line] = []
    names = [field.name for field in dataclasses.fields(Line)]
    print(f"| {' | '.join(names)} |\n|{' ---: |' * len(names)}", flush=True)

    def told_of(costs: list[float]) -> dict[str, Any]:
        shown = [dataclasses.asdict(each) for each in lines]
        return {"model": wanted.model, "turn_events": wanted.turn_events, "lines": shown, "us_in_turns": costs}

    def tell(line: Line) -> None:
        lines.append(line)
        print(f"| {' | '.join(f'{value:,}' for value in dataclasses.astuple(line))} |", flush=True)
        if wanted.json:
            wanted.json.write_text(json.dumps(told_of([]), indent=1) + "\n")

    every = max(BATCH, (wanted.every or wanted.events // 10) // BATCH * BATCH)
    costs = run(wanted.model, wanted.events, wanted.turn_events, every, tell, keep=wanted.keep)
    print(f"us_in_turns: {', '.join(map(str, costs))}")
    if wanted.json:
        wanted.json.write_text(json.dumps(told_of(costs), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    spare_the_collector()  # as a worker does
    sys.exit(main())

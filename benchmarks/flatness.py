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

The stream has what makes a model grow. Its concept changes every `--turn-events` (0: never); every third one is an old one. A number among
the four features wanders, and a category takes a value that never was before in every 500th event.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stream_retrain import Pipeline, Schema
from stream_retrain.codec.checkpoint import open_payload
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.state import dump_state
from stream_retrain.core.schema import Task
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Checkpointed, WorkerFact
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.formats.json import EventDecoder
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

__all__ = ["MODELS", "Line", "Stream", "run"]

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
SCHEMA: Final = {"a": float, "b": float, "level": float, "kind": str}
KINDS: Final = tuple("pqrstuvw")
BATCH: Final = 500
"""Records of one poll."""
EVENTS_PER_S: Final = 1_000
"""What the clock of the checkpoints is read from."""
AGAIN: Final = 6
"""Batches that the state of a line takes again at the end; the first of them is not timed."""
ROUNDS: Final = 5
NOISE: Final = 0.1
NEW_KIND: Final = 0.002
"""The part of events with a kind that never was before."""


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


class Stream:
    """Endless batches of records of a task; equal for an equal seed."""

    def __init__(self, task: Task, turn_events: int, seed: int = 1) -> None:
        self._task = task
        self._turn_events = turn_events
        self._seed = seed
        self._chance = random.Random(f"{task} {seed}")
        self._level = 0.0
        self._turn = -1
        self._weights: list[float] = []
        self._of_kind: dict[str, float] = {}
        self._median = 0.0

    def batches(self) -> Iterator[tuple[Records, list[Any]]]:
        """The records, and the labels in them."""
        encode, offset = msgspec.json.Encoder().encode, 0
        while True:
            rows = [self._row(number) for number in range(offset, offset + BATCH)]
            records = [Record(offset + at, b"k", encode(row), (offset + at) * 1_000 // EVENTS_PER_S) for at, row in enumerate(rows)]
            yield Records.of(records), [row["y"] for row in rows]
            offset += BATCH

    def _row(self, number: int) -> dict[str, Any]:
        chance = self._chance
        turn = number // self._turn_events if self._turn_events else 0
        if turn != self._turn:
            self._begin(turn)
        self._level += 0.01 * (chance.random() - 0.5)
        a, b, kind = self._drawn(chance)
        if chance.random() < NEW_KIND:
            kind = f"k{number}"
        score = self._score(a, b, kind) - self._median
        if self._task == "regression":
            y: Any = round(score + 0.2 * chance.gauss(0.0, 1.0), 3)
        else:
            y = (score > 0.0) != (chance.random() < NOISE)
        return {"a": a, "b": b, "level": self._level + a, "kind": kind, "y": y}

    @staticmethod
    def _drawn(chance: random.Random) -> tuple[float, float, str]:
        return chance.random(), 10.0 * chance.random(), chance.choice(KINDS)

    def _score(self, a: float, b: float, kind: str) -> float:
        of_a, of_b, of_both, bend = self._weights
        both = of_both if (a > 0.5) is (b > 5.0) else -of_both
        return of_a * a + of_b * abs(b / 10.0 - bend) + self._of_kind.get(kind, 0.0) + both

    def _begin(self, turn: int) -> None:
        """The concept of a turn: its own, or in every third one an old one."""
        self._turn = turn
        chance = random.Random(f"{self._seed} {turn // 2 if turn % 3 == 2 else turn}")
        self._weights = [chance.choice((-1, 1)) * chance.uniform(*size) for size in ((1.0, 2.0), (1.0, 2.0), (0.2, 0.4))]
        self._weights.append(chance.random())
        self._of_kind = {kind: chance.gauss(0.0, 0.3) for kind in KINDS}
        self._median = statistics.median(self._score(*self._drawn(chance)) for _ in range(1_001))


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """The state at a line, and the batches after it."""

    state: bytes
    batches: list[Records] = dataclasses.field(default_factory=list)


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
            rss_mb=round(_resident_bytes() / 1e6, 1),
            error=round(self.missed / self.without, 4),
            changes=changes,
        )

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
    model: str, events: int, turn_events: int, every: int, tell: Callable[[Line], None], limits: DriverLimits | None = None
) -> list[float]:
    """Drive `events` records through a model, and tell a line every `every` of them; what an event costs after each line (`in_turns`)."""
    task, make = MODELS[model]
    pipeline = Pipeline(name="flatness", task=task, source="flatness", schema=Schema(label="y", features=SCHEMA), model=make())
    saved: list[Checkpointed] = []

    def note(fact: WorkerFact) -> None:
        if isinstance(fact, Checkpointed):
            saved.append(fact)

    driver = Driver(pipeline, memory_stores(Keyring.unsigned()), Keyring.unsigned(), limits or DriverLimits(), note)
    driver.open(0, Log(None, 0, events), 0.0)
    meter, lane, kept = Meter(), driver.lanes[0], list[Kept]()
    for records, labels in Stream(task, turn_events).batches():
        for each in kept[-AGAIN:]:
            if len(each.batches) < AGAIN:
                each.batches.append(records)
        if lane.next_offset >= events:
            if len(kept[-1].batches) < AGAIN:
                continue
            return in_turns(pipeline, kept)
        began = time.process_time()
        step = driver.take(0, records)
        took_s = time.process_time() - began
        assert step is not None
        meter.events += len(records)
        meter.cpu_s += took_s
        meter.batch_s_max = max(meter.batch_s_max, took_s)
        meter.score(labels, [each.prediction for each in step.predicted], task == "regression")
        driver.committed(driver.unsent().offsets)
        began, before = time.process_time(), len(saved)
        driver.settle(lane.next_offset / EVENTS_PER_S)
        if len(saved) > before:
            meter.pauses_s.append(time.process_time() - began)
            meter.state_bytes = max(meter.state_bytes, saved[-1].bytes)
        if lane.next_offset % every < BATCH:
            members = lane.observe().members
            tell(meter.line(lane.next_offset, members.changes if members else 0))
            kept.append(Kept(dump_state(lane.snapshot())))
            meter = Meter()
    raise AssertionError("the stream has no end")


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


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4_096


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one model and print a line of a table for every part of its events."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(MODELS), default="adaptive_classifier")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--turn-events", type=int, default=250_000, help="events between changes of the concept; 0: it never changes")
    parser.add_argument("--every", type=int, help="events between lines (default: a tenth of them)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the lines there as JSON, after each of them")
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
    costs = run(wanted.model, wanted.events, wanted.turn_events, every, tell)
    print(f"us_in_turns: {', '.join(map(str, costs))}")
    if wanted.json:
        wanted.json.write_text(json.dumps(told_of(costs), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

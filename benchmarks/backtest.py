"""A backtest of many events and four variants: memory over time, and CPU beside the bare River loop of the same models.

    python -m benchmarks.backtest [--events N] [--twin-events N] [--model tree|linear] [--processes N] [--json FILE]

Two measurements of one stream (six numbers, of which two decide; the concept turns five times):

- *memory*: the whole backtest as a person runs it, with the controls, in child processes. Every second the resident memory of all its
  processes is added up (pages they share are counted in each). It is flat if the last tenths of the run need no more than the first.
- *cost*: the job of such a backtest in one process, with a twin: after each piece of the log that a variant has taken, the bare River loop
  (`predict_one`, `metric.update`, `learn_one` on ready dicts) runs over the same events, on a copy of the variant's model. So both
  have the same machine at the same moment, whatever else runs on it. `ratio` is the CPU time of the four twins over that of everything
  the job did for the four variants: reading the spool, decoding, lanes, detectors, duels, recording.

The reading of the source is before both, and is shown beside them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from river import linear_model, metrics, preprocessing, tree

from stream_retrain import Pipeline, Schema
from stream_retrain.backtesting import job as jobs
from stream_retrain.backtesting.job import Job, run_job
from stream_retrain.backtesting.open_source import open_source
from stream_retrain.backtesting.recording import RecordingLimits
from stream_retrain.backtesting.run import Options, run_backtest
from stream_retrain.backtesting.spool import write_spool
from stream_retrain.backtesting.variants import choose
from stream_retrain.settings import load_settings

FEATURES = tuple("abcdef")
CONCEPTS = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 0.3), (-1.0, -0.5))
NOISE = 0.1
VARIANTS = ("none", "reset", "challenge", "adaptive")
MODELS: dict[str, Callable[[], Any]] = {
    "linear": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "tree": tree.HoeffdingTreeClassifier,
}


def stream(events: int) -> Iterator[dict[str, Any]]:
    """Rows, made as they are read."""
    rng = random.Random(11)
    for number in range(events):
        first, second = CONCEPTS[number * len(CONCEPTS) // events]
        x = {name: round(rng.uniform(-5, 5), 3) for name in FEATURES}
        y = (first * x["a"] + second * x["b"] > 0) != (rng.random() < NOISE)
        yield {"id": number, "t": 1.7e9 + number, "y": y, **x}


def pipeline(model: str) -> Pipeline:
    """The pipeline whose built-in variants are run."""
    schema = Schema(id="id", time="t", time_unit="s", label="y", features=dict.fromkeys(FEATURES, float))
    return Pipeline(name="bench", task="binary", source="bench", schema=schema, model=MODELS[model]())


def chosen(model: str) -> Any:
    """The four variants alone."""
    made = choose({"own": pipeline(model)}, "own", list(VARIANTS))
    return made._replace(variants=made.variants[1:])


class Memory:
    """The resident memory of this process and its children, second by second; with how much of the run was done."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []
        self.read_s = 0.0
        self._done = 0.0
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def reading(self, records: int, about: int | None) -> None:  # noqa: ARG002 - it is when that counts
        self.read_s = time.monotonic() - self._began

    def running(self, lane_records: int, total: int) -> None:
        self._done = lane_records / total

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def at(self, share: float) -> int:
        """The most there was in the tenth of the run that ends there."""
        return max((rss for done, rss in self.seen if share - 0.1 <= done <= share), default=0)

    def _look(self) -> None:
        this = psutil.Process()
        while not self._ended.wait(1.0):
            total = 0
            for process in [this, *this.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.seen.append((self._done, total))


def measure_memory(model: str, events: int, processes: int | None) -> dict[str, Any]:
    """The whole backtest, with its controls."""
    memory, began = Memory(), time.monotonic()
    try:
        source = open_source(stream(events), pipeline(model), settings=load_settings())
        ran = run_backtest(chosen(model), source, Options(processes=processes), memory)
    finally:
        memory.end()
    seconds = time.monotonic() - began
    everyone = [*ran.summary.variants, *ran.summary.controls]
    return {
        "seconds": round(seconds, 1),
        "reading_s": round(memory.read_s, 1),
        "job_cpu_us": round(sum(each.cpu_s for each in ran.jobs) * 1e6 / events, 1),
        "peak_mb": round(max(rss for _, rss in memory.seen) / 1e6),
        "mb_at": {f"{tenth * 10} %": round(memory.at(tenth / 10) / 1e6) for tenth in range(1, 11)},
        "variants": {
            each.name: {
                "quality": each.quality,
                "cpu_us": round(each.cpu_us, 1),
                "drifts": each.drifts,
                "duels": each.duels,
                "replacements": each.replacements,
            }
            for each in everyone
        },
        "points": {name.name: len(getattr(ran.curves, name.name)) for name in dataclasses.fields(ran.curves)},
    }


class Twin:
    """The bare River loop of one variant's model."""

    def __init__(self, model: Any) -> None:
        self._model = model.clone()
        self._metric = metrics.Accuracy()
        self.cpu_s = 0.0

    def run(self, events: Any) -> None:
        began = time.process_time()
        model, metric = self._model, self._metric
        for _, _, _, x, y in events:
            y_pred = model.predict_one(x)
            if y_pred is not None:
                metric.update(y, y_pred)
            model.learn_one(x, y)
        self.cpu_s += time.process_time() - began


def measure_cost(pipe: Any, model: str, events: int) -> None:
    """The job of the four variants with their twins, in this process, which has done nothing else."""
    from stream_retrain.engines.collector import spare_the_collector

    variants = chosen(model).variants
    twins = {variant.name: Twin(variant.pipeline.model) for variant in variants}
    take = jobs._Lane.take

    def both(lane: Any, number: int, piece: Any, batch: Any, decode_s: float) -> None:
        take(lane, number, piece, batch, decode_s)
        twins[lane.recorder._made.variant].run(batch.events)

    jobs._Lane.take = both  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        [partition] = write_spool(open_source(stream(events), pipeline(model), settings=load_settings()), Path(folder)).partitions
        spare_the_collector()
        job = Job(
            number=0,
            partition=partition,
            variants=tuple(range(len(variants))),
            interval_records=max(25, -(-events // 200)),
            joins_after_events=500,
            record_bytes_max=1_000_000,
            limits=RecordingLimits.of(1),
        )
        done = run_job(job, variants, lambda _: None, lambda: False)
    bare_s = sum(twin.cpu_s for twin in twins.values())
    ours_s = done.cpu_s - bare_s
    pipe.send(
        {
            "events": events,
            "bare_us": round(bare_s * 1e6 / events, 1),
            "backtest_us": round(ours_s * 1e6 / events, 1),
            "ratio": round(bare_s / ours_s, 3),
            "lane_events_per_s_per_core": round(len(variants) * events / ours_s),
            "variants": {
                each.variant: {
                    "bare_us": round(twins[each.variant].cpu_s * 1e6 / events, 1),
                    "backtest_us": round(each.cpu_s * 1e6 / events, 1),
                }
                for each in done.recordings
            },
        }
    )


def cost(model: str, events: int) -> dict[str, Any]:
    """`measure_cost` in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=measure_cost, args=(theirs, model, events))
    child.start()
    theirs.close()
    try:
        found: dict[str, Any] = ours.recv()
    except EOFError:
        raise SystemExit("the measurement of the cost ended without a result") from None
    finally:
        child.join()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A backtest of many events and four variants.")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--twin-events", type=int, default=200_000, help="of which so many are run beside the bare loop")
    parser.add_argument("--model", choices=sorted(MODELS), default="tree")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    found = {
        "events": asked.events,
        "model": asked.model,
        "cost": cost(asked.model, min(asked.events, asked.twin_events)),
        "memory": measure_memory(asked.model, asked.events, asked.processes),
    }
    print(json.dumps(found, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

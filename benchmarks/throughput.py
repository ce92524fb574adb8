"""What surrounds the model costs: the whole worker beside the bare River loop, in one run.

    python -m benchmarks.throughput [--quick] [--json FILE] [--profile FOLDER]

Runs take turns, each in a fresh process:

- `bare`: `predict_one`, `metric.update`, `learn_one` on decoded dicts in memory. This is the limit;
- `worker`: the same events from a real Kafka topic through the whole worker: decoding, the shard with ADWIN, transactions with
  predictions and offsets, the window and checkpoints in Valkey, metrics;
- the worker again with a twin: after each batch it has learned, the bare loop runs over the same events in the same process, on a
  model of its own.

CPU time is the process's (client threads included), because broker and worker share the machine's cores. `ratio_to_limit` is the twin's
CPU time over what the rest of its process took, so both had the same speed of machine and the same busy broker beside them: speeds
drift by half within minutes, and a broker at work slows whatever runs beside it. `ratio_alone` and `wall_ratio` compare `worker` with
the mean of the `bare` runs just before and after it, which had the machine to themselves. All are medians of the rounds.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from river import drift, linear_model, metrics, preprocessing, tree
from river.datasets import synth

from benchmarks.fresh_process import in_fresh_process
from stream_retrain import Ignore, On, Pipeline, Schema, Shard, Watch
from stream_retrain.codec.keyring import Keyring
from stream_retrain.compose import run_pipeline
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.facts.values import Event
from stream_retrain.facts.worker import Assigned, Committed, WorkerFact
from stream_retrain.lane.outcome import Outcome
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings

FEATURES = 8
MODELS: dict[str, Callable[[], Any]] = {
    "StandardScaler | LogisticRegression": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "HoeffdingTreeClassifier": tree.HoeffdingTreeClassifier,
}


class Cost(NamedTuple):
    """What a case took for each event."""

    cpu_us: float
    wall_us: float
    twin_us: float = 0.0
    """CPU time of the twin, which is not part of `cpu_us`."""


def stream(events: int) -> list[dict[str, Any]]:
    """A rotating hyperplane in eight dimensions, as records."""
    pairs = synth.Hyperplane(seed=7, n_features=FEATURES, n_drift_features=2).take(events)
    return [{"id": f"e{number}", "y": bool(y), **{f"f{name}": value for name, value in x.items()}} for number, (x, y) in enumerate(pairs)]


def pipeline(model: str, source: str) -> Pipeline:
    """The benchmark's pipeline: everything on; a drift is decided on but resets nothing, so that both cases have the same model to pay."""
    return Pipeline(
        name=f"bench-{uuid.uuid4().hex[:8]}",
        task="binary",
        source=source,
        schema=Schema(id="id", label="y", features={f"f{name}": float for name in range(FEATURES)}),
        model=MODELS[model](),
        watch=[Watch("error", drift.ADWIN())],
        react=[On.drift("error", Ignore())],
    )


class Bare:
    """The bare River loop, a stretch at a time."""

    def __init__(self, model: str) -> None:
        self._learner, self._metric = MODELS[model](), metrics.Accuracy()
        self.cpu_s = 0.0

    def run(self, events: list[Event]) -> None:
        """Take events, and the CPU time of this thread for it."""
        learner, metric = self._learner, self._metric
        began = time.thread_time()
        for _, _, _, x, y in events:
            y_pred = learner.predict_one(x)
            if y_pred is not None:
                metric.update(y, y_pred)
            learner.learn_one(x, y)
        self.cpu_s += time.thread_time() - began


def bare(model: str, rows: list[dict[str, Any]]) -> Cost:
    """The limit: River alone, on decoded dicts."""
    names = [f"f{name}" for name in range(FEATURES)]
    events = [Event(at, row["id"], 0.0, {name: row[name] for name in names}, row["y"]) for at, row in enumerate(rows)]
    loop, wall = Bare(model), time.perf_counter()
    loop.run(events)
    return Cost(loop.cpu_s * 1e6 / len(events), (time.perf_counter() - wall) * 1e6 / len(events))


def with_twin(twin: Bare) -> None:
    """Let a twin learn whatever a shard of this process has just learned."""
    process = Shard.process

    def both(shard: Shard, events: Any) -> Outcome:
        outcome = process(shard, events)
        twin.run(events)
        return outcome

    Shard.process = both  # type: ignore[method-assign]


def worker(model: str, settings: Settings, source: str, events: int, twinned: bool, profile: Path | None) -> Cost:
    """The whole worker, from the moment it has its partition until everything is committed."""
    began: list[tuple[float, float]] = []
    ended: list[tuple[float, float]] = []
    profiler = cProfile.Profile() if profile else None
    twin = Bare(model)
    if twinned:
        with_twin(twin)

    def clock(fact: WorkerFact) -> None:
        if isinstance(fact, Assigned):
            began.append((time.process_time(), time.perf_counter()))
            if profiler:
                profiler.enable()
        elif isinstance(fact, Committed) and sum(fact.offsets.values()) >= events:
            ended.append((time.process_time() - twin.cpu_s, time.perf_counter()))
            if profiler:
                profiler.disable()

    run_pipeline(pipeline(model, source), settings, Keyring.unsigned(), lambda: bool(ended), watching=clock)
    if profiler and profile:
        profile.mkdir(parents=True, exist_ok=True)
        profiler.dump_stats(profile / f"{model.partition(' ')[0]}.prof")
    cpu_us, wall_us = ((end - begin) * 1e6 / events for begin, end in zip(began[0], ended[0], strict=True))
    return Cost(cpu_us, wall_us, twin.cpu_s * 1e6 / events)


def measure(model: str, rows: list[dict[str, Any]], settings: Settings, rounds: int, profile: Path | None) -> list[dict[str, Any]]:
    """The paired rounds of one model, and their medians as rows."""
    source = f"bench-source-{uuid.uuid4().hex[:8]}"
    publish_rows(rows, settings, topic=source)
    rounds_run: list[tuple[Cost, Cost, Cost]] = []
    before = in_fresh_process("the bare case", bare, model, rows)
    for number in range(rounds):
        whole = in_fresh_process("the worker case", worker, model, settings, source, len(rows), False, None)
        after = in_fresh_process("the bare case", bare, model, rows)
        limit = Cost((before.cpu_us + after.cpu_us) / 2, (before.wall_us + after.wall_us) / 2)
        twinned = in_fresh_process("the worker case", worker, model, settings, source, len(rows), True, None)
        rounds_run.append((limit, whole, twinned))
        before = after
        print(
            f"  round {number + 1}: CPU an event: bare {limit.cpu_us:.1f} us, worker {whole.cpu_us:.1f} us;"
            f" with a twin {twinned.cpu_us:.1f} us beside {twinned.twin_us:.1f} us",
            flush=True,
        )
    if profile:
        in_fresh_process("the worker case", worker, model, settings, source, len(rows), False, profile)
    ratios = {
        "ratio_to_limit": [twinned.twin_us / twinned.cpu_us for _, _, twinned in rounds_run],
        "ratio_alone": [limit.cpu_us / whole.cpu_us for limit, whole, _ in rounds_run],
        "wall_ratio": [limit.wall_us / whole.wall_us for limit, whole, _ in rounds_run],
    }
    shown = []
    for index, case in enumerate(("bare", "worker")):
        costs = [costs_of_round[index] for costs_of_round in rounds_run]
        shown.append(
            {
                "case": case,
                "model": model,
                "features": FEATURES,
                "events_per_s": round(1e6 / statistics.median(cost.wall_us for cost in costs)),
                "cpu_us_per_event": round(statistics.median(cost.cpu_us for cost in costs), 2),
                **{name: round(statistics.median(each), 3) if case == "worker" else 1.0 for name, each in ratios.items()},
            }
        )
    return shown


def main() -> None:
    """Measure every model and print the table."""
    parser = argparse.ArgumentParser(description="The whole worker beside the bare River loop.")
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds: a smoke test, not a measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="also profile the worker, one .prof file a model")
    arguments = parser.parse_args()
    events, rounds = (20_000, 1) if arguments.quick else (60_000, 7)
    rows = stream(events)
    found: list[dict[str, Any]] = []
    with LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack:
        settings = load_settings(
            None,
            {},
            {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url, "http_port": 0, "log_level": "error"},
        )
        for model in MODELS:
            print(f"{model}, {events:,} events", flush=True)
            found += measure(model, rows, settings, rounds, arguments.profile)
    print(f"{'case':8} {'model':38} {'events/s':>9} {'CPU us':>8} {'ratio':>6} {'alone':>6} {'wall':>6}")
    for row in found:
        print(
            f"{row['case']:8} {row['model']:38} {row['events_per_s']:>9,} {row['cpu_us_per_event']:>8}"
            f" {row['ratio_to_limit']:>6} {row['ratio_alone']:>6} {row['wall_ratio']:>6}"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

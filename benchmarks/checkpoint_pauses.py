"""How long a checkpoint holds the loop up: the figures of docs/performance.md, "Checkpoint pauses".

    python -m benchmarks.checkpoint_pauses [--checkpoints 100] [--json FILE]

A driver over a real Valkey learns in batches, and settles after each as a worker does; a checkpoint is due every so many events. The
pause of a checkpoint is the longest that one turn of the loop took for it: `settle` where it begins, or where it is saved. `whole` is the
same where nothing may be pickled beside the loop. Beside it, what a fork itself takes, by the memory that is resident: the call, and then
writing to every page once, as a loop that goes on does at most.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from river import drift, forest, linear_model, preprocessing, tree

from benchmarks.latency_load import FEATURES, bodies
from stream_retrain import Ignore, On, Pipeline, Schema, Watch
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.engines.collector import spare_the_collector
from stream_retrain.engines.driver import Driver, DriverLimits, save
from stream_retrain.engines.driver.log import Log
from stream_retrain.facts.worker import Checkpointed, WorkerFact
from stream_retrain.lane.batch import Record, Records
from stream_retrain.local import LocalStack
from stream_retrain.models import adaptive_classifier
from stream_retrain.stores import connect

__all__ = ["MODELS", "pauses", "quantiles"]

MODELS: Final[dict[str, Callable[[], Any]]] = {
    "LogisticRegression": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "adaptive_classifier": adaptive_classifier,
    "HoeffdingTree": tree.HoeffdingTreeClassifier,
    "ARF10": lambda: forest.ARFClassifier(n_models=10, seed=1),
}
EVERY: Final = {"ARF10": 60}
"""Events from one checkpoint to the next."""
BATCH: Final = 20
KEYRING: Final = Keyring(keys=(Key(id="bench", secret=b"0" * 32),))
RESIDENT_MB: Final = (100, 300, 1_000)


def quantiles(values: list[float]) -> dict[str, float]:
    """p50, p90, p99 and the ends, to the millisecond's tenth."""
    cut = statistics.quantiles(values, n=100, method="inclusive")
    named = {"min": min(values), "p50": cut[49], "p90": cut[89], "p99": cut[98], "max": max(values)}
    return {name: round(value, 4) for name, value in named.items()} | {"n": len(values)}


def pauses(model: str, redis_url: str, checkpoints: int, *, apart: bool) -> dict[str, Any]:
    """Of one model, whose state grows meanwhile."""
    name = f"pauses-{model}-{apart}"
    pipeline = Pipeline(
        name=name.lower(),
        task="binary",
        source=name,
        schema=Schema(id="id", label="y", features={f"f{number}": float for number in range(FEATURES)}),
        model=MODELS[model](),
        watch=[Watch("error", drift.ADWIN())],
        react=[On.drift("error", Ignore())],
    )
    saved: list[Checkpointed] = []

    def tell(fact: WorkerFact) -> None:
        if isinstance(fact, Checkpointed):
            saved.append(fact)

    made, every = bodies(), EVERY.get(model, 200)
    limits, before_s = DriverLimits(checkpoint_events=every), save.APART_FROM_S
    save.APART_FROM_S = before_s if apart else float("inf")  # type: ignore[misc]
    spare_the_collector()  # as a worker does
    driver = Driver(pipeline, connect(redis_url), KEYRING, limits, tell)
    driver.open(0, Log(None, 0, 10**9), 0.0)
    found: list[float] = []
    offset, longest_s = 0, 0.0
    while len(found) < checkpoints:
        rows = [b'{"id": "e%d", %b' % (number, made[number % len(made)]) for number in range(offset, offset + BATCH)]
        driver.take(0, Records.of([Record(offset + at, b"k", row, offset + at) for at, row in enumerate(rows)]))
        offset += BATCH
        driver.committed(driver.unsent().offsets)
        before = len(saved)
        began_s = time.perf_counter()
        driver.settle(0.0)
        longest_s = max(longest_s, time.perf_counter() - began_s)
        if len(saved) > before:
            found.append(longest_s)
            longest_s = 0.0
    driver.close()
    save.APART_FROM_S = before_s  # type: ignore[misc]
    return quantiles(found) | {"bytes": saved[-1].bytes, "events": offset}


def forks(resident_mb: int, rounds: int = 10) -> dict[str, float]:
    """Milliseconds of a fork with so much resident, and of writing to all of it while the child is there."""
    held = bytearray(resident_mb * 1_000_000)
    pages = range(0, len(held), mmap.PAGESIZE)
    for at in pages:
        held[at] = 1
    forked, wrote, plain = [], [], []
    for _ in range(rounds):
        began_s = time.perf_counter()
        for at in pages:
            held[at] = 2
        plain.append(time.perf_counter() - began_s)
        ours, theirs = os.pipe()
        began_s = time.perf_counter()
        if (child := os.fork()) == 0:
            os.read(ours, 1)
            os._exit(0)
        forked.append(time.perf_counter() - began_s)
        began_s = time.perf_counter()
        for at in pages:
            held[at] = 3
        wrote.append(time.perf_counter() - began_s)
        os.write(theirs, b"x")
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)
    copied_us = (statistics.median(wrote) - statistics.median(plain)) * 1e6 / len(pages)
    found = {"fork_ms": statistics.median(forked) * 1e3, "fork_max_ms": max(forked) * 1e3, "copy_us_a_page": copied_us}
    return {"resident_mb": resident_mb, **{name: round(value, 2) for name, value in found.items()}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long a checkpoint holds the loop up.")
    parser.add_argument("--checkpoints", type=int, default=100, help="of each model (default 100)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    for resident_mb in RESIDENT_MB:
        found[f"fork, {resident_mb} MB"] = forks(resident_mb)
        print(json.dumps(found[f"fork, {resident_mb} MB"]), flush=True)
    with LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack:
        for model in MODELS:
            for apart in (True, False):
                case = f"{model}, {'as it is' if apart else 'whole'}"
                found[case] = pauses(model, stack.redis_url, arguments.checkpoints, apart=apart)
                print(f"{case}: {json.dumps(found[case])}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What Faust costs: the same topic through the worker with its own consumer and with Faust's, in turns, in one run.

    python -m benchmarks.faust_cost [--events 40000] [--rounds 3] [--json FILE]

Each run is a fresh process that takes a topic of one partition from its first record to its last. CPU time is the process's, with all its
threads. `delivery_us` is what Faust's run took beyond the other's for each event, and `events_per_s` is by the wall clock, from the
partition's assignment to the last commit: broker and worker share the machine's cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import uuid
from pathlib import Path
from typing import Any

from benchmarks.fresh_process import in_fresh_process
from benchmarks.throughput_worker import SMALL_MODELS, Cost, pipeline, stream
from stream_retrain.codec.keyring import Keyring
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.facts.worker import Assigned, Committed, WorkerFact
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings


def run(engine: str, model: str, settings: Settings, source: str, events: int) -> Cost:
    """One worker, from the moment it has its partition until everything is committed."""
    from stream_retrain.attaching import run_in_faust
    from stream_retrain.compose import run_pipeline

    began: list[tuple[float, float]] = []
    ended: list[tuple[float, float]] = []

    def clock(fact: WorkerFact) -> None:
        if isinstance(fact, Assigned):
            began.append((time.process_time(), time.perf_counter()))
        elif isinstance(fact, Committed) and sum(fact.offsets.values()) >= events:
            ended.append((time.process_time(), time.perf_counter()))

    runs = {"kafka": run_pipeline, "faust": run_in_faust}
    runs[engine](pipeline(model, source), settings, Keyring.unsigned(), lambda: bool(ended), watching=clock)
    cpu_us, wall_us = ((end - begin) * 1e6 / events for begin, end in zip(began[0], ended[0], strict=True))
    return Cost(cpu_us, wall_us)


def measure(model: str, settings: Settings, rows: list[dict[str, Any]], rounds: int) -> dict[str, Any]:
    """The rounds of one model, as a row."""
    source = f"bench-source-{uuid.uuid4().hex[:8]}"
    publish_rows(rows, settings, topic=source)
    costs = [
        {engine: in_fresh_process(engine, run, engine, model, settings, source, len(rows)) for engine in ("kafka", "faust")}
        for _ in range(rounds)
    ]

    def median(of: Any) -> float:
        return round(statistics.median(map(of, costs)), 2)

    return {
        "model": model,
        "events": len(rows),
        "kafka_events_per_s": round(1e6 / median(lambda each: each["kafka"].wall_us)),
        "faust_events_per_s": round(1e6 / median(lambda each: each["faust"].wall_us)),
        "kafka_cpu_us": median(lambda each: each["kafka"].cpu_us),
        "faust_cpu_us": median(lambda each: each["faust"].cpu_us),
        "delivery_us": median(lambda each: each["faust"].cpu_us - each["kafka"].cpu_us),
        "ratio": median(lambda each: each["kafka"].wall_us / each["faust"].wall_us),
    }


def main() -> None:
    """Measure every model and print the table."""
    parser = argparse.ArgumentParser(description="What Faust costs beside the worker's own consumer.")
    parser.add_argument("--events", type=int, default=40_000, help="of a run (default 40,000)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each engine (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON")
    arguments = parser.parse_args()
    rows = stream(arguments.events)
    with LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack:
        settings = load_settings(
            None,
            {},
            {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url, "http": False, "log_level": "error"},
        )
        found = [measure(model, settings, rows, arguments.rounds) for model in SMALL_MODELS]
    for row in found:
        print(json.dumps(row))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

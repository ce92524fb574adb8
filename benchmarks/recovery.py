"""What recovery takes, measured: the figures of docs/failures.md.

    python -m benchmarks.recovery [--trials 10] [--json FILE]

- takeover: from SIGKILL of one of two workers to the first new prediction on each of its partitions, read from the topic; once where
  nothing starts it again (the other takes over when the session has timed out), once under `run --workers 2`;
- replay: events a second while a worker learns again silently, beside the same events live;
- checkpoint pause: the longest that one turn of the loop takes for a checkpoint (`benchmarks.checkpoint_pauses`);
- exactly once: events a second of the whole worker with transactions and checkpoints, and with neither (a plain producer, stores in
  memory), in alternating rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import redis

from benchmarks.checkpoint_pauses import MODELS, pauses, quantiles
from benchmarks.fresh_process import in_fresh_process
from benchmarks.plain_producer import plain_clients
from benchmarks.recovery_takeover import SESSION_TIMEOUT_S, takeovers
from benchmarks.throughput_worker import pipeline as bench_pipeline
from benchmarks.throughput_worker import stream
from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Keyring
from stream_retrain.engines.kafka.clients import admin_client, confluent_clients
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.engines.kafka.topics import prepare_topics
from stream_retrain.engines.kafka.worker import Worker
from stream_retrain.facts.worker import Assigned, Committed, WentLive, WorkerFact
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores import connect

MODEL = "StandardScaler | LogisticRegression"
CHECKPOINTS = 150
EVENTS = 60_000
ROUNDS = 3


def run(case: str, name: str, source: str, settings: Settings) -> float:
    """Seconds from the assignment to the end of the log, in this process: `live`, `replay` or `plain`."""
    declared = bench_pipeline(MODEL, source)
    pipeline = Pipeline(
        name=name, task="binary", source=source, schema=declared.schema, model=declared.model, watch=declared.watch, react=declared.react
    )
    times: dict[str, float] = {}

    def tell(fact: WorkerFact) -> None:
        match fact:
            case Assigned():
                times["began"] = time.perf_counter()
            case Committed() if case != "replay" and sum(fact.offsets.values()) >= EVENTS:
                times["ended"] = time.perf_counter()
            case WentLive() if case == "replay":
                times["ended"] = time.perf_counter()

    clients = plain_clients(settings) if case == "plain" else confluent_clients(settings)
    stores = connect("memory://" if case == "plain" else settings.redis_url)
    admin = admin_client(settings)
    prepare_topics(admin, pipeline, settings)
    worker = Worker(pipeline, settings, stores, Keyring.unsigned(), "bench", clients, tell)
    worker.start()
    while "ended" not in times or times["ended"] < times["began"]:
        worker.turn()
    worker.close()
    return times["ended"] - times["began"]


def events_per_s(*arguments: Any) -> int:
    """Events a second, in a process that has done nothing else."""
    return round(EVENTS / in_fresh_process(arguments[0], run, *arguments))


def speeds(settings: Settings) -> dict[str, Any]:
    """Events a second: live, replayed, and without transactions and checkpoints; medians of alternating rounds."""
    found: dict[str, list[float]] = {"live": [], "replay": [], "plain": []}
    source = "recovery-speed"
    publish_rows(stream(EVENTS), settings, topic=source)
    for number in range(ROUNDS):
        name = f"speed-{number}"
        found["live"].append(events_per_s("live", name, source, settings))
        with redis.Redis.from_url(settings.redis_url) as client:
            client.flushall()
        found["replay"].append(events_per_s("replay", name, source, settings))
        found["plain"].append(events_per_s("plain", f"plain-{number}", source, settings))
    return {case: {"events_per_s": statistics.median(rates), "rounds": rates} for case, rates in found.items()}


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description="What recovery takes.")
    parser.add_argument("--trials", type=int, default=10, help="kills for each way of taking over (default 10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON")
    arguments = parser.parse_args()
    found: dict[str, Any] = {}
    with LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack:
        overrides = {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url}
        settings = load_settings(None, {}, overrides)

        def note(name: str, figures: Any) -> None:
            found[name] = figures
            print(f"{name}: {json.dumps(figures)}", flush=True)

        note("speed", speeds(settings))
        for model in MODELS:
            note(f"checkpoint pause s, {model}", pauses(model, stack.redis_url, CHECKPOINTS, apart=True))
        note("takeover s, restarted by run --workers 2", quantiles(takeovers(stack, settings, arguments.trials, supervised=True)))
        note(
            f"takeover s, by the other after a session timeout of {SESSION_TIMEOUT_S:g} s",
            quantiles(takeovers(stack, settings, arguments.trials, supervised=False)),
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

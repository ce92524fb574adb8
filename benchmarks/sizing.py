"""What one has to know to size an installation: the figures of docs/operations.md.

    python -m benchmarks.sizing [--events 40000] [--json FILE]

For each model a worker runs, in a fresh process, over events of four partitions from a real Kafka and Valkey, with everything on:

- CPU: the process's time an event, client threads included, from its partitions to the last commit, and events a second of one core by it;
- window: bytes of Valkey's memory a row, of the stream that holds it, at its full length;
- checkpoint: bytes of one, at the end, and of Valkey's memory a shard, of all its keys but the window;
- waiting questions: bytes of a checkpoint for each event whose label has not come (of the first model; a checkpoint holds them all);
- outputs: bytes of Kafka's disk an event, compressed as the worker compresses, of predictions and decisions; the same of the source;
- memory: the worker's resident set at the end, and what each shard added to it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import redis
from river import drift, forest

from benchmarks.throughput_worker import FEATURES, SMALL_MODELS, stream
from stream_retrain import Ignore, On, Pipeline, Schema, Watch
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.compose import run_pipeline
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.facts.worker import Checkpointed, Committed, WorkerFact
from stream_retrain.local import LocalStack
from stream_retrain.models import adaptive_classifier
from stream_retrain.settings import Settings, load_settings

PARTITIONS = 4
SIZED: dict[str, Callable[[], Any]] = {
    **SMALL_MODELS,
    "adaptive_classifier": adaptive_classifier,
    "ARFClassifier of 10": lambda: forest.ARFClassifier(n_models=10, seed=1),
}
HEAVY = {"ARFClassifier of 10": 8}
"""Of the events, one in so many: it takes that much longer."""
KEYRING = Keyring(keys=(Key(id="bench", secret=b"0" * 32),))


def sized_pipeline(name: str, model: str, source: str) -> Pipeline:
    """Eight numbers, a label, a detector that resets nothing."""
    return Pipeline(
        name=name,
        task="binary",
        source=source,
        schema=Schema(id="id", label="y", features={f"f{number}": float for number in range(FEATURES)}),
        model=SIZED[model](),
        watch=[Watch("error", drift.ADWIN())],
        react=[On.drift("error", Ignore())],
    )


def learned(name: str, model: str, source: str, events: int, settings: Settings) -> dict[str, float]:
    """Run a worker until it has committed everything and has stopped; what its process took."""
    process = psutil.Process(os.getpid())
    before_bytes = process.memory_info().rss
    ended: list[float] = []
    committed: dict[Any, int] = {}
    checkpoint_bytes: dict[Any, int] = {}

    def watch(fact: WorkerFact) -> None:
        if isinstance(fact, Committed):
            committed.update(fact.offsets)
            if sum(committed.values()) >= events and not ended:
                ended.append(time.process_time())
        elif isinstance(fact, Checkpointed):
            checkpoint_bytes[fact.shard] = fact.bytes

    began_s = time.process_time()
    run_pipeline(sized_pipeline(name, model, source), settings, KEYRING, lambda: bool(ended), watching=watch)
    after_bytes = process.memory_info().rss
    return {
        "cpu_us": (ended[0] - began_s) * 1e6 / events,
        "checkpoint_bytes": sum(checkpoint_bytes.values()) / len(checkpoint_bytes),
        "worker_mib": after_bytes / 2**20,
        "shard_mib": (after_bytes - before_bytes) / 2**20 / PARTITIONS,
    }


def kept(name: str, url: str) -> dict[str, float]:
    """What Valkey holds of the pipeline."""
    client = redis.Redis.from_url(url)
    window = rows = other = 0
    for key in client.scan_iter(f"sr:{{{name}/*"):
        used = int(client.memory_usage(key, samples=0) or 0)
        if key.endswith(b":window"):
            window += used
            rows += sum(int(fields[b"rows"]) for _, fields in client.xrange(key))
        else:
            other += used
    client.close()
    return {"window_row_bytes": window / max(1, rows), "window_rows": rows / PARTITIONS, "other_bytes": other / PARTITIONS}


def disk_bytes(data: Path, topic: str) -> int:
    """Of the logs of a topic's partitions."""
    return sum(file.stat().st_size for file in data.glob(f"{topic}-[0-9]*/*.log"))


def _child(pipe: Any, arguments: tuple[Any, ...]) -> None:
    pipe.send(learned(*arguments))


def sized(model: str, events: int, stack: LocalStack, settings: Settings, *, labelled: bool = True) -> dict[str, Any]:
    """Everything of one model; not `labelled`: of events that all wait for their labels."""
    events = events // HEAVY.get(model, 1)
    name, source = f"sizing-{uuid.uuid4().hex[:8]}", f"sizing-source-{uuid.uuid4().hex[:8]}"
    rows = [row | {"key": f"k{number % 97}", "y": row["y"] if labelled else None} for number, row in enumerate(stream(events))]
    publish_rows(rows, settings, topic=source, key="key", partitions=PARTITIONS)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs, (name, model, source, events, settings)))
    child.start()
    theirs.close()
    try:
        took: dict[str, float] = ours.recv()
    except EOFError:
        raise SystemExit(f"the worker of {model} ended without a result") from None
    finally:
        child.join()
    data = stack.directory / "kafka" / "node-1" / "data"
    outputs = sum(disk_bytes(data, f"{name}.{kind}") for kind in ("predictions", "decisions"))
    disk = {"source_disk_bytes": disk_bytes(data, source) / events, "outputs_disk_bytes": outputs / events}
    found = {**took, **kept(name, settings.redis_url), **disk}
    rounded = {key: round(value, 1) for key, value in found.items()}
    return {"model": model, "events": events, "events_per_core_s": round(1e6 / found["cpu_us"]), **rounded}


def main() -> None:
    """Size every model and print the table."""
    parser = argparse.ArgumentParser(description="What one has to know to size an installation.")
    parser.add_argument("--events", type=int, default=40_000, help="events of each model (a heavy one has fewer)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON")
    arguments = parser.parse_args()
    with LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack:
        places = {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url}
        settings = load_settings(None, {}, {**places, "http_port": 0, "log_level": "error", "trainer": "off"})
        found = []
        for model in SIZED:
            found.append(sized(model, arguments.events, stack, settings))
            print(json.dumps(found[-1]), flush=True)
        waiting = sized(next(iter(SIZED)), arguments.events, stack, settings, labelled=False)
        found.append({"waiting_question_bytes": round(waiting["checkpoint_bytes"] * PARTITIONS / waiting["events"], 1)})
        print(json.dumps(found[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

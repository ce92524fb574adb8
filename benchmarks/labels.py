"""What the relay of a labels topic costs, measured: the figures of docs/labels.md.

    python -m benchmarks.labels [--labels N] [--json FILE]

One run, one broker, two pipelines one after the other: labels in the source topic, and labels in a topic of their own that a relay brings
there (route id). Each is asked N questions first. Then N labels are published at once, from another process: labels learned a second, and
CPU of the worker's process a label, relay included. Then some more, paced: the time from a label's publication until it is learned.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import statistics
import threading
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from river import linear_model, preprocessing

from stream_retrain import Labels, Pipeline, Schema
from stream_retrain.codec.keyring import Keyring
from stream_retrain.compose import run_pipeline
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.facts.worker import Processed, WorkerFact
from stream_retrain.local import LocalStack
from stream_retrain.settings import load_settings

PACED = 1_000
PACED_PER_S = 100
FEATURES = tuple("abcdefgh")


def pipeline_of(name: str, *, own_topic: bool) -> Pipeline:
    """The same model on either way of labels."""
    return Pipeline(
        name=name,
        task="binary",
        source=f"{name}.events",
        schema=Schema(id="id", label="y", features=dict.fromkeys(FEATURES, float)),
        model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        labels=Labels(topic=f"{name}.labels") if own_topic else Labels(),
        pending_rows_max=1_000_000,
        window_rows_max=0,
    )


class Learned:
    """Counts what a worker does, and when."""

    def __init__(self) -> None:
        self.predicted = 0
        self.learned = 0
        self.learned_at_s: list[float] = []

    def __call__(self, fact: WorkerFact) -> None:
        if isinstance(fact, Processed):
            self.predicted += fact.predicted
            self.learned += fact.learned
            self.learned_at_s += [time.time()] * fact.learned

    def wait(self, name: str, count: int) -> None:
        until_s = time.monotonic() + 600
        while getattr(self, name) < count:
            assert time.monotonic() < until_s, f"{name} stays at {getattr(self, name)}"
            time.sleep(0.01)


def publish(servers: str, topic: str, rows: list[dict[str, Any]], rate_per_s: float | None, times: Any) -> None:
    """In a process of its own, so that its CPU is not the worker's."""
    producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, "linger.ms": 0 if rate_per_s else 20})
    began_s = time.time()
    for number, row in enumerate(rows):
        if rate_per_s:
            time.sleep(max(0.0, began_s + number / rate_per_s - time.time()))
        times.append(time.time()) if rate_per_s else None
        while True:
            try:
                producer.produce(topic, json.dumps(row).encode(), partition=0)
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    producer.flush(60)


def measured(stack: LocalStack, count: int, *, own_topic: bool) -> dict[str, float]:
    """One pipeline."""
    pipeline = pipeline_of(f"labels{'2' if own_topic else '1'}", own_topic=own_topic)
    settings = load_settings(
        None,
        {},
        {
            "kafka_bootstrap_servers": stack.bootstrap_servers,
            "redis_url": stack.redis_url,
            "trainer": "off",
            "http": False,
            "allow_unsigned": True,
            "instance": "bench",
        },
    )
    target = pipeline.labels.topic or pipeline.source
    for topic in dict.fromkeys((pipeline.source, target)):
        create_topic(settings, topic, 1, {})
    rng, learned, ended = random.Random(1), Learned(), threading.Event()
    asked = [{"id": f"q{number}", **{name: rng.gauss(0, 1) for name in FEATURES}} for number in range(count + PACED)]
    told = [{"id": row["id"], "y": row["a"] > 0} for row in asked]
    with multiprocessing.get_context("spawn").Manager() as manager:
        times = manager.list()

        def drive(figures: dict[str, float]) -> None:
            try:
                run(stack.bootstrap_servers, pipeline.source, asked, None, times)
                learned.wait("predicted", len(asked))
                cpu_s = time.process_time()
                run(stack.bootstrap_servers, target, told[:count], None, times)
                learned.wait("learned", count)
                figures["cpu_us"] = (time.process_time() - cpu_s) / count * 1e6
                busy_s = [at for at in learned.learned_at_s if at]
                figures["per_s"] = count * 0.9 / (busy_s[-1] - busy_s[count // 10])
                run(stack.bootstrap_servers, target, told[count:], PACED_PER_S, times)
                learned.wait("learned", count + PACED)
                waits = sorted(at - since for at, since in zip(learned.learned_at_s[count:], times, strict=True))
                cut = statistics.quantiles(waits, n=100)
                figures |= {"p50_ms": cut[49] * 1e3, "p99_ms": cut[98] * 1e3}
            finally:
                ended.set()

        figures: dict[str, float] = {}
        driving = threading.Thread(target=drive, args=(figures,))
        driving.start()
        run_pipeline(pipeline, settings, Keyring.unsigned(), ended.is_set, watching=learned)
        driving.join()
    return figures


def run(*given: Any) -> None:
    process = multiprocessing.get_context("spawn").Process(target=publish, args=given)
    process.start()
    process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, default=50_000)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with LocalStack.start() as stack:
        found = {name: measured(stack, asked.labels, own_topic=own) for name, own in (("source topic", False), ("own topic", True))}
    print("| labels in | labels/s | CPU us a label | p50 ms | p99 ms |\n|---|---|---|---|---|")
    for name, row in found.items():
        print(f"| {name} | {row['per_s']:,.0f} | {row['cpu_us']:.1f} | {row['p50_ms']:.0f} | {row['p99_ms']:.0f} |")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

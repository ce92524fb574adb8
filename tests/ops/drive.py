"""Two pipelines on a real Kafka and Redis, scraped by a real Prometheus, to which everything happens that a dashboard can show.

`shop` runs as two worker processes: drifts, duels, trainings that join and trainings that fail, dead letters, labels that come late and
labels that never come, and a worker process that is killed. `adaptive` has a model with members, which is reset every now and then.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from stream_retrain.engines.kafka.publish import create_topic, publish_rows
from stream_retrain.ops import export_rules
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.engines.support import Worker, worker
from tests.ops.servers import Prometheus, prometheus, until

__all__ = ["Driven", "driven"]

PARTITIONS = 4
AT_ONCE, A_SECOND, FLIP_EVERY = 3_000, 250, 6_000
PIPELINES = '''
import time
from river import base, drift, linear_model, metrics, preprocessing
from stream_retrain import Challenge, Evidence, Ignore, Labels, On, Pipeline, Reset, Retrain, Schema, Watch, Webhook, Window
from stream_retrain.models import PerKey, adaptive_classifier


class TooSlow(base.Classifier):
    """A model that no training ends with: after its first lessons each takes a second."""

    def __init__(self):
        self.had = 0

    def learn_one(self, x, y):
        self.had += 1
        if self.had > 100:
            time.sleep(1.0)

    def predict_proba_one(self, x):
        return {{True: 0.5, False: 0.5}}


def declared(name, **parts):
    features = {{"a": float, "b": float, **parts.pop("features", {{}})}}
    schema = Schema(id="id", time="at", time_unit="s", label="y", features=features)
    return Pipeline(name=name, task="binary", source="{source}", schema=schema, metrics=[metrics.Accuracy(), metrics.LogLoss()], **parts)


shop = declared(
    "{shop}",
    model=PerKey(preprocessing.StandardScaler() | linear_model.LogisticRegression(), by="key", hot_keys_max=4),
    features={{"key": str}},
    watch=[
        Watch("error", drift.ADWIN()),
        Watch("error", drift.binary.DDM()),
        Watch("feature:a", drift.PageHinkley()),
    ],
    react=[
        On.drift("error", Challenge(evidence=Evidence(events_max=600)), cooldown_events=300),
        On.warning("error", Ignore()),
        On.every(events=600, do=Retrain(window=Window(rows=500), evidence=Evidence(events_max=200))),
        On.every(events=1_100, do=Retrain(window=Window(rows=500), model=TooSlow(), evidence=Evidence(events_max=200))),
        On.request(Ignore()),
    ],
    window_rows_max=2_000,
    pending_rows_max=60,
)
adaptive = declared(
    "{adaptive}",
    model=adaptive_classifier(),
    watch=[Watch("error", drift.ADWIN())],
    react=[On.every(events=1_500, do=Reset()), On.memory(model_bytes_max=10**9, shard_bytes_max=10**10, do="reset")],
    labels=Labels(topic="{source}.labels"),
    webhooks=[Webhook(url="http://127.0.0.1:9/nobody", on=("drift", "model.reset"), attempts_max=2, pause_s=0.1)],
)
'''


class Driven(NamedTuple):
    """What happened to whom, and who has seen it."""

    prometheus: Prometheus
    shop: str
    adaptive: str
    start_s: float
    end_s: float


def rows(seed: int = 3) -> Iterator[dict[str, Any]]:
    """Events: most with their label, a tenth that get it 30 events later, some that never do, some that no schema fits."""
    rng = random.Random(seed)
    late: list[tuple[int, dict[str, Any]]] = []
    for number in range(10**6):
        while late and late[0][0] <= number:
            yield late.pop(0)[1]
        a, b = rng.gauss(2.0 if number // FLIP_EVERY % 2 else 0.0, 1.0), rng.gauss(0.0, 1.0)
        origin = {"id": f"e{number}", "key": f"k{number % 40}", "at": 1_767_225_600 + number / 10}
        y = (a + b > 1) != (number // FLIP_EVERY % 2 == 1) if rng.random() > 0.05 else rng.random() > 0.5
        if number % 50 == 49:
            yield {**origin, "a": "a lot", "b": b, "y": y}
        elif number % 30 == 0:
            yield {**origin, "a": a, "b": b}
        elif number % 10 == 0:
            yield {**origin, "a": a, "b": b}
            late.append((number + 30, {**origin, "at": origin["at"] + 3, "y": y}))
        else:
            yield {**origin, "a": a, "b": b, "y": y}


@contextlib.contextmanager
def publishing(settings: Settings, topic: str) -> Iterator[None]:
    """Some events at once, and then so many a second until the block ends."""
    source, ended = rows(), threading.Event()
    publish_rows((next(source) for _ in range(AT_ONCE)), settings, topic=topic, key="key", partitions=PARTITIONS)

    def go_on() -> None:
        while not ended.wait(1.0):
            publish_rows((next(source) for _ in range(A_SECOND)), settings, topic=topic, key="key")

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


@contextlib.contextmanager
def driven(services: Services, folder: Path) -> Iterator[Driven]:
    """Drive both pipelines until everything has happened; Prometheus is still there within the block."""
    shop, adaptive, source = services.name("shop"), services.name("adaptive"), services.name("events")
    file = folder / "pipelines.py"
    file.write_text(PIPELINES.format(shop=shop, adaptive=adaptive, source=source))
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    create_topic(settings, f"{source}.labels", 1)
    limits = {"train_timeout_s": 8, "train_attempts_max": 1, "checkpoint_interval_s": 5, "session_timeout_ms": 6_000}
    limits |= {"artifacts_url": f"file://{folder / 'models'}"}
    with (
        publishing(settings, source),
        worker(services, Path(f"{file}:shop"), "--workers", "2", **limits) as two,
        worker(services, Path(f"{file}:adaptive"), requests_unsigned=True, **limits) as one,
        prometheus(folder, _configuration(folder, [two, one])) as server,
    ):
        start_s = time.time()
        _wait(server, two, shop, adaptive)
        yield Driven(server, shop, adaptive, start_s, time.time())


def _configuration(folder: Path, workers: list[Worker]) -> dict[str, Any]:
    """The one that is exported, with these targets, and quicker."""
    _, exported = export_rules(folder, "docs/runbooks")
    configuration: dict[str, Any] = yaml.safe_load(exported.read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["scrape_configs"][0]["static_configs"][0]["targets"] = [each.url.removeprefix("http://") for each in workers]
    del configuration["alerting"]
    return configuration


def _wait(server: Prometheus, two: Worker, shop: str, adaptive: str) -> None:
    """Until everything has happened, in an order that does not matter; then a worker process is killed, and comes back."""

    def happened(counter: str, pipeline: str, **labels: str) -> bool:
        chosen = ",".join(f"{name}={json.dumps(value)}" for name, value in {"pipeline": pipeline, **labels}.items())
        found = server.query(f"sum(stream_retrain_{counter}_total{{{chosen}}})")
        return bool(found) and float(found[0]["value"][1]) > 0

    for counter, pipeline, labels in (
        ("drift_detected", shop, {"signal": "error"}),
        ("drift_warnings", shop, {}),
        ("duels_ended", shop, {}),
        ("lead_changes", shop, {}),
        ("trainings", shop, {"outcome": "joined"}),
        ("trainings", shop, {"outcome": "failed"}),
        ("dead_letters", shop, {"reason": "schema"}),
        ("labels_unmatched", shop, {"reason": "expired_rows"}),
        ("resets", adaptive, {}),
    ):
        until(functools.partial(happened, counter, pipeline, **labels), 150, f"{counter} {labels}")
    os.kill(two.status()["workers"]["1"]["pid"], signal.SIGKILL)
    until(lambda: server.query('stream_retrain_worker_up{worker="1"} == 0'), 60, "a worker that does not answer")
    until(lambda: server.query('stream_retrain_worker_starts_total{worker="1"} == 2'), 60, "a worker that is started again")
    until(lambda: server.query(f'sum(stream_retrain_assigned_partitions{{pipeline="{shop}"}}) == {PARTITIONS}'), 90, "its partitions")
    rates = f'count(rate(stream_retrain_events_predicted_total{{pipeline="{shop}"}}[3s]) > 0) == 2'
    until(lambda: server.query(rates), 60, "rates of the new process")

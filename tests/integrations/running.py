"""A pipeline that learns from a real Kafka while a test looks at it from another program."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import decoded, read_topic, worker

COMMAND = f"{Path(sys.executable).parent / 'stream-retrain'}"
BATCH, PAUSE_S = 40, 0.1
PIPELINE = """
from river import drift, linear_model
from stream_retrain import Evidence, On, Pipeline, Reset, Retrain, Schema, Watch, Window

pipeline = Pipeline(
    name="{name}",
    task="binary",
    source="{source}",
    schema=Schema(id="id", label="y", features={{"a": float}}),
    model=linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN())],
    react=[
        On.request(Retrain(window=Window(rows=500), evidence=Evidence(events_max=400))),
        On.drift("error", Reset(), cooldown_events=1_000),
    ],
)
"""


class Running:
    """A worker, and events that come all the time."""

    def __init__(self, services: Services, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.services = services
        self.settings = settings or {}
        self.file = folder / "pipeline.py"
        self.file.write_text(PIPELINE.format(name=services.name("orchestrated"), source=services.name("events")))
        self.pipeline = load_pipeline(str(self.file))
        self._turned = False
        create_topic(load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), self.pipeline.source, 2, {})

    def drift(self) -> None:
        """Turn what is to be learned around, and wait until both shards have noticed."""
        before = len(self.starting())
        self._turned = not self._turned
        wait_until(lambda: len(self.starting()) >= before + 2, 60, "the drift of both shards")

    def feed(self, done: threading.Event) -> None:
        producer = Producer({"bootstrap.servers": self.services.bootstrap_servers, "enable.idempotence": True})
        rng, number = random.Random(7), 0
        while not done.wait(PAUSE_S):
            for _ in range(BATCH):
                number += 1
                a = rng.gauss(0, 1)
                row = {"id": f"e{number}", "a": a, "y": (a > 0) != self._turned}
                producer.produce(self.pipeline.source, json.dumps(row).encode(), partition=number % 2)
            assert producer.flush(20) == 0

    def decisions(self) -> list[dict[str, Any]]:
        """All that were made so far, as CloudEvents."""
        found = read_topic(self.services, f"{self.pipeline.name}.decisions")
        return [event for records in found.values() for event in decoded([record.value or b"" for record in records])]

    def requested_by(self, who: str) -> Counter[str]:
        """How many shards have taken the request of each reason that begins like this."""
        requests = [each["data"]["reason"] for each in self.decisions() if kind_of(each) == "policy.requested"]
        return Counter(reason for reason in requests if reason.startswith(who))

    def starting(self) -> list[str]:
        """The ids of the decisions that the examples are to act on."""
        return [str(each["id"]) for each in self.decisions() if starts_something(each)]

    @property
    def environment(self) -> dict[str, str]:
        """What the docs tell to set."""
        environment: dict[str, str] = self.services.environment
        return environment | {
            **{f"STREAM_RETRAIN_{name.upper()}": str(value) for name, value in self.settings.items()},
            "RETRAIN_COMMAND": COMMAND,
            "RETRAIN_PIPELINE": str(self.file),
            "DECISIONS_OF": self.pipeline.name,
        }


def kind_of(decision: dict[str, Any]) -> str:
    return str(decision["type"]).removeprefix("io.streamretrain.").removesuffix(".v1")


def starts_something(decision: dict[str, Any]) -> bool:
    """Whether the examples are to act on it; said here another time, and in other words."""
    match kind_of(decision):
        case "drift.detected":
            return True
        case "duel.ended":
            return bool(decision["data"]["winner"] != "champion" and decision["data"]["result"] == "promoted")
    return False


@contextlib.contextmanager
def running(services: Services, folder: Path, trainer: str, **settings: Any) -> Iterator[Running]:
    """The pipeline has learned something when it is handed over."""
    place, done = Running(services, folder, settings), threading.Event()
    with worker(services, place.file, trainer=trainer, **settings) as started:
        thread = threading.Thread(target=place.feed, args=[done])
        thread.start()
        try:
            started.wait_for(lambda: started.records() > 1_500, 120)
            yield place
        finally:
            done.set()
            thread.join(30)
        started.stop()


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Look again and again. A tool that is too busy to answer has not said no."""
    until_s, silent = time.monotonic() + seconds, ""
    while True:
        try:
            if holds():
                return
        except OSError as error:
            silent = f" ({error})"
        assert time.monotonic() < until_s, f"{what}: not within {seconds:g} s{silent}"
        time.sleep(1.0)

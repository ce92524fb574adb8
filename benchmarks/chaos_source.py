"""The events of a chaos run: a concept that turns around now and then, late labels, bad records, and one publisher that never gives up."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import KafkaException, Producer

from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.settings import Settings

__all__ = ["PIPELINE", "Publisher", "events"]

FLIP_EVERY: Final = 5_000
LATE_BY: Final = 60
FLUSH_TIMEOUT_S: Final = 120.0

PIPELINE: Final = """
from river import drift, linear_model, preprocessing
from stream_retrain import Challenge, On, Pipeline, Schema, Watch

pipeline = Pipeline(
    name="{name}",
    task="binary",
    source="{source}",
    schema=Schema(id="id", label="y", features={{"a": float, "b": float, "c": float}}),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN(delta=0.01))],
    react=[On.drift("error", Challenge())],
    window_rows_max=1_500,
)
"""


def events(seed: int) -> Iterator[bytes]:
    """Records without end: every tenth label is late, every hundredth record is no event."""
    rng = random.Random(seed)
    late: dict[int, bytes] = {}
    for number in itertools.count():
        if number in late:
            yield late.pop(number)
        if number % 100 == 99:
            yield b'{"id": "bad", "a": "no number"}'
            continue
        x = {name: round(rng.gauss(0, 1), 4) for name in "abc"}
        y = (x["a"] + 0.5 * x["b"] + rng.gauss(0, 0.3) > 0) != (number // FLIP_EVERY % 2 == 1)
        row = {"id": f"e{number}", **x}
        if number % 10 == 0:
            late[number + LATE_BY] = json.dumps({"id": row["id"], "y": y}).encode()
            yield json.dumps(row).encode()
        else:
            yield json.dumps({**row, "y": y}).encode()


class Publisher:
    """Publishes at a rate, in a thread of its own; every record is delivered in order, whatever brokers do."""

    def __init__(self, settings: Settings, topic: str, partitions: int, seed: int, rate: float) -> None:
        # Nothing is given up on: an idempotent producer that expires a record would leave a hole in its order.
        # Until it knows an added partition, which by default takes it five minutes, it publishes nothing at all.
        forever = {"enable.idempotence": True, "message.timeout.ms": 0, "linger.ms": 20, "topic.metadata.refresh.interval.ms": 1_000}
        self._producer = Producer({**base_config(settings), **forever})
        self._topic = topic
        self._seed = seed
        self._sources = [events(seed * 1_000 + partition) for partition in range(partitions)]
        self._rate = rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.published = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and return when all is delivered."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._flush()

    @property
    def partitions(self) -> int:
        """How many are published to."""
        return len(self._sources)

    def add_partition(self) -> None:
        """Publish to one more, which the topic has."""
        self._sources.append(events(self._seed * 1_000 + len(self._sources)))

    def publish(self, count: int) -> None:
        """So many more at once."""
        for _ in range(count):
            self._one()
        self._flush()

    def _run(self) -> None:
        started_s = time.monotonic()
        while not self._stopped.is_set():
            self._one()
            self._producer.poll(0)
            time.sleep(max(0.0, started_s + self.published / self._rate - time.monotonic()))

    def _one(self) -> None:
        partition = self.published % len(self._sources)
        value = next(self._sources[partition])
        while True:
            try:
                self._producer.produce(self._topic, value, key=f"k{partition}", partition=partition)
                break
            except (KafkaException, BufferError):  # it does not know a new partition yet, or a broker is away
                self._producer.poll(0.1)
        self.published += 1

    def _flush(self) -> None:
        if left := self._producer.flush(FLUSH_TIMEOUT_S):
            raise AssertionError(f"{left} events could not be published")

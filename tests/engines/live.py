"""A pipeline with a source of its own at a real Kafka, and what tests do to it while a worker runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_retrain import Pipeline
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.errors import BrokerError
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import Worker, read_topic, worker

FILE = """
from river import linear_model
from stream_retrain import Pipeline, Schema
pipeline = Pipeline(name="{name}", task="binary", source="{source}", model=linear_model.LogisticRegression(),
                    schema=Schema(id="id", label="y", features={{"a": float}}))
"""


class Place:
    """A pipeline with a source of its own."""

    def __init__(self, services: Services, folder: Path, partitions: int = 1) -> None:
        self.services = services
        self.file = folder / "pipeline.py"
        self.file.write_text(FILE.format(name=services.name("live"), source=services.name("events")))
        self.pipeline: Pipeline = load_pipeline(str(self.file))
        self.source = self.pipeline.source
        self.admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
        self.made(partitions)
        self._numbers = 0

    def made(self, partitions: int = 1) -> None:
        """Make the source, and return when its partitions can be read."""
        settings = load_settings(None, {}, {"kafka_bootstrap_servers": self.services.bootstrap_servers})
        create_topic(settings, self.source, partitions, {})
        until_s = time.monotonic() + 30
        while True:
            try:
                assert len(read_topic(self.services, self.source)) == partitions
                return
            except (AssertionError, BrokerError):
                assert time.monotonic() < until_s
                time.sleep(0.05)

    def deleted(self, topic: str) -> None:
        self.admin.delete_topics([topic], operation_timeout=10)[topic].result()
        time.sleep(1.0)  # brokers and clients learn of it in their own time

    def send(self, count: int, partition: int = 0, commit: bool | None = None) -> None:
        """Events; in a transaction that is committed or aborted, if `commit` says which."""
        transactional = {} if commit is None else {"transactional.id": self.source}
        producer = Producer({"bootstrap.servers": self.services.bootstrap_servers, "enable.idempotence": True, **transactional})
        if commit is not None:
            producer.init_transactions(20)
            producer.begin_transaction()
        for _ in range(count):
            self._numbers += 1
            row = {"id": f"e{self._numbers}", "a": float(self._numbers % 7), "y": self._numbers % 7 > 3}
            producer.produce(self.source, json.dumps(row).encode(), partition=partition)
        assert producer.flush(20) == 0
        if commit is not None:
            producer.commit_transaction(20) if commit else producer.abort_transaction(20)

    def worker(self, *arguments: str, **settings: Any) -> Any:
        return worker(self.services, self.file, *arguments, **{"trainer": "off", "static_membership": False} | settings)

    def answered(self) -> dict[int, int]:
        """Predictions by partition."""
        return {number: len(found) for number, found in read_topic(self.services, f"{self.pipeline.name}.predictions").items()}

    def ids(self) -> list[str]:
        return [json.loads(each.value or b"")["id"] for each in read_topic(self.services, f"{self.pipeline.name}.predictions")[0]]

    def committed(self) -> tuple[int, str | None]:
        """The offset, and what stands beside it."""
        group = f"stream_retrain.{self.pipeline.name}"
        consumer = Consumer({"bootstrap.servers": self.services.bootstrap_servers, "group.id": group})
        [place] = consumer.committed([TopicPartition(self.source, 0)], 10)
        consumer.close()
        return place.offset, place.metadata

    def forget_offsets(self) -> None:
        group = f"stream_retrain.{self.pipeline.name}"
        for _ in range(20):
            try:
                self.admin.delete_consumer_groups([group])[group].result()
            except KafkaException:
                time.sleep(0.5)
            else:
                return


def has(running: Worker, count: int, partition: int = 0) -> Callable[[], bool]:
    return lambda: shard_of(running, partition).get("records", 0) >= count


def shard_of(running: Worker, partition: int = 0) -> dict[str, Any]:
    shards = running.status()["shards"].items()
    return next((shard for name, shard in shards if name.endswith(f"/{partition}")), {})

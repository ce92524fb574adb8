"""Publishing rows to a topic: what `stream-retrain publish` and the demo do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.cimpl import NewTopic

from stream_retrain.engines.kafka.clients import admin_client, base_config, broker_error, built
from stream_retrain.engines.kafka.topics import create_topics
from stream_retrain.errors import BrokerError
from stream_retrain.lane.formats.rows import encode_row, key_text
from stream_retrain.settings import Settings

__all__ = ["create_topic", "publish_rows"]

TIMEOUT_S = 30.0
REACHED_WITHIN_S = 8.0
REPORT_EVERY = 500
PARTITION_UNASSIGNED = -1


def create_topic(settings: Settings, topic: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
    """Make a topic; one that is there stays as it is. Raises `BrokerError`."""
    admin = admin_client(settings)
    try:
        admin.list_topics(timeout=REACHED_WITHIN_S)  # without it, creating a topic fails only after a minute where no broker is
    except KafkaException as error:
        raise broker_error(f"creating topic {topic!r}", error, settings) from None
    new = NewTopic(topic, partitions, settings.topic_replication, config=dict(config or {}))
    create_topics(admin, [new], settings, timeout_s=TIMEOUT_S)


def publish_rows(
    rows: Iterable[Mapping[str, Any]],
    settings: Settings,
    *,
    topic: str,
    key: str | None = None,
    partition_of: Mapping[str, int] | None = None,
    partitions: int = 1,
    rate_per_s: float | None = None,
    on_sent: Callable[[int], None] = lambda _: None,
) -> int:
    """Publish rows as JSON, in order, idempotently; how many were.

    The field `key` is the record's key, null where it is null; `partition_of` gives the partition of each key, else Kafka's hash does.
    Raises `BrokerError` if a row could not be delivered.
    """
    create_topic(settings, topic, partitions, {"retention.ms": "-1"})
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = built(Producer, {"linger.ms": 20, "compression.type": "lz4", **base_config(settings), "enable.idempotence": True})
    sent, started_s = 0, time.monotonic()
    for row in rows:
        name = key_text(row[key]) if key is not None else None
        place = partition_of[name] if partition_of is not None and name is not None else PARTITION_UNASSIGNED
        try:
            _produce(producer, topic, encode_row(row), name, delivered, place)
        except KafkaException as error:  # refused before it is sent, because it is too large
            raise broker_error(f"publishing row {sent + 1:,} to {topic!r}", error, settings) from None
        sent += 1
        if rate_per_s is not None:
            time.sleep(max(0.0, started_s + sent / rate_per_s - time.monotonic()))
        if sent % REPORT_EVERY == 0:
            producer.poll(0)
            on_sent(sent)
            if failed:
                break
    left = producer.flush(TIMEOUT_S)
    if failed or left:
        cause = broker_error(f"publishing to {topic!r}", failed[0], settings) if failed else f"{left} events were not delivered in time"
        raise BrokerError(str(cause))
    on_sent(sent)
    return sent


def _produce(
    producer: Producer, topic: str, value: bytes, key: str | None, delivered: Callable[[KafkaError | None, Message], None], place: int
) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition=place, on_delivery=delivered)
            return
        except BufferError:
            producer.poll(0.5)

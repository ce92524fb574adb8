"""A whole topic, as committed: for tools that look back (the demo's summary, tests, later `verify`)."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream_retrain.engines.kafka.clients import broker_error, partitions_of, reading
from stream_retrain.errors import BrokerError
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["Stored", "read_topic"]

TIMEOUT_S = 10.0
POLL_S = 0.1
BATCH = 5_000


class Stored(NamedTuple):
    """A committed record of a topic."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    timestamp_ms: int

    def as_record(self) -> Record:
        """As the decoder takes it."""
        return Record(self.offset, self.key, self.value, self.timestamp_ms, tuple(self.headers.items()))


def read_topic(settings: Settings, topic: str) -> dict[int, list[Stored]]:
    """Every committed record of a topic that is there when the reading begins, by partition; commits nothing.

    Raises `BrokerError` where the topic does not exist or Kafka does not answer.
    """
    with reading(settings, topic) as consumer:
        partitions = partitions_of(consumer, topic, settings)
        ends = {each: consumer.get_watermark_offsets(TopicPartition(topic, each), TIMEOUT_S)[1] for each in partitions}
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        return _read_to_end(consumer, ends, settings)


def _read_to_end(consumer: Consumer, ends: dict[int, int], settings: Settings) -> dict[int, list[Stored]]:
    """A topic that others write to meanwhile has no end of its own: what is at the ends or beyond them is not waited for."""
    stored: dict[int, list[Stored]] = {partition: [] for partition in ends}
    open_ones = set(ends)
    until_s = time.monotonic() + TIMEOUT_S
    while open_ones:
        messages = consumer.consume(BATCH, POLL_S)  # it waits for a whole batch, or for as long as it is told
        if messages:
            until_s = time.monotonic() + TIMEOUT_S
        elif time.monotonic() > until_s:
            raise BrokerError(f"reading a topic at {settings.kafka_bootstrap_servers}: no record and no end came for {TIMEOUT_S:.0f} s")
        for message in messages:
            error, partition = message.error(), _number(message.partition())
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise broker_error("reading a topic", error, settings)
                open_ones.discard(partition)
                continue
            offset = _number(message.offset())
            if offset >= ends[partition] - 1:
                open_ones.discard(partition)
            if offset >= ends[partition]:
                continue
            given: Any = message.headers() or []
            headers = {name: _bytes(value) for name, value in given}
            stored[partition].append(Stored(offset, message.key(), message.value(), headers, message.timestamp()[1]))
    return stored


def _number(value: int | None) -> int:
    assert value is not None, "a message from a topic has a partition and an offset"
    return value


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")

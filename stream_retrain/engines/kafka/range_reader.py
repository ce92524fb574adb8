"""Stretches of a topic's partitions as one run of records: for trainings, and for backtests.

The consumer is private: partitions are assigned by hand, nothing is committed. Each partition's records keep their order of offset, and the
partitions are merged by the timestamps of their records, so that the same stretches always give the same records in the same order, however
Kafka delivers them. Partitions that are ahead are paused, so that a bounded number of records is held.
"""

from __future__ import annotations

import collections
import heapq
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream_retrain.engines.kafka.clients import broker_error
from stream_retrain.engines.kafka.stretches import Stretch
from stream_retrain.errors import BrokerError
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["read_stretches"]

TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.05
BATCH: Final = 2_000
HELD_RECORDS_MAX: Final = 10_000
HELD_BYTES_MAX: Final = 32_000_000
"""Both of one partition, before it is paused."""


def read_stretches(consumer: Consumer, topic: str, stretches: Mapping[int, Stretch], settings: Settings) -> Iterator[tuple[int, Record]]:
    """Each committed record with its partition. Raises `BrokerError` and `KafkaException`."""
    reader = _Reader(consumer, topic, {partition: each for partition, each in stretches.items() if each.offsets}, settings)
    streams = [reader.records(partition) for partition in reader.partitions]
    if len(streams) == 1:
        return streams[0]
    return heapq.merge(*streams, key=_timestamp_ms)


def _timestamp_ms(item: tuple[int, Record]) -> int:
    return item[1][3]


class _Reader:
    """Feeds an iterator for each partition from one consumer."""

    def __init__(self, consumer: Consumer, topic: str, stretches: dict[int, Stretch], settings: Settings) -> None:
        self._consumer = consumer
        self._topic = topic
        self._ends = {partition: stretch.end for partition, stretch in stretches.items()}
        self._settings = settings
        self._held: dict[int, collections.deque[Record]] = {partition: collections.deque() for partition in stretches}
        self._bytes = dict.fromkeys(stretches, 0)
        self._open = set(stretches)
        self._paused: set[int] = set()
        self.partitions = sorted(stretches)
        if stretches:
            consumer.assign([TopicPartition(topic, partition, stretch.first) for partition, stretch in stretches.items()])

    def records(self, partition: int) -> Iterator[tuple[int, Record]]:
        """The records of a partition's stretch, in order of offset."""
        held = self._held[partition]
        while True:
            while held:
                record = held.popleft()
                self._bytes[partition] -= len(record[2] or b"")
                yield partition, record
            if partition not in self._open:
                return
            if partition in self._paused:
                self._paused.discard(partition)
                self._consumer.resume([TopicPartition(self._topic, partition)])
            self._poll()

    def _poll(self) -> None:
        until_s = time.monotonic() + TIMEOUT_S
        while not (messages := self._consumer.consume(BATCH, POLL_S)):  # it waits for a full batch as long as it may
            if time.monotonic() > until_s:
                where = self._settings.kafka_bootstrap_servers
                raise BrokerError(f"reading topic {self._topic!r} at {where}: no record and no end came for {TIMEOUT_S:.0f} s")
        for message in messages:
            self._take(message)
        full = [partition for partition in self._open - self._paused if self._is_full(partition)]
        if full:
            self._consumer.pause([TopicPartition(self._topic, partition) for partition in full])
            self._paused.update(full)

    def _is_full(self, partition: int) -> bool:
        return len(self._held[partition]) >= HELD_RECORDS_MAX or self._bytes[partition] >= HELD_BYTES_MAX

    def _take(self, message: Any) -> None:
        error, partition = message.error(), message.partition()
        if partition not in self._open:
            return
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise broker_error(f"reading topic {self._topic!r}", error, self._settings)
            self._finish(partition)
            return
        offset, end = message.offset(), self._ends[partition]
        if offset < end:
            value = message.value()
            self._held[partition].append(Record(offset, message.key(), value, message.timestamp()[1], message.headers()))
            self._bytes[partition] += len(value or b"")
        if offset >= end - 1:
            self._finish(partition)

    def _finish(self, partition: int) -> None:
        self._open.discard(partition)
        self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])

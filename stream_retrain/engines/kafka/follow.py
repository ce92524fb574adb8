"""A topic as it grows: committed records since some offsets, for whoever watches or waits; no group is joined, nothing is committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition

from stream_retrain.engines.kafka.clients import broker_error, partitions_of, reading
from stream_retrain.engines.kafka.stretches import Stretch, find_stretches
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["BEGINNING", "Follower", "ends_of", "following"]

BATCH: Final = 500
BEGINNING: Final = OFFSET_BEGINNING
"""In place of an offset: the first that is retained."""
PASSING: Final = frozenset({KafkaError._PARTITION_EOF, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT})


def ends_of(settings: Settings, topic: str) -> dict[int, int]:
    """By partition, the offset that its next record gets. Raises `BrokerError`."""
    with reading(settings, topic) as consumer:
        stretches: dict[int, Stretch] = find_stretches(consumer, topic, partitions_of(consumer, topic, settings), None, None)
    return {partition: stretch.high for partition, stretch in stretches.items()}


class Follower:
    """Protocol of use: `poll` again and again."""

    def __init__(self, consumer: Consumer, topic: str, starts: Mapping[int, int], settings: Settings) -> None:
        self._consumer, self._topic, self._settings = consumer, topic, settings
        consumer.assign([TopicPartition(topic, partition, offset) for partition, offset in starts.items()])

    def poll(self, timeout_s: float) -> list[tuple[int, Record]]:
        """What has come, each with its partition; none where nothing came in time. Raises `BrokerError`."""
        came: list[tuple[int, Record]] = []
        for message in self._consumer.consume(BATCH, timeout_s):
            if (error := message.error()) is not None:
                if error.code() not in PASSING:
                    raise broker_error(f"reading topic {self._topic!r}", error, self._settings)
                continue
            partition, offset, (_, timestamp_ms) = message.partition() or 0, message.offset() or 0, message.timestamp()
            came.append((partition, Record(offset, message.key(), message.value(), timestamp_ms, message.headers())))  # type: ignore[arg-type] # their text is bytes
        return came


@contextmanager
def following(settings: Settings, topic: str, starts: Mapping[int, int]) -> Iterator[Follower]:
    """A follower from these offsets on."""
    with reading(settings, topic) as consumer:
        yield Follower(consumer, topic, starts, settings)

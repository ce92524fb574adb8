"""What a consumer group has committed of a topic, and what the topic holds, asked for until Kafka knows.

An open transaction holds the one answer up, a leader that was just elected the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream_retrain.engines.kafka.clients import broker_error
from stream_retrain.engines.kafka.patiently import ELECTING, patiently
from stream_retrain.settings import Settings

__all__ = ["PASSING", "committed_by", "held_by"]

CALL_TIMEOUT_S: Final = 10.0
PATIENCE_S: Final = 30.0
PAUSE_S: Final = 0.2
PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT})
"""Errors that pass by themselves."""


def committed_by(consumer: Consumer, topic: str, partitions: Iterable[int], settings: Settings) -> dict[int, TopicPartition]:
    """By partition, the offset that the consumer's group has committed and what is noted beside it; those without one are left out.

    Raises `BrokerError`, and `KafkaException` where Kafka does not answer in time.
    """
    places = [TopicPartition(topic, partition) for partition in partitions]
    found = _patiently(lambda: consumer.committed(places, CALL_TIMEOUT_S))
    for place in found:
        if place.error is not None:
            raise broker_error("reading committed offsets", place.error, settings)
    return {place.partition: place for place in found if place.offset >= 0}


def held_by(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """The first offset that is retained of a partition, and the one after the last, as the consumer may read them.

    Raises `KafkaException` where Kafka does not answer in time.
    """
    low, high = _patiently(lambda: consumer.get_watermark_offsets(TopicPartition(topic, partition), CALL_TIMEOUT_S))
    return int(low), int(high)


def _patiently(call: Callable[[], Any]) -> Any:
    """What `call` returns; repeated for a while where Kafka refuses for a moment."""
    return patiently(call, _passes, time.monotonic() + PATIENCE_S, pause_s=PAUSE_S)


def _passes(cause: KafkaError) -> bool:
    return cause.retriable() or cause.code() in PASSING | ELECTING

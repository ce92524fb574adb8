"""What a consumer group has committed of a topic, asked for until Kafka knows: an open transaction holds the answer up."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_retrain.engines.kafka.clients import broker_error
from stream_retrain.settings import Settings

__all__ = ["PASSING", "committed_by"]

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
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            found = consumer.committed(places, CALL_TIMEOUT_S)
            break
        except KafkaException as error:
            if (not error.args[0].retriable() and error.args[0].code() not in PASSING) or time.monotonic() > until_s:
                raise
            time.sleep(PAUSE_S)
    for place in found:
        if place.error is not None:
            raise broker_error("reading committed offsets", place.error, settings)
    return {place.partition: place for place in found if place.offset >= 0}

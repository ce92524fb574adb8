"""Through which offset of a partition answers are found in the output topics: for a group whose offsets Kafka has forgotten.

An output stands in the partition of its input and names the input's offset: a prediction and a decision in their values, a dead letter
in its headers. Each kind comes in the order of the input, so the last ones say how far it was answered.
"""

from __future__ import annotations

import json
import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_retrain.engines.kafka.clients import broker_error, reader_client
from stream_retrain.engines.kafka.topics import output_topic
from stream_retrain.lane.step import OUTPUT_KINDS
from stream_retrain.settings import Settings

__all__ = ["answered_through"]

TIMEOUT_S: Final = 5.0
TAIL: Final = 1_000
"""Offsets looked at first; where all of them are control or aborted records, the whole partition is."""


def answered_through(settings: Settings, pipeline: str, partition: int) -> int:
    """The offset after the last one that was answered; 0 where none was. Raises `BrokerError`."""
    consumer = reader_client(settings)
    try:
        return max(_last(consumer, TopicPartition(output_topic(pipeline, kind), partition)) for kind in OUTPUT_KINDS) + 1
    except KafkaException as error:
        raise broker_error("reading the last outputs", error, settings) from None
    finally:
        consumer.close()


def _last(consumer: Consumer, place: TopicPartition) -> int:
    low, high = consumer.get_watermark_offsets(place, TIMEOUT_S)
    for start in dict.fromkeys((max(low, high - TAIL), low)):
        found = max(map(_offset_of, _tail(consumer, place, start)), default=-1)
        if found >= 0:
            return found
    return -1


def _tail(consumer: Consumer, place: TopicPartition, start: int) -> list[Message]:
    consumer.assign([TopicPartition(place.topic, place.partition, start)])
    messages: list[Message] = []
    until_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < until_s:
        for message in consumer.consume(TAIL, 0.1):
            error = message.error()
            if error is None:
                messages.append(message)
                until_s = time.monotonic() + TIMEOUT_S
            elif error.code() == KafkaError._PARTITION_EOF:
                return messages
            else:
                raise KafkaException(error)
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the end of the topic was not reached"))


def _offset_of(message: Message) -> int:
    headers = dict(message.headers() or [])
    if "sr_offset" in headers:
        return int(headers["sr_offset"] or -1)
    try:
        value = json.loads(message.value() or b"{}")
        return int(value.get("data", value).get("offset", -1))  # a decision is a CloudEvent
    except (ValueError, TypeError, AttributeError):
        return -1

"""Through which offsets answers are found in the output topics: for a group whose offsets Kafka has forgotten.

An output stands in the partition of its input and names the input's offset: a prediction and a decision in their values, a dead letter
in its headers. Each kind comes in the order of the input, so the last ones say how far it was answered.
"""

from __future__ import annotations

import collections
import json
import time
from collections.abc import Iterable, Mapping
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


def answered_through(settings: Settings, pipeline: str, source: str, partitions: Iterable[int]) -> dict[int, int]:
    """By partition of the source the offset after the last one that was answered, 0 where none was; all are read at once.

    Raises `BrokerError`.
    """
    places = [TopicPartition(output_topic(pipeline, kind), partition) for partition in partitions for kind in OUTPUT_KINDS]
    through: collections.Counter[int] = collections.Counter()
    consumer = reader_client(settings)
    try:
        ends = {place: consumer.get_watermark_offsets(place, TIMEOUT_S) for place in places}
        tails = {place: max(low, high - TAIL) for place, (low, high) in ends.items()}
        last = _last(consumer, tails, source)
        bare = {place: ends[place][0] for place, start in tails.items() if place not in last and start > ends[place][0]}
        for place, offset in (last | _last(consumer, bare, source)).items():
            through[place.partition] = max(through[place.partition], offset + 1)
    except KafkaException as error:
        raise broker_error("reading the last outputs", error, settings) from None
    finally:
        consumer.close()
    return dict(through)


def _last(consumer: Consumer, starts: Mapping[TopicPartition, int], source: str) -> dict[TopicPartition, int]:
    """The last offset that is named from each start on, where any is."""
    last: dict[TopicPartition, int] = {}
    open_ = set(starts)
    consumer.assign([TopicPartition(place.topic, place.partition, start) for place, start in starts.items()])
    until_s = time.monotonic() + TIMEOUT_S
    while open_:
        if time.monotonic() > until_s:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"the end of {len(open_)} partitions was not reached"))
        for message in consumer.consume(TAIL, 0.1):
            place, error = TopicPartition(message.topic() or "", message.partition() or 0), message.error()
            until_s = time.monotonic() + TIMEOUT_S
            if error is None:
                if (offset := _offset_of(message, source)) >= 0:
                    last[place] = max(offset, last.get(place, -1))
            elif error.code() == KafkaError._PARTITION_EOF:
                open_.discard(place)
            else:
                raise KafkaException(error)
    return last


def _offset_of(message: Message, source: str) -> int:
    headers = dict(message.headers() or [])
    if "sr_offset" in headers:
        topic = headers.get("sr_topic") or source
        is_ours = (topic.decode() if isinstance(topic, bytes) else topic) == source  # the relay's are of the labels topic
        return int(headers["sr_offset"] or -1) if is_ours else -1
    try:
        value = json.loads(message.value() or b"{}")
        return int(value.get("data", value).get("offset", -1))  # a decision is a CloudEvent
    except (ValueError, TypeError, AttributeError):
        return -1

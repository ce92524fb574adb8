"""What the relay reads before it takes over: the labels that wait, and the questions that were asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # it is exported, but for `__all__`

from stream_retrain.engines.kafka.clients import broker_error, reader_client
from stream_retrain.engines.kafka.relay.waiting import held_of
from stream_retrain.errors import BrokerError
from stream_retrain.facts.values import EventId
from stream_retrain.lane.batch import Record
from stream_retrain.lane.event_id import text_of_id
from stream_retrain.settings import Settings

__all__ = ["Asked", "Questions", "read_waiting"]

TIMEOUT_S: Final = 10.0
SILENCE_MAX_S: Final = 30.0
POLL_S: Final = 0.05
BATCH: Final = 5_000
LEADER_WITHIN_S: Final = 3.0
NO_LEADER: Final = frozenset({KafkaError._NOENT, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION})
PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT})
Asked = Callable[[str, int, int], None]
"""Told of each question: id, partition, timestamp in ms."""


def read_waiting(settings: Settings, admin: AdminClient, topic: str, partition: int) -> list[tuple[Record, int]]:
    """The labels of a partition that wait, and since when.

    Read to where the log ended when it was asked, committed or not: the last transaction of who had the partition may be decided, and not
    yet be readable. One that is open ends within `transaction.timeout.ms`. Raises `BrokerError` and `KafkaException`.
    """
    place = TopicPartition(topic, partition)
    end, records = _end_of(admin, place), list[tuple[Record, Any]]()
    consumer = reader_client(settings)
    try:
        position = consumer.get_watermark_offsets(place, TIMEOUT_S)[0]
        consumer.assign([TopicPartition(topic, partition, position)])
        until_s = time.monotonic() + SILENCE_MAX_S
        while position < end:
            for message in consumer.consume(BATCH, POLL_S):
                error, offset = message.error(), message.offset() or 0
                until_s = time.monotonic() + SILENCE_MAX_S
                if error is None:
                    position = offset + 1
                    records.append((Record(offset, message.key(), message.value(), message.timestamp()[1]), message.headers()))
                elif error.code() == KafkaError._PARTITION_EOF:
                    position = max(position, offset)
                elif error.code() not in PASSING:
                    raise broker_error(f"reading topic {topic!r}", error, settings)
            if time.monotonic() > until_s:
                raise BrokerError(f"reading topic {topic!r} at {settings.kafka_bootstrap_servers}: its end was not reached")
    finally:
        consumer.close()
    return held_of(records)


def _end_of(admin: AdminClient, place: TopicPartition) -> int:
    """Where a log ends, committed or not; of a topic that was just made nobody may know the leader for a moment."""
    latest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    until_s = time.monotonic() + LEADER_WITHIN_S
    while True:
        asked = admin.list_offsets({place: latest}, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=TIMEOUT_S)
        try:
            return int(asked[place].result(TIMEOUT_S).offset)
        except KafkaException as error:
            if error.args[0].code() not in NO_LEADER or time.monotonic() > until_s:
                raise
            time.sleep(POLL_S)
            admin.list_topics(place.topic, timeout=TIMEOUT_S)  # what the client knows of the topic is from before


class _Prediction(msgspec.Struct, gc=False):
    id: EventId


class Questions:
    """Reads the predictions of every partition, of which each names a question. Protocol of use: `catch_up`, `read` each turn, `close`."""

    def __init__(self, settings: Settings, topic: str, partitions: Iterable[int], rows_max: int, age_max_s: float | None) -> None:
        """From `rows_max` offsets, or `age_max_s` back, whichever is later. Raises `KafkaException`."""
        self._settings = settings
        self._topic = topic
        self._decode = msgspec.json.Decoder(_Prediction).decode
        self._consumer = reader_client(settings, isolation_level="read_committed")
        places = [TopicPartition(topic, partition) for partition in partitions]
        since = _since(self._consumer, places, age_max_s)
        self._ends: dict[int, int] = {}
        for place in places:
            low, high = self._consumer.get_watermark_offsets(place, TIMEOUT_S)
            place.offset = max(low, high - rows_max, since.get(place.partition, low))
            if place.offset < high:
                self._ends[place.partition] = high
        self._consumer.assign(places)

    def catch_up(self, asked: Asked, stop: Callable[[], bool]) -> None:
        """Read to where the predictions ended when this began. An open transaction is not waited for. Raises `BrokerError`."""
        until_s = time.monotonic() + SILENCE_MAX_S
        while self._ends and not stop():
            if self.read(asked, POLL_S):
                until_s = time.monotonic() + SILENCE_MAX_S
            elif time.monotonic() > until_s:
                raise BrokerError(f"reading topic {self._topic!r} at {self._settings.kafka_bootstrap_servers}: nothing came")

    def read(self, asked: Asked, timeout_s: float = 0.0) -> int:
        """What has come; how many messages. Raises `BrokerError`."""
        messages = self._consumer.consume(BATCH, timeout_s)
        for message in messages:
            error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
            if error is None:
                self._told(message, partition, asked)
                if offset >= self._ends.get(partition, offset + 2) - 1:
                    del self._ends[partition]
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ends.pop(partition, None)
            elif error.code() not in PASSING and not error.retriable():
                raise broker_error(f"reading topic {self._topic!r}", error, self._settings)
        return len(messages)

    def close(self) -> None:
        """Let the client go."""
        self._consumer.close()

    def _told(self, message: Any, partition: int, asked: Asked) -> None:
        try:
            asked(text_of_id(self._decode(message.value() or b"").id), partition, message.timestamp()[1])
        except (msgspec.DecodeError, ValueError):
            return  # whoever else wrote to the topic asked no question


def _since(consumer: Consumer, places: list[TopicPartition], age_max_s: float | None) -> dict[int, int]:
    """By partition the first offset that is not older than an age, by the wall clock."""
    if age_max_s is None or not places:
        return {}
    at_ms = max(0, int((time.time() - age_max_s) * 1000))
    asked = consumer.offsets_for_times([TopicPartition(place.topic, place.partition, at_ms) for place in places], TIMEOUT_S)
    return {place.partition: place.offset for place in asked if place.offset >= 0}

"""The topic of a pipeline's trainings, at a real Kafka: `<pipeline>.trainings`.

A worker produces tickets to it. A trainer is a member of a consumer group; Kafka's client commits what it has received, and nothing depends
on that: a worker sends a ticket again until its job was taken. A trainer polls all the time, also while its child trains, so its membership
lasts. The session is as short as brokers allow by default, so that tickets do not go to a trainer that has died for long.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import base_config, broker_error, built
from stream_retrain.engines.kafka.topics import TRAININGS, output_topic
from stream_retrain.engines.trainer.tickets import trainers_group
from stream_retrain.settings import Settings

__all__ = ["KafkaTicketQueue", "KafkaTicketSource"]

SESSION_MS: Final = 6_000
RECEIVED_MAX: Final = 500
ANSWER_TIMEOUT_S: Final = 10.0
LOG: Final = logging.getLogger("stream_retrain.trainer")


class KafkaTicketQueue:
    """A `TicketQueue`."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self._topic = output_topic(pipeline, TRAININGS)
        self._partitions = settings.trainings_partitions
        # A ticket that arrives twice does no harm, and to be idempotent a producer first waits for the transaction coordinator.
        self._producer = built(Producer, {"linger.ms": 5, "message.timeout.ms": 30_000, **base_config(settings)})

    def put(self, place: int, ticket: bytes) -> None:
        try:
            self._producer.produce(self._topic, ticket, partition=place % self._partitions)
        except (BufferError, KafkaException) as error:
            LOG.warning("a ticket was not sent: %s", error)
        self._producer.poll(0)


class KafkaTicketSource:
    """A `TicketSource`."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        """Raises `BrokerError` where Kafka does not answer. The topic need not be there yet: a worker makes it."""
        self._settings = settings
        self._ahead: dict[int, bool] = {}
        """The partitions that this member has; false once their end was reached."""
        self._no_topic = False
        config = {
            "topic.metadata.refresh.interval.ms": 10_000,  # the topic is found soon after the first worker has made it
            **base_config(settings),
            "group.id": trainers_group(settings.group_of(pipeline.name), pipeline),
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": SESSION_MS // 4,
            "auto.offset.reset": "earliest",  # those that are over are known to the store, and dropped
            "partition.assignment.strategy": "cooperative-sticky",
            "enable.partition.eof": True,
        }
        self._consumer = built(Consumer, config)
        try:
            self._consumer.list_topics(timeout=ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise broker_error("looking for tickets", error, settings) from None
        self._consumer.subscribe(
            [output_topic(pipeline.name, TRAININGS)], on_assign=self._given, on_revoke=self._taken, on_lost=self._taken
        )

    def receive(self, timeout_s: float) -> list[bytes]:
        try:
            messages = self._consumer.consume(RECEIVED_MAX, timeout_s)
            if fatal := [error for message in messages if (error := message.error()) is not None and error.fatal()]:
                raise KafkaException(fatal[0])
        except KafkaException as error:
            raise broker_error("receiving tickets", error, self._settings) from None
        for message in messages:
            if (said := message.error()) is None:
                continue
            if said.code() == KafkaError._PARTITION_EOF and (number := message.partition()) in self._ahead:
                self._ahead[number] = False
            self._no_topic |= said.code() == KafkaError.UNKNOWN_TOPIC_OR_PART
        return [message.value() or b"" for message in messages if message.error() is None]

    def at_end(self) -> bool:
        return not any(self._ahead.values()) if self._ahead else self._no_topic

    def close(self, deadline_s: float) -> None:
        leaving = threading.Thread(target=self._consumer.close, name="leave", daemon=True)  # it would wait for a broker that hangs
        leaving.start()
        leaving.join(max(0.1, deadline_s - time.monotonic()))

    def _given(self, _: Consumer, places: list[TopicPartition]) -> None:
        self._ahead |= {place.partition: True for place in places}

    def _taken(self, _: Consumer, places: list[TopicPartition]) -> None:
        for place in places:
            self._ahead.pop(place.partition, None)

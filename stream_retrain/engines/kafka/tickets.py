"""The topic of a pipeline's trainings, at a real Kafka: `<pipeline>.trainings`.

A worker produces tickets to it. A trainer is a member of a consumer group. It commits, in each partition, the offset of the first ticket
that is not done, and holds those that it has received: so it pauses nothing, and a long training delays no other of the same partition.
The session is short: the tickets of a trainer that died are with another one soon. A trainer that only waits for a training polls all the
time, so its membership lasts.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import base_config, broker_error, built
from stream_retrain.engines.kafka.topics import TRAININGS, output_topic
from stream_retrain.engines.trainer.tickets import Received, trainers_group
from stream_retrain.errors import BrokerError
from stream_retrain.settings import Settings

__all__ = ["KafkaTicketQueue", "KafkaTicketSource"]

SESSION_MS: Final = 10_000
RECEIVED_MAX: Final = 500
ANSWER_TIMEOUT_S: Final = 10.0


class KafkaTicketQueue:
    """A `TicketQueue`."""

    def __init__(self, settings: Settings, pipeline: str) -> None:
        self._topic = output_topic(pipeline, TRAININGS)
        self._partitions = settings.trainings_partitions
        self._settings = settings
        # A ticket that arrives twice does no harm, and to be idempotent a producer first waits for the transaction coordinator.
        self._producer = built(Producer, {"linger.ms": 5, "message.timeout.ms": 30_000, **base_config(settings)})

    def put(self, place: int, ticket: bytes, lost: Callable[[], None]) -> None:
        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                lost()

        try:
            self._producer.produce(self._topic, ticket, partition=place % self._partitions, on_delivery=delivered)
        except (BufferError, KafkaException) as error:
            raise _failed("sending a ticket", error, self._settings) from None

    def poll(self) -> None:
        self._producer.poll(0)


@dataclasses.dataclass(slots=True)
class _Place:
    """A partition that is this trainer's: what was received, what of it is not done, and what is committed."""

    next_offset: int = -1
    committed: int = -1
    held: set[int] = dataclasses.field(default_factory=set)
    at_end: bool = False

    @property
    def done_through(self) -> int:
        return min(self.held, default=self.next_offset)


class KafkaTicketSource:
    """A `TicketSource`. Callbacks come from within `receive` only."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        """Raises `BrokerError` where Kafka does not answer. The topic need not be there yet: a worker makes it."""
        self._settings = settings
        self._topic = output_topic(pipeline.name, TRAININGS)
        self._places: dict[int, _Place] = {}
        self._joined = False
        self._consumer = built(
            Consumer,
            {
                **base_config(settings),
                "group.id": trainers_group(settings.group_of(pipeline.name), pipeline),
                "session.timeout.ms": SESSION_MS,
                "heartbeat.interval.ms": SESSION_MS // 4,
                "topic.metadata.refresh.interval.ms": 10_000,  # the topic is found soon after the first worker has made it
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",  # those that are over are known to the store, and dropped
                "partition.assignment.strategy": "cooperative-sticky",
            },
        )
        try:
            self._consumer.list_topics(timeout=ANSWER_TIMEOUT_S)
        except KafkaException as error:
            raise _failed("looking for tickets", error, settings) from None
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    def receive(self, timeout_s: float) -> list[Received]:
        self._commit()
        try:
            messages = self._consumer.consume(RECEIVED_MAX, timeout_s)
        except KafkaException as error:
            raise _failed("receiving tickets", error, self._settings) from None
        return [received for message in messages if (received := self._taken(message)) is not None]

    def owns(self, received: Received) -> bool:
        place = self._places.get(received.partition)
        return place is not None and received.offset in place.held

    def done(self, received: Received) -> None:
        if (place := self._places.get(received.partition)) is not None:
            place.held.discard(received.offset)

    @property
    def caught_up(self) -> bool:
        """Whether it was given partitions, or there are none, and has received all of theirs."""
        return self._joined and all(place.at_end for place in self._places.values())

    def close(self, deadline_s: float) -> None:
        self._commit()
        leaving = threading.Thread(target=self._consumer.close, name="leave", daemon=True)  # it would wait for a broker that hangs
        leaving.start()
        leaving.join(max(0.1, deadline_s - time.monotonic()))

    def _taken(self, message: Message) -> Received | None:
        error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
        place = self._places.get(partition)
        if error is not None:
            if error.fatal():
                raise _failed("receiving tickets", error, self._settings)
            if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._joined = True  # nobody has asked for anything yet
            elif error.code() == KafkaError._PARTITION_EOF and place is not None:
                place.at_end, place.next_offset = True, max(place.next_offset, offset)
            return None
        if place is None or offset < place.next_offset:
            return None
        place.next_offset, place.at_end = offset + 1, False
        place.held.add(offset)
        return Received(partition, offset, message.value() or b"")

    def _commit(self) -> None:
        """Commit what is done, without waiting: where it fails, tickets are received again that the store knows to be over."""
        due = {number: place.done_through for number, place in self._places.items() if place.done_through > place.committed}
        if not due:
            return
        try:
            offsets = [TopicPartition(self._topic, number, offset) for number, offset in due.items()]
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException:
            return
        for number, offset in due.items():
            self._places[number].committed = offset

    def _assigned(self, _: Any, places: list[TopicPartition]) -> None:
        self._joined = True
        self._places |= {place.partition: _Place() for place in places}

    def _revoked(self, _: Any, places: list[TopicPartition]) -> None:
        for place in places:
            self._places.pop(place.partition, None)


def _failed(doing: str, error: Any, settings: Settings) -> BrokerError:
    return BrokerError(f"{doing} failed: its queue is full") if isinstance(error, BufferError) else broker_error(doing, error, settings)

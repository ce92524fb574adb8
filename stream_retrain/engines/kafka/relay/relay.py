"""The loop of the relay: read labels and questions, decide, commit.

One turn, which leaves nothing open:

1. read labels, as a member of the consumer group `<group>.labels`; what the group gives or takes is done here, between two transactions;
2. read predictions, each of which names a question and its partition (route "id");
3. decide (`relay.router`);
4. one transaction: answers to the source, labels that begin or cease to wait, dead letters, and the offsets of the labels.

A partition is taken over in this order: 1 its committed offset, which waits until the last transaction of who had it is decided; 2 the
labels that wait, read to the end of the log; 3 assign. Whoever had it can commit nothing any more, because its group membership is refused.

A transaction that was aborted is sent again a few times, the same one; after that, and after any other trouble, the attempt ends. The next
one begins with what was committed.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import Clients, ConsumerClient, admin_client, broker_error, confluent_clients
from stream_retrain.engines.kafka.patiently import patiently
from stream_retrain.engines.kafka.records import records_of
from stream_retrain.engines.kafka.relay.restore import Questions, read_waiting
from stream_retrain.engines.kafka.relay.router import ANSWERS, WAITING, Plan, Router
from stream_retrain.engines.kafka.relay.topics import RelayTopics
from stream_retrain.engines.kafka.sink import TransactionAbortedError, TransactionalSink
from stream_retrain.engines.kafka.topics import output_topic
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import BrokerError
from stream_retrain.lane.formats.partitioner import DEFAULT
from stream_retrain.lane.step import DEAD_LETTERS, PREDICTIONS
from stream_retrain.settings import Settings

__all__ = ["Relay", "Turned"]

POLL_S: Final = 0.05
RECORDS_MAX: Final = 2_000
CALL_TIMEOUT_S: Final = 5.0
PATIENCE_S: Final = 20.0
ABORTS_MAX: Final = 3
PAUSE_S: Final = 0.2
LOOK_EVERY_S: Final = 15.0
IGNORED_ERRORS: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._PARTITION_EOF, KafkaError._MAX_POLL_EXCEEDED})
TRANSIENT_ERRORS: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})
Turned = Callable[[Plan, int, int], None]
"""Told of each turn that committed something: what, how many labels wait now, how many questions are known."""


class Relay:
    """One attempt. Protocol of use: `start`, `turn` again and again, `close`. Raises `BrokerError` where another attempt may succeed."""

    def __init__(self, pipeline: Pipeline, settings: Settings, instance: str, stop: Stop, clients: Clients | None = None) -> None:
        """Raises `BrokerError` where a topic is missing or does not fit."""
        labels = pipeline.labels
        assert labels.topic is not None, "a relay has a labels topic"
        self._pipeline, self._settings, self._stop = pipeline, settings, stop
        self._topic, self._with_index = labels.topic, labels.route == "id"
        self._admin = admin_client(settings)
        self._topics = RelayTopics(self._admin, pipeline, settings)
        partitions = self._topics.prepare()
        partitioner = settings.kafka.get("partitioner", DEFAULT)
        self.router = Router(pipeline, partitions, record_bytes_max=settings.record_bytes_max, partitioner=partitioner)
        self._fatal: BaseException | None = None
        self._look_at_s = time.monotonic() + LOOK_EVERY_S
        self._questions: Questions | None = None
        group = f"{settings.group_of(pipeline.name)}.labels"
        # Under the consumer protocol the name of a killed member is held for a session, which costs more than to be a new one.
        static = settings.static_membership and settings.group_protocol == "classic"
        clients = clients or confluent_clients(dataclasses.replace(settings, static_membership=static))
        self._consumer: ConsumerClient = clients.consumer(group, instance, self._on_error)
        places = {ANSWERS: pipeline.source, WAITING: self._topics.waiting, DEAD_LETTERS: output_topic(pipeline.name, DEAD_LETTERS)}
        self._sink = TransactionalSink(clients.producer(f"{group}-{instance}", self._on_error), places, settings, clients, stop)

    def start(self) -> None:
        """1 take the transactional id over; 2 learn which questions were asked; 3 join the group."""
        self._sink.start()
        if self._with_index:
            labels, pipeline = self._pipeline.labels, self._pipeline
            age_max_s = pipeline.pending_age_max_s if labels.index_age_max_s is None else labels.index_age_max_s
            topic = output_topic(pipeline.name, PREDICTIONS)
            self._questions = Questions(self._settings, topic, range(self._topics.partitions), labels.index_rows_max, age_max_s)
            self._questions.catch_up(self.router.asked, self._stop)
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)

    def turn(self, turned: Turned) -> None:
        """One turn, as the module says."""
        messages = self._consumer.consume(RECORDS_MAX, POLL_S)
        if self._fatal is not None:
            raise self._fatal
        if self._questions is not None:
            self._questions.read(self.router.asked)
        now_ms = int(time.time() * 1000)
        for partition, run in itertools.groupby(messages, key=Message.partition):
            self._take(partition or 0, list(run), now_ms)
        self.router.expire(now_ms)
        plan = self.router.plan()
        if plan.offsets:
            self._commit(plan)
            turned(plan, self.router.waiting, len(self.router.index))
        if time.monotonic() >= self._look_at_s:
            self._look_at_s = time.monotonic() + LOOK_EVERY_S
            self._topics.look()

    def lag(self) -> int | None:
        """Labels that are not read yet; None where that is not known."""
        behind = 0
        for partition, position in self.router.positions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            behind += max(0, high - position) if high >= 0 else 0
        return behind if self.router.positions else None

    def close(self) -> None:
        """Leave the group, and let the clients go: an open transaction is aborted."""
        try:
            if self._questions is not None:
                self._questions.close()
            self._consumer.close()
        finally:
            self._sink.close()

    def _take(self, partition: int, messages: list[Message], now_ms: int) -> None:
        position = -1
        for message in messages:
            if (error := message.error()) is not None:
                self._judge(error)
                if error.code() == KafkaError._PARTITION_EOF:
                    position = max(position, message.offset() or 0)
        if partition not in self.router.positions:
            return
        received = [message for message in messages if message.error() is None]
        if received:
            self.router.take(partition, records_of(received), now_ms)
        if position >= 0:
            self.router.reached(partition, position)

    def _judge(self, error: KafkaError) -> None:
        passes = error.code() in IGNORED_ERRORS or error.code() in TRANSIENT_ERRORS or error.retriable()
        if not passes:
            raise broker_error("reading labels", error, self._settings)

    def _commit(self, plan: Plan) -> None:
        """Step 4. Raises `BrokerError`."""
        offsets = [TopicPartition(self._topic, partition, offset) for partition, offset in plan.offsets.items()]
        for attempt in itertools.count(1):
            try:
                self._sink.transact(plan.outputs, offsets, self._consumer, timestamps_ms=plan.timestamps_ms)
                return
            except TransactionAbortedError:
                if attempt >= ABORTS_MAX or self._stop():
                    raise
                time.sleep(PAUSE_S)

    def _on_assign(self, consumer: ConsumerClient, places: list[TopicPartition]) -> None:
        """1 the committed offset; 2 the labels that wait; 3 assign."""
        if self._fatal is not None or not places:
            return
        try:
            for place in _patiently(lambda: consumer.committed(places, CALL_TIMEOUT_S), self._stop):
                if place.error is not None:
                    raise broker_error("reading committed offsets of labels", place.error, self._settings)
                place.offset = self._topics.start_of(consumer, place)
                held = read_waiting(self._settings, self._admin, self._topics.waiting, place.partition) if self._with_index else []
                self.router.open(place.partition, place.offset, held)
                next(each for each in places if each.partition == place.partition).offset = place.offset
            consumer.incremental_assign(places)
        except KafkaException as error:
            self._fatal = broker_error("taking labels over", error, self._settings)
        except Exception as error:  # noqa: BLE001 - the client goes on with the assignment if a callback raises
            self._fatal = error

    def _on_revoke(self, consumer: ConsumerClient, places: list[TopicPartition]) -> None:
        """Nothing is open between two turns: 1 forget; 2 unassign."""
        for place in places:
            self.router.close(place.partition)
        if places:
            consumer.incremental_unassign(places)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() and self._fatal is None:
            self._fatal = broker_error("going on with labels", error, self._settings)


def _patiently(call: Callable[[], Any], stop: Stop) -> Any:
    """What `call` returns; repeated while a transaction that is being decided holds the answer up."""
    try:
        return patiently(call, _waits, time.monotonic() + PATIENCE_S, pause_s=PAUSE_S, stop=stop)
    except KafkaException as error:
        if not _waits(error.args[0]):
            raise
        raise BrokerError(f"labels: Kafka does not say what is committed: {error}") from None


def _waits(cause: KafkaError) -> bool:
    return cause.retriable() or cause.code() == KafkaError._TIMED_OUT

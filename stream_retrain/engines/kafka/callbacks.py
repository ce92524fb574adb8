"""Decisions from a real Kafka for callbacks and webhooks, at least once: a member of the group `<group>.callbacks`.

The order that matters:

1. a record of the decisions topic is read, as committed;
2. each handler that asks for it is called until it has taken it, or the record is kept as a dead letter of that handler;
3. then its offset is committed, with those before it.

A process that ends between 2 and 3 makes the calls again that were made since the last commit. A group that has no offsets yet begins with
the decisions of the last `LOOK_BACK_S` before the process started: the first ones of a new pipeline are not missed, and the history of
an old one is not told. That is committed at once, so it does not move.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_retrain.engines.callbacks import callbacks_group
from stream_retrain.engines.callbacks.dispatcher import Dispatcher
from stream_retrain.engines.kafka.clients import base_config, broker_error, built, protocol_config
from stream_retrain.engines.kafka.topics import output_topic
from stream_retrain.errors import BrokerError
from stream_retrain.lane.step import DECISIONS
from stream_retrain.settings import Settings

__all__ = ["CallbackConsumer"]

LOG: Final = logging.getLogger("stream_retrain.callbacks")
LOOK_BACK_S: Final = 300.0
READ_MAX: Final = 100
TURN_S: Final = 0.05
COMMIT_EVERY_S: Final = 0.5
ANSWER_TIMEOUT_S: Final = 10.0
PASSING: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TIMED_OUT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,  # the first worker of the pipeline makes it
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)


class CallbackConsumer:
    """Protocol of use: `turn` again and again, then `close`."""

    def __init__(self, settings: Settings, pipeline: str, dispatcher: Dispatcher, started_s: float) -> None:
        """`started_s`: when the process was started, of the wall clock."""
        self._settings = settings
        self._topic = output_topic(pipeline, DECISIONS)
        self._dispatcher = dispatcher
        self._since_ms = int((started_s - LOOK_BACK_S) * 1000)
        self._committed: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._paused = False
        self._commit_at_s = 0.0
        self._failed: BaseException | None = None
        self._consumer: Consumer = built(
            Consumer,
            {
                "topic.metadata.refresh.interval.ms": 5_000,  # the topic is found soon after the first worker has made it
                "fetch.queue.backoff.ms": 20,
                **base_config(settings),
                "group.id": callbacks_group(settings.group_of(pipeline)),
                **protocol_config(settings),
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",  # of offsets that are no longer there: what is left is told
                "isolation.level": "read_committed",
            },
        )
        self._consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    @property
    def lag_ends(self) -> dict[int, int]:
        """By partition, the offset after the last record, as far as it is known."""
        return dict(self._ends)

    @property
    def caught_up(self) -> bool:
        """Whether partitions are held, and each was read to its end."""
        positions = self._dispatcher.positions()
        return bool(positions) and all(partition in self._ends and self._ends[partition] <= at for partition, at in positions.items())

    def turn(self) -> None:
        """Read what there is room for, let the handlers go on, commit. Raises `BrokerError`, `CallbackError`."""
        try:
            self._hold(self._dispatcher.full)
            self._read()
            self._dispatcher.turn()
            if time.monotonic() >= self._commit_at_s:
                self._commit()
        except KafkaException as error:
            raise broker_error("reading decisions for callbacks", error, self._settings) from None

    def close(self, deadline_s: float, committed: Callable[[], None]) -> None:
        """Let calls that are under way end, commit, call `committed`, leave the group; until `deadline_s` of the monotonic clock."""
        leaving = threading.Thread(target=self._consumer.close, name="leave", daemon=True)  # it would wait for a broker that hangs
        try:
            self._dispatcher.finish(deadline_s, lambda: time.sleep(TURN_S))
            self._commit()
        except (KafkaException, BrokerError) as error:
            LOG.warning("what was done last is not committed, and will be done again: %s", error)
        finally:
            committed()
            self._dispatcher.close()
            leaving.start()
            leaving.join(max(0.5, deadline_s - time.monotonic()))

    def _hold(self, wanted: bool) -> None:
        if wanted != self._paused:
            places = [TopicPartition(self._topic, partition) for partition in self._dispatcher.positions()]
            (self._consumer.pause if wanted else self._consumer.resume)(places)
            self._paused = wanted

    def _read(self) -> None:
        for message in self._consumer.consume(READ_MAX, TURN_S):
            partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
            if error is None:
                self._ends[partition] = max(offset + 1, self._ends.get(partition, 0))
                self._dispatcher.take(partition, offset, _bytes(message.key()), _bytes(message.value()))
            elif error.code() == KafkaError._PARTITION_EOF:
                self._ends[partition] = offset
                self._dispatcher.reached(partition, offset)
            elif error.code() not in PASSING or error.fatal():
                raise KafkaException(error)
        if self._failed is not None:
            failed, self._failed = self._failed, None
            raise failed

    def _commit(self) -> None:
        """Commit what is done with, and was not committed before; it returns when Kafka has it."""
        self._commit_at_s = time.monotonic() + COMMIT_EVERY_S
        positions = self._dispatcher.positions()
        news = [TopicPartition(self._topic, each, at) for each, at in positions.items() if self._committed.get(each) != at]
        if news:
            self._consumer.commit(offsets=news, asynchronous=False)
            self._committed |= {place.partition: place.offset for place in news}

    def _assigned(self, consumer: Any, places: list[TopicPartition]) -> None:
        def begin() -> None:
            found = consumer.committed(places, ANSWER_TIMEOUT_S)
            fresh = [TopicPartition(each.topic, each.partition, max(0, self._since_ms)) for each in found if each.offset < 0]
            starts = {each.partition: each.offset for each in found if each.offset >= 0}
            for each in consumer.offsets_for_times(fresh, ANSWER_TIMEOUT_S) if fresh else ():
                end = consumer.get_watermark_offsets(TopicPartition(each.topic, each.partition), ANSWER_TIMEOUT_S)[1]
                starts[each.partition] = each.offset if each.offset >= 0 else end
            for partition, offset in starts.items():
                self._dispatcher.assign(partition, offset)
                self._committed.pop(partition, None)
                self._ends.pop(partition, None)
            consumer.incremental_assign([TopicPartition(self._topic, partition, offset) for partition, offset in starts.items()])
            self._paused = False

        self._safely(begin)

    def _revoked(self, consumer: Any, places: list[TopicPartition]) -> None:
        """What is done with is committed while this process may; what waits is another's."""

        def give_up() -> None:
            self._commit()
            self._let_go(places)
            consumer.incremental_unassign(places)

        self._safely(give_up)

    def _lost(self, consumer: Any, places: list[TopicPartition]) -> None:
        def give_up() -> None:
            self._let_go(places)
            consumer.incremental_unassign(places)

        self._safely(give_up)

    def _let_go(self, places: list[TopicPartition]) -> None:
        self._dispatcher.revoke(place.partition for place in places)
        for place in places:
            self._ends.pop(place.partition, None)
            self._committed.pop(place.partition, None)

    def _safely(self, do: Callable[[], None]) -> None:
        """The client passes nothing on that its callbacks raise: it is raised by the loop."""
        try:
            do()
        except KafkaException as error:
            self._failed = error


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value

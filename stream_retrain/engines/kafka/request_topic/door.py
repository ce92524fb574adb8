"""The third door: records of `<pipeline>.requests` become requests.

One turn, which leaves nothing open:

1. read records, as a member of the consumer group `<group>.requests`; the topic has one partition, so one worker reads at a time, in order;
2. ask what each asks, as the other doors do: it is in the store then;
3. one transaction: dead letters of what is no request, and the offsets.

Who dies between 2 and 3 reads the same records again, and asks again under the same tokens, which does nothing. What Kafka refuses ends the
attempt; the next one begins with what was committed. A record whose request the store does not take, because it is away or as many wait
as may, is held: it and what is behind it are read again with the next turn, and nothing of them is committed.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from confluent_kafka import KafkaError, Message, TopicPartition

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import Clients, ConsumerClient, admin_client, broker_error, confluent_clients
from stream_retrain.engines.kafka.committed import PASSING
from stream_retrain.engines.kafka.patiently import ELECTING, patiently
from stream_retrain.engines.kafka.records import records_of
from stream_retrain.engines.kafka.request_topic.reader import RequestReader, asking_keys
from stream_retrain.engines.kafka.sink import Outgoing, TransactionalSink
from stream_retrain.engines.kafka.topics import REQUESTS, output_topic, prepare_topics
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import EventError, RequestError, StoreError
from stream_retrain.facts.records import Rejected, RejectReason
from stream_retrain.facts.request import Asked
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record
from stream_retrain.lane.dead_letter import dead_letter
from stream_retrain.lane.step import DEAD_LETTERS
from stream_retrain.settings import Settings

__all__ = ["Ask", "RequestTopic", "Turned"]

POLL_S: Final = 0.25
RECORDS_MAX: Final = 100
CALL_TIMEOUT_S: Final = 5.0
PATIENCE_S: Final = 20.0
PAUSE_S: Final = 0.2
LOG: Final = logging.getLogger("stream_retrain.requests")

Ask: TypeAlias = Callable[[Asked, Sequence[int] | None], object]
"""Checks a request and puts it into the store, for these partitions or for all. Raises `RequestError`, `StoreError`, `BrokerError`."""


@dataclasses.dataclass(slots=True)
class Turned:
    """What a turn did."""

    taken: int = 0
    refused: collections.Counter[RejectReason] = dataclasses.field(default_factory=collections.Counter)
    held: str = ""
    """Why the store does not take the next request."""
    reads: bool = False
    """A record was done with, or the end was reached: so it may be read."""


class RequestTopic:
    """One attempt. Protocol of use: `start`, `turn` again and again, `close`. Raises `BrokerError`."""

    def __init__(self, pipeline: Pipeline, settings: Settings, instance: str, ask: Ask, stop: Stop, clients: Clients | None = None) -> None:
        self._pipeline, self._settings, self._ask, self._stop = pipeline, settings, ask, stop
        self._topic = output_topic(pipeline.name, REQUESTS)
        self._reader = RequestReader(pipeline.name, self._topic, asking_keys(settings), settings.requests_age_max_s)
        self._fatal: BaseException | None = None
        self._positions: dict[int, int] = {}
        self._held: dict[int, str] = {}
        """Why the store did not take the next request of a partition."""
        group = f"{settings.group_of(pipeline.name)}.{REQUESTS}"
        # Under the consumer protocol the name of a killed member is held for a session, which costs more than to be a new one.
        static = settings.static_membership and settings.group_protocol == "classic"
        clients = clients or confluent_clients(dataclasses.replace(settings, static_membership=static))
        self._consumer: ConsumerClient = clients.consumer(group, instance, self._on_error)
        letters = {DEAD_LETTERS: output_topic(pipeline.name, DEAD_LETTERS)}
        self._sink = TransactionalSink(clients.producer(f"{group}-{instance}", self._on_error), letters, settings, clients, stop)

    def start(self) -> None:
        """1 make the topics that are missing; 2 take the transactional id over; 3 join the group."""
        prepare_topics(admin_client(self._settings), self._pipeline, self._settings)
        self._sink.start()
        self._consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke)

    def turn(self) -> Turned:
        """One turn, as the module says."""
        messages = self._consumer.consume(RECORDS_MAX, POLL_S)
        if self._fatal is not None:
            raise self._fatal
        turned, letters = Turned(), list[Outgoing]()
        offsets, held = dict[int, int](), dict[int, int]()
        for message in messages:
            if (error := message.error()) is not None:
                turned.reads |= self._is_end(error, message)
                continue
            partition, offset = message.partition() or 0, message.offset() or 0
            if partition in held:
                continue
            try:
                self._take(partition, records_of([message]).at(offset), turned, letters)
            except StoreError as error:
                self._held[partition], held[partition] = str(error), offset
                continue
            self._held.pop(partition, None)
            offsets[partition] = offset + 1
        if offsets:
            places = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
            self._sink.transact(letters, places, self._consumer)
            self._positions |= offsets
            turned.reads = True
        for partition, offset in held.items():
            self._consumer.seek(TopicPartition(self._topic, partition, offset))
        turned.held = next(iter(self._held.values()), "")
        return turned

    def lag(self) -> int | None:
        """Records that are not read yet; None where another worker reads."""
        behind = 0
        for partition, position in self._positions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            behind += max(0, high - position) if high >= 0 else 0
        return behind if self._positions else None

    def close(self) -> None:
        """Leave the group, and let the clients go: an open transaction is aborted."""
        try:
            self._consumer.close()
        finally:
            self._sink.close()

    def _take(self, partition: int, record: Record, turned: Turned, letters: list[Outgoing]) -> None:
        """Step 2 for one record, or its dead letter."""
        try:
            asked, partitions = self._reader.read(partition, record, time.time())
            self._asks(asked, partitions)
        except EventError as error:
            reason: RejectReason = error.reason  # type: ignore[assignment]
            rejected = Rejected(offset=record.offset, reason=reason, detail=cut(error.detail), field=error.field)
            letter = dead_letter(ShardId(self._pipeline.name, self._topic, partition), record, rejected)
            letters.append((DEAD_LETTERS, 0, letter.key, letter.value, letter.headers))
            turned.refused[reason] += 1
            LOG.warning("record %d of %s is no request (%s): %s", record.offset, self._topic, reason, error.detail)
            return
        turned.taken += 1
        LOG.info("%s: %s %s, token %s: record %d of %s", asked.by, asked.do, asked.version, asked.token, record.offset, self._topic)

    def _asks(self, asked: Asked, partitions: list[int] | None) -> None:
        try:
            self._ask(asked, partitions)
        except RequestError as error:
            raise EventError("request", str(error)) from None

    def _is_end(self, error: KafkaError, message: Message) -> bool:
        """Whether it says that all is read. Raises `BrokerError` where it does not pass by itself."""
        if error.code() == KafkaError._PARTITION_EOF:
            if (partition := message.partition() or 0) not in self._held:
                self._positions[partition] = message.offset() or 0
            return True
        if not _passes(error) and error.code() != KafkaError._MAX_POLL_EXCEEDED:
            raise broker_error("reading requests", error, self._settings)
        return False

    def _on_assign(self, consumer: ConsumerClient, places: list[TopicPartition]) -> None:
        """1 the committed offset, or the first that is retained; 2 assign."""
        if self._fatal is not None or not places:
            return
        try:
            found = self._patiently(lambda: consumer.committed(places, CALL_TIMEOUT_S))
            for place, committed in zip(places, found, strict=True):
                if committed.error is not None:
                    raise broker_error("reading committed offsets of requests", committed.error, self._settings)
                asked = TopicPartition(place.topic, place.partition)
                low, high = self._patiently(functools.partial(consumer.get_watermark_offsets, asked, CALL_TIMEOUT_S))
                # Below: retention was quicker. Beyond: the topic was made anew.
                place.offset = committed.offset if low <= committed.offset <= high else low
                self._positions[place.partition] = place.offset
            consumer.incremental_assign(places)
        except Exception as error:  # noqa: BLE001 - the client goes on with the assignment if a callback raises
            self._fatal = error

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """What `call` returns; repeated for a while where Kafka refuses for a moment."""
        until_s = time.monotonic() + PATIENCE_S
        return patiently(call, _passes, until_s, pause_s=PAUSE_S, stop=self._stop)

    def _on_revoke(self, consumer: ConsumerClient, places: list[TopicPartition]) -> None:
        """Nothing is open between two turns: 1 forget; 2 unassign."""
        for place in places:
            self._positions.pop(place.partition, None)
            self._held.pop(place.partition, None)
        if places:
            consumer.incremental_unassign(places)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal() and self._fatal is None:
            self._fatal = broker_error("going on with requests", error, self._settings)


def _passes(error: KafkaError) -> bool:
    return error.retriable() or error.code() in PASSING | ELECTING

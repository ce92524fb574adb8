"""What the topics of a pipeline hold, for whoever replays a live run: private consumers, assigned by hand, that commit nothing.

`KafkaPast` knows what the group has committed and what is retained; `KafkaPast.of` reads one partition (`engines.replay.past` is the
port). The end is where the group had committed when the reading began. Outputs are read to the end that their topic had then; where a
transaction is still open below it, its end is waited for.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Generator
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import admin_client, broker_error, partitions_of, reader_client
from stream_retrain.engines.kafka.committed import PASSING, committed_by
from stream_retrain.engines.kafka.records import records_of
from stream_retrain.engines.kafka.topics import CommitNote, output_topic, topic_id_of
from stream_retrain.errors import BrokerError, StateError
from stream_retrain.lane.batch import Records
from stream_retrain.lane.put import Found, Put
from stream_retrain.lane.step import DEAD_LETTERS, OutputKind
from stream_retrain.settings import Settings

__all__ = ["KafkaPartitionPast", "KafkaPast"]

CALL_TIMEOUT_S: Final = 10.0
SILENCE_MAX_S: Final = 20.0
"""Without a record or an end. No transaction of a worker lasts longer than 15 s."""
POLL_S: Final = 0.1
BATCH: Final = 2_000
NEAR_RECORDS: Final = 10_000
"""An output is looked for no more closely than this."""
PROBE_RECORDS: Final = 50
NOWHERE: Final = 2**63
QUEUE_KBYTES: Final = 8_192


class Committed(NamedTuple):
    """What the group has committed of a partition."""

    offset: int
    other_topic: bool
    """It was committed for an earlier topic of the same name."""


class KafkaPast:
    """The topics of a pipeline as they were when this was made. Raises `BrokerError`."""

    def __init__(self, settings: Settings, pipeline: Pipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._consumer = reader_client(settings, group_id=settings.group_of(pipeline.name))
        admin = admin_client(settings)
        try:
            self.partitions = partitions_of(self._consumer, pipeline.source, settings)
            topic_id = topic_id_of(admin, pipeline.source)
            self.committed: dict[int, Committed] = self._committed(topic_id)
            self._holes = _holes(admin, pipeline.source)
        except KafkaException as error:
            raise broker_error(f"reading the offsets of topic {pipeline.source!r}", error, settings) from None

    def close(self) -> None:
        """Let the client go."""
        self._consumer.close()

    def offset_at(self, partition: int, time_s: float) -> int | None:
        """The first offset of the source whose record has that timestamp or a later one; None: there is none."""
        asked = TopicPartition(self._pipeline.source, partition, int(time_s * 1000))
        try:
            [found] = self._consumer.offsets_for_times([asked], CALL_TIMEOUT_S)
        except KafkaException as error:
            raise broker_error("looking for a time", error, self._settings) from None
        return found.offset if found.offset >= 0 else None

    def of(self, partition: int) -> KafkaPartitionPast:
        """One partition."""
        try:
            first, _ = self._consumer.get_watermark_offsets(TopicPartition(self._pipeline.source, partition), CALL_TIMEOUT_S)
        except KafkaException as error:
            raise broker_error("reading what is retained", error, self._settings) from None
        return KafkaPartitionPast(self._settings, self._pipeline, partition, first, self._holes)

    def _committed(self, topic_id: str) -> dict[int, Committed]:
        committed = {}
        for place in committed_by(self._consumer, self._pipeline.source, self.partitions, self._settings).values():
            note = CommitNote.read(place.metadata)
            committed[place.partition] = Committed(place.offset, bool(note and topic_id and note.topic_id not in ("", topic_id)))
        return committed


class KafkaPartitionPast:
    """The topics of one partition (`engines.replay.past.PartitionPast`)."""

    def __init__(self, settings: Settings, pipeline: Pipeline, partition: int, first: int, holes: str) -> None:
        self.first = first
        self.holes = holes
        self._settings = settings
        self._pipeline = pipeline
        self._partition = partition
        self._spans: dict[OutputKind, tuple[int, int]] = {}

    def records(self, first: int, end: int) -> Generator[Records]:
        for messages in _read(self._settings, TopicPartition(self._pipeline.source, self._partition, first), end):
            yield records_of(messages)

    def outputs(self, kind: OutputKind, since: int) -> Generator[Found]:
        topic, (low, high) = output_topic(self._pipeline.name, kind), self._span(kind)
        start = low if since <= 0 else self._near(kind, since, low, high)
        for messages in _read(self._settings, TopicPartition(topic, self._partition, start), high, may_end_before=True):
            for message in messages:
                if self._is_ours(kind, message):
                    yield _found(kind, message)

    def whole_from(self, kind: OutputKind) -> int:
        low, high = self._span(kind)
        if low == 0:
            return 0
        with contextlib.closing(reader_client(self._settings)) as consumer:
            consumer.assign([TopicPartition(output_topic(self._pipeline.name, kind), self._partition, low)])
            first = self._probed(kind, consumer) if low < high else None
        return NOWHERE if first is None else first.identity.offset + 1

    def _span(self, kind: OutputKind) -> tuple[int, int]:
        """The first offset of a topic, and the one after the last that was written, committed or not; asked once."""
        if kind not in self._spans:
            consumer = reader_client(self._settings, isolation_level="read_uncommitted")
            place = TopicPartition(output_topic(self._pipeline.name, kind), self._partition)
            try:
                self._spans[kind] = consumer.get_watermark_offsets(place, CALL_TIMEOUT_S)
            except KafkaException as error:
                raise broker_error(f"reading topic {place.topic!r}", error, self._settings) from None
            finally:
                consumer.close()
        return self._spans[kind]

    def _near(self, kind: OutputKind, since: int, low: int, high: int) -> int:
        """An offset of the topic below which all is of source offsets below `since`: outputs stand in the order of their inputs."""
        place = functools.partial(TopicPartition, output_topic(self._pipeline.name, kind), self._partition)
        with contextlib.closing(reader_client(self._settings)) as consumer:
            while high - low > NEAR_RECORDS:
                middle = (low + high) // 2
                consumer.assign([place(middle)])
                found = self._probed(kind, consumer)
                if found is None or found.identity.offset >= since:
                    high = middle
                else:
                    low = found.at
        return low

    def _is_ours(self, kind: OutputKind, message: Message) -> bool:
        """Whether an output is of the source: the relay's dead letters are of the labels topic."""
        given: Any = message.headers() or ()
        return kind != DEAD_LETTERS or dict(given).get("sr_topic", b"") in (b"", self._pipeline.source.encode())

    def _probed(self, kind: OutputKind, consumer: Consumer) -> Found | None:
        """The first output from where a consumer stands that can be read as one; None where the topic ends before."""
        until_s = time.monotonic() + CALL_TIMEOUT_S
        while time.monotonic() < until_s:
            for message in consumer.consume(PROBE_RECORDS, POLL_S):
                error = message.error()
                if error is None:
                    if self._is_ours(kind, message) and (found := _found(kind, message)).identity.offset >= 0:
                        return found
                elif error.code() == KafkaError._PARTITION_EOF:
                    return None
                elif error.code() not in PASSING:
                    raise broker_error("looking for an output", error, self._settings)
        raise BrokerError(f"looking for an output at {self._settings.kafka_bootstrap_servers}: nothing came for {CALL_TIMEOUT_S:.0f} s")


def _holes(admin: AdminClient, topic: str) -> str:
    """Why records may be missing in a topic."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        policy = admin.describe_configs([resource], request_timeout=CALL_TIMEOUT_S)[resource].result()["cleanup.policy"].value
    except KafkaException:
        return ""  # who may not read the configuration may all the same read the topic
    return f"the topic {topic!r} is compacted, so records that were learned may be gone" if "compact" in str(policy) else ""


def _found(kind: OutputKind, message: Message) -> Found:
    headers: Any = message.headers() or ()
    read = tuple((name, text if isinstance(text, bytes) else (text or "").encode()) for name, text in headers)
    offset = message.offset()
    return Found.of(-1 if offset is None else offset, Put(kind, message.key(), message.value(), read))


class _Reading(NamedTuple):
    """What one poll brought."""

    messages: list[Message]
    position: int
    ended: bool
    """The end of what is committed was reached."""


def _read(settings: Settings, place: TopicPartition, end: int, *, may_end_before: bool = False) -> Generator[list[Message]]:
    """The committed messages of a partition from a place to before `end`.

    `may_end_before`: the last ones may belong to a transaction that does not end; they are waited for, and left out. Raises
    `StateError` where retention deletes meanwhile what is still to be read.
    """
    if place.offset >= end:
        return
    consumer = reader_client(settings, auto_offset_reset="error", queued_max_messages_kbytes=QUEUE_KBYTES)
    try:
        consumer.assign([place])
        position, until_s, ended = place.offset, time.monotonic() + SILENCE_MAX_S, False
        while position < end:
            messages, position, at_end = _polled(consumer, position, end)
            ended = (ended or at_end) and not messages
            if messages:
                until_s = time.monotonic() + SILENCE_MAX_S
                yield messages
            elif time.monotonic() > until_s and position < end:
                if ended and may_end_before:
                    return
                raise BrokerError(f"reading topic {place.topic!r}: no record and no end came for {SILENCE_MAX_S:.0f} s")
    except KafkaException as error:
        raise broker_error(f"reading topic {place.topic!r}", error, settings) from None
    finally:
        consumer.close()


def _polled(consumer: Consumer, position: int, end: int) -> _Reading:
    messages, ended = [], False
    for message in consumer.consume(BATCH, POLL_S):
        error, offset = message.error(), message.offset() or 0
        if error is None:
            position = offset + 1
            if offset < end:
                messages.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:
            position, ended = max(position, offset), True
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise StateError(f"retention has deleted the records from offset {position:,} on while they were read")
        elif error.code() not in PASSING and not error.retriable():
            raise KafkaException(error)
    return _Reading(messages, position, ended)

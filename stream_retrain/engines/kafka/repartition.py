"""Writes a topic again by another key, into another number of partitions, exactly once.

What is copied: value, headers and timestamp as they are; the key is the new one. The header `sr_origin` says where a record was:
`topic/partition/offset`. Its partition is that of the new key by Kafka's partitioner (murmur2), so that Java's producers send the
same key to the same place; librdkafka's own default is another, and `kafka.partitioner` says so here as there.

Order: records of one new key that came from one partition of the source stay in their order. Where a new key comes from several old
partitions, their records are merged as they are read, and nothing is promised about the order between two old partitions (Kafka did
not have one either).

Protocol of a run:

1. the topics are looked at, and made where they are missing (`repartition_topics`);
2. the transactional id is taken over: whoever runs the same rewriting is fenced, and what it had open is aborted;
3. only then the committed offsets are read, so they are final; a rewriting that begins commits where it begins, with its note;
4. read, write, and commit outputs and offsets in one transaction (`kafka.sink`), again and again.

The partitions are assigned by hand: nobody joins a group, so a run that was killed is followed by another at once, and what fences it
is the transactional id alone. One process copies; two would fence each other.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_retrain.engines.failpoints import reach
from stream_retrain.engines.kafka.clients import admin_client, broker_error, confluent_clients, producer_client, reader_client
from stream_retrain.engines.kafka.committed import PASSING, committed_by, held_by
from stream_retrain.engines.kafka.repartition_topics import Note, Rewriting, Topics, find_topics, records_in
from stream_retrain.engines.kafka.sink import Outgoing, OutputRefusedError, TransactionAbortedError, TransactionalSink
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import BrokerError, EventError, SettingsError
from stream_retrain.lane.formats.partitioner import Partitioner
from stream_retrain.lane.formats.rekey import NO_KEY, Rekey
from stream_retrain.settings import Settings

__all__ = ["ORIGIN", "PARTITIONER", "Copied", "repartition"]

ORIGIN: Final = "sr_origin"
PARTITIONER: Final = "murmur2_random"
POLL_S: Final = 0.1
BATCH: Final = 1_000
COMMIT_RECORDS: Final = 5_000
COMMIT_BYTES: Final = 16_000_000
COMMIT_EVERY_S: Final = 0.2
ABORTS_MAX: Final = 5
SILENCE_MAX_S: Final = 60.0
RECORDS: Final = "records"
DEAD_LETTERS: Final = "dead_letters"


@dataclasses.dataclass(slots=True, kw_only=True)
class Copied:
    """What a run did; only what is committed counts."""

    group: str
    partitions: int
    resumed: bool
    complete: bool = False
    """Everything that the source held when the run began is copied."""
    read: int = 0
    written: int = 0
    dead_lettered: int = 0
    transactions: int = 0
    aborted: int = 0
    missing: Counter[str] = dataclasses.field(default_factory=Counter)
    """Records without the new key, by why."""
    written_to: Counter[int] = dataclasses.field(default_factory=Counter)
    """Records written, by partition of the target."""
    seconds: float = 0.0


def repartition(rewriting: Rewriting, settings: Settings, stop: Stop, tell: Callable[[int, int], None] = lambda *_: None) -> Copied:
    """Copy until everything is, or until `stop()`; `tell` is told records read and how many there are.

    Raises `SettingsError`, `BrokerError`, `FencedError` where another process runs the same rewriting, and `EventError` where a record
    has no new key and that is to end it.
    """
    rekey = Rekey(rewriting.by)
    consumer = reader_client(settings, group_id=rewriting.own_group, auto_offset_reset="error")
    admin = admin_client(settings)
    try:
        topics = find_topics(rewriting, consumer, admin, settings)
        copy = _Copy(rewriting, topics, rekey, settings, consumer, stop)
        try:
            return copy.run(tell)
        finally:
            copy.close()
    except KafkaException as error:
        raise broker_error(f"rewriting topic {rewriting.source!r} to {rewriting.target!r}", error, settings) from None
    finally:
        consumer.close()


class _Copy:
    """One run, by the numbered steps of this module."""

    def __init__(self, rewriting: Rewriting, topics: Topics, rekey: Rekey, settings: Settings, consumer: Consumer, stop: Stop) -> None:
        partitioner = settings.kafka.get("partitioner", PARTITIONER)
        self._rewriting, self._topics, self._rekey = rewriting, topics, rekey
        self._settings, self._consumer, self._stop = settings, consumer, stop
        self._deal = Partitioner(topics.target_partitions, partitioner)
        self._note = Note(
            source_id=topics.source_id,
            target_id=topics.target_id,
            by=rewriting.by,
            partitions=topics.target_partitions,
            partitioner=partitioner,
        )
        producer = producer_client(settings, rewriting.own_group, lambda _: None)
        places = {RECORDS: rewriting.target, DEAD_LETTERS: rewriting.dead_letters}
        self._sink = TransactionalSink(producer, places, settings, confluent_clients(settings), stop)
        self._outputs: list[Outgoing] = []
        self._timestamps_ms: list[int] = []
        self._read = self._bytes = 0
        self._missing: Counter[str] = Counter()
        self._position: dict[int, int] = {}
        self._committed: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._refused: EventError | None = None
        self.copied = Copied(group=rewriting.own_group, partitions=topics.target_partitions, resumed=False)

    def close(self) -> None:
        """Let the producer go; an open transaction is aborted."""
        self._sink.close()

    def run(self, tell: Callable[[int, int], None]) -> Copied:
        """Take over, begin, copy to the end."""
        began_s = time.monotonic()
        self._sink.start()
        reach("start.fenced")
        self._begin()
        total = sum(self._ends[each] - self._position[each] for each in self._ends)
        self._consumer.assign([TopicPartition(self._rewriting.source, each, offset) for each, offset in self._position.items()])
        due_s = heard_s = time.monotonic()
        while not self._ended() and not self._stop():
            messages = self._consumer.consume(BATCH, POLL_S)
            now_s = time.monotonic()
            heard_s = now_s if messages or self._rewriting.follow else heard_s
            if now_s - heard_s > SILENCE_MAX_S:
                raise BrokerError(f"reading topic {self._rewriting.source!r}: no record and no end came for {SILENCE_MAX_S:.0f} s")
            self._take(messages)
            full = len(self._outputs) >= COMMIT_RECORDS or self._bytes >= COMMIT_BYTES
            if full or now_s >= due_s or self._refused is not None:
                self._commit()
                due_s = time.monotonic() + COMMIT_EVERY_S
                tell(self.copied.read, total)
            if self._refused is not None:
                raise self._refused
        self._commit()
        tell(self.copied.read, total)
        self.copied.complete, self.copied.seconds = self._reached_ends(), time.monotonic() - began_s
        return self.copied

    def _begin(self) -> None:
        """Where each partition begins and ends. Raises `SettingsError` where there is nothing to do, or another thing than before."""
        rewriting, consumer = self._rewriting, self._consumer
        found = committed_by(consumer, rewriting.source, self._topics.source_partitions, self._settings)
        self.copied.resumed = bool(found)
        for place in found.values():
            if (differs := self._note.differs(place.metadata)) is not None:
                raise SettingsError(
                    f"group {rewriting.own_group!r} has written part of {rewriting.target!r} already, and {differs}: name another target,"
                    " or, if what it wrote is of no use, another --group"
                )
        if not found and not self._topics.made and (held := records_in(self._settings, rewriting.target, self._topics.target_partitions)):
            raise SettingsError(
                f"topic {rewriting.target!r} holds {held:,} records, and group {rewriting.own_group!r} has committed nothing: they would"
                " stand before older ones, or be written twice. Name another target"
            )
        after = {} if found or rewriting.after is None else self._committed_by(rewriting.after)
        for partition in self._topics.source_partitions:
            low, high = held_by(consumer, rewriting.source, partition)
            begins = found[partition].offset if partition in found else after.get(partition, low)
            if begins < low:
                raise BrokerError(
                    f"{rewriting.source}/{partition}: the records from offset {begins:,} to {low:,} were not copied yet, and retention has"
                    " deleted them. To begin anew with what is retained, name another target"
                )
            self._position[partition], self._ends[partition] = begins, max(begins, high)
        if not (found or after or rewriting.follow) and self._ended():
            raise SettingsError(f"topic {rewriting.source!r} holds no record: there is nothing to copy (--follow waits for some)")
        if not found:
            self._commit()  # also where a run that is killed at once begins again

    def _committed_by(self, group: str) -> dict[int, int]:
        consumer = reader_client(self._settings, group_id=group)
        try:
            found = committed_by(consumer, self._rewriting.source, self._topics.source_partitions, self._settings)
        finally:
            consumer.close()
        if not found:
            raise SettingsError(f"--after {group}: this group has committed no offset of topic {self._rewriting.source!r}")
        return {partition: place.offset for partition, place in found.items()}

    def _ended(self) -> bool:
        return not self._rewriting.follow and self._reached_ends()

    def _reached_ends(self) -> bool:
        return all(self._position[each] >= end for each, end in self._ends.items())

    def _take(self, messages: Iterable[Message]) -> None:
        """Turn records into records; beyond the end of a run that does not follow nothing is taken."""
        for partition, run in itertools.groupby(messages, key=Message.partition):
            number = partition or 0
            end = None if self._rewriting.follow else self._ends[number]
            for message in run:
                error, offset = message.error(), message.offset() or 0
                if self._refused is not None:
                    return
                if error is not None:
                    self._judge(error, number, offset)
                elif end is not None and offset >= end:
                    self._position[number] = max(self._position[number], end)
                else:
                    self._rewrite(number, offset, message)
                    self._position[number] = max(self._position[number], offset + (self._refused is None))

    def _judge(self, error: KafkaError, partition: int, offset: int) -> None:
        """The end of a partition; whatever passes by itself; or an error to raise."""
        if error.code() == KafkaError._PARTITION_EOF:
            self._position[partition] = max(self._position[partition], offset)
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise BrokerError(f"{self._rewriting.source}/{partition}: retention has deleted records before they were copied: {error.str()}")
        elif error.code() not in PASSING and not error.retriable():
            raise KafkaException(error)

    def _rewrite(self, partition: int, offset: int, message: Message) -> None:
        """One record to one record, or to a dead letter."""
        key, value = message.key(), message.value()
        given: Any = message.headers()
        headers = [*(given or ()), (ORIGIN, f"{self._rewriting.source}/{partition}/{offset}".encode())]
        found = self._rekey(key, value)
        if isinstance(found, bytes):
            self._put((RECORDS, self._deal(found), found, value, headers), message)
            return
        match self._rewriting.missing:
            case "keep":
                place = partition % self._topics.target_partitions if key is None else self._deal(key)
                self._put((RECORDS, place, key, value, headers), message)
            case "dead-letters":
                headers += [("sr_reason", found.encode()), ("sr_field", self._rewriting.by.encode())]
                self._put((DEAD_LETTERS, partition % self._topics.dead_letter_partitions, key, value, headers), message)
            case "fail":
                where = f"{self._rewriting.source}/{partition} at offset {offset:,}"
                self._refused = EventError(found, f"{where} has no key {self._rewriting.by!r}: {NO_KEY[found]}. What came before is copied")
                return
        self._missing[found] += 1

    def _put(self, output: Outgoing, message: Message) -> None:
        self._outputs.append(output)
        self._timestamps_ms.append(max(0, message.timestamp()[1]))
        self._read += 1
        self._bytes += len(output[2] or b"") + len(output[3] or b"")

    def _commit(self) -> None:
        """One transaction; one that was aborted is sent again. Raises `BrokerError` where it does not end."""
        moved = {each: offset for each, offset in self._position.items() if self._committed.get(each) != offset}
        if not moved:
            return
        offsets = [TopicPartition(self._rewriting.source, each, offset, self._note.text) for each, offset in moved.items()]
        consumer: Any = self._consumer
        for attempt in itertools.count(1):
            try:
                self._sink.transact(self._outputs, offsets, consumer, timestamps_ms=self._timestamps_ms)
                break
            except OutputRefusedError as error:
                raise BrokerError(f"{error}. Raise max.message.bytes of the topic that refuses, and start again: it goes on") from None
            except TransactionAbortedError:
                self.copied.aborted += 1
                if attempt >= ABORTS_MAX:
                    raise
        self._committed |= moved
        self._count()

    def _count(self) -> None:
        copied = self.copied
        copied.transactions += 1
        copied.read += self._read
        copied.missing += self._missing
        for kind, partition, *_ in self._outputs:
            if kind == RECORDS:
                copied.written += 1
                copied.written_to[partition] += 1
            else:
                copied.dead_lettered += 1
        self._read = self._bytes = 0
        self._missing.clear()
        self._outputs.clear()
        self._timestamps_ms.clear()

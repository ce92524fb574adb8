"""A range of a topic as rows to learn: all partitions, by the time of their records, questions joined with their answers.

A private consumer: partitions are assigned by hand, nothing is committed, and the end is where it was when the reading began.

Each partition's records keep their order of offset, and the partitions are merged by the timestamps of their records, so that the
same range always gives the same rows in the same order, however Kafka delivers them. Partitions that are ahead are paused, so
that a bounded number of records is held.
"""

from __future__ import annotations

import collections
import heapq
import operator
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_retrain.core.contest.challenger import TopicRange
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import broker_error, partitions_of, reader_client
from stream_retrain.engines.trainer.jobs import Job
from stream_retrain.errors import BrokerError, EventError
from stream_retrain.facts.values import Event, Features, Learned
from stream_retrain.lane.batch import Record
from stream_retrain.lane.formats.json import EventDecoder
from stream_retrain.settings import Settings

__all__ = ["read_range"]

TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.05
BATCH: Final = 2_000
HELD_RECORDS_MAX: Final = 10_000
"""Of one partition, before it is paused."""


def read_range(settings: Settings, pipeline: Pipeline, job: Job, wanted: TopicRange) -> Iterator[Learned]:
    """The labelled events of a range, those of the job's own shard through `through_offset` at most: the window has the others.

    Records that are no events of the schema are left out. Raises `BrokerError` where the topic is not there, or Kafka does not
    answer.
    """
    consumer = reader_client(settings)
    decoder = EventDecoder.of(pipeline, record_bytes_max=settings.record_bytes_max)
    try:
        stretches = _stretches(consumer, wanted, job, settings)
        reader = _Reader(consumer, wanted.topic, stretches, settings)
        streams = [_labelled(reader.records(partition), pipeline, decoder) for partition in sorted(stretches)]
        for _, row in heapq.merge(*streams, key=operator.itemgetter(0)):
            yield row
    except KafkaException as error:
        raise broker_error(f"reading topic {wanted.topic!r}", error, settings) from None
    finally:
        consumer.close()


class _Stretch(NamedTuple):
    """Offsets of a partition: from the first to before the last."""

    first: int
    end: int


def _stretches(consumer: Consumer, wanted: TopicRange, job: Job, settings: Settings) -> dict[int, _Stretch]:
    """What to read of each partition that has something in the range."""
    partitions = partitions_of(consumer, wanted.topic, settings)
    first = _offsets_at(consumer, wanted.topic, partitions, wanted.from_time_s)
    end = _offsets_at(consumer, wanted.topic, partitions, wanted.to_time_s)
    stretches = {}
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(wanted.topic, partition), TIMEOUT_S)
        stop = high if wanted.to_time_s is None else min(high, end.get(partition, high))
        if (wanted.topic, partition) == (job.shard.topic, job.shard.partition):
            stop = min(stop, job.training.through_offset + 1)
        start = low if wanted.from_time_s is None else max(low, first.get(partition, stop))
        if start < stop:
            stretches[partition] = _Stretch(start, stop)
    return stretches


def _offsets_at(consumer: Consumer, topic: str, partitions: list[int], time_s: float | None) -> dict[int, int]:
    """By partition, the first offset whose record is not older than `time_s`; none for a partition without one."""
    if time_s is None:
        return {}
    asked = [TopicPartition(topic, partition, int(time_s * 1000)) for partition in partitions]
    return {at.partition: at.offset for at in consumer.offsets_for_times(asked, TIMEOUT_S) if at.offset >= 0}


class _Reader:
    """Feeds an iterator for each partition from one consumer."""

    def __init__(self, consumer: Consumer, topic: str, stretches: dict[int, _Stretch], settings: Settings) -> None:
        self._consumer = consumer
        self._topic = topic
        self._stretches = stretches
        self._settings = settings
        self._held: dict[int, collections.deque[Record]] = {partition: collections.deque() for partition in stretches}
        self._open = set(stretches)
        self._paused: set[int] = set()
        if stretches:
            consumer.assign([TopicPartition(topic, partition, stretch.first) for partition, stretch in stretches.items()])

    def records(self, partition: int) -> Iterator[Record]:
        """The records of a partition's stretch, in order of offset."""
        held = self._held[partition]
        while True:
            while held:
                yield held.popleft()
            if partition not in self._open:
                return
            if partition in self._paused:
                self._paused.discard(partition)
                self._consumer.resume([TopicPartition(self._topic, partition)])
            self._poll()

    def _poll(self) -> None:
        until_s = time.monotonic() + TIMEOUT_S
        while not (messages := self._consumer.consume(BATCH, POLL_S)):  # it waits for a full batch as long as it may
            if time.monotonic() > until_s:
                where = self._settings.kafka_bootstrap_servers
                raise BrokerError(f"reading topic {self._topic!r} at {where}: no record and no end came for {TIMEOUT_S:.0f} s")
        for message in messages:
            self._take(message)
        full = [partition for partition in self._open - self._paused if len(self._held[partition]) >= HELD_RECORDS_MAX]
        if full:
            self._consumer.pause([TopicPartition(self._topic, partition) for partition in full])
            self._paused.update(full)

    def _take(self, message: Any) -> None:
        error, partition = message.error(), message.partition()
        if partition not in self._open:
            return
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise broker_error(f"reading topic {self._topic!r}", error, self._settings)
            self._finish(partition)
            return
        offset, end = message.offset(), self._stretches[partition].end
        if offset < end:
            self._held[partition].append(Record(offset, message.key(), message.value(), message.timestamp()[1]))
        if offset >= end - 1:
            self._finish(partition)

    def _finish(self, partition: int) -> None:
        self._open.discard(partition)
        self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])


def _labelled(records: Iterable[Record], pipeline: Pipeline, decoder: EventDecoder) -> Iterator[tuple[int, Learned]]:
    """The labelled events of one partition with their records' timestamps; a question waits for its answer, as in a shard."""
    waiting: dict[str, Features] = {}
    for record in records:
        for event in _events(decoder, record):
            x = waiting.pop(event.id) if event.id in waiting and event.y is not None else event.x
            if x is None:
                continue
            if event.y is not None:
                yield record.timestamp_ms, Learned(event.offset, event.time_s, x, event.y, None)
                continue
            waiting.setdefault(event.id, x)
            if len(waiting) > pipeline.pending_rows_max:
                del waiting[next(iter(waiting))]


def _events(decoder: EventDecoder, record: Record) -> list[Event]:
    try:
        return [decoder.decode(record)]
    except EventError:
        return []

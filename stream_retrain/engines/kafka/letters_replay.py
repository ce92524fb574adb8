"""Dead letters back to where they came from, exactly once: what `stream-retrain dead-letters replay` does.

Protocol, each batch in one transaction:

1. take the transactional id over, so that a transaction that an earlier run left open is aborted, and another run that still goes on is
   fenced; then read which letters were sent back (`letters.read_replayed`);
2. begin;
3. send each letter of the batch to the source, or to the labels topic if it came from there: key, value and headers as they were, in its
   partition, with its timestamp, and marked;
4. note what was sent in the topic of notes;
5. commit.

A run that is killed anywhere has sent a letter and noted it, or neither; whoever reads committed records sees no other. A run ends with the
letters that were there when it began, so a letter that is refused again waits for the next one.

The value of a record that was too large is in no letter: it is read at its place in its topic, if that still holds it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import FENCED, ProducerClient, admin_client, broker_error, partitions_of, producer_client, reading
from stream_retrain.engines.kafka.letters import (
    FoundLetter,
    Note,
    Selection,
    letters_topic,
    notes_topic,
    read_letters,
    read_replayed,
)
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.topics import count_partitions, topic_id_of
from stream_retrain.errors import BrokerError, FencedError
from stream_retrain.lane.batch import Record
from stream_retrain.lane.dead_letter import REPLAYED, REPLAYS
from stream_retrain.settings import Settings

__all__ = ["NotReplayable", "ReplayReport", "Step", "replay_letters"]

BATCH: Final = 500
BATCH_BYTES_MAX: Final = 8_000_000
CALL_TIMEOUT_S: Final = 20.0
FIND_TIMEOUT_S: Final = 10.0
EXAMPLES_MAX: Final = 100
Step: TypeAlias = Literal["taken_over", "begun", "sent", "noted", "committed"]


@dataclasses.dataclass(frozen=True, slots=True)
class NotReplayable:
    """A letter that cannot be sent back, and why."""

    partition: int
    offset: int
    why: str


@dataclasses.dataclass(slots=True)
class ReplayReport:
    """What a run came to."""

    chosen: int = 0
    """Letters that the filters take."""
    before: int = 0
    """Of these, those that an earlier run had sent back."""
    replayed: int = 0
    by_reason: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    not_replayable: int = 0
    examples: list[NotReplayable] = dataclasses.field(default_factory=list)
    """The first of those."""

    def refuse(self, found: FoundLetter, why: str) -> None:
        """This one cannot be sent back."""
        self.not_replayable += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(NotReplayable(*found.at, why))


def replay_letters(
    settings: Settings,
    pipeline: Pipeline,
    selection: Selection,
    *,
    dry_run: bool = False,
    told: Callable[[ReplayReport], None] = lambda _: None,
    on_step: Callable[[Step], None] = lambda _: None,
) -> ReplayReport:
    """Send the letters that were chosen back to their topics, by the numbered steps of this module; `dry_run`: only say which.

    `told` is shown the report after each batch. Raises `BrokerError`: what was committed stays, and another run does the rest.
    """
    partitions = _partitions(settings, pipeline)
    transactions = None
    if not dry_run:
        transactions = _Transactions(settings, pipeline, on_step)
    report = ReplayReport()
    try:
        for batch in _batches(_chosen(settings, pipeline, selection, partitions, report)):
            if transactions is not None:
                batch = transactions.send(batch, report)
            report.replayed += len(batch)
            report.by_reason.update(found.letter.reason for found, _ in batch)
            told(report)
    finally:
        if transactions is not None:
            transactions.close()
    return report


_Batch: TypeAlias = list[tuple[FoundLetter, Record]]
"""Letters with the record that each stands for."""


def _partitions(settings: Settings, pipeline: Pipeline) -> dict[str, int]:
    """How many partitions each topic has from which the pipeline reads."""
    counts = {pipeline.source: count_partitions(admin_client(settings), pipeline, settings)}
    if (labels := pipeline.labels.topic) is not None:
        with reading(settings, labels) as consumer:
            counts[labels] = len(partitions_of(consumer, labels, settings))
    return counts


def _chosen(
    settings: Settings, pipeline: Pipeline, selection: Selection, partitions: Mapping[str, int], report: ReplayReport
) -> Iterator[tuple[FoundLetter, Record]]:
    """What can be sent back and was not yet; the others are counted in the report."""
    replayed = read_replayed(settings, pipeline.name)
    with reading(settings, pipeline.source) as source:
        for found in read_letters(settings, pipeline.name, selection):
            report.chosen += 1
            if found.at in replayed:
                report.before += 1
            elif (why := _why_not(found, partitions)) is not None:
                report.refuse(found, why)
            elif found.letter.reason == "too_large" or found.letter.stub:
                record = _at_its_place(source, found)
                if isinstance(record, str):
                    report.refuse(found, record)
                else:
                    yield found, record
            else:
                yield found, found.record


def _why_not(found: FoundLetter, partitions: Mapping[str, int]) -> str | None:
    letter = found.letter
    if letter.reason == "empty":
        return "the record had no value"
    if letter.topic not in partitions:
        return f"it came from topic {letter.topic!r}, and the pipeline reads {' and '.join(map(repr, partitions))}"
    if letter.partition >= partitions[letter.topic]:
        return f"it came from partition {letter.partition}, and {letter.topic!r} has {partitions[letter.topic]} now"
    return None


def _at_its_place(source: Consumer, found: FoundLetter) -> Record | str:
    """The record that a letter without a value stands for, read from its topic; or why it cannot be had."""
    letter = found.letter
    source.assign([TopicPartition(letter.topic, letter.partition, letter.offset)])
    until_s = time.monotonic() + FIND_TIMEOUT_S
    gone = f"its value is in no dead letter, and {letter.topic!r} does not hold offset {letter.offset} any more"
    while time.monotonic() < until_s:
        for message in source.consume(1, 0.1):
            error, offset = message.error(), message.offset()
            if error is not None and error.code() not in (KafkaError._PARTITION_EOF, KafkaError.OFFSET_OUT_OF_RANGE):
                raise KafkaException(error)
            if error is not None or offset != letter.offset:
                return gone
            value, (_, timestamp_ms) = message.value(), message.timestamp()
            if len(value or b"") != letter.value_bytes or letter.timestamp_ms not in (None, timestamp_ms):
                return f"its value is in no dead letter, and {letter.topic!r} holds another record at its place"
            return Record(letter.offset, message.key(), value, timestamp_ms)
    return gone


def _batches(chosen: Iterator[tuple[FoundLetter, Record]]) -> Iterator[_Batch]:
    batch: _Batch = []
    size = 0
    for each in chosen:
        batch.append(each)
        size += len(each[1].value or b"")
        if len(batch) >= BATCH or size >= BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Transactions:
    """The producer of one run."""

    def __init__(self, settings: Settings, pipeline: Pipeline, on_step: Callable[[Step], None]) -> None:
        """1 take the transactional id over."""
        self._settings = settings
        self._letters, self._notes = letters_topic(pipeline.name), notes_topic(pipeline.name)
        create_topic(settings, self._notes, 1, {"retention.ms": "-1"})
        self._topic_id = topic_id_of(admin_client(settings), self._letters)
        self._on_step = on_step
        self._producer: ProducerClient = producer_client(settings, f"{settings.group_of(pipeline.name)}-dead_letters", lambda _: None)
        self._call("starting transactions", lambda: self._producer.init_transactions(CALL_TIMEOUT_S))
        on_step("taken_over")

    def send(self, batch: _Batch, report: ReplayReport) -> _Batch:
        """2 begin; 3 send; 4 note; 5 commit. What is too large for its topic is left out: what was sent."""
        self._call("beginning a transaction", self._producer.begin_transaction)
        self._on_step("begun")
        sent = [each for each in batch if self._produce(*each, report)]
        self._on_step("sent")
        for note in _notes_of(self._topic_id, (found.at for found, _ in sent)):
            value = msgspec.json.encode(note)
            self._call("noting", functools.partial(self._producer.produce, self._notes, value, None, 0))
        self._on_step("noted")
        self._call("committing", lambda: self._producer.commit_transaction(CALL_TIMEOUT_S))
        self._on_step("committed")
        return sent

    def close(self) -> None:
        """An open transaction is aborted."""
        with contextlib.suppress(KafkaException, SystemError):  # a fenced one can abort nothing; the client says so in either way
            self._producer.close()

    def _produce(self, found: FoundLetter, record: Record, report: ReplayReport) -> bool:
        letter = found.letter
        mark = f"{self._letters}/{found.partition}/{found.record.offset}"
        headers: list[tuple[str, Any]] = [*letter.headers, (REPLAYED, mark.encode()), (REPLAYS, str(letter.replays + 1).encode())]
        at: dict[str, Any] = {"timestamp": letter.timestamp_ms} if letter.timestamp_ms is not None else {}
        while True:
            try:
                produce: Any = self._producer.produce
                produce(letter.topic, record.value, record.key, letter.partition, headers=headers, **at)
            except BufferError:
                self._producer.poll(1.0)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise broker_error(f"sending to {letter.topic!r}", error, self._settings) from None
                report.refuse(found, f"{letter.topic!r} takes no record of its size")
                return False
            else:
                return True

    def _call(self, doing: str, call: Callable[[], Any]) -> None:
        try:
            call()
        except KafkaException as error:
            translated = broker_error(f"{doing} to send dead letters back", error, self._settings)
            if error.args[0].code() in FENCED:
                raise FencedError(f"{translated}. Another run has begun meanwhile: what this one had committed stays") from None
            raise BrokerError(f"{translated}. What was committed stays; run it again for the rest") from None


def _notes_of(topic_id: str, sent: Iterable[tuple[int, int]]) -> Iterator[Note]:
    """A note a partition, with ranges as long as they can be."""
    for partition, places in itertools.groupby(sorted(sent), key=lambda at: at[0]):
        ranges: list[tuple[int, int]] = []
        for _, offset in places:
            if ranges and ranges[-1][1] == offset - 1:
                ranges[-1] = ranges[-1][0], offset
            else:
                ranges.append((offset, offset))
        yield Note(topic_id=topic_id, partition=partition, offsets=ranges)

"""Dead letters of a pipeline, as they stand in their topic: found by what their headers say, and which of them were sent back.

What was sent back is noted in a topic of its own, `<pipeline>.dead_letters_replayed`, in the transaction that sent it back
(`letters_replay`): so it does not matter which letters were chosen by which filters before. A note is a range of offsets of one
partition, and the id of the dead-letter topic, because in a topic that is made anew the same offsets are of other letters.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaException

from stream_retrain.engines.kafka.clients import admin_client, broker_error, reading
from stream_retrain.engines.kafka.range_reader import read_stretches
from stream_retrain.engines.kafka.range_text import Bound
from stream_retrain.engines.kafka.read import read_topic
from stream_retrain.engines.kafka.stretches import find_stretches, known_partitions
from stream_retrain.engines.kafka.topics import output_topic, topic_id_of
from stream_retrain.lane.batch import Record
from stream_retrain.lane.dead_letter import Letter, read_letter
from stream_retrain.lane.step import DEAD_LETTERS
from stream_retrain.settings import Settings

__all__ = ["NOTES", "FoundLetter", "Note", "Replayed", "Selection", "letters_topic", "notes_topic", "read_letters", "read_replayed"]

NOTES: Final = "dead_letters_replayed"
LIST_TIMEOUT_S: Final = 10.0
_Offset = Annotated[int, msgspec.Meta(ge=0)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters; each field that is given must hold."""

    reason: str | None = None
    field: str | None = None
    partitions: tuple[int, ...] = ()
    """None: all."""
    start: Bound = None
    end: Bound = None
    """From where to before where in the dead-letter topic, by offset or by when a letter was written."""

    def takes(self, letter: Letter) -> bool:
        """Whether the headers of a letter are as they must be."""
        return (self.reason is None or letter.reason == self.reason) and (self.field is None or letter.field == self.field)


class FoundLetter(NamedTuple):
    """A letter, and where it stands in the dead-letter topic."""

    partition: int
    record: Record
    letter: Letter

    @property
    def at(self) -> tuple[int, int]:
        """Its partition and offset there."""
        return self.partition, self.record.offset


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction has sent back: of one partition, ranges of offsets, first and last."""

    topic_id: str
    partition: _Offset
    offsets: list[tuple[_Offset, _Offset]]


class Replayed:
    """The letters that were sent back."""

    def __init__(self) -> None:
        self._offsets: dict[int, set[int]] = {}

    def __contains__(self, at: tuple[int, int]) -> bool:
        return at[1] in self._offsets.get(at[0], ())

    def add(self, note: Note) -> None:
        """Take what a note says."""
        held = self._offsets.setdefault(note.partition, set())
        for first, last in note.offsets:
            held.update(range(first, min(last, first + 1_000_000) + 1))


def letters_topic(pipeline: str) -> str:
    """`<pipeline>.dead_letters`."""
    return output_topic(pipeline, DEAD_LETTERS)


def notes_topic(pipeline: str) -> str:
    """`<pipeline>.dead_letters_replayed`."""
    return output_topic(pipeline, NOTES)


def read_letters(settings: Settings, pipeline: str, selection: Selection) -> Iterator[FoundLetter]:
    """The letters that are there when the reading begins, each partition in order of offset. What no worker wrote is left out.

    Raises `BrokerError` where the topic does not exist or Kafka does not answer, `SettingsError` for a partition that it has not.
    """
    topic = letters_topic(pipeline)
    with reading(settings, topic) as consumer:
        there = known_partitions(consumer, topic, selection.partitions, settings)
        stretches = find_stretches(consumer, topic, selection.partitions or there, selection.start, selection.end)
        for partition, record in read_stretches(consumer, topic, stretches, settings):
            letter = read_letter(record.headers or ())
            if letter is not None and selection.takes(letter):
                yield FoundLetter(partition, record, letter)


def read_replayed(settings: Settings, pipeline: str) -> Replayed:
    """What the notes say, of the dead-letter topic as it is now. Raises `BrokerError`."""
    replayed, admin = Replayed(), admin_client(settings)
    try:
        there = admin.list_topics(timeout=LIST_TIMEOUT_S).topics
    except KafkaException as error:
        raise broker_error("listing topics", error, settings) from None
    if notes_topic(pipeline) not in there:
        return replayed
    topic_id = topic_id_of(admin, letters_topic(pipeline))
    for records in read_topic(settings, notes_topic(pipeline)).values():
        for record in records:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):  # it is none of ours
                note = msgspec.json.decode(record.value or b"", type=Note)
                if note.topic_id == topic_id:
                    replayed.add(note)
    return replayed

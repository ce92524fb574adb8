"""What a rewriting is, and whether its topics are fit for it: everything that can be wrong is said before a record is read.

Beside each offset that the rewriting commits stands a note (`Note`): of which topics it is, and by which key. So a run that goes on where
another ended is refused where it would do something else: topics that were made anew under their names, another key, another number of
partitions.
"""

from __future__ import annotations

import dataclasses
import re
import time
from typing import Final, Literal, TypeAlias

import msgspec
from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource

from stream_retrain.engines.kafka.clients import partitions_of, reader_client
from stream_retrain.engines.kafka.committed import held_by
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.topics import topic_id_of
from stream_retrain.errors import BrokerError, SettingsError
from stream_retrain.settings import Settings

__all__ = ["Missing", "Note", "Rewriting", "Topics", "find_topics", "records_in"]

Missing: TypeAlias = Literal["dead-letters", "keep", "fail"]
TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
KEPT_CONFIG: Final = ("retention.ms", "retention.bytes", "max.message.bytes", "message.timestamp.after.max.ms")
HEADER_BYTES: Final = 1_024
"""By how much larger a record of the target may be: it has its origin in a header besides."""
CALL_TIMEOUT_S: Final = 10.0
APPEARS_WITHIN_S: Final = 20.0
PAUSE_S: Final = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """A topic that is to be written again by another key.

    partitions
        Of the target where it is made; None: as many as it has, or as the source has. More than it has are refused.
    missing
        What becomes of a record without the new key: to `TARGET.dead_letters`, kept under its old key, or the end of the run.
    after
        Begin where this consumer group has committed; None: with the first record that is retained.
    follow
        Go on beyond what the source held at the start, until told to stop.
    """

    source: str
    target: str
    by: str
    partitions: int | None = None
    missing: Missing = "dead-letters"
    after: str | None = None
    group: str | None = None
    follow: bool = False

    @property
    def own_group(self) -> str:
        """The consumer group whose offsets say how far it has come."""
        return self.group or f"stream_retrain.repartition.{self.source}.{self.target}"

    @property
    def dead_letters(self) -> str:
        """Where records without the new key go."""
        return f"{self.target}.dead_letters"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside each committed offset: what the rewriting is of."""

    source_id: str
    target_id: str
    by: str
    partitions: int
    partitioner: str

    @property
    def text(self) -> str:
        """As Kafka keeps it."""
        return msgspec.json.encode(self).decode()

    def differs(self, text: str | None) -> str | None:
        """In what a note that is kept differs from this one, in words; None: in nothing."""
        try:
            kept = msgspec.json.decode(text or "", type=Note)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return "its offsets are of no rewriting"
        words = {"source_id": "the source was made anew", "target_id": "the target was made anew"}
        for name in self.__struct_fields__:
            theirs, ours = getattr(kept, name), getattr(self, name)
            if theirs != ours and not (name in words and not (theirs and ours)):
                return words.get(name, f"{name} was {theirs}, and is {ours} now")
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Topics:
    """What was found, or made."""

    source_partitions: list[int]
    target_partitions: int
    source_id: str
    target_id: str
    made: bool
    dead_letter_partitions: int


def find_topics(rewriting: Rewriting, consumer: Consumer, admin: AdminClient, settings: Settings) -> Topics:
    """Look at the source, make what is missing of the target. Raises `SettingsError`, `BrokerError`, `KafkaException`."""
    for topic in (rewriting.source, rewriting.target):
        if not TOPIC.fullmatch(topic):
            raise SettingsError(f"{topic!r} is not a topic name: use letters, digits, '.', '_' and '-'")
    if rewriting.target == rewriting.source:
        raise SettingsError(f"the target {rewriting.target!r} is the source: records are written to another topic, never to their own")
    source = partitions_of(consumer, rewriting.source, settings)
    count, made = _partitions_or_none(consumer, rewriting.target), False
    if count is None:
        count, made = rewriting.partitions or len(source), True
        create_topic(settings, rewriting.target, count, _config_like(admin, rewriting.source))
    if rewriting.partitions not in (None, count):
        raise SettingsError(
            f"topic {rewriting.target!r} exists and has {count} partitions, not {rewriting.partitions}: name another target, or leave out"
            " --partitions to write to it as it is"
        )
    letters = 0
    if rewriting.missing == "dead-letters":
        create_topic(settings, rewriting.dead_letters, len(source), {"retention.ms": "-1"})
        letters = _appeared(consumer, rewriting.dead_letters, settings)
    _appeared(consumer, rewriting.target, settings)
    return Topics(source, count, topic_id_of(admin, rewriting.source), topic_id_of(admin, rewriting.target), made, letters)


def records_in(settings: Settings, topic: str, partitions: int) -> int:
    """About how many records a topic holds: offsets that are retained, whether they are committed or not."""
    consumer = reader_client(settings, isolation_level="read_uncommitted")
    try:
        spans = [held_by(consumer, topic, partition) for partition in range(partitions)]
    finally:
        consumer.close()
    return sum(high - low for low, high in spans)


def _partitions_or_none(consumer: Consumer, topic: str) -> int | None:
    found = consumer.list_topics(topic, CALL_TIMEOUT_S).topics[topic]
    return len(found.partitions) if found.error is None else None


def _appeared(consumer: Consumer, topic: str, settings: Settings) -> int:
    """The partitions of a topic that may have been made a moment ago, once the broker that is asked knows it."""
    until_s = time.monotonic() + APPEARS_WITHIN_S
    while True:
        try:
            return len(partitions_of(consumer, topic, settings))
        except BrokerError:
            if time.monotonic() > until_s:
                raise
            time.sleep(PAUSE_S)


def _config_like(admin: AdminClient, topic: str) -> dict[str, str]:
    """The retention and limits of a topic, for its like; records that keep their timestamps would be deleted by a shorter retention.

    Compaction is not copied: under another key it would delete other records.
    """
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        found = admin.describe_configs([resource], request_timeout=CALL_TIMEOUT_S)[resource].result()
    except KafkaException:
        return {"retention.ms": "-1"}  # who may not read the configuration may read the topic all the same
    config = {name: str(found[name].value) for name in KEPT_CONFIG if name in found}
    if "max.message.bytes" in config:
        config["max.message.bytes"] = str(int(config["max.message.bytes"]) + HEADER_BYTES)
    return {"cleanup.policy": "delete", "message.timestamp.type": "CreateTime", **config}

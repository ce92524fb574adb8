"""The topics of a pipeline: the source must be there, the outputs are made to fit it.

A topic that is deleted and made anew under its name has another id (KIP-516, Kafka 2.8). Offsets, and what was learned at them, mean
nothing in it. So the id is kept beside each committed offset, in the same transaction (`CommitNote`), and in each checkpoint; it is
compared when a partition is taken over, and asked for now and then while it is read.
"""

from __future__ import annotations

from collections.abc import Container
from concurrent.futures import Future
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.clients import broker_error
from stream_retrain.errors import BrokerError, StateError
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from stream_retrain.settings import Settings

__all__ = [
    "REQUESTS",
    "TRAININGS",
    "CommitNote",
    "KafkaSource",
    "SourceTopic",
    "UnknownSource",
    "another_topic",
    "count_partitions",
    "create_topics",
    "offset_gone",
    "output_topic",
    "prepare_topics",
    "retention_of",
    "topic_id_of",
]

TIMEOUT_S: Final = 5.0
LOOK_EVERY_S: Final = 15.0
REQUESTS: Final = "requests"
REQUESTS_RETENTION_MS: Final = 7 * 86_400_000
"""As long as a request may be old (`requests_age_max_s`)."""
TRAININGS: Final = "trainings"
TRAININGS_RETENTION_MS: Final = 2 * 86_400_000
"""Longer than a ticket can wait and its training can last."""
NO_ID: Final = ("", "AAAAAAAAAAAAAAAAAAAAAA")
"""What a broker gives that knows no ids."""


class CommitNote(NamedTuple):
    """What is kept beside a committed offset: the topic's id, and how many partitions it had when the group began.

    A partition of a higher number was added since, so the group begins it at its first record, whatever `start` says.
    """

    topic_id: str
    partitions: int

    @property
    def text(self) -> str:
        """As Kafka keeps it."""
        return f"{self.topic_id} {self.partitions}"

    @classmethod
    def read(cls, text: str | None) -> CommitNote | None:
        """None where it is of no worker, or of a release that kept none."""
        topic_id, space, partitions = (text or "").partition(" ")
        return cls(topic_id, int(partitions)) if space and partitions.isdecimal() and len(partitions) < 10 else None


class SourceTopic(Protocol):
    """The source as it is now."""

    @property
    def id(self) -> str: ...
    @property
    def partitions(self) -> int: ...
    def prepare(self) -> None: ...
    def made_anew(self, now_s: float) -> bool: ...
    def is_another(self) -> bool: ...


class UnknownSource:
    """A source of which nothing but its records is known."""

    id = ""
    partitions = 0

    def prepare(self) -> None:
        """Nothing is to be done."""

    def made_anew(self, now_s: float) -> bool:  # noqa: ARG002 - the port's
        """Nobody knows."""
        return False

    def is_another(self) -> bool:
        """Nobody knows."""
        return False


class KafkaSource:
    """The source at a real Kafka. Protocol of use: `prepare` first; `made_anew` now and then."""

    def __init__(self, admin: AdminClient, pipeline: Pipeline, settings: Settings) -> None:
        self._admin = admin
        self._pipeline = pipeline
        self._settings = settings
        self._asked: Future[Any] | None = None
        self._next_s = 0.0
        self.id = ""
        self.partitions = 0

    def prepare(self) -> None:
        """Create the output topics that are missing, give them the source's partitions, and learn the source's id.

        Raises `BrokerError`.
        """
        self.partitions = prepare_topics(self._admin, self._pipeline, self._settings)
        try:
            self.id = _id_of(self._ask().result(TIMEOUT_S))
        except (KafkaException, TimeoutError):
            self.id = ""  # it cannot be had: then nothing is compared

    def made_anew(self, now_s: float) -> bool:
        """Whether the topic has another id than when it was prepared; asks four times a minute, and never waits for the answer."""
        asked = self._asked
        if asked is None:
            if now_s >= self._next_s and self.id:
                self._next_s = now_s + LOOK_EVERY_S
                self._asked = self._ask()
            return False
        if not asked.done():
            return False
        self._asked = None
        found = "" if asked.exception() is not None else _id_of(asked.result())
        return found not in ("", self.id)

    def is_another(self) -> bool:
        """The same, asked now: for when reading has failed, and a few seconds do not matter."""
        return bool(self.id) and topic_id_of(self._admin, self._pipeline.source) not in ("", self.id)

    def _ask(self) -> Future[Any]:
        topic = self._pipeline.source
        asked: Future[Any] = self._admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)[topic]
        return asked


def another_topic(source: str) -> StateError:
    """What is said of a topic that was deleted and made anew while it was read."""
    return StateError(
        f"{source}: the topic was deleted and made anew while it was read: what was learned and answered says nothing in the"
        " new one. To begin with its first record, start with --rebuild"
    )


def offset_gone(topic: SourceTopic, source: str, said: str) -> StateError:
    """Why there is nothing at the offset to read from: the topic is another one, or retention was quicker."""
    if topic.is_another():
        return another_topic(source)
    return StateError(f"{source}: the offset to read from is no longer retained: {said}")


def topic_id_of(admin: AdminClient, topic: str) -> str:
    """Kafka's id of a topic; empty where it cannot be had."""
    try:
        return _id_of(admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S))
    except (KafkaException, TimeoutError):
        return ""


def _id_of(described: Any) -> str:
    topic_id = str(described.topic_id or "")
    return "" if topic_id in NO_ID else topic_id


def output_topic(pipeline: str, kind: str) -> str:
    """`<pipeline>.predictions`, `<pipeline>.decisions`, `<pipeline>.dead_letters`; `<pipeline>.trainings`, `<pipeline>.requests`."""
    return f"{pipeline}.{kind}"


def prepare_topics(admin: AdminClient, pipeline: Pipeline, settings: Settings) -> int:
    """Create the output topics that are missing, and give those that have fewer partitions the source's; the number of those.

    An output stands in the partition of its input. Raises `BrokerError` where the source does not exist or Kafka does not answer.
    """
    topics, partitions = _topics(admin, pipeline, settings)
    wanted = {kind: (1 if kind == REQUESTS else partitions, kept_ms) for kind, kept_ms in retention_of(settings).items()}
    if settings.trainer == "pool":
        wanted[TRAININGS] = (settings.trainings_partitions, TRAININGS_RETENTION_MS)
    missing, short = [], []
    for kind, (count, kept_ms) in wanted.items():
        name = output_topic(pipeline.name, kind)
        if name not in topics:
            missing.append(NewTopic(name, count, settings.topic_replication, config={"retention.ms": str(kept_ms)}))
        elif len(topics[name].partitions) < count:
            short.append(NewPartitions(name, count))
    create_topics(admin, missing, settings)
    _grow(admin, short, settings)
    return partitions


def retention_of(settings: Settings) -> dict[str, int]:
    """By kind, how many milliseconds outputs are kept, and requests where they are read."""
    kept_ms = {
        PREDICTIONS: settings.predictions_retention_ms,
        DECISIONS: settings.decisions_retention_ms,
        DEAD_LETTERS: settings.dead_letters_retention_ms,
    }
    return kept_ms | {REQUESTS: REQUESTS_RETENTION_MS} if settings.requests_by_topic else kept_ms


def create_topics(
    admin: AdminClient, new: list[NewTopic], settings: Settings, *, timeout_s: float = TIMEOUT_S, passes: Container[int] = ()
) -> None:
    """Make topics; one that is there stays as it is. Raises `BrokerError`, but for refusals of a code that `passes`."""
    if not new:
        return
    for name, future in admin.create_topics(new, operation_timeout=timeout_s, request_timeout=timeout_s * 2).items():
        try:
            future.result()
        except KafkaException as error:
            code = error.args[0].code()
            if code != KafkaError.TOPIC_ALREADY_EXISTS and code not in passes:
                raise broker_error(f"creating topic {name!r}", error, settings) from None


def count_partitions(admin: AdminClient, pipeline: Pipeline, settings: Settings) -> int:
    """How many partitions the source has. Raises `BrokerError` where it does not exist or Kafka cannot be reached."""
    return _topics(admin, pipeline, settings)[1]


def _topics(admin: AdminClient, pipeline: Pipeline, settings: Settings) -> tuple[dict[str, Any], int]:
    try:
        topics = admin.list_topics(timeout=TIMEOUT_S).topics
    except KafkaException as error:
        raise broker_error("listing topics", error, settings) from None
    source = topics.get(pipeline.source)
    if source is None or source.error is not None:
        raise BrokerError(
            f"topic {pipeline.source!r}, the source of pipeline {pipeline.name!r}, does not exist at"
            f" {settings.kafka_bootstrap_servers}: create it, or publish to it"
        )
    return topics, len(source.partitions)


def _grow(admin: AdminClient, short: list[NewPartitions], settings: Settings) -> None:
    """Another worker may do the same at the same time: then there is nothing left to do."""
    if not short:
        return
    for name, future in admin.create_partitions(short, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S * 2).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_PARTITIONS:
                raise broker_error(f"giving topic {name!r} more partitions", error, settings) from None

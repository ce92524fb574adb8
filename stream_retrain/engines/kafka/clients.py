"""The Kafka clients of a worker, with the settings that exactly-once and speed rest on, each with its reason.

Nothing here may be set otherwise by the user where it says "ours"; `settings` refuses those keys. A key or a value that librdkafka does
not take is a `SettingsError`, from whichever client is made first; `check_config` makes each once, before anything begins.

What the worker needs of a client is a port, `ConsumerClient` and `ProducerClient`: a part of confluent-kafka's own shape, types and
errors. confluent-kafka is one implementation; the tests have another, a model of a broker that can be crashed at every step.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, Protocol, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_retrain.errors import BrokerError, SettingsError
from stream_retrain.settings import Settings

__all__ = [
    "FENCED",
    "Clients",
    "ConsumerClient",
    "ProducerClient",
    "admin_client",
    "base_config",
    "broker_error",
    "built",
    "check_config",
    "confluent_clients",
    "consumer_client",
    "partitions_of",
    "producer_client",
    "protocol_config",
    "reader_client",
    "reading",
]

READ_TIMEOUT_S = 10.0
FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
"""What a transactional producer is told once another has its place."""
LOG = logging.getLogger("stream_retrain.kafka")
LOG.addHandler(logging.NullHandler())  # the client's chatter is for those who ask for it
OnError = Callable[[KafkaError], None]
_Client = TypeVar("_Client")


class ConsumerClient(Protocol):
    """A member of a consumer group, as confluent-kafka has it; callbacks come from within `consume` and `close` only."""

    def subscribe(
        self,
        topics: list[str],
        *,
        on_assign: Callable[[Any, list[TopicPartition]], None],
        on_revoke: Callable[[Any, list[TopicPartition]], None],
        on_lost: Callable[[Any, list[TopicPartition]], None],
    ) -> None: ...
    def consume(self, num_messages: int, timeout: float) -> list[Message]: ...
    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]: ...
    def get_watermark_offsets(self, partition: TopicPartition, timeout: float = ..., cached: bool = ...) -> Any: ...
    def incremental_assign(self, partitions: list[TopicPartition]) -> None: ...
    def incremental_unassign(self, partitions: list[TopicPartition]) -> None: ...
    def pause(self, partitions: list[TopicPartition]) -> None: ...
    def seek(self, partition: TopicPartition) -> None: ...
    def resume(self, partitions: list[TopicPartition]) -> None: ...
    def consumer_group_metadata(self) -> Any: ...
    def memberid(self) -> str | None: ...
    def assignment(self) -> list[TopicPartition]: ...
    def unsubscribe(self) -> None: ...
    def close(self) -> None: ...


class ProducerClient(Protocol):
    """A transactional producer, as confluent-kafka has it."""

    def init_transactions(self, timeout: float) -> None: ...
    def begin_transaction(self) -> None: ...
    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, headers: Any = ..., timestamp: int = ...
    ) -> None: ...
    def send_offsets_to_transaction(self, positions: list[TopicPartition], group_metadata: Any, timeout: float) -> None: ...
    def commit_transaction(self, timeout: float) -> None: ...
    def abort_transaction(self, timeout: float) -> None: ...
    def poll(self, timeout: float) -> int: ...
    def close(self) -> Any: ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """How a worker comes by its clients, and by the time that passes while it waits for them."""

    consumer: Callable[[str, str, OnError], ConsumerClient]
    """By group, instance and what to call with the client's errors."""
    producer: Callable[[str, OnError], ProducerClient]
    """By transactional id and what to call with the client's errors."""
    fences: Literal["generation", "epoch"] = "generation"
    """What keeps a former owner out (`kafka.sinks`): the consumer's group metadata has a generation, or only the producer's epoch does."""
    clock_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def confluent_clients(settings: Settings) -> Clients:
    """The real ones."""
    return Clients(
        consumer=lambda group, instance, on_error: consumer_client(settings, group, instance, on_error),
        producer=lambda transactional_id, on_error: producer_client(settings, transactional_id, on_error),
    )


def base_config(settings: Settings) -> dict[str, Any]:
    """What every client of this worker is made with."""
    return {
        "client.id": "stream_retrain",
        **settings.kafka,
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "logger": LOG,
        "log.connection.close": False,
    }


def admin_client(settings: Settings) -> AdminClient:
    """For topics; keep it referenced until its futures are done."""
    return built(AdminClient, base_config(settings))


def built(kind: Callable[[dict[str, Any]], _Client], config: dict[str, Any]) -> _Client:
    """A client of a kind. Raises `SettingsError` for a configuration that librdkafka refuses; it names the key."""
    try:
        return kind(config)
    except KafkaException as error:
        cause = error.args[0]
        said = cause.str() if isinstance(cause, KafkaError) else str(cause)
        raise SettingsError(f"kafka: the client refuses its configuration: {said}") from None
    except (TypeError, ValueError) as error:  # the binding's own checks, before librdkafka sees the value
        raise SettingsError(f"kafka: the client refuses its configuration: {error}") from None


def check_config(settings: Settings) -> None:
    """Make a consumer and a producer as the worker will, and let them go: nothing is sent. Raises `SettingsError`."""
    consumer_client(settings, "stream_retrain.check", "check", lambda _: None).close()
    producer_client(settings, "stream_retrain.check", lambda _: None).close()


def consumer_client(settings: Settings, group: str, instance: str, on_error: OnError) -> Any:
    """A consumer that never commits by itself."""
    # A static member that is back within the session timeout finds its partitions; nobody else's move meanwhile.
    membership = {"group.instance.id": instance} if settings.static_membership else {}
    return built(
        Consumer,
        {
            # A partition's queue holds 100,000 records by default, and once it is full the fetcher sleeps a second.
            "fetch.queue.backoff.ms": 20,
            "queued.min.messages": 10_000,
            "queued.max.messages.kbytes": 16_384,
            # The client hands over what it fetched of one partition before the next. With its 1 MB that is 10,000 small records, and a
            # worker that is behind and lives for seconds only would give each of its lives to the same partition.
            "max.partition.fetch.bytes": 131_072,
            "topic.metadata.refresh.interval.ms": 60_000,  # a new partition is found within a minute, not five
            **base_config(settings),
            "group.id": group,
            **protocol_config(settings),
            **membership,
            "enable.auto.commit": False,  # ours: offsets travel in the producer's transaction
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,  # ours: it tells that control and aborted records were passed over
            "auto.offset.reset": "error",  # ours: a lost offset must never become a silent jump
            "isolation.level": "read_committed",  # ours
            "error_cb": on_error,
        },
    )


def protocol_config(settings: Settings) -> dict[str, Any]:
    """How a member belongs to its group; of the consumer protocol, session, heartbeats and assignment are the broker's to say."""
    if settings.group_protocol == "consumer":
        return {"group.protocol": "consumer"}
    return {
        "group.protocol": "classic",
        "partition.assignment.strategy": "cooperative-sticky",  # ours: the others' shards stay where they are
        "session.timeout.ms": settings.session_timeout_ms,
        # A member learns of a rebalance with its heartbeat, and a partition moves in two of them: with the client's 3 s it would
        # stand still for up to 6 s.
        "heartbeat.interval.ms": max(300, min(500, settings.session_timeout_ms // 4)),
    }


def producer_client(settings: Settings, transactional_id: str, on_error: OnError) -> Any:
    """A transactional producer; `init_transactions` fences whoever had this id before."""
    return built(
        Producer,
        {
            "linger.ms": 5,
            "compression.type": "lz4",
            # The client waits this long after CONCURRENT_TRANSACTIONS; 100 ms by default, which every small commit would pay.
            "retry.backoff.ms": 2,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,  # a commit that holds says that all were delivered
            "message.max.bytes": max(1_000_000, settings.record_bytes_max + 100_000),
            **base_config(settings),
            "transactional.id": transactional_id,  # ours
            # Below the session timeout, so that no transaction of a dead worker outlives its partitions; at most 15 s,
            # because that is how long a killed worker can hold up readers of committed records.
            "transaction.timeout.ms": max(1_000, min(15_000, settings.session_timeout_ms * 2 // 3)),
            "error_cb": on_error,
        },
    )


def reader_client(settings: Settings, **other: Any) -> Consumer:
    """A private consumer of committed records: partitions are assigned by hand, nothing is committed, and each end is told.

    `other`: settings of the client that are to be others, with `_` for `.`.
    """
    return built(
        Consumer,
        {
            "fetch.queue.backoff.ms": 20,
            **base_config(settings),
            "group.id": "stream_retrain.reader",  # never joined
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            **{name.replace("_", "."): value for name, value in other.items()},
        },
    )


@contextlib.contextmanager
def reading(settings: Settings, topic: str) -> Iterator[Consumer]:
    """A `reader_client` for a topic; what Kafka refuses is a `BrokerError` that names it."""
    consumer = reader_client(settings)
    try:
        yield consumer
    except KafkaException as error:
        raise broker_error(f"reading topic {topic!r}", error, settings) from None
    finally:
        consumer.close()


def partitions_of(consumer: Consumer, topic: str, settings: Settings) -> list[int]:
    """The partitions of a topic.

    Raises `BrokerError` where it does not exist, with the names that are most like it, and `KafkaException` where Kafka does not answer.
    """
    found = consumer.list_topics(topic, READ_TIMEOUT_S).topics[topic]
    if found.error is not None:
        failed = broker_error(f"reading topic {topic!r}", found.error, settings)
        raise BrokerError(f"{failed}{_like(consumer, topic)}")
    return sorted(found.partitions)


def _like(consumer: Consumer, topic: str) -> str:
    """The topics whose names are most like this one, as the end of a sentence."""
    names = [name for name in consumer.list_topics(timeout=READ_TIMEOUT_S).topics if not name.startswith("__") and name != topic]
    near = difflib.get_close_matches(topic, names, n=5, cutoff=0.5)
    return f"; topics with names like it: {', '.join(near)}" if near else f"; there are {len(names)} other topics"


def broker_error(doing: str, error: KafkaException | KafkaError, settings: Settings) -> BrokerError:
    """A `BrokerError` that says what was tried, where, and what Kafka answered."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    text = cause.str() if isinstance(cause, KafkaError) else str(cause)
    name = cause.name() if isinstance(cause, KafkaError) else "error"
    return BrokerError(f"{doing} failed at {settings.kafka_bootstrap_servers}: {text} ({name})")

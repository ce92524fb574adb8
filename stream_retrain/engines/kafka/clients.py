"""The Kafka clients of a worker, with the settings that exactly-once and speed rest on, each with its reason.

Nothing here may be set otherwise by the user where it says "ours"; `settings` refuses those keys.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from stream_retrain.errors import BrokerError
from stream_retrain.settings import Settings

__all__ = ["admin_client", "base_config", "broker_error", "consumer_client", "producer_client"]

LOG = logging.getLogger("stream_retrain.kafka")
LOG.addHandler(logging.NullHandler())  # the client's chatter is for those who ask for it
OnError = Callable[[KafkaError], None]


def base_config(settings: Settings) -> dict[str, Any]:
    """What every client of this worker is made with."""
    return {
        **settings.kafka,
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "client.id": "stream_retrain",
        "logger": LOG,
        "log.connection.close": False,
    }


def admin_client(settings: Settings) -> AdminClient:
    """For topics; keep it referenced until its futures are done."""
    return AdminClient(base_config(settings))


def consumer_client(settings: Settings, group: str, on_error: OnError) -> Consumer:
    """A consumer that never commits by itself."""
    return Consumer(
        {
            # A partition's queue holds 100,000 records by default, and once it is full the fetcher sleeps a second.
            "fetch.queue.backoff.ms": 20,
            "queued.min.messages": 10_000,
            "queued.max.messages.kbytes": 16_384,
            **base_config(settings),
            "group.id": group,
            "session.timeout.ms": settings.session_timeout_ms,
            "enable.auto.commit": False,  # ours: offsets travel in the producer's transaction
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # ours: a lost offset must never become a silent jump
            "isolation.level": "read_committed",  # ours
            "partition.assignment.strategy": "cooperative-sticky",  # ours: the others' shards stay where they are
            "error_cb": on_error,
        }
    )


def producer_client(settings: Settings, transactional_id: str, on_error: OnError) -> Producer:
    """A transactional producer; `init_transactions` fences whoever had this id before."""
    return Producer(
        {
            "linger.ms": 5,
            "compression.type": "lz4",
            # The client waits this long after CONCURRENT_TRANSACTIONS; 100 ms by default, which every small commit would pay.
            "retry.backoff.ms": 10,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,  # a commit that holds says that all were delivered
            "message.max.bytes": max(1_000_000, settings.record_bytes_max + 100_000),
            **base_config(settings),
            "transactional.id": transactional_id,  # ours
            # Below the session timeout, so that no transaction of a dead worker outlives its partitions; at most 15 s,
            # because that is how long a killed worker can hold up readers of committed records.
            "transaction.timeout.ms": max(1_000, min(15_000, settings.session_timeout_ms * 2 // 3)),
            "error_cb": on_error,
        }
    )


def broker_error(doing: str, error: KafkaException | KafkaError, settings: Settings) -> BrokerError:
    """A `BrokerError` that says what was tried, where, and what Kafka answered."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    text = cause.str() if isinstance(cause, KafkaError) else str(cause)
    name = cause.name() if isinstance(cause, KafkaError) else "error"
    return BrokerError(f"{doing} failed at {settings.kafka_bootstrap_servers}: {text} ({name})")

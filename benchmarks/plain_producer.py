"""A producer without transactions in the worker's place of one: what transactions cost shows beside it."""

from __future__ import annotations

from typing import Any, Final

from confluent_kafka import Producer

from stream_retrain.engines.kafka.clients import Clients, base_config, confluent_clients
from stream_retrain.settings import Settings

__all__ = ["PlainProducer", "plain_clients"]

LEFT_OUT: Final = ("init_transactions", "begin_transaction", "send_offsets_to_transaction", "abort_transaction")


class PlainProducer:
    """It sends what it is given, and waits until it has arrived where a transaction would be committed. No offset is committed."""

    def __init__(self, settings: Settings) -> None:
        self._producer = Producer({"linger.ms": 5, "compression.type": "lz4", **base_config(settings)})

    def commit_transaction(self, timeout: float) -> None:
        self._producer.flush(timeout)

    def __getattr__(self, name: str) -> Any:
        return (lambda *_: None) if name in LEFT_OUT else getattr(self._producer, name)


def plain_clients(settings: Settings) -> Clients:
    """The worker's clients, but for the producer."""
    made: Any = lambda *_: PlainProducer(settings)  # noqa: E731
    return Clients(consumer=confluent_clients(settings).consumer, producer=made)

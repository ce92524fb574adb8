"""The model broker is worth what it has in common with Kafka: one scenario, through the worker's own port, on both, with one outcome."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from confluent_kafka import KafkaException, TopicPartition

from stream_retrain.engines.kafka.clients import Clients, ConsumerClient, ProducerClient, confluent_clients
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.sink import FENCED
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import read_topic
from tests.exactly_once.model_broker import Broker
from tests.exactly_once.model_clients import Process, model_clients

WAIT_S = 20.0
SESSION_TIMEOUT_S = 2.0


class Side(NamedTuple):
    """Where the scenario runs: clients, the topics, and how to see what is committed."""

    clients: Clients
    source: str
    outputs: str
    values: Callable[[], list[bytes | None]]
    publish: Callable[[list[bytes]], None]


class Group:
    """A member that keeps what its callbacks say and begins each partition at the committed offset."""

    def __init__(self, side: Side, name: str) -> None:
        self.told: list[str] = []
        self.owned: set[int] = set()
        self.values: list[bytes | None] = []
        self._source = side.source
        self._closes = False
        self.client: ConsumerClient = side.clients.consumer(f"group-{side.source}", name, lambda _: None)
        self.client.subscribe([side.source], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)

    def poll_until(self, holds: Callable[[], bool], *others: Group) -> None:
        until_s = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < until_s, self.told
            for member in (self, *others):
                member.values += [message.value() for message in member.client.consume(10, 0.1) if message.error() is None]

    def committed(self) -> int:
        return self.client.committed([TopicPartition(self._source, 0)], 5.0)[0].offset

    def close(self) -> None:
        """Leave. What is assigned meanwhile begins nowhere: a client that closes may get no answer, and an error here ends the process."""
        self._closes = True
        self.client.close()

    def _assign(self, consumer: Any, places: list[TopicPartition]) -> None:
        if self._closes:
            return
        for place, found in zip(places, consumer.committed(places, 5.0), strict=True):
            place.offset = max(0, found.offset)
        self._tell("assign", places)
        self.owned |= {place.partition for place in places}
        consumer.incremental_assign(places)

    def _tell(self, what: str, places: list[TopicPartition]) -> None:
        if places:  # Kafka's client calls back with nothing, too, as often as it likes
            self.told.append(f"{what} {len(places)}")

    def _revoke(self, consumer: Any, places: list[TopicPartition]) -> None:
        self._tell("revoke", places)
        self.owned -= {place.partition for place in places}
        consumer.incremental_unassign(places)


def scenario(side: Side) -> list[Any]:
    """Everything the worker relies on, in the order in which it happens to a worker; what came of each step."""
    outcome: list[Any] = []
    group = Group(side, "a")
    first = side.clients.producer("id", lambda _: None)
    first.init_transactions(10.0)
    side.publish([b"0", b"1", b"2", b"3"])
    group.poll_until(lambda: len(group.values) == 4)
    outcome += [group.told[:], group.values[:], group.committed()]

    transaction(first, side, group, [b"x"], 1, first.commit_transaction)
    outcome += ["committed", side.values(), group.committed()]
    transaction(first, side, group, [b"never"], 2, first.abort_transaction)
    outcome += ["aborted", side.values(), group.committed()]

    first.begin_transaction()
    first.produce(side.outputs, b"left open", None, 0)
    second = side.clients.producer("id", lambda _: None)
    second.init_transactions(10.0)
    outcome += ["fenced", failed(lambda: first.commit_transaction(10.0)), side.values()]

    stale = group.client.consumer_group_metadata()
    other = Group(side, "b")
    group.poll_until(lambda: len(group.owned) == 1 and len(other.owned) == 1, other)
    for _ in range(8):  # until both are in the generation in which each has one
        group.client.consume(10, 0.1)
        other.client.consume(10, 0.1)
    outcome += ["rebalanced", group.told[:], other.told[:]]
    second.begin_transaction()
    second.produce(side.outputs, b"of an old generation", None, 0)
    outcome.append(failed(lambda: second.send_offsets_to_transaction([TopicPartition(side.source, 0, 4)], stale, 10.0)))
    second.abort_transaction(10.0)
    transaction(second, side, group, [b"y"], 4, second.commit_transaction)
    outcome += [side.values(), group.committed()]
    for each in (group, other, second):
        each.close()
    return outcome


def transaction(producer: ProducerClient, side: Side, group: Group, values: list[bytes], offset: int, end: Callable[[float], None]) -> None:
    producer.begin_transaction()
    for value in values:
        producer.produce(side.outputs, value, None, 0)
    producer.send_offsets_to_transaction([TopicPartition(side.source, 0, offset)], group.client.consumer_group_metadata(), 10.0)
    end(10.0)


def failed(call: Callable[[], None]) -> str:
    """How a call failed, as the worker tells errors apart."""
    try:
        call()
    except KafkaException as error:
        cause = error.args[0]
        return "fenced" if cause.code() in FENCED else "to be aborted" if cause.txn_requires_abort() else str(cause)
    return "not at all"


def on_the_model() -> Side:
    broker = Broker("source", 2, random.Random(1))

    def publish(values: list[bytes]) -> None:
        for value in values:
            broker.append("source", 0, None, value)

    def values() -> list[bytes | None]:
        return [entry.value for _, entry in broker.readable("outputs", 0, 0, 100)]

    return Side(model_clients(broker, Process(), static=False), "source", "outputs", values, publish)


def on_kafka(services: Services) -> Side:
    source, outputs = services.name("source"), services.name("outputs")
    overrides = {"kafka_bootstrap_servers": services.bootstrap_servers, "static_membership": False}
    settings = load_settings(None, {}, overrides | {"session_timeout_ms": int(SESSION_TIMEOUT_S * 1000)})
    create_topic(settings, source, 2)
    create_topic(settings, outputs, 1)
    clients = confluent_clients(settings)
    publisher = clients.producer(services.name("publisher"), lambda _: None)
    publisher.init_transactions(10.0)

    def publish(values: list[bytes]) -> None:
        publisher.begin_transaction()
        for value in values:
            publisher.produce(source, value, None, 0)
        publisher.commit_transaction(10.0)

    def values() -> list[bytes | None]:
        return [record.value for record in read_topic(services, outputs)[0]]

    unique = Clients(
        consumer=clients.consumer, producer=lambda name, on_error: clients.producer(f"{source}-{name}", on_error), clock_s=clients.clock_s
    )
    return Side(unique, source, outputs, values, publish)


def test_the_scenario_on_the_model() -> None:
    told = scenario(on_the_model())
    assert told[-2:] == [[b"x", b"y"], 4]
    assert "to be aborted" in told


@pytest.mark.services
def test_the_scenario_is_the_same_on_kafka(services: Services) -> None:
    assert scenario(on_kafka(services)) == scenario(on_the_model())

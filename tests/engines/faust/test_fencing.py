"""A producer for each partition keeps a former owner out by its epoch alone: on a real Kafka, within a transaction and after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream_retrain.engines import failpoints
from stream_retrain.engines.driver import Unsent
from stream_retrain.engines.failpoints import FailPoint
from stream_retrain.engines.kafka.clients import Clients, admin_client, confluent_clients, consumer_client, producer_client
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.sink import TransactionalSink
from stream_retrain.engines.kafka.sinks import SinkPerPartition, sinks_of
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import FencedError
from stream_retrain.facts.values import ShardId
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.engines.support import read_topic

pytestmark = pytest.mark.services


class Owner:
    """Who has partition 0, or thinks so."""

    def __init__(self, settings: Settings, group: str, source: str, outputs: str) -> None:
        self._source = source
        clients = Clients(
            consumer=confluent_clients(settings).consumer,
            producer=lambda transactional_id, on_error: producer_client(settings, transactional_id, on_error),
            fences="epoch",
        )
        stop = Watchdog(lambda: False, loop_timeout_s=60, shutdown_timeout_s=5)
        made = lambda producer: TransactionalSink(producer, {"predictions": outputs}, settings, clients, stop)  # noqa: E731
        self.sinks = sinks_of(clients, made, lambda _: None, of_process="never", of_topic=f"{group}-{source}")
        self.consumer = consumer_client(settings, group, "a", lambda _: None)

    def commit(self, value: bytes, offset: int) -> None:
        [(sink, partitions)] = self.sinks.groups(None)
        assert partitions == [0]
        outputs = Unsent([("predictions", 0, b"k", value, None)], {ShardId("p", self._source, 0): offset})
        sink.send(outputs, self._source, self.consumer, "note")

    def close(self) -> None:
        self.sinks.close()
        self.consumer.close()


@pytest.fixture
def owners(services: Services) -> Iterator[tuple[Owner, Owner, str]]:
    settings = load_settings(
        None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "static_membership": False, "session_timeout_ms": 6_000}
    )
    source, outputs, group = services.name("source"), services.name("outputs"), services.name("group")
    for topic in (source, outputs):
        create_topic(settings, topic, 1, {})
    assert admin_client(settings).list_topics(source, 10).topics[source].error is None
    first, second = (Owner(settings, group, source, outputs) for _ in range(2))
    yield first, second, outputs
    failpoints.disarm()
    for owner in (first, second):
        owner.close()


def values(services: Services, topic: str) -> list[bytes | None]:
    return [each.value for each in read_topic(services, topic)[0]]


def test_a_former_owner_cannot_begin_again(services: Services, owners: tuple[Owner, Owner, str]) -> None:
    first, second, outputs = owners
    assert isinstance(first.sinks, SinkPerPartition)
    first.sinks.take_over([0])
    first.commit(b"first", 1)
    second.sinks.take_over([0])
    with pytest.raises(FencedError):
        first.commit(b"zombie", 2)
    second.commit(b"second", 2)
    assert values(services, outputs) == [b"first", b"second"]


@pytest.mark.parametrize("point", ["commit.begun", "commit.produced", "commit.offsets_sent"])
def test_a_former_owner_cannot_end_what_it_has_begun(services: Services, owners: tuple[Owner, Owner, str], point: FailPoint) -> None:
    """The successor takes over in the middle of its transaction, and what it reads as committed stays so."""
    first, second, outputs = owners
    first.sinks.take_over([0])
    first.commit(b"first", 1)

    def take_over_there(reached: FailPoint) -> None:
        if reached == point:
            failpoints.disarm()
            second.sinks.take_over([0])

    failpoints.arm(take_over_there)
    with pytest.raises(FencedError):
        first.commit(b"zombie", 2)
    second.commit(b"second", 2)
    assert values(services, outputs) == [b"first", b"second"]


def test_partitions_fence_apart(services: Services, owners: tuple[Owner, Owner, str]) -> None:
    """Who loses one partition goes on with the others."""
    first, second, outputs = owners
    first.sinks.take_over([0])
    second.sinks.take_over([1])
    first.commit(b"first", 1)
    assert values(services, outputs) == [b"first"]
    first.sinks.release([0])
    assert not list(first.sinks.groups(None))

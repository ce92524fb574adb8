"""The topic of the trainings at a real Kafka: what is not done is received by another trainer, whatever the order in which things end."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import pytest

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.tickets import KafkaTicketQueue, KafkaTicketSource
from stream_retrain.engines.trainer.tickets import Received
from stream_retrain.errors import BrokerError
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.pool_support import made, settings_of

pytestmark = pytest.mark.services


def receive(source: KafkaTicketSource, count: int) -> list[Received]:
    """So many; none beyond them comes within one more look."""
    received: list[Received] = []
    until_s = time.monotonic() + 30
    while (len(received) < count or not source.caught_up) and time.monotonic() < until_s:
        received += source.receive(0.1)
    received += source.receive(0.1)
    assert len(received) == count, received
    return sorted(received)


def until(holds: Callable[[], bool], meanwhile: Callable[[], object]) -> None:
    until_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until_s
        meanwhile()
        time.sleep(0.02)


def leave(source: KafkaTicketSource) -> None:
    source.close(time.monotonic() + 10)


def test_what_is_not_done_is_received_again_by_whoever_comes_next(services: Services) -> None:
    settings, of = settings_of(services), made()
    create_topic(settings, f"{of.name}.trainings", settings.trainings_partitions)
    queue = KafkaTicketQueue(settings, of.name)
    for place, value in ((0, b"a"), (4, b"b"), (8, b"c"), (1, b"d"), (3, b"e")):
        queue.put(place, value, lambda: pytest.fail("it was delivered"))
    first = KafkaTicketSource(settings, of)
    received = receive(first, 5)
    assert [(each.partition, each.offset, each.value) for each in received] == [
        *((0, offset, value) for offset, value in enumerate([b"a", b"b", b"c"])),
        (1, 0, b"d"),
        (3, 0, b"e"),
    ], "neighbours are in different partitions"
    for each in (received[0], received[2], received[4]):
        first.done(each)
        assert not first.owns(each)
    assert first.owns(received[1])
    second = KafkaTicketSource(settings, of)
    until(lambda: bool(second._places) and len(first._places) < 4, lambda: (first.receive(0.05), second.receive(0.05)))
    leave(first)
    leave(second)
    third = KafkaTicketSource(settings, of)
    again = receive(third, 3)
    assert [each.value for each in again] == [b"b", b"c", b"d"], "c was done, but b before it was not"
    for each in again:
        third.done(each)
    leave(third)
    fourth = KafkaTicketSource(settings, of)
    assert receive(fourth, 0) == []
    leave(fourth)


def test_a_ticket_that_cannot_be_delivered_is_reported_and_waits_for_nothing(services: Services) -> None:
    settings = dataclasses.replace(settings_of(services), kafka={"message.timeout.ms": "500"})
    queue, lost = KafkaTicketQueue(settings, "no-such-pipeline"), list[int]()
    before_s = time.monotonic()
    queue.put(0, b"a ticket", lambda: lost.append(1))
    assert time.monotonic() - before_s < 1
    until(lambda: bool(lost), queue.poll)


def test_a_source_whose_kafka_is_away_says_so(monkeypatch: pytest.MonkeyPatch, services: Services) -> None:
    monkeypatch.setattr("stream_retrain.engines.kafka.tickets.ANSWER_TIMEOUT_S", 0.3)
    nowhere = load_settings(None, {}, {"kafka_bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(BrokerError, match=r"looking for tickets failed at 127\.0\.0\.1:1"):
        KafkaTicketSource(nowhere, made())
    full = KafkaTicketQueue(load_settings(None, {}, {"kafka": {"queue.buffering.max.messages": 1}}), "p")
    full.put(0, b"a ticket", lambda: None)
    with pytest.raises(BrokerError, match="its queue is full"):
        full.put(0, b"a ticket", lambda: None)

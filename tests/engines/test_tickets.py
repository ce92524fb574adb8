"""The topic of the trainings at a real Kafka: each ticket is received by one trainer of the group, and sending one waits for nothing."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.tickets import KafkaTicketQueue, KafkaTicketSource
from stream_retrain.errors import BrokerError
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.pool_support import made, settings_of

pytestmark = pytest.mark.services


def test_each_ticket_is_received_once_by_trainers_that_follow_each_other(services: Services) -> None:
    settings, of = settings_of(services), made()
    create_topic(settings, f"{of.name}.trainings", settings.trainings_partitions)
    queue = KafkaTicketQueue(settings, of.name)
    for values in ([b"a", b"b", b"", b"d"], [b"e"]):
        for place, value in enumerate(values):
            queue.put(place, value)
        source, received, until_s = KafkaTicketSource(settings, of), list[bytes](), time.monotonic() + 30
        while len(received) < len(values):
            assert time.monotonic() < until_s
            received += source.receive(0.1)
        assert sorted(received + source.receive(0.1)) == sorted(values)
        assert {place.partition for place in source._consumer.assignment()} == set(range(settings.trainings_partitions))
        source.close(time.monotonic() + 10)


def until(holds: Callable[[], bool], *sources: KafkaTicketSource) -> list[bytes]:
    """What the sources receive until it holds."""
    received, until_s = list[bytes](), time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until_s
        received += itertools.chain.from_iterable(source.receive(0.05) for source in sources)
    return received


def test_a_trainer_knows_when_it_has_received_what_is_there(services: Services) -> None:
    settings, of = settings_of(services), made()
    too_early = KafkaTicketSource(settings, of)
    assert until(too_early.at_end, too_early) == [], "a topic that is not there has nothing"
    too_early.close(time.monotonic() + 10)
    create_topic(settings, f"{of.name}.trainings", settings.trainings_partitions)
    queue = KafkaTicketQueue(settings, of.name)
    queue.put(0, b"a")
    assert queue._producer.flush(10) == 0
    first = KafkaTicketSource(settings, of)
    assert not first.at_end(), "it has not joined yet"
    assert until(first.at_end, first) == [b"a"]
    second = KafkaTicketSource(settings, of)
    until(lambda: len(second._ahead) == len(first._ahead) == 2, first, second)
    assert until(lambda: first.at_end() and second.at_end(), first, second) == []
    second.close(time.monotonic() + 10)
    until(lambda: len(first._ahead) == settings.trainings_partitions and first.at_end(), first)
    first.close(time.monotonic() + 10)


def test_where_kafka_is_away_a_source_says_so_and_a_queue_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("stream_retrain.engines.kafka.tickets.ANSWER_TIMEOUT_S", 0.3)
    nowhere = load_settings(None, {}, {"kafka_bootstrap_servers": "127.0.0.1:1", "kafka": {"queue.buffering.max.messages": 1}})
    with pytest.raises(BrokerError, match=r"looking for tickets failed at 127\.0\.0\.1:1"):
        KafkaTicketSource(nowhere, made())
    queue, before_s = KafkaTicketQueue(nowhere, "p"), time.monotonic()
    queue.put(0, b"a ticket")
    queue.put(1, b"another, for which there is no room")
    assert time.monotonic() - before_s < 1
    assert "a ticket was not sent" in caplog.text

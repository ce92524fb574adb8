"""A whole topic is read as it is when the reading begins."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka import Producer

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.read import read_topic
from stream_retrain.settings import Settings
from tests.conftest import Services

pytestmark = pytest.mark.services


def test_a_topic_that_others_go_on_writing_to_is_read_to_where_it_ended(services: Services) -> None:
    settings, topic = Settings(kafka_bootstrap_servers=services.bootstrap_servers), services.name("flows")
    create_topic(settings, topic, 2)
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "linger.ms": 1})
    for number in range(1_000):
        producer.produce(topic, b"before", partition=number % 2)
    producer.flush(30)
    done = threading.Event()

    def flow() -> None:
        while not done.is_set():
            producer.produce(topic, b"meanwhile", partition=0)
            producer.produce(topic, b"meanwhile", partition=1)
            producer.poll(0)
            time.sleep(0.001)

    thread = threading.Thread(target=flow, daemon=True)
    thread.start()
    try:
        found: list[dict[int, int]] = []
        reading = threading.Thread(
            target=lambda: found.append({key: len(rows) for key, rows in read_topic(settings, topic).items()}), daemon=True
        )
        reading.start()
        reading.join(60)
        assert found, "it still reads"
    finally:
        done.set()
        thread.join()
        producer.flush(30)
    assert all(count >= 500 for count in found[0].values())
    assert {key: rows[499].value for key, rows in read_topic(settings, topic).items()} == {0: b"before", 1: b"before"}

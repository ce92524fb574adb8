"""The settings that the worker's clients are made with, where they show in what a real Kafka hands over."""

from __future__ import annotations

import collections

import pytest
from confluent_kafka import Producer, TopicPartition

from stream_retrain.engines.kafka.clients import consumer_client
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.settings import load_settings
from tests.conftest import Services

PARTITIONS = 5
BEHIND = 20_000
"""Records of each partition; 2 MB."""
SECONDS_OF_LIFE = 10_000
"""Records that a small model learns in about a second."""


@pytest.mark.services
def test_a_worker_that_is_behind_reads_all_its_partitions_in_turn(services: Services) -> None:
    """Or one that is killed every few seconds would give each of its lives to the same partition, and the others would stand still."""
    settings, topic = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), services.name("turns")
    create_topic(settings, topic, PARTITIONS, {})
    # A batch is handed over whole, so what its producer put into one is the least.
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "linger.ms": 20, "batch.num.messages": 500})
    for partition in range(PARTITIONS):
        for _ in range(BEHIND):
            producer.produce(topic, b"x" * 100, partition=partition)
        assert producer.flush(30) == 0
    consumer = consumer_client(settings, services.name("group"), "instance", lambda _: None)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    read: collections.Counter[int] = collections.Counter()
    while read.total() < SECONDS_OF_LIFE:
        read.update(message.partition() for message in consumer.consume(500, 1.0) if message.error() is None)
    consumer.close()
    assert len(read) == PARTITIONS
    assert max(read.values()) < SECONDS_OF_LIFE / 2

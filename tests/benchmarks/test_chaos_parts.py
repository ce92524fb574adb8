"""What a chaos run is judged by is right itself: standstills are measured as they are, and an added partition gets events at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from benchmarks import chaos_judge
from benchmarks.chaos import chosen
from benchmarks.chaos_faults import EVERY_KIND, MOSTLY_BROKERS, Chaos
from benchmarks.chaos_judge import TOLD_FROM_S, ProgressSampler
from benchmarks.chaos_source import Publisher
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.core import streams

END = 1_000


class TestProgress:
    def setup_method(self) -> None:
        settings = load_settings(None, {}, {"kafka_bootstrap_servers": "127.0.0.1:1"})
        self.progress = ProgressSampler(settings, streams.pipeline(), lambda: 2)

    def saw(self, *looks: tuple[float, int]) -> None:
        for now_s, offset in looks:
            self.progress._note(0, offset, END, now_s)

    def test_a_standstill_lasts_from_the_last_movement_to_the_next(self) -> None:
        self.saw((0.0, 5), (1.0, 6), (2.0, 6), (31.0, 6), (32.0, 7), (33.0, 8))
        assert self.progress.longest_s == {0: 31.0}
        assert self.progress.long == [(0, 1.0, 31.0)]
        assert self.progress.moved_since(31.5) == {0: 1.5}

    def test_where_nothing_waits_nothing_stands_still(self) -> None:
        self.saw(*((float(now_s), END) for now_s in range(100)))
        assert self.progress.longest_s == {0: 1.0}
        assert self.progress.long == []

    def test_a_pause_does_not_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock: Iterator[float] = iter([TOLD_FROM_S * 10])
        monkeypatch.setattr(chaos_judge.time, "monotonic", lambda: next(clock))
        self.saw((0.0, 5))
        with self.progress.paused():
            pass
        self.saw((TOLD_FROM_S * 10 + 2, 6))
        assert self.progress.longest_s == {0: 2.0}
        assert self.progress.long == []


@pytest.mark.parametrize(
    ("kinds", "brokers", "weights"),
    [
        (None, 1, MOSTLY_BROKERS),
        (None, 3, EVERY_KIND),
        ("every", 1, EVERY_KIND),
        ("store_flush,offsets_expire", 3, {"store_flush": 3, "offsets_expire": 1}),
    ],
)
def test_kinds_of_faults_are_chosen(kinds: str | None, brokers: int, weights: dict[str, int]) -> None:
    assert chosen(kinds, brokers) == weights


@pytest.mark.parametrize("kind", sorted(EVERY_KIND | MOSTLY_BROKERS))
def test_every_kind_of_fault_can_be_done(kind: str) -> None:
    assert callable(getattr(Chaos, f"_{kind}"))


@pytest.mark.services
def test_an_added_partition_gets_events_within_seconds(services: Services) -> None:
    """A producer asks for a topic's partitions every five minutes by default; until then it would publish to none at all."""
    settings, topic = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), services.name("added")
    create_topic(settings, topic, 1, {})
    publisher = Publisher(settings, topic, 1, seed=1, rate=200)
    publisher.start()
    try:
        time.sleep(1.0)
        admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result()
        publisher.add_partition()
        consumer = Consumer({"bootstrap.servers": services.bootstrap_servers, "group.id": "looks"})
        until_s = time.monotonic() + 15
        while time.monotonic() < until_s and not consumer.get_watermark_offsets(TopicPartition(topic, 1), 10)[1]:
            time.sleep(0.2)
        assert consumer.get_watermark_offsets(TopicPartition(topic, 1), 10)[1] > 0
        consumer.close()
    finally:
        publisher.stop()

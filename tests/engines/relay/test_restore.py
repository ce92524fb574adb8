"""What the relay reads before it takes over, on a real Kafka."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from stream_retrain.engines.kafka.clients import admin_client
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.relay.restore import Questions, read_waiting
from stream_retrain.engines.kafka.relay.waiting import Held, held_of
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services

pytestmark = pytest.mark.services


class Topic:
    """A topic of one test, with a transactional producer."""

    def __init__(self, services: Services, partitions: int = 1) -> None:
        self.settings: Settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
        self.name = services.name("waiting")
        create_topic(self.settings, self.name, partitions, {})
        self.producer = Producer({"bootstrap.servers": services.bootstrap_servers, "transactional.id": self.name, "linger.ms": 0})
        self.producer.init_transactions(20)

    def put(self, value: bytes | None, key: bytes | None = None, headers: Any = None, partition: int = 0, timestamp_ms: int = 0) -> None:
        self.producer.produce(self.name, value, key, partition, headers=headers, timestamp=timestamp_ms)

    def committed(self, put: Callable[[], object]) -> None:
        self.producer.begin_transaction()
        put()
        self.producer.commit_transaction(20)

    def label(self, offset: int, key: bytes | None = b"k") -> Held:
        held = Held(0, Record(offset, key, f'{{"id": "e{offset}"}}'.encode(), 1_000 + offset), f"e{offset}", 5_000 + offset)
        self.put(held.record.value, held.key, held.headers)
        return held

    def waiting(self) -> list[tuple[Record, int]]:
        return read_waiting(self.settings, admin_client(self.settings), self.name, 0)


@pytest.fixture
def topic(services: Services) -> Topic:
    return Topic(services)


class TestWaiting:
    def test_of_an_empty_topic_there_is_none(self, topic: Topic) -> None:
        assert topic.waiting() == []

    def test_what_was_put_comes_back_as_it_was_and_what_was_settled_does_not(self, topic: Topic) -> None:
        held = list[Held]()
        topic.committed(lambda: held.extend(topic.label(offset, key) for offset, key in ((3, b"k"), (4, None), (5, b""))))
        topic.committed(lambda: topic.put(None, b"4"))
        assert topic.waiting() == [(each.record, each.since_ms) for each in held if each.record.offset != 4]

    def test_what_is_none_of_ours_is_passed_over(self, topic: Topic) -> None:
        topic.committed(lambda: (topic.put(b"x", b"no number"), topic.put(b"x", b"7"), topic.put(b"x"), topic.label(8)))
        assert [record.offset for record, _ in topic.waiting()] == [8]

    def test_an_aborted_transaction_left_nothing(self, topic: Topic) -> None:
        topic.committed(lambda: topic.label(1))
        topic.producer.begin_transaction()
        topic.label(2)
        topic.producer.flush(20)
        topic.producer.abort_transaction(20)
        assert [record.offset for record, _ in topic.waiting()] == [1]

    @pytest.mark.parametrize("commits", [True, False])
    def test_a_transaction_that_is_open_is_waited_for(self, topic: Topic, commits: bool) -> None:
        """Its labels may be committed a moment later: whoever read to the last readable record only would lose them."""
        topic.committed(lambda: topic.label(1))
        topic.producer.begin_transaction()
        topic.label(2)
        topic.put(None, b"1")
        assert topic.producer.flush(20) == 0
        found = list[list[tuple[Record, int]]]()
        reading = threading.Thread(target=lambda: found.append(topic.waiting()))
        reading.start()
        time.sleep(1.0)
        assert reading.is_alive(), "it must not go on without what is open"
        topic.producer.commit_transaction(20) if commits else topic.producer.abort_transaction(20)
        reading.join(20)
        assert [record.offset for record, _ in found[0]] == ([2] if commits else [1])

    def test_a_label_that_began_to_wait_again_stands_last(self) -> None:
        first, second = (Held(0, Record(offset, None, b"{}", 0), "e", offset) for offset in (1, 2))
        rows: list[tuple[Record, Any]] = [(Record(at, each.key, b"{}", 0), each.headers) for at, each in enumerate((first, second))]
        gone = (Record(2, first.key, None, 0), None)
        again = (Record(3, first.key, b"{}", 0), first.headers)
        assert [record.offset for record, _ in held_of([*rows, gone, again])] == [2, 1]


class TestQuestions:
    def read(self, topic: Topic, partitions: int = 1, rows_max: int = 1_000, age_max_s: float | None = None) -> list[tuple[str, int]]:
        asked = list[tuple[str, int]]()
        questions = Questions(topic.settings, topic.name, range(partitions), rows_max, age_max_s)
        questions.catch_up(lambda id_, partition, _: asked.append((id_, partition)), lambda: False)
        questions.close()
        return asked

    def ask(self, topic: Topic, *ids: str | int, partition: int = 0, timestamp_ms: int = 0) -> None:
        for id_ in ids:
            topic.put(json.dumps({"id": id_, "offset": 1, "prediction": True}).encode(), partition=partition, timestamp_ms=timestamp_ms)

    def test_are_those_of_every_partition(self, services: Services) -> None:
        topic = Topic(services, 3)
        topic.committed(lambda: (self.ask(topic, "a", 7), self.ask(topic, "b", partition=2)))
        assert sorted(self.read(topic, 3)) == [("7", 0), ("a", 0), ("b", 2)]

    def test_of_an_empty_topic_there_is_none(self, topic: Topic) -> None:
        assert self.read(topic) == []

    def test_what_is_no_prediction_is_passed_over(self, topic: Topic) -> None:
        topic.committed(lambda: (topic.put(b"no json"), topic.put(b'{"ID": 1}'), topic.put(None), self.ask(topic, "a")))
        assert self.read(topic) == [("a", 0)]

    def test_go_back_so_many_offsets_or_so_long(self, topic: Topic) -> None:
        now_ms = int(time.time() * 1000)
        topic.committed(lambda: self.ask(topic, *(f"old{number}" for number in range(10)), timestamp_ms=now_ms - 3_600_000))
        topic.committed(lambda: self.ask(topic, *(f"new{number}" for number in range(10)), timestamp_ms=now_ms))
        assert len(self.read(topic)) == 20
        assert [id_ for id_, _ in self.read(topic, age_max_s=600.0)] == [f"new{number}" for number in range(10)]
        assert [id_ for id_, _ in self.read(topic, rows_max=4)] == ["new7", "new8", "new9"], "the last offset is a marker"

    def test_what_is_open_is_not_waited_for_and_comes_when_it_is_committed(self, topic: Topic) -> None:
        topic.committed(lambda: self.ask(topic, "a"))
        topic.producer.begin_transaction()
        self.ask(topic, "b")
        assert topic.producer.flush(20) == 0
        asked = list[str]()
        questions = Questions(topic.settings, topic.name, [0], 1_000, None)
        questions.catch_up(lambda id_, *_: asked.append(id_), lambda: False)
        assert asked == ["a"]
        topic.producer.commit_transaction(20)
        until_s = time.monotonic() + 20
        while asked != ["a", "b"]:
            assert time.monotonic() < until_s
            questions.read(lambda id_, *_: asked.append(id_), 0.1)
        questions.close()

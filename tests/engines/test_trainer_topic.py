"""A range of a topic as rows to learn, from a real Kafka."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_retrain import Pipeline, Schema
from stream_retrain.compose import trainer_of
from stream_retrain.core.contest.challenger import Challenger, TopicRange, Window
from stream_retrain.engines.kafka import range_reader
from stream_retrain.engines.kafka.topic_range import read_range
from stream_retrain.engines.trainer import JobDone, ProcessTrainer
from stream_retrain.engines.trainer.pool import PoolTrainer
from stream_retrain.errors import BrokerError
from stream_retrain.facts.values import Features, Learned
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores import connect
from tests.conftest import Services
from tests.core import streams
from tests.engines import trainer_support as support
from tests.engines.trainer_support import MODEL

pytestmark = pytest.mark.services
NOW_S = 1_700_000_000


@pytest.fixture
def settings(services: Services) -> Settings:
    return load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url})


class Topic:
    """A topic of two partitions, with records of the linear concept, one a second: three to one partition, then three to the other."""

    def __init__(self, services: Services) -> None:
        self.name = services.name("history")
        admin = AdminClient({"bootstrap.servers": services.bootstrap_servers})
        admin.create_topics([NewTopic(self.name, 2, 1)])[self.name].result(10)
        self._producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True})
        self.rows: list[tuple[int, Learned]] = []

    def fill(self, count: int) -> None:
        offsets = [0, 0]
        for number, (x, y) in enumerate(streams.rows(count)):
            partition = number // 3 % 2
            self.put(partition, {"id": f"e{number}", **x, "y": y}, NOW_S + number)
            self.rows.append((partition, Learned(offsets[partition], float(NOW_S + number), dict(x), y, None)))
            offsets[partition] += 1
        self._producer.flush()

    def put(self, partition: int, value: Any, time_s: float) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self._producer.produce(self.name, data, partition=partition, timestamp=int(time_s * 1000))

    def flush(self) -> None:
        self._producer.flush()


@pytest.fixture
def topic(services: Services) -> Topic:
    return Topic(services)


def pipeline(source: str = "events", challenger: Challenger = support.LAST_2000) -> Pipeline:
    schema = Schema(id="id", label="y", features=dict.fromkeys(streams.FEATURES, float))
    return dataclasses.replace(support.several(challenger), source=source, schema=schema)


def read(settings: Settings, of: Pipeline, wanted: TopicRange, through: int = 10**9) -> list[Learned]:
    return list(read_range(settings, of, support.job(of, 1, through), wanted))


def test_all_partitions_come_in_order_of_time(settings: Settings, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_reader, "HELD_RECORDS_MAX", 500)
    monkeypatch.setattr(range_reader, "BATCH", 100)
    topic.fill(3_000)
    expected = [row for _, row in topic.rows]
    assert read(settings, pipeline(), TopicRange(topic=topic.name)) == expected
    some = TopicRange(topic=topic.name, from_time_s=NOW_S + 1_000, to_time_s=NOW_S + 2_000)
    assert read(settings, pipeline(), some) == expected[1_000:2_000]
    assert read(settings, pipeline(), TopicRange(topic=topic.name, from_time_s=NOW_S + 5_000)) == []


def test_the_shard_s_own_rows_beyond_the_training_are_left_to_the_window(settings: Settings, topic: Topic) -> None:
    topic.fill(60)
    own = read(settings, pipeline(source=topic.name), TopicRange(topic=topic.name), through=9)
    assert own == [row for partition, row in topic.rows if partition == 1 or row.offset <= 9]


def test_answers_find_their_questions_and_bad_records_are_left_out(settings: Settings, topic: Topic) -> None:
    x: Features = {"a": 1.0, "b": 2.0, "c": 3.0}
    asked, labelled = [{"id": "one", **x}, b"no json", {"id": "two", **x}], {"id": "three", **x, "y": False}
    for at, value in enumerate([*asked, {"id": "one", "y": True}, {"id": "none", "y": True}, labelled]):
        topic.put(0, value, NOW_S + at)
    topic.flush()
    found = read(settings, pipeline(), TopicRange(topic=topic.name))
    assert found == [Learned(3, NOW_S + 3.0, x, True, None), Learned(5, NOW_S + 5.0, x, False, None)]


def test_a_missing_topic_is_reported(settings: Settings, services: Services) -> None:
    with pytest.raises(BrokerError, match="reading topic"):
        read(settings, pipeline(), TopicRange(topic=services.name("nowhere")))


def test_a_child_process_trains_on_a_topic_and_catches_up_from_the_window(settings: Settings, topic: Topic) -> None:
    topic.fill(1_000)
    of = pipeline(challenger=Challenger(name="all", window=Window(topic=TopicRange(topic=topic.name)), passes=2))
    stores = connect(settings.redis_url, keyring=support.KEYRING)
    recent = support.rows(20)
    epoch = support.fill(stores, of, recent)
    with trainer_of(of, settings, stores, support.KEYRING, None) as trainer:
        assert isinstance(trainer, ProcessTrainer)
        trainer.submit(support.job(of, epoch, 9))
        trained = support.until(trainer, JobDone)
    assert trainer.child_pid is None
    assert support.digest_of(trained, of) == support.taught(MODEL, [row for _, row in topic.rows], recent[10:], passes=2)
    assert (trained.rows, trained.learned_through) == (2_010, 19)


def test_the_setting_selects_the_trainer(services: Services) -> None:
    stores, given = connect(services.redis_url), {"redis_url": services.redis_url}
    with trainer_of(pipeline(), load_settings(None, {}, {**given, "trainer": "off"}), stores, support.KEYRING, None) as none:
        assert none is None
    with trainer_of(pipeline(), load_settings(None, {}, {**given, "trainer": "pool"}), stores, support.KEYRING, None) as asker:
        assert isinstance(asker, PoolTrainer)

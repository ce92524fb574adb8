"""What is read of a real Kafka: committed records only, in order, bounded, and what retention and compaction have left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from threading import Timer

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from stream_retrain import Pipeline
from stream_retrain.engines.kafka.clients import admin_client, base_config
from stream_retrain.engines.kafka.past import KafkaPast
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.topics import CommitNote, topic_id_of
from stream_retrain.errors import BrokerError, StateError
from stream_retrain.lane.put import Found
from stream_retrain.lane.step import DECISIONS, OUTPUT_KINDS, PREDICTIONS
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.core import streams

pytestmark = pytest.mark.services

COUNT = 30_000


def produced(settings: Settings, topic: str, values: Iterator[bytes], *, transaction: int = 0, aborted: int = 0) -> None:
    """Records in partition 1, in transactions of so many; every so many-th of these is aborted and sent again."""
    own = {"transactional.id": topic} if transaction else {}
    producer = Producer({**base_config(settings), **own, "linger.ms": 20, "enable.idempotence": True})
    if transaction:
        producer.init_transactions(30)
    number, batch = 0, list(values)
    for first in range(0, len(batch), transaction or len(batch)):
        while True:
            if transaction:
                producer.begin_transaction()
            for value in batch[first : first + (transaction or len(batch))]:
                producer.produce(topic, value, b"k", 1, headers=[("sr_river", b"1")])
                producer.poll(0)
            number += 1
            producer.flush(30)
            if transaction and aborted and number % aborted == 0:
                producer.abort_transaction(30)
                continue
            if transaction:
                producer.commit_transaction(30)
            break
    assert producer.flush(30) == 0


def predictions(count: int) -> Iterator[bytes]:
    for offset in range(0, 2 * count, 2):
        yield json.dumps({"id": f"e{offset}", "offset": offset, "prediction": True}, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def settings(services: Services) -> Settings:
    return load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url})


@pytest.fixture(scope="module")
def pipeline(services: Services, settings: Settings) -> Pipeline:
    made = streams.pipeline(name=services.name("past"), source=services.name("events"))
    create_topic(settings, made.source, 2, {"retention.ms": "-1"})
    for kind in OUTPUT_KINDS:
        create_topic(settings, f"{made.name}.{kind}", 2, {"retention.ms": "-1"})
    produced(settings, made.source, (b"%d" % number for number in range(5_000)))
    produced(settings, f"{made.name}.predictions", predictions(COUNT), transaction=1_000, aborted=5)
    return made


def test_records_of_a_range_are_read_in_order_and_no_further(settings: Settings, pipeline: Pipeline) -> None:
    past = KafkaPast(settings, pipeline)
    assert past.partitions == [0, 1]
    chunks = list(past.of(1).records(100, 4_321))
    assert [offset for chunk in chunks for offset in chunk.offsets] == list(range(100, 4_321))
    assert [value for chunk in chunks for value in chunk.values][:2] == [b"100", b"101"]
    assert max(map(len, chunks)) <= 2_000
    assert list(past.of(0).records(0, 0)) == []
    past.close()


def offsets(found: Iterator[Found]) -> list[int]:
    return [each.identity.offset for each in found]


def test_outputs_of_aborted_transactions_are_not_there(settings: Settings, pipeline: Pipeline) -> None:
    past = KafkaPast(settings, pipeline).of(1)
    found = list(past.outputs(PREDICTIONS, 0))
    assert offsets(iter(found)) == list(range(0, 2 * COUNT, 2))
    assert [each.at for each in found] == sorted({each.at for each in found})
    assert found[0].put.headers == (("sr_river", b"1"),)
    assert list(past.outputs(DECISIONS, 0)) == []


@pytest.mark.parametrize("since", [1, 20_001, 59_998, 10**9])
def test_outputs_of_later_offsets_are_found_without_reading_all(settings: Settings, pipeline: Pipeline, since: int) -> None:
    found = offsets(KafkaPast(settings, pipeline).of(1).outputs(PREDICTIONS, since))
    assert [each for each in found if each >= since] == list(range(since + since % 2, 2 * COUNT, 2))
    assert len([each for each in found if each < since]) <= 12_000


def test_an_open_transaction_is_waited_for(settings: Settings, pipeline: Pipeline, services: Services) -> None:
    topic = f"{pipeline.name}.decisions"
    producer = Producer({**base_config(settings), "transactional.id": services.name("open"), "transaction.timeout.ms": 10_000})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b'{"id":"t/1/5/0/drift.detected"}', None, 1)
    producer.flush(30)
    past = KafkaPast(settings, pipeline).of(1)
    reading = past.outputs(DECISIONS, 0)
    started_s = time.monotonic()
    Timer(1.5, lambda: producer.commit_transaction(30)).start()
    assert offsets(reading) == [5]
    assert time.monotonic() - started_s > 1.0


def test_a_time_is_the_first_record_that_is_not_older(settings: Settings, pipeline: Pipeline) -> None:
    past = KafkaPast(settings, pipeline)
    [chunk, *_] = past.of(1).records(0, 5_000)
    at_ms = chunk.timestamps_ms[700]
    assert past.offset_at(1, at_ms / 1000) == chunk.timestamps_ms.index(at_ms)
    assert past.offset_at(1, time.time() + 3_600) is None
    assert past.offset_at(0, 0.0) is None


def test_what_the_group_has_committed_is_known_with_its_topic(settings: Settings, pipeline: Pipeline) -> None:
    assert KafkaPast(settings, pipeline).committed == {}
    topic_id = topic_id_of(admin_client(settings), pipeline.source)
    assert topic_id
    assert topic_id_of(admin_client(settings), "no-such-topic") == ""
    consumer = Consumer({**base_config(settings), "group.id": settings.group_of(pipeline.name)})
    for note, other in ((CommitNote(topic_id, 2).text, False), (CommitNote("another", 2).text, True), ("", False)):
        consumer.commit(offsets=[TopicPartition(pipeline.source, 1, 4_000, note)], asynchronous=False)
        committed = KafkaPast(settings, pipeline).committed
        assert {number: (each.offset, each.other_topic) for number, each in committed.items()} == {1: (4_000, other)}
    consumer.close()


def cut(settings: Settings, *places: TopicPartition) -> None:
    """Delete what is below these offsets, as retention does."""
    admin = admin_client(settings)
    for future in admin.delete_records(list(places)).values():
        future.result(30)


def test_records_that_retention_has_deleted_are_said(settings: Settings, services: Services) -> None:
    made = streams.pipeline(name=services.name("cut"), source=services.name("events"))
    for topic in (made.source, *(f"{made.name}.{kind}" for kind in OUTPUT_KINDS)):
        create_topic(settings, topic, 2, {})
    produced(settings, made.source, (b"%d" % number for number in range(1_000)))
    produced(settings, f"{made.name}.predictions", predictions(100))
    cuts = [TopicPartition(made.source, 1, 300), TopicPartition(f"{made.name}.predictions", 1, 40)]
    cuts.append(TopicPartition(f"{made.name}.decisions", 1, 0))
    cut(settings, *cuts)
    past = KafkaPast(settings, made).of(1)
    assert past.first == 300
    assert past.whole_from(PREDICTIONS) == 81, "the fortieth is of offset 80: there may have been others of it"
    assert past.whole_from(DECISIONS) == 0
    with pytest.raises(StateError, match="retention has deleted the records from offset 200"):
        list(past.records(200, 1_000))
    assert sum(map(len, past.records(300, 1_000))) == 700
    cut(settings, TopicPartition(f"{made.name}.predictions", 1, 100))
    assert KafkaPast(settings, made).of(1).whole_from(PREDICTIONS) > 10**12


@pytest.mark.parametrize(("policy", "holes"), [("delete", False), ("compact", True), ("compact,delete", True)])
def test_a_compacted_topic_is_known(settings: Settings, services: Services, policy: str, holes: bool) -> None:
    made = streams.pipeline(name=services.name("compact"), source=services.name("events"))
    create_topic(settings, made.source, 1, {"cleanup.policy": policy})
    assert ("is compacted" in KafkaPast(settings, made).of(0).holes) == holes


def test_a_topic_that_is_not_there_is_an_error_that_names_it(settings: Settings, services: Services) -> None:
    made = streams.pipeline(name=services.name("none"), source=services.name("nowhere"))
    with pytest.raises(BrokerError, match=made.source):
        KafkaPast(settings, made)

"""A range of a topic as the source of a backtest, from a real Kafka: every record of it, in order, and a word on each that is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from stream_retrain.backtesting.open_source import open_source
from stream_retrain.engines.kafka import range_reader
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.engines.kafka.topic_source import TopicSource
from stream_retrain.errors import BrokerError, SettingsError
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings, load_settings
from tests.backtesting import source_support as support
from tests.conftest import Services

pytestmark = pytest.mark.services
BEGIN_S = 1_767_225_600
HOLES = "offsets of the range without a committed record:"
MISSING = "records of the range that are deleted and so missing:"
PERHAPS_MISSING = "the topic may have held older records of the range, which are deleted: at most"


@pytest.fixture
def settings(services: Services) -> Settings:
    return load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})


class Topic:
    """A topic, and what was put into it."""

    def __init__(self, services: Services, partitions: int, **config: str) -> None:
        self.name = services.name("history")
        self.servers = {"bootstrap.servers": services.bootstrap_servers}
        self.admin = AdminClient(self.servers)
        new = NewTopic(self.name, partitions, 1, config={"retention.ms": "-1", **config})
        self.admin.create_topics([new])[self.name].result(10)
        self._producer = Producer({**self.servers, "linger.ms": 5, "enable.idempotence": True})
        self.put: list[tuple[int, Record]] = []
        """In order of time; offsets count in each partition."""
        self._offsets = [0] * partitions

    def send(self, partition: int, second: float, value: bytes | None = None, key: bytes | None = None, headers: Any = None) -> None:
        stamp_ms = int((BEGIN_S + second) * 1000)
        held = value if value is not None else b'{"n":%d}' % len(self.put)
        self._producer.produce(self.name, held, key, partition, timestamp=stamp_ms, headers=headers)
        self.put.append((partition, Record(self._offsets[partition], key, held, stamp_ms, headers)))
        self._offsets[partition] += 1

    def fill(self, count: int) -> None:
        """One record a second, in turn three to a partition."""
        for number in range(count):
            self.send(number // 3 % len(self._offsets), number)
        self.flush()

    def flush(self) -> None:
        assert self._producer.flush(20) == 0

    def delete_before(self, offsets: dict[int, int]) -> None:
        places = [TopicPartition(self.name, partition, offset) for partition, offset in offsets.items()]
        for future in self.admin.delete_records(places).values():
            future.result(10)

    def read(self, settings: Settings, query: str = "") -> tuple[list[tuple[int, Record]], list[str]]:
        source = TopicSource(f"kafka://{self.name}{query}", settings)
        records = list(source.records())
        return records, source.notes


@pytest.fixture
def topic(services: Services) -> Callable[..., Topic]:
    return lambda partitions=2, **config: Topic(services, partitions, **config)


def test_a_range_by_time_has_every_record_from_and_before(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(3)
    history.fill(900)
    assert history.read(settings) == (history.put, [])
    some = f"?from={BEGIN_S + 100}s&to=2026-01-01T00:05:00.5%2B00:00"
    assert history.read(settings, some) == (history.put[100:301], [])
    assert history.read(settings, f"?from={BEGIN_S * 1000 + 100_001}ms") == (history.put[101:], [])
    assert history.read(settings, "?from=1969-12-31T23:59:59.999Z") == (history.put, [])
    source = open_source(f"kafka://{history.name}{some}", support.PIPELINE, settings=settings)
    assert (source.name, source.estimate()) == (f"kafka://{history.name}{some}", 201)


def test_a_range_by_offset_may_be_another_in_each_partition(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(3)
    history.fill(90)

    def kept(first: dict[int, int], end: dict[int, int]) -> list[tuple[int, Record]]:
        return [item for item in history.put if first.get(item[0], 0) <= item[1].offset < end.get(item[0], 99)]

    assert history.read(settings, "?from=offset:10&to=offset:20")[0] == kept(dict.fromkeys(range(3), 10), dict.fromkeys(range(3), 20))
    assert history.read(settings, "?from=0:5,2:29&to=0:7")[0] == kept({0: 5, 2: 29}, {0: 7})
    assert history.read(settings, "?partitions=0,2&from=offset:29")[0] == kept({0: 29, 1: 99, 2: 29}, {})


def test_what_comes_later_does_not_belong_to_it(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(2)
    history.fill(60)
    source = TopicSource(f"kafka://{history.name}", settings)
    before = list(history.put)
    history.fill(60)
    assert list(source.records()) == before


def test_what_retention_deletes_meanwhile_is_told(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(2)
    history.fill(180)
    source = TopicSource(f"kafka://{history.name}", settings)
    history.delete_before({1: 25})
    assert [record.offset for partition, record in source.records() if partition == 1] == list(range(25, 90))
    assert source.notes == [
        f"{HOLES} 25 of 180 (markers of transactions, aborted records, or what compaction has removed)",
        "retention deleted records of the range while it was read, and some may be missing: partitions 1",
    ]


def test_keys_headers_and_tombstones_are_kept(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(1)
    history.send(0, 1, b"\xff", b"key", [("a", b"1"), ("a", b"2"), ("none", None)])
    history.send(0, 2, b"")
    history.flush()
    producer = Producer({**history.servers, "enable.idempotence": True})
    producer.produce(history.name, None, b"gone", 0)
    assert producer.flush(10) == 0
    records, _ = history.read(settings)
    assert records[:2] == history.put
    assert (records[2][1].key, records[2][1].value) == (b"gone", None)


def test_partitions_that_are_ahead_wait_and_nothing_is_lost(
    settings: Settings, topic: Callable[..., Topic], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(range_reader, "HELD_RECORDS_MAX", 300)
    monkeypatch.setattr(range_reader, "HELD_BYTES_MAX", 6_000)
    monkeypatch.setattr(range_reader, "BATCH", 100)
    history = topic(2)
    for number in range(6_000):
        history.send(0, number)
        if number % 100 == 0:
            history.send(1, number + 0.5)
    history.flush()
    assert history.read(settings) == (history.put, [])


def test_timestamps_that_run_back_are_taken_in_order_of_offset_and_counted(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(1)
    for second in (5, 6, 3, 4, 7):
        history.send(0, second)
    history.flush()
    records, notes = history.read(settings)
    assert records == history.put
    assert notes == ["records that are older than one before them in their partition: 2; they were taken in order of offset"]


@pytest.mark.parametrize(
    ("query", "first", "note"),
    [
        ("", (40, 10), f"{MISSING} 50 offsets (partition 0: 40, partition 1: 10)"),
        ("?from=offset:30", (40, 30), f"{MISSING} 10 offsets (partition 0: 10)"),
        ("?from=0:20,1:5&to=0:50", (40, 10), f"{MISSING} 25 offsets (partition 0: 20, partition 1: 5)"),
        ("?from=offset:40", (40, 40), None),
        (f"?from={BEGIN_S + 60}s", (40, 30), f"{PERHAPS_MISSING} 40 (partition 0: 40)"),
        (f"?from={BEGIN_S + 90}s", (45, 45), None),
    ],
)
def test_what_retention_has_cut_off_is_counted(
    settings: Settings, topic: Callable[..., Topic], query: str, first: tuple[int, int], note: str | None
) -> None:
    history = topic(2)
    history.fill(180)
    history.delete_before({0: 40, 1: 10})
    records, notes = history.read(settings, query)
    for partition, offset in enumerate(first):
        offsets = [record.offset for at, record in records if at == partition]
        assert offsets == list(range(offset, 50 if "0:50" in query and partition == 0 else 90))
    assert notes == ([note] if note else [])


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?to=offset:30", "the range is empty: retention has deleted its 60 offsets"),
        (f"?from={BEGIN_S + 500}s", "the range is empty; topic"),
        (f"?to={BEGIN_S - 1}s", "the range is empty: retention has deleted its 80 offsets"),
        ("?from=offset:90", "holds partition 0 offsets 50 to 89, partition 1 offsets 30 to 89"),
        ("?partitions=1&to=offset:30", "the range is empty: retention has deleted its 30 offsets"),
        ("?partitions=0,5,7", "has the partitions 0 to 1, and not 5, 7"),
        ("?from=2:5", "has the partitions 0 to 1, and not 2"),
    ],
)
def test_a_range_that_is_empty_is_refused_when_it_is_opened(
    settings: Settings, topic: Callable[..., Topic], query: str, reason: str
) -> None:
    history = topic(2)
    history.fill(180)
    history.delete_before({0: 50, 1: 30})
    with pytest.raises(SettingsError) as caught:
        TopicSource(f"kafka://{history.name}{query}", settings)
    assert reason in str(caught.value)


def test_an_empty_topic_is_said_to_be_one(settings: Settings, topic: Callable[..., Topic]) -> None:
    with pytest.raises(SettingsError, match=r"the range is empty; topic 'history-.*' holds nothing"):
        TopicSource(f"kafka://{topic(2).name}", settings)


def test_a_missing_topic_is_named_with_those_like_it(settings: Settings, topic: Callable[..., Topic]) -> None:
    there = topic(1).name
    with pytest.raises(BrokerError, match=rf"reading topic '{there[:-1]}'.*; topics with names like it: .*{there}"):
        TopicSource(f"kafka://{there[:-1]}", settings)
    with pytest.raises(BrokerError, match=r"; there are \d+ other topics"):
        TopicSource("kafka://zzzz.qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq", settings)


def test_a_broker_that_is_not_there_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_retrain.engines.kafka.clients.READ_TIMEOUT_S", 0.5)
    away = load_settings(None, {}, {"kafka_bootstrap_servers": "127.0.0.1:1", "kafka": {"socket.timeout.ms": "1000"}})
    with pytest.raises(BrokerError, match=r"reading topic 't' failed at 127.0.0.1:1"):
        TopicSource("kafka://t", away)


def transacted(history: Topic, *values: list[bytes] | bool) -> None:
    """Records in transactions; True commits, False aborts."""
    producer = Producer({**history.servers, "transactional.id": history.name})
    producer.init_transactions(20)
    for records, commits in zip(values[::2], values[1::2], strict=True):
        producer.begin_transaction()
        for value in records:  # type: ignore[union-attr]
            producer.produce(history.name, value, partition=0, timestamp=BEGIN_S * 1000)
        producer.flush(10)
        (producer.commit_transaction if commits else producer.abort_transaction)(20)
    producer.close()


def test_aborted_records_and_the_markers_of_transactions_are_passed_over(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(1)
    transacted(history, [b"1", b"2"], True, [b"x", b"y", b"z"], False, [b"3"], True)
    records, notes = history.read(settings)
    assert [(record.offset, record.value) for _, record in records] == [(0, b"1"), (1, b"2"), (7, b"3")]
    assert notes == [f"{HOLES} 6 of 9 (markers of transactions, aborted records, or what compaction has removed)"]
    assert [record.offset for _, record in history.read(settings, "?from=offset:1&to=offset:5")[0]] == [1]
    with pytest.raises(SettingsError, match="no committed record is in the range"):
        history.read(settings, "?from=offset:2&to=offset:7")


def test_a_transaction_that_is_open_hides_what_is_behind_it(settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(1)
    history.fill(3)
    producer = Producer({**history.servers, "transactional.id": history.name})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(history.name, b"open", partition=0)
    producer.flush(10)
    try:
        assert history.read(settings)[0] == history.put
    finally:
        producer.abort_transaction(20)
        producer.close()


@pytest.mark.slow
def test_the_holes_of_a_compacted_topic_are_passed_over_and_told(settings: Settings, topic: Callable[..., Topic]) -> None:
    config = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01", "segment.ms": "100", "segment.bytes": "1048576"}
    history = topic(1, **config, **{"max.compaction.lag.ms": "200", "min.compaction.lag.ms": "0"})
    for number in range(300):
        history.send(0, number, key=b"k%d" % (number % 5))
    history.flush()
    until_s = time.monotonic() + 60
    while True:
        time.sleep(1)
        history.send(0, len(history.put), key=b"last")  # a segment is closed when the next record comes
        history.flush()
        records, notes = history.read(settings)
        if len(records) < 200:
            break
        assert time.monotonic() < until_s, "nothing was compacted"
    by_offset = {record.offset: record for _, record in history.put}
    assert all(by_offset[record.offset] == record for _, record in records)
    assert records[-1][1].offset == len(history.put) - 1
    compacted, holes = notes
    assert compacted.startswith("the topic is compacted: of each key older records may be missing")
    assert holes.startswith(f"{HOLES} {len(history.put) - len(records)} of {len(history.put)} ")


def test_reading_leaves_no_trace_in_any_group(services: Services, settings: Settings, topic: Callable[..., Topic]) -> None:
    history = topic(2)
    history.fill(60)
    history.read(settings)
    consumer = Consumer({**history.servers, "group.id": "stream_retrain.reader"})
    committed = consumer.committed([TopicPartition(history.name, partition) for partition in range(2)], 10)
    consumer.close()
    assert [place.offset for place in committed] == [-1001, -1001]
    groups = {group.group_id for group in history.admin.list_consumer_groups(request_timeout=10).result(10).valid}
    assert "stream_retrain.reader" not in groups


@pytest.mark.parametrize("partitioner", ["consistent_random", "murmur2_random"])
def test_a_file_is_cut_as_publish_cuts_it_and_has_the_same_bytes(
    services: Services, settings: Settings, tmp_path: Path, partitioner: str
) -> None:
    given = [{**row, "shop": f"{row['shop']} {number % 40} \u00e4"} for number, row in enumerate(support.rows(400))]
    (tmp_path / "a.jsonl").write_text(support.jsonl(given))
    by_it = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "kafka": {"partitioner": partitioner}})
    name = services.name("published")
    publish_rows(given, by_it, topic=name, key="shop", partitions=5)
    published, of_file = ({}, {})  # type: dict[int, list[Any]], dict[int, list[Any]]
    for partition, record in TopicSource(f"kafka://{name}", settings).records():
        published.setdefault(partition, []).append((record.offset, record.key, record.value))
    source = open_source(tmp_path / "a.jsonl", support.PIPELINE, settings=by_it, partition_by="shop", partitions=5)
    for partition, record in source.records():
        of_file.setdefault(partition, []).append((record.offset, record.key, record.value))
    assert len(published) > 2
    assert of_file == published


def test_labels_of_a_topic_can_be_delayed_too(services: Services, settings: Settings, tmp_path: Path) -> None:
    given = support.rows(60)
    name = services.name("published")
    publish_rows(given, settings, topic=name)
    source = open_source(f"kafka://{name}", support.PIPELINE, settings=settings, labels="seconds=600")
    found = support.spooled(source, tmp_path)
    assert [json.loads(record.value or b"") for _, record in found] == support.values(support.read(given, labels="seconds=600"))
    assert [record.offset for _, record in found] == list(range(120))
    with pytest.raises(SettingsError, match="a topic has its partitions already"):
        open_source(f"kafka://{name}", support.PIPELINE, settings=settings, partition_by="shop", partitions=3)

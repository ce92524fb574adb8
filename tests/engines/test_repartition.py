"""A topic is written again by another key: every record once, in order, where Kafka's own partitioner puts its key."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream_retrain.cli import main
from stream_retrain.engines.kafka.clients import reader_client
from stream_retrain.engines.kafka.committed import held_by
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.repartition_topics import Note
from stream_retrain.errors import BrokerError, EventError, SettingsError
from stream_retrain.settings import Settings
from tests.conftest import Services
from tests.engines.repartition_support import FIRST_MS, Topics

services_needed = [pytest.mark.services, pytest.mark.slow]
NOTE = Note(source_id="a", target_id="b", by="shop", partitions=5, partitioner="murmur2_random")


@pytest.mark.parametrize(
    ("kept", "differs"),
    [
        (NOTE.text, None),
        (Note(source_id="", target_id="", by="shop", partitions=5, partitioner="murmur2_random").text, None),
        (NOTE.text.replace('"a"', '"z"'), "the source was made anew"),
        (NOTE.text.replace('"b"', '"z"'), "the target was made anew"),
        (NOTE.text.replace("shop", "town"), "by was town, and is shop now"),
        (NOTE.text.replace("5", "6"), "partitions was 6, and is 5 now"),
        (NOTE.text.replace("murmur2_random", "consistent"), "partitioner was consistent, and is murmur2_random now"),
        (None, "its offsets are of no rewriting"),
        ("AAAA 3", "its offsets are of no rewriting"),
    ],
)
def test_a_note_says_in_what_another_run_differs(kept: str | None, differs: str | None) -> None:
    assert NOTE.differs(kept) == differs


class TestOnKafka:
    pytestmark = services_needed

    @pytest.fixture
    def topics(self, services: Services) -> Topics:
        return Topics(services)

    def test_every_record_once_with_all_it_had_and_a_second_run_finds_nothing(self, topics: Topics) -> None:
        topics.send(3_000)
        first = topics.copy()
        assert (first.read, first.written, first.complete, first.resumed, first.partitions) == (3_000, 3_000, True, False, 5)
        assert sum(topics.judged().values()) == sum(first.written_to.values()) == 3_000
        again = topics.copy(partitions=None)
        assert (again.read, again.resumed, again.complete) == (0, True, True)
        topics.send(500)
        more = topics.copy()
        assert (more.read, more.resumed) == (500, True)
        assert sum(topics.judged().values()) == 3_500

    @pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random"])
    def test_a_producer_sends_the_same_key_to_the_same_partition(self, topics: Topics, partitioner: str) -> None:
        """By default the one that has murmur2, as Java's; by the setting librdkafka's own."""
        topics.send(400, keys=90)
        if partitioner != "murmur2_random":
            topics.settings = Settings(kafka_bootstrap_servers=topics.settings.kafka_bootstrap_servers, kafka={"partitioner": partitioner})
        topics.copy()
        ours = {record.key: partition for partition, records in topics.read(topics.target, 400).items() for record in records}
        theirs: dict[Any, Any] = {}
        producer = Producer({"bootstrap.servers": topics.services.bootstrap_servers, "partitioner": partitioner})
        for key in ours:
            producer.produce(topics.target, b"{}", key, on_delivery=lambda _, sent: theirs.__setitem__(sent.key(), sent.partition()))
        producer.flush(20)
        assert theirs == ours
        assert len(set(ours.values())) == 5

    def test_what_has_no_such_key_goes_to_the_dead_letters_as_it_was(self, topics: Topics) -> None:
        bad: list[bytes | None] = [None, b"{", b'{"town": 1}', b'{"shop": null}']
        topics.send(100)
        topics.send_values(bad)
        copied = topics.copy()
        assert (copied.read, copied.written, copied.dead_lettered) == (104, 100, 4)
        assert copied.missing == {"tombstone": 1, "malformed": 1, "no_field": 2}
        letters = [each for records in topics.read(f"{topics.target}.dead_letters", 4).values() for each in records]
        assert sorted((each.timestamp_ms, each.key, each.value, each.headers["sr_reason"]) for each in letters) == [
            (FIRST_MS + at, b"old", value, reason)
            for at, (value, reason) in enumerate(zip(bad, [b"tombstone", b"malformed", b"no_field", b"no_field"], strict=True))
        ]
        assert all(each.headers["sr_field"] == b"shop" and each.headers["sr_origin"].startswith(topics.source.encode()) for each in letters)
        assert sum(topics.judged().values()) == 100

    def test_what_has_no_such_key_can_keep_its_own(self, topics: Topics) -> None:
        topics.send(10)
        topics.send_values([b"{}", b"{}"])
        topics.send_values([None, b"{"], key=None)
        copied = topics.copy(missing="keep", partitions=3)
        assert (copied.written, copied.dead_lettered, copied.missing.total()) == (14, 0, 4)
        found = {partition: [(each.key, each.value) for each in records] for partition, records in topics.read(topics.target, 14).items()}
        assert [sum(entry == (b"old", b"{}") for entry in entries) for entries in found.values()].count(2) == 1
        assert (None, None) in found[0], "a record without any key stays in a partition of its own partition's number"
        assert (None, b"{") in found[1]

    def test_what_has_no_such_key_can_end_the_run_and_what_came_before_is_copied(self, topics: Topics) -> None:
        topics.send(40)
        topics.send_values([b"{}"])
        topics.send(40)
        with pytest.raises(EventError, match=rf"{topics.source}/0 at offset 20 has no key 'shop': the value is no object"):
            topics.copy(missing="fail")
        with pytest.raises(EventError, match="at offset 20"):
            topics.copy(missing="fail")
        copied = topics.copy()
        assert copied.dead_lettered == 1
        assert sum(topics.judged().values()) == 80

    def test_by_its_own_key_into_more_partitions(self, topics: Topics) -> None:
        producer = Producer({"bootstrap.servers": topics.services.bootstrap_servers})
        for number in range(30):
            producer.produce(topics.source, b"not JSON", f"k{number}".encode(), partition=0)
            producer.produce(topics.source, None, f"k{number}".encode(), partition=1)
        assert producer.flush(20) == 0
        copied = topics.copy(by="key")
        assert (copied.written, copied.dead_lettered) == (60, 0)
        found = topics.read(topics.target, 60)
        assert sum(bool(records) for records in found.values()) == 5
        assert {each.key for records in found.values() for each in records} == {f"k{number}".encode() for number in range(30)}

    def test_what_was_never_committed_is_not_copied(self, topics: Topics) -> None:
        producer = Producer({"bootstrap.servers": topics.services.bootstrap_servers, "transactional.id": topics.source})
        producer.init_transactions(20)
        for commit in (True, False, True):
            producer.begin_transaction()
            for number in range(50):
                producer.produce(topics.source, b'{"shop": "s%d"}' % number, partition=0)
            producer.commit_transaction(20) if commit else producer.abort_transaction(20)
        assert topics.copy().written == 100

    def test_it_begins_where_another_group_has_committed(self, topics: Topics) -> None:
        topics.send(100)
        consumer = reader_client(topics.settings, group_id="readers-" + topics.source)
        consumer.commit(offsets=[TopicPartition(topics.source, 0, 30), TopicPartition(topics.source, 1, 50)], asynchronous=False)
        consumer.close()
        assert topics.copy(after="readers-" + topics.source).read == 20
        origins = {each.headers["sr_origin"] for records in topics.read(topics.target, 20).values() for each in records}
        assert origins == {f"{topics.source}/0/{offset}".encode() for offset in range(30, 50)}
        assert topics.copy(after="readers-" + topics.source).read == 0

    @pytest.mark.parametrize("point", ["commit.begun", "commit.offsets_sent:2", "commit.committed:2"])
    def test_a_run_that_is_killed_goes_on_exactly_once(self, topics: Topics, point: str) -> None:
        topics.send(12_000)
        killed = topics.command("--partitions", "5", failpoint=point)
        killed.communicate(timeout=60)
        assert killed.returncode == 137
        done = topics.command()
        out, said = done.communicate(timeout=60)
        assert done.returncode == 0, said
        report = json.loads(out)
        assert report["resumed"] is not point.startswith("commit.begun") or report["read"] == 12_000
        assert sum(topics.judged().values()) == 12_000

    def test_it_survives_kill_9_in_the_middle_and_goes_on_at_once(self, topics: Topics) -> None:
        topics.send(40_000)
        running = topics.command("--partitions", "5")
        _until(lambda: _held(topics) >= 5_000)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=30)
        began_s = time.monotonic()
        done = topics.copy(partitions=None)
        assert done.resumed
        assert 0 < done.read < 40_000
        assert time.monotonic() - began_s < 30, "nothing of the killed one is waited for"
        assert sum(topics.judged().values()) == 40_000

    def test_of_two_at_once_the_first_is_fenced(self, topics: Topics) -> None:
        topics.send(100)
        first = topics.command("--follow", "--partitions", "5")
        _until(lambda: _held(topics) >= 100)
        assert topics.copy().read == 0
        topics.send(100)
        _, said = first.communicate(timeout=60)
        assert first.returncode == 1
        assert "took" in said
        topics.copy()
        assert sum(topics.judged().values()) == 200

    def test_it_follows_until_it_is_told_to_stop(self, topics: Topics) -> None:
        running = topics.command("--follow", "--partitions", "5")
        for round_ in range(1, 4):
            topics.send(200)
            _until(lambda wanted=200 * round_: _held(topics) >= wanted)  # type: ignore[misc]
        running.send_signal(signal.SIGTERM)
        out, said = running.communicate(timeout=30)
        assert (running.returncode, json.loads(out)["written"]) == (0, 600), said
        assert sum(topics.judged().values()) == 600

    def test_the_target_keeps_what_the_source_keeps_and_takes_what_it_takes(self, topics: Topics, services: Services) -> None:
        config = {"retention.ms": "-1", "max.message.bytes": "3000000", "cleanup.policy": "compact"}
        topics.source, large = services.name("old"), {"message.max.bytes": "3000000"}
        create_topic(topics.settings, topics.source, 1, config)
        producer = Producer({"bootstrap.servers": services.bootstrap_servers, **large})
        producer.produce(topics.source, json.dumps({"shop": "s", "long": "x" * 1_400_000}).encode(), b"k")
        assert producer.flush(20) == 0
        topics.settings = Settings(kafka_bootstrap_servers=services.bootstrap_servers, kafka=large)
        assert topics.copy(partitions=2).written == 1
        told = _config(topics, topics.target)
        assert (told["retention.ms"], told["cleanup.policy"], told["max.message.bytes"]) == ("-1", "delete", "3001024")

    @pytest.mark.parametrize(
        ("prepare", "changes", "kind", "said"),
        [
            (lambda _: None, {}, SettingsError, "holds no record"),
            (lambda t: t.send(1), {"source": "nowhere"}, BrokerError, "'nowhere'.*UNKNOWN_TOPIC"),
            (lambda _: None, {"target": ""}, SettingsError, "'' is not a topic name"),
            (lambda _: None, {"source": "not a name"}, SettingsError, "'not a name' is not a topic name"),
            (lambda t: t.send(1), {"by": "a..b"}, SettingsError, "name a field"),
            (lambda t: t.send(1), {"after": "nobody"}, SettingsError, "--after nobody: this group has committed no offset"),
            (lambda t: (t.send(1), t.copy()), {"partitions": 6}, SettingsError, "exists and has 5 partitions, not 6"),
            (lambda t: (t.send(1), t.copy()), {"by": "n"}, SettingsError, "by was shop, and is n now"),
            (lambda t: (t.send(1), t.copy()), {"group": "another"}, SettingsError, r"holds \d records, and group 'another'"),
        ],
    )
    def test_what_is_wrong_is_said_before_a_record_is_written(
        self, topics: Topics, prepare: Callable[[Topics], Any], changes: dict[str, Any], kind: type[Exception], said: str
    ) -> None:
        prepare(topics)
        with pytest.raises(kind, match=said):
            topics.copy(**changes)

    def test_the_target_is_not_the_source(self, topics: Topics) -> None:
        topics.send(1)
        with pytest.raises(SettingsError, match="is the source"):
            topics.copy(target=topics.source)

    def test_a_target_that_was_made_anew_is_noticed(self, topics: Topics) -> None:
        topics.send(10)
        topics.copy()
        admin = AdminClient({"bootstrap.servers": topics.services.bootstrap_servers})
        admin.delete_topics([topics.target], operation_timeout=10)[topics.target].result()
        _until(lambda: topics.target not in admin.list_topics(timeout=5).topics)
        with pytest.raises(SettingsError, match="the target was made anew"):
            topics.copy()

    def test_records_that_retention_has_deleted_before_they_were_copied_are_missed_aloud(self, topics: Topics) -> None:
        topics.send(20)
        topics.copy()
        topics.send(20)
        admin = AdminClient({"bootstrap.servers": topics.services.bootstrap_servers})
        [deleted] = admin.delete_records([TopicPartition(topics.source, 0, 15)]).values()
        deleted.result(10)
        with pytest.raises(BrokerError, match="from offset 10 to 15 were not copied yet"):
            topics.copy()

    def test_the_command_says_what_it_did(
        self, topics: Topics, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", topics.services.bootstrap_servers)
        topics.send(30, keys=1)
        topics.send_values([b"{}"])
        with pytest.raises(SystemExit) as ended:
            main(["repartition", topics.source, topics.target, "--by", "shop", "--partitions", "4"])
        assert ended.value.code == 0
        said = capsys.readouterr().out
        assert f"31 records of {topics.source} read; 30 written to {topics.target} (4 partitions)" in said
        assert "1 without the new key (no_field)" in said
        assert "the largest share went to partition" in said
        assert ": 100%" in said
        with pytest.raises(SystemExit) as ended:
            main(["repartition", topics.source, topics.target, "--by", "shop", "--missing", "ignore"])
        assert ended.value.code == 2


def _held(topics: Topics) -> int:
    """Records of the target, markers of transactions too."""
    consumer = reader_client(topics.settings)
    try:
        found = consumer.list_topics(topics.target, 5).topics[topics.target]
        return sum(held_by(consumer, topics.target, each)[1] for each in found.partitions) if found.error is None else 0
    finally:
        consumer.close()


def _config(topics: Topics, topic: str) -> dict[str, str]:
    from confluent_kafka.admin._config import ConfigResource

    admin = AdminClient({"bootstrap.servers": topics.services.bootstrap_servers})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    return {name: entry.value for name, entry in admin.describe_configs([resource])[resource].result().items()}


def _until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    until_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.05)

"""A real worker while topics, offsets and transactions change under it: it goes on, or names the cause and the remedy."""

from __future__ import annotations

import json
import time

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.cimpl import NewPartitions

from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.topics import CommitNote
from stream_retrain.facts.values import ShardId
from stream_retrain.settings import load_settings
from stream_retrain.stores import connect
from tests.engines.live import Place, has, shard_of
from tests.engines.support import read_topic


@pytest.mark.services
class TestAWorker:
    def test_commits_past_the_records_that_nobody_can_read(self, place: Place) -> None:
        place.send(10, commit=True)
        place.send(30, commit=False)
        with place.worker() as running:
            running.wait_for(lambda: shard_of(running).get("lag_records") == 0)
            running.stop()
        offset, note = place.committed()
        assert offset == 10 + 1 + 30 + 1, "records and the two control records"
        assert CommitNote.read(note) is not None
        place.admin.delete_records([TopicPartition(place.source, 0, -1)])[TopicPartition(place.source, 0)].result()
        with place.worker() as again:
            again.wait_for(lambda: again.status()["ready"])
            again.stop()
        assert again.process.returncode == 0

    def test_makes_an_output_topic_again_that_was_deleted(self, place: Place) -> None:
        place.send(10)
        with place.worker() as running:
            running.wait_for(has(running, 10))
            time.sleep(0.5)
            place.deleted(f"{place.pipeline.name}.predictions")
            place.send(10)
            running.wait_for(lambda: "does not return" in running.log or "trying again" in running.log)
            assert not running.status()["ready"]
            running.wait_for(lambda: running.status()["ready"] and shard_of(running).get("lag_records") == 0)
            running.stop()
        assert place.answered() == {0: 10}

    def test_answers_an_added_partition_from_its_first_record(self, place: Place) -> None:
        """Though it was told to begin with the latest: that is where the group began, not where a partition does."""
        with place.worker(start="latest", kafka_topic_metadata_refresh_interval_ms=1_000) as running:
            running.wait_for(lambda: running.status()["ready"] and shard_of(running) != {})
            place.send(10)
            running.wait_for(has(running, 10))
            place.admin.create_partitions([NewPartitions(place.source, 2)])[place.source].result()
            time.sleep(0.5)
            place.send(20, partition=1)
            running.wait_for(has(running, 20, 1))
            place.send(5)
            running.wait_for(lambda: place.answered() == {0: 15, 1: 20})
            running.stop()

    def test_says_that_the_topic_was_made_anew_under_it(self, place: Place) -> None:
        place.send(50)
        with place.worker() as running:
            running.wait_for(has(running, 50))
            time.sleep(0.5)
            place.deleted(place.source)
            place.made()
            place.send(80)
            running.process.wait(40)
            running._reader.join(5)
            assert running.process.returncode == 1
        assert "made anew" in running.log

    def test_refuses_a_topic_made_anew_and_begins_it_where_told_to(self, place: Place) -> None:
        place.send(50)
        with place.worker() as running:
            running.wait_for(has(running, 50))
            running.stop()
        place.deleted(place.source)
        place.made()
        place.send(80)
        with place.worker() as refusing:
            refusing.process.wait(40)
            refusing._reader.join(5)
        assert "made anew" in refusing.log
        assert "--rebuild" in refusing.log
        with place.worker(checkpoint_unfit="rebuild") as told:
            told.wait_for(has(told, 80))
            told.stop()
        assert "window cleared" in told.log
        window = connect(place.services.redis_url).window.last(ShardId(place.pipeline.name, place.source, 0), 10_000)
        assert [row.offset for row in window] == list(range(80))
        with place.worker() as after:
            after.wait_for(lambda: after.status()["ready"] and shard_of(after) != {})
            after.stop()
        assert place.ids() == [f"e{number}" for number in range(1, 131)]

    def test_names_the_cause_where_offsets_expired_and_answers_nothing_twice(self, place: Place) -> None:
        place.send(50)
        with place.worker(checkpoint_events=20, commit_events_max=20, poll_records_max=20, session_timeout_ms=3_000) as running:
            running.wait_for(has(running, 50))
            time.sleep(0.5)
            running.stop(9)
        place.forget_offsets()
        with place.worker() as refusing:
            refusing.process.wait(40)
            refusing._reader.join(5)
        assert "offsets.retention.minutes" in refusing.log
        place.send(10)
        with place.worker(checkpoint_unfit="rebuild") as told:
            told.wait_for(lambda: shard_of(told).get("lag_records") == 0)
            told.stop()
        assert place.ids() == [f"e{number}" for number in range(1, 61)]

    def test_puts_out_a_stub_where_an_output_is_refused_for_its_size(self, place: Place) -> None:
        settings = load_settings(None, {}, {"kafka_bootstrap_servers": place.services.bootstrap_servers})
        letters = f"{place.pipeline.name}.dead_letters"
        create_topic(settings, letters, 1, {"max.message.bytes": "20000"})
        place.send(1)
        producer = Producer({"bootstrap.servers": place.services.bootstrap_servers})
        producer.produce(place.source, json.dumps({"id": "big", "a": "no number", "more": list(range(20_000))}).encode(), partition=0)
        producer.flush(20)
        place.send(1)
        with place.worker() as running:
            running.wait_for(lambda: has(running, 3)() and shard_of(running).get("lag_records") == 0)
            running.stop()
        [letter] = read_topic(place.services, letters)[0]
        assert letter.value is None
        assert letter.headers["sr_refused"] == b"MSG_SIZE_TOO_LARGE"
        assert letter.headers["sr_offset"] == b"1"
        assert place.ids() == ["e1", "e2"]

    def test_is_ready_with_no_partition(self, place: Place) -> None:
        with place.worker() as first:
            first.wait_for(lambda: first.status()["ready"] and shard_of(first) != {})
            with place.worker() as spare:
                spare.wait_for(lambda: spare.status()["state"] == "running" and spare.status()["ready"])
                spare.wait_for(lambda: sum(len(each.status()["shards"]) for each in (first, spare)) == 1)
                assert first.status()["ready"]
                assert spare.status()["ready"]
                spare.stop()
            first.stop()


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("abc 4", CommitNote("abc", 4)),
        ("", None),
        (None, None),
        ("a note of somebody else", None),
        ("abc", None),
        ("abc 99999999999", None),
    ],
)
def test_what_stands_beside_an_offset_is_read_or_is_none(text: str | None, read: CommitNote | None) -> None:
    assert CommitNote.read(text) == read
    assert read is None or CommitNote.read(read.text) == read

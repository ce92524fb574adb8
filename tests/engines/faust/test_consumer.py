"""What the worker reads where Faust delivers: the committed log, record by record, whatever Faust hands over and whatever it does not."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.engines.faust.consumer import QUIET_S, FaustConsumer
from stream_retrain.engines.faust.handover import Handover
from stream_retrain.lane.batch import Record
from tests.exactly_once.model_broker import Broker
from tests.exactly_once.model_clients import ModelConsumer, Process

TOPIC = "events"


class PrivateReader(ModelConsumer):
    """A client of the model broker that never joins the group."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(broker, Process(), None, lambda _: None)
        self.assigned = 0

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        super().incremental_assign(partitions)
        self.assigned += 1

    def _serve(self) -> None:
        pass


class Bench:
    """A topic, a worker's consumer on it, and Faust, which the test plays."""

    def __init__(self, seed: int = 1, partitions: int = 1, records_max: int = 8) -> None:
        self.rng = random.Random(seed)
        self.broker = Broker(TOPIC, partitions, self.rng)
        self.handover = Handover(records_max, lambda: self.broker.now_s)
        self.reader = PrivateReader(self.broker)
        self.consumer = FaustConsumer(self.handover, self.reader, lambda p: self.broker.end_of(TOPIC, p), lambda: self.broker.now_s)
        self.consumer.subscribe([TOPIC], on_assign=self._assign, on_revoke=self._give_up("revoked"), on_lost=self._give_up("lost"))
        self.next: dict[int, int] = {}
        self.read: dict[int, list[int]] = {partition: [] for partition in range(partitions)}
        self.given_up: list[tuple[str, int]] = []
        self.ends: list[int] = []

    def committed(self, partition: int = 0) -> list[int]:
        return [offset for offset, _ in self.broker.readable(TOPIC, partition, 0, 10**6)]

    def append(self, count: int = 1, partition: int = 0) -> None:
        for _ in range(count):
            self.broker.append(TOPIC, partition, b"k", b"v")

    def transaction(self, count: int, end: str, partition: int = 0) -> None:
        epoch = self.broker.init("source")
        for _ in range(count):
            self.broker.produce("source", epoch, (TOPIC, partition), self.broker.logs[TOPIC, partition][0]._replace(transaction=None))
        if end != "open":
            self.broker.end("source", epoch, end)

    def deliver(self, *offsets: int, partition: int = 0) -> None:
        async def put() -> None:
            for offset in offsets:
                await asyncio.wait_for(self.handover.put(partition, Record(offset, b"k", b"v", 1_000)), 5)

        asyncio.run(put())

    def consume(self, times: int = 1, limit: int = 50) -> None:
        for _ in range(times):
            for message in self.consumer.consume(limit, 0.0):
                partition, offset = message.partition(), message.offset()
                assert partition is not None
                assert offset is not None
                if (error := message.error()) is not None:
                    assert error.code() == KafkaError._PARTITION_EOF
                    self.ends.append(offset)
                    continue
                self.read[partition].append(offset)
                self.next[partition] = offset + 1

    def assign(self, *partitions: int) -> None:
        self.handover.assign(partitions)
        self.consume()

    def revoke(self, *partitions: int) -> None:
        """Faust gives up waiting at once, so the worker takes them for lost."""
        asyncio.run(self.handover.revoke(partitions, 0.0))

    def _assign(self, consumer: Any, places: list[TopicPartition]) -> None:
        for place in places:
            place.offset = self.next.get(place.partition, 0)
        consumer.incremental_assign(places)

    def _give_up(self, how: str) -> Any:
        def give_up(consumer: Any, places: list[TopicPartition]) -> None:
            self.given_up += [(how, place.partition) for place in places]
            consumer.incremental_unassign(places)

        return give_up


def test_a_replay_is_read_from_the_log_and_ends_where_faust_goes_on() -> None:
    bench = Bench()
    bench.append(6)
    bench.handover.assign([0])
    bench.deliver(4, 5)
    bench.consume(3)
    assert bench.read[0] == [0, 1, 2, 3, 4, 5]
    bench.append(2)
    bench.deliver(6, 7)
    bench.consume()
    assert bench.read[0] == list(range(8))
    assert bench.reader.assigned == 1, "the last two came from Faust"


def test_what_faust_delivers_once_more_is_dropped() -> None:
    bench = Bench()
    bench.append(5)
    bench.assign(0)
    bench.consume(2)
    bench.deliver(2, 3, 4)
    bench.append(1)
    bench.deliver(5)
    bench.consume(2)
    assert bench.read[0] == list(range(6))


def test_what_faust_passes_over_is_read_from_the_log_in_its_place_and_said(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.append(3)
    bench.assign(0)
    bench.consume(2)
    bench.append(5)
    bench.deliver(3, 6, 7)
    bench.consume(3)
    assert bench.read[0] == list(range(8))
    assert "2 records of events/0 were read from the log: Faust had passed them over" in caplog.text


def test_what_found_no_place_during_a_replay_is_no_fault_of_faust_s(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(records_max=2)
    bench.append(9)
    bench.handover.assign([0])
    bench.handover.reads_itself(0, True)
    bench.deliver(4, 5, 6, 7)
    bench.consume(1, limit=9)
    bench.deliver(8)
    bench.consume(4)
    assert bench.read[0] == list(range(9))
    assert not caplog.records


def test_holes_of_transactions_are_no_reason_to_complain(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.append(2)
    bench.assign(0)
    bench.consume(2)
    bench.transaction(2, "committed")
    bench.transaction(2, "aborted")
    bench.append(1)
    assert bench.committed() == [0, 1, 2, 3, 8]
    bench.deliver(2, 3, 8)
    bench.consume(3)
    assert bench.read[0] == bench.committed()
    assert not caplog.records


def test_the_end_is_told_behind_records_that_nobody_may_read() -> None:
    """Else the committed offset would stand before them for ever, and a worker that has nothing to do would look as if it lagged."""
    bench = Bench()
    bench.append(2)
    bench.assign(0)
    bench.consume(2)
    bench.ends.clear()
    bench.transaction(2, "aborted")
    bench.broker.advance(QUIET_S + 0.1)
    bench.consume(2)
    assert bench.ends == [5]
    assert bench.read[0] == [0, 1]


def test_a_faust_that_delivers_nothing_more_is_made_up_for() -> None:
    bench = Bench()
    bench.append(1)
    bench.assign(0)
    bench.consume(2)
    bench.append(4)
    bench.broker.advance(QUIET_S + 0.1)
    bench.consume(2)
    assert bench.read[0] == list(range(5))


def test_a_partition_that_goes_and_comes_back_is_given_up_first() -> None:
    bench = Bench(partitions=2)
    bench.append(2)
    bench.assign(0, 1)
    bench.consume()
    bench.revoke(0)
    bench.handover.assign([0])
    bench.append(1)
    bench.consume(3)
    assert bench.given_up == [("lost", 0)]
    assert bench.read[0] == [0, 1, 2]


def test_closing_lets_go_so_that_a_rebalance_waits_for_nobody() -> None:
    bench = Bench()
    bench.assign(0)
    bench.consumer.close()
    assert asyncio.run(bench.handover.revoke([0], 0.0))


def test_offsets_metadata_and_ends_come_from_the_second_client() -> None:
    bench = Bench()
    bench.append(3)
    assert bench.consumer.committed([TopicPartition(TOPIC, 0)], 1.0)[0].offset == -1001
    assert bench.consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), 1.0) == (0, 3)
    assert bench.consumer.get_watermark_offsets(TopicPartition(TOPIC, 0), cached=True) == (-1, 3)
    assert bench.consumer.consumer_group_metadata() == (0, -1)


@given(seed=st.integers(0, 2**20))
def test_the_committed_log_is_read_whatever_faust_hands_over(seed: int) -> None:
    """Deliveries that are lost, repeated or late, rebalances, transactions of the producer: each committed record once, in order."""
    bench = Bench(seed, partitions=2)
    rng, at = bench.rng, {0: 0, 1: 0}
    for partition in (0, 1):
        bench.append(1, partition)
    bench.assign(0, 1)
    for _ in range(40):
        partition = rng.randrange(2)
        match rng.choice(["append", "transaction", "deliver", "deliver", "consume", "consume", "skip", "again", "rebalance", "wait"]):
            case "append":
                bench.append(rng.randint(1, 5), partition)
            case "transaction":
                bench.transaction(rng.randint(1, 3), rng.choice(["committed", "aborted"]), partition)
            case "deliver":
                waiting = [each for each in bench.committed(partition) if each >= at[partition]][: rng.randint(1, 4)]
                if bench.handover.first(partition) is None:
                    bench.deliver(*waiting, partition=partition)
                    at[partition] = max([at[partition], *(each + 1 for each in waiting)])
            case "consume":
                bench.consume(rng.randint(1, 2), rng.choice([2, 50]))
            case "skip":
                at[partition] += rng.randint(1, 3)
            case "again":
                at[partition] = max(0, at[partition] - rng.randint(1, 6))
            case "rebalance":
                bench.revoke(partition)
                bench.handover.assign([partition])
                at[partition] = rng.randint(0, bench.next.get(partition, 0))
            case "wait":
                bench.broker.advance(rng.uniform(0.1, QUIET_S))
    for _ in range(30):
        bench.broker.advance(QUIET_S)
        bench.consume(2)
    assert bench.read == {partition: bench.committed(partition) for partition in (0, 1)}


def test_of_a_paused_partition_nothing_is_handed_over_and_faust_is_not_kept_waiting() -> None:
    bench = Bench(records_max=4)
    bench.append(3)
    bench.assign(0)
    bench.consume(2)
    assert bench.read[0] == [0, 1, 2]
    here = TopicPartition(TOPIC, 0, 2)
    bench.consumer.pause([here])
    bench.append(12)
    bench.deliver(*range(3, 15))  # more than have room: it would wait for ever
    bench.consume(3)
    assert bench.read[0] == [0, 1, 2]
    bench.consumer.seek(here)
    bench.consumer.resume([here])
    bench.append(1)
    bench.consume(2)
    bench.deliver(15)
    bench.consume(5)
    assert bench.read[0] == [0, 1, 2, *range(2, 16)], "from where the lane stands, whatever was dropped meanwhile"


def test_a_partition_that_is_paused_while_it_is_read_goes_on_where_it_is_told_to() -> None:
    bench = Bench()
    bench.append(10)
    bench.handover.assign([0])
    bench.consume(1, limit=5)
    stopped = TopicPartition(TOPIC, 0, bench.next[0])
    bench.consumer.pause([stopped])
    bench.consume(3)
    assert len(bench.read[0]) == stopped.offset
    bench.consumer.seek(stopped)
    bench.consumer.resume([stopped])
    bench.consume(5)
    assert bench.read[0] == list(range(10))


def test_a_partition_that_goes_while_it_is_paused_is_read_when_it_comes_back() -> None:
    bench = Bench()
    bench.append(4)
    bench.assign(0)
    bench.consume(2)
    bench.consumer.pause([TopicPartition(TOPIC, 0)])
    bench.revoke(0)
    bench.consume()
    bench.append(2)
    bench.assign(0)
    bench.consume(3)
    assert bench.read[0] == list(range(6))

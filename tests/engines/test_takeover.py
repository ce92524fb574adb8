"""What a worker reads of Kafka before it takes partitions over, and where a partition begins then."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_retrain.engines.driver import Log, Opened
from stream_retrain.engines.kafka.clients import Clients
from stream_retrain.engines.kafka.takeover import Takeover
from stream_retrain.engines.kafka.topics import CommitNote
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import BrokerError, StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.settings import Settings
from tests.core import streams

PIPELINE = streams.pipeline()
SOURCE = PIPELINE.source
AWAY = KafkaException(KafkaError(KafkaError._TIMED_OUT))


class Consumer:
    """Answers with what is committed, by partition; `fails` is raised first."""

    def __init__(self, committed: dict[int, tuple[int, str]]) -> None:
        self.offsets = committed
        self.fails: list[Exception] = []

    def committed(self, places: list[TopicPartition], _: float) -> list[TopicPartition]:
        if self.fails:
            raise self.fails.pop(0)
        found = [self.offsets.get(place.partition, (-1001, "")) for place in places]
        return [TopicPartition(SOURCE, place.partition, *committed) for place, committed in zip(places, found, strict=True)]

    def get_watermark_offsets(self, _: TopicPartition, __: float) -> tuple[int, int]:
        return 0, 100


class Source:
    def __init__(self, partitions: int, grown: int = 0) -> None:
        self.id = "now"
        self.partitions = partitions
        self._grown = grown

    def prepare(self) -> None:
        self.partitions = self._grown

    def is_another(self) -> bool:
        return False

    def made_anew(self, _: float) -> bool:
        return False


class Bench:
    def __init__(self, committed: dict[int, tuple[int, str]], *, source: Source | None = None, **settings: Any) -> None:
        self.now_s = 0.0
        self.told_to_stop = False
        self.consumer: Any = Consumer(committed)
        clients: Any = Clients(consumer=None, producer=None, clock_s=lambda: self.now_s, sleep=self.sleep)  # type: ignore[arg-type]
        stop = Watchdog(lambda: self.told_to_stop, loop_timeout_s=60, shutdown_timeout_s=5, clock_s=lambda: self.now_s)
        self.source = source or Source(4)
        self.takeover = Takeover(self.consumer, PIPELINE, Settings(**settings), clients, self.source, stop)

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def logs(self, *partitions: int) -> list[Log]:
        return [log for _, log in self.takeover.logs([TopicPartition(SOURCE, number) for number in partitions])]


def note(partitions: int = 4, topic_id: str = "now") -> str:
    return CommitNote(topic_id, partitions).text


def test_a_group_that_begins_begins_where_it_is_told() -> None:
    bench = Bench({}, start="latest")
    assert [(log.committed, log.start) for log in bench.logs(0, 1)] == [(None, "latest")] * 2
    assert bench.takeover.note == note(4)


def test_a_partition_that_was_there_when_the_group_began_does_too() -> None:
    """Another member has committed the others a moment ago."""
    assert [log.start for log in Bench({0: (7, note(4)), 1: (7, note(4))}, start="latest").logs(2, 3)] == ["latest", "latest"]


def test_a_partition_that_was_added_begins_at_its_first_record() -> None:
    bench = Bench({0: (7, note(4))}, start="latest", source=Source(4, grown=6))
    assert [log.start for log in bench.logs(5)] == ["earliest"]
    assert bench.source.partitions == 6, "and its outputs were made"
    assert bench.takeover.note == note(4), "the group still began with four"


def test_where_nothing_says_how_a_group_began_no_record_is_passed_over() -> None:
    assert [log.start for log in Bench({0: (7, "")}, start="latest").logs(1)] == ["earliest"]


def test_what_stands_beside_an_offset_goes_with_it() -> None:
    [log] = Bench({2: (7, note(4, "before"))}).logs(2)
    assert (log.committed, log.topic_id, log.committed_topic_id) == (7, "now", "before")
    assert log.made_anew


def test_an_answer_that_takes_a_while_is_waited_for() -> None:
    bench = Bench({0: (7, note())})
    bench.consumer.fails = [AWAY] * 5
    assert [log.committed for log in bench.logs(0)] == [7]


def test_one_that_does_not_come_is_told() -> None:
    bench = Bench({0: (7, note())})
    bench.consumer.fails = [AWAY] * 1_000
    with pytest.raises(KafkaException):
        bench.logs(0)
    assert 9 < bench.now_s < 12


def test_nothing_is_waited_for_once_the_process_is_told_to_stop() -> None:
    bench = Bench({0: (7, note())})
    bench.consumer.fails = [AWAY] * 1_000
    bench.told_to_stop = True
    with pytest.raises(KafkaException):
        bench.logs(0)
    assert bench.now_s < 1


def test_an_offset_that_cannot_be_read_is_no_beginning() -> None:
    bench = Bench({})
    broken = TopicPartition(SOURCE, 0)
    bench.consumer.committed = lambda *_: [_with_error(broken)]
    with pytest.raises(BrokerError, match="reading the committed offset"):
        bench.logs(0)


def _with_error(place: TopicPartition) -> Any:
    class Failed:
        topic, partition, offset, metadata = place.topic, place.partition, -1001, None
        error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)

    return Failed()


def test_whether_kafka_answers_is_asked_for_a_moment() -> None:
    bench = Bench({})
    assert bench.takeover.answers()
    bench.consumer.fails = [AWAY]
    assert not bench.takeover.answers()


def test_a_log_that_has_moved_since_it_was_read_is_read_again() -> None:
    """The process was suspended in between, and another was the owner: its checkpoint is beyond what was read."""
    bench = Bench({0: (6, "")})
    tried: list[int | None] = []

    def opening(partition: int, log: Log) -> Opened:
        tried.append(log.committed)
        if log.committed != 18:
            raise StateError("the checkpoint at offset 10 is beyond the committed one")
        return Opened(ShardId("p", SOURCE, partition), 10, 18)

    place = TopicPartition(SOURCE, 0)
    [(_, log)] = bench.takeover.logs([place])
    with pytest.raises(StateError, match="beyond"):
        bench.takeover.opened(place, log, opening)
    assert tried == [6], "nothing has moved, so it is not tried again"
    bench.consumer.offsets[0] = (18, "")
    assert bench.takeover.opened(place, log, opening).live_from == 18
    assert tried == [6, 6, 18]

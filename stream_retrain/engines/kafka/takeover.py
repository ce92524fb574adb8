"""What a worker reads of Kafka before it takes partitions over: committed offsets, what is noted beside them, what is retained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver import Log, Opened
from stream_retrain.engines.failpoints import reach
from stream_retrain.engines.kafka.answered import answered_through
from stream_retrain.engines.kafka.clients import Clients, ConsumerClient, broker_error
from stream_retrain.engines.kafka.patiently import ELECTING, patiently
from stream_retrain.engines.kafka.topics import CommitNote, SourceTopic
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import StateError
from stream_retrain.settings import Settings

__all__ = ["Takeover"]

CALL_TIMEOUT_S: Final = 3.0
PATIENCE_S: Final = 10.0
"""For a call that may be repeated."""
PROBE_TIMEOUT_S: Final = 0.5
PAUSE_S: Final = 0.1
# OFFSET_NOT_AVAILABLE, of which the client's binding has no name: the new leader does not know yet how far its log is committed.
# STALE_MEMBER_EPOCH: under the consumer protocol the coordinator is an assignment further than the client has heard.
WAITING_ERRORS: Final = frozenset(
    {78, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TIMED_OUT, KafkaError.STALE_MEMBER_EPOCH}
)


class Takeover:
    """Reads the logs of partitions. Raises `BrokerError` and `KafkaException` where Kafka does not answer in time."""

    def __init__(
        self, consumer: ConsumerClient, pipeline: Pipeline, settings: Settings, clients: Clients, topic: SourceTopic, stop: Stop
    ) -> None:
        self._consumer = consumer
        self._pipeline = pipeline.name
        self._source = pipeline.source
        self._settings = settings
        self._clients = clients
        self._topic = topic
        self._stop = stop
        self._began_with: int | None = None

    @property
    def note(self) -> str:
        """What Kafka keeps beside the offsets that are committed; nothing where the topic's id is not known."""
        if not self._topic.id:
            return ""
        return CommitNote(self._topic.id, self._topic.partitions if self._began_with is None else self._began_with).text

    def answers(self) -> bool:
        """Whether Kafka answers, asked for a moment."""
        try:
            self._consumer.committed([TopicPartition(self._source, 0)], PROBE_TIMEOUT_S)
        except KafkaException:
            return False
        return True

    def logs(self, places: list[TopicPartition]) -> Iterator[tuple[TopicPartition, Log]]:
        """The log of each of these places."""
        if any(place.partition >= self._topic.partitions for place in places):
            self._topic.prepare()  # partitions were added: the outputs get as many
        found = self._patiently(lambda: self._consumer.committed(places, CALL_TIMEOUT_S))
        reach("assign.committed_read")
        for place in found:
            if place.error is not None:
                raise broker_error(f"reading the committed offset of {place.topic}/{place.partition}", place.error, self._settings)
        began_with = self._began(found)
        by_number, answered = {place.partition: place for place in found}, self._answered(found)
        for place in places:
            yield place, self._log(by_number[place.partition], began_with, answered.get(place.partition, 0))

    def opened(self, place: TopicPartition, log: Log, opening: Callable[[int, Log], Opened]) -> Opened:
        """Open a shard on its log.

        A process may be suspended after it has read the log, and others own the shard meanwhile: what is stored is then beyond what was
        read. So where it does not fit, and the log has moved, it is opened on the log as it is now. Raises `StateError`.
        """
        try:
            return opening(place.partition, log)
        except StateError:
            [(_, moved)] = self.logs([place])
            if moved.committed == log.committed:
                raise
            return opening(place.partition, moved)

    def _answered(self, places: list[TopicPartition]) -> dict[int, int]:
        """Through where those were answered whose offsets Kafka may have forgotten: looked for only where the worker would go on there."""
        forgotten = [place.partition for place in places if place.offset < 0]
        if not forgotten or not self._topic.id or self._settings.checkpoint_unfit == "fail":
            return {}
        return answered_through(self._settings, self._pipeline, self._source, forgotten)

    def _began(self, places: list[TopicPartition]) -> int | None:
        """How many partitions the source had when the group began, by what stands beside any of its offsets; None: it begins now."""
        others = [TopicPartition(self._source, number) for number in range(self._topic.partitions)]
        if others and all(place.offset < 0 for place in places):
            places = self._patiently(lambda: self._consumer.committed(others, CALL_TIMEOUT_S))
        committed = [place for place in places if place.offset >= 0]
        if not committed:
            return None
        notes = [note for place in committed if (note := CommitNote.read(place.metadata)) is not None and note.topic_id == self._topic.id]
        self._began_with = min((note.partitions for note in notes), default=0)
        return self._began_with

    def _log(self, place: TopicPartition, began_with: int | None, answered: int) -> Log:
        """A partition that was added after the group had begun begins with its first record."""
        low, high = self._patiently(lambda: self._consumer.get_watermark_offsets(place, CALL_TIMEOUT_S))
        committed, note = place.offset if place.offset >= 0 else None, CommitNote.read(place.metadata)
        added = began_with is not None and place.partition >= began_with
        return Log(
            committed,
            low,
            high,
            "earliest" if added else self._settings.start,
            topic_id=self._topic.id,
            committed_topic_id=note.topic_id if note is not None else "",
            answered=answered,
        )

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """What `call` returns; repeated for a while, since a leader that was just elected does not know its offsets yet."""
        clients, stop = self._clients, self._stop
        until_s = min(clients.clock_s() + PATIENCE_S, stop.deadline_s())
        return patiently(call, _waits, until_s, pause_s=PAUSE_S, stop=stop, clock_s=clients.clock_s, sleep=clients.sleep)


def _waits(cause: KafkaError) -> bool:
    return cause.code() in ELECTING or cause.code() == KafkaError._TIMED_OUT

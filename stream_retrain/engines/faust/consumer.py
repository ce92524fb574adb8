"""The worker's consumer where Faust is the member of the group: what Faust hands over, and the log itself where that is not enough.

To the worker it is a `ConsumerClient` like any other, so assigning, revoking, committing and restoring are the worker's own code
(`engines.kafka.worker`). Of Faust it takes two things: which partitions are this process's, and their records as Faust's agent gets them.
Everything else is asked of Kafka by a second client, which never joins the group: committed offsets, what is retained, and records.

A partition is in one of two states, unless the worker has paused it:

- *reading*: its records come from the second client, from the checkpoint's offset on. So a replay needs nothing of Faust, and cannot
  disturb its other agents. It ends where it meets the first record that Faust has handed over, or at the end of the log;
- *following*: its records come from Faust. Those below the next offset are dropped: Faust starts at the committed offset once more after
  each rebalance. Where the next one is beyond the next offset, the partition is read again from there: either the offsets between are no
  records (transactions of the producer and compaction leave such), or they are, and Faust has passed them over: then they are learned in
  their place, and the log says so. The same is done where Faust has handed nothing over for `QUIET_S` though the log is longer.

So which records are learned, and in which order, depends on the log alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, Message, TopicPartition

from stream_retrain.engines.faust.handover import Handover
from stream_retrain.engines.kafka.clients import ConsumerClient
from stream_retrain.lane.batch import Record

__all__ = ["FaustConsumer"]

LOG: Final = logging.getLogger("stream_retrain.worker")
READ_S: Final = 0.05
"""How long a partition that is being read keeps those waiting that Faust hands over."""
QUIET_S: Final = 2.0
_CREATED: Final = 1
"""Kafka's kind of a timestamp that the producer set; the worker reads the time alone."""
Callback = Callable[[Any, list[TopicPartition]], None]


class FaustConsumer:
    """Protocol of use: the worker's. `log` is the second client; `end_of` says how long Faust takes a partition to be, if it knows."""

    def __init__(
        self,
        handover: Handover,
        log: Any,
        end_of: Callable[[int], int | None],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handover = handover
        self._log: ConsumerClient = log
        self._end_of = end_of
        self._clock_s = clock_s
        self._topic = ""
        self._callbacks: Mapping[str, Callback] = {}
        self._next: dict[int, int] = {}
        """By partition that is held: the next offset."""
        self._reading: set[int] = set()
        self._paused: set[int] = set()
        self._passed_over: dict[int, tuple[int, int]] = {}
        """By partition that is read because of a hole: where the hole ends, and how many records were in it so far."""
        self._heard_s: dict[int, float] = {}
        self._turn = 0

    def subscribe(self, topics: list[str], *, on_assign: Callback, on_revoke: Callback, on_lost: Callback) -> None:
        """From now on `consume` calls back."""
        [self._topic] = topics
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        """Rebalances first; then up to so many records, waited for until the timeout; each partition's in order of offset."""
        self._serve()
        if self._reading:
            messages = self._read(num_messages // 2 + 1, min(READ_S, timeout))  # the others are not kept waiting by a long replay
        else:
            messages = self._read(1, 0.0)  # there is nothing: this serves the client's callbacks
            self._handover.wait(num_messages, timeout)
        return messages + self._handed_over(num_messages - len(messages))

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        """The group's offsets."""
        return self._log.committed(partitions, timeout)

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float = 10.0, cached: bool = False) -> Any:
        """What is retained; `cached`: as Faust knows it, and then the first offset is not told."""
        if cached:
            return -1, self._end_of(partition.partition) or -1
        return self._log.get_watermark_offsets(partition, timeout)

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        """Read these from their offsets on."""
        for place in partitions:
            self._next[place.partition] = place.offset
            self._read_from_log(place.partition)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        """Nothing of these is wanted any more."""
        for place in partitions:
            self._follow(place.partition)
            self._paused.discard(place.partition)
            self._next.pop(place.partition, None)

    def pause(self, partitions: list[TopicPartition]) -> None:
        """Hand over nothing of these. What Faust has of them is dropped, so that its stream is not kept waiting."""
        for place in partitions:
            self._follow(place.partition)
            self._paused.add(place.partition)
            self._handover.reads_itself(place.partition, True)

    def seek(self, partition: TopicPartition) -> None:
        """Where a paused one goes on."""
        self._next[partition.partition] = partition.offset

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Go on with these, from the log first."""
        for place in partitions:
            self._paused.discard(place.partition)
            self._read_from_log(place.partition)

    def consumer_group_metadata(self) -> Any:
        """That of a consumer that never joined: it has no generation, so the producers' epochs are what fences (`kafka.sinks`)."""
        return self._log.consumer_group_metadata()

    def memberid(self) -> str | None:
        """Faust is the member: there is nothing here to leave."""
        return None

    def assignment(self) -> list[TopicPartition]:
        """What is held."""
        return self._places(self._next)

    def unsubscribe(self) -> None:
        """Faust is the member, and leaves by itself."""

    def close(self) -> None:
        """Let everything go. Faust stays a member: leaving the group is its own."""
        self._handover.let_go()
        self._log.close()

    def _serve(self) -> None:
        """The callbacks that are due; first what goes, then what comes."""
        moves = self._handover.moves()
        for how, partitions in (("lost", moves.lost), ("revoke", moves.revoked)):
            if partitions:
                self._callbacks[how](self, self._places(partitions))
                self._handover.let_go(partitions)
        if moves.assigned:
            self._handover.hold(moves.assigned)
            self._callbacks["assign"](self, self._places(moves.assigned))

    def _places(self, partitions: Any) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in sorted(partitions)]

    def _read_from_log(self, partition: int) -> None:
        self._reading.add(partition)
        self._handover.reads_itself(partition, True)
        self._log.incremental_assign([TopicPartition(self._topic, partition, self._next[partition])])

    def _follow(self, partition: int) -> None:
        if partition in self._reading:
            self._reading.discard(partition)
            self._handover.reads_itself(partition, False)
            self._log.incremental_unassign([TopicPartition(self._topic, partition)])
        self._heard_s[partition] = self._clock_s()
        _, found = self._passed_over.pop(partition, (0, 0))
        if found:
            LOG.warning("%d records of %s/%d were read from the log: Faust had passed them over", found, self._topic, partition)

    def _read(self, limit: int, timeout_s: float) -> list[Message]:
        """What the second client has; a partition that has met what Faust handed over, or its end, follows from then on."""
        messages: list[Message] = []
        ended: set[int] = set()
        for message in self._log.consume(limit, timeout_s):
            error, partition, offset = message.error(), message.partition(), message.offset()
            if partition is None or offset is None or (error is not None and error.code() != KafkaError._PARTITION_EOF):
                messages.append(message)  # a fault of the client, which the worker judges
            elif partition in self._reading and offset >= self._next[partition]:
                messages.append(message)
                self._next[partition] = offset if error is not None else offset + 1
                if error is not None:
                    ended.add(partition)
                else:
                    self._note_passed_over(partition, offset)
        for partition in list(self._reading):
            first = self._handover.first(partition)
            if partition in ended or (first is not None and first <= self._next[partition]):
                self._follow(partition)
        return messages

    def _note_passed_over(self, partition: int, offset: int) -> None:
        until, found = self._passed_over.get(partition, (0, 0))
        if offset < until:
            self._passed_over[partition] = until, found + 1

    def _handed_over(self, limit: int) -> list[Message]:
        """What Faust handed over of the partitions that follow; each is the first in its turn."""
        messages: list[Message] = []
        following = [partition for partition in self._next if partition not in self._reading | self._paused]
        self._turn += 1
        now_s = self._clock_s()
        for at in range(len(following)):
            partition = following[(at + self._turn) % len(following)]
            taken = self._handover.take(partition, self._next[partition], max(0, limit - len(messages)))
            if taken.records:
                messages += [self._message(partition, record) for record in taken.records]
                self._next[partition] += len(taken.records)
                self._heard_s[partition] = now_s
            if taken.hole:
                until = self._handover.first(partition) or 0
                self._passed_over[partition] = (0 if self._handover.left_out(partition) else until), 0
                self._read_from_log(partition)
            elif now_s - self._heard_s[partition] >= QUIET_S and (self._end_of(partition) or 0) > self._next[partition]:
                self._read_from_log(partition)
        return messages

    def _message(self, partition: int, record: Record) -> Message:
        return Message(
            topic=self._topic,
            partition=partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            headers=list(record.headers) if record.headers else None,
            timestamp=(_CREATED, record.timestamp_ms),
        )

"""Consumer and producer of the model broker, in the shape of confluent-kafka's that the worker knows (`kafka.clients`).

A client lives in a process: `Process.running` is false while it is suspended or dead, and then nothing of it happens, heartbeats
included. Rebalance callbacks come from within `consume` and `close`, as they do in the real client.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from confluent_kafka import KafkaError, Message, TopicPartition

from stream_retrain.engines.kafka.clients import Clients
from tests.exactly_once.model_broker import Broker, Entry, failure

WAIT_STEP_S = 1.0
Fences: TypeAlias = Literal["generation", "epoch", "nothing"]


@dataclasses.dataclass(eq=False, slots=True)
class Process:
    """What a client lives in."""

    running: bool = True
    faults: list[str] = dataclasses.field(default_factory=list)
    """What goes wrong next, one for each commit: `abort`, `retry`, `answer_lost`."""


def model_clients(broker: Broker, process: Process, *, static: bool, fences: Fences = "generation") -> Clients:
    """Where the generation does not fence, the group's metadata is that of a consumer that never joined."""
    consumer = ModelConsumer if fences == "generation" else StrangerConsumer
    return Clients(
        consumer=lambda _, instance, on_error: consumer(broker, process, instance if static else None, on_error),
        producer=lambda transactional_id, _: ModelProducer(broker, process, transactional_id),
        fences="epoch" if fences == "epoch" else "generation",
        clock_s=lambda: broker.now_s,
        sleep=broker.advance,
    )


class ModelConsumer:
    """A member of the group. What it was told with a heartbeat waits until the application polls."""

    def __init__(self, broker: Broker, process: Process, instance: str | None, on_error: Callable[[KafkaError], None]) -> None:
        self._broker = broker
        self._process = process
        self._instance = instance
        self._on_error = on_error
        self._callbacks: dict[str, Callable[[Any, list[TopicPartition]], None]] = {}
        self._member: int | None = None
        self._generation = -1
        self._target: frozenset[int] = frozenset()
        self._lost = False
        self._leaving = False
        self._gave_up = False
        self._served = -1
        self._positions: dict[int, int] = {}
        self._ends: dict[int, int] = {}
        self._paused: set[int] = set()

    def subscribe(self, topics: list[str], *, on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        assert topics == [self._broker.source]
        self._callbacks = {"assign": on_assign, "revoke": on_revoke, "lost": on_lost}
        self._join()
        self._broker.living.append(self._beat)

    def consume(self, num_messages: int, timeout: float) -> list[Message]:
        if self._leaving:  # whoever leaves does nothing but wait
            self._broker.advance(timeout)
        self._beat()
        self._serve()
        messages: list[Message] = []
        for partition in self._broker.rng.sample(sorted(self._positions), len(self._positions)):
            if partition in self._paused:
                continue
            if len(messages) >= num_messages:
                break
            count = self._broker.rng.randint(1, num_messages - len(messages))
            for offset, entry in self._broker.readable(self._broker.source, partition, self._positions[partition], count):
                messages.append(self._message(partition, offset, entry))
                self._positions[partition] = offset + 1
            messages += self._end(partition)
        return messages

    def _end(self, partition: int) -> list[Message]:
        """Once for each end that it comes to; records that nobody can read are passed over."""
        end = self._broker.end_of(self._broker.source, partition)
        if self._ends.get(partition) == end or self._broker.readable(self._broker.source, partition, self._positions[partition], 1):
            return []
        self._ends[partition] = self._positions[partition] = end
        reached = KafkaError(KafkaError._PARTITION_EOF)
        return [Message(topic=self._broker.source, partition=partition, offset=end, error=reached)]

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        until_s = self._broker.now_s + timeout
        while True:
            found = [self._broker.stable_offset(place.partition) for place in partitions]
            if None not in found:
                return [
                    TopicPartition(place.topic, place.partition, -1001 if offset in (-1, None) else offset)
                    for place, offset in zip(partitions, found, strict=True)
                ]
            if self._broker.now_s >= until_s:
                raise failure(KafkaError._TIMED_OUT, retriable=True)
            self._broker.advance(WAIT_STEP_S)

    def get_watermark_offsets(self, partition: TopicPartition, timeout: float = 1.0, cached: bool = False) -> tuple[int, int]:
        return 0, len(self._broker.logs[partition.topic, partition.partition])

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            assert place.offset >= 0, "the worker gives the offset with the assignment"
            self._positions[place.partition] = place.offset
            self._paused.discard(place.partition)

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for place in partitions:
            self._positions.pop(place.partition, None)
            self._ends.pop(place.partition, None)

    def memberid(self) -> str | None:
        return None if self._member is None else str(self._member)

    def assignment(self) -> list[TopicPartition]:
        return self._places(self._positions)

    def unsubscribe(self) -> None:
        self._leaving = True

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused.update(place.partition for place in partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused.difference_update(place.partition for place in partitions)

    def seek(self, partition: TopicPartition) -> None:
        if partition.partition not in self._positions:
            raise failure(KafkaError._STATE)
        self._positions[partition.partition] = partition.offset
        self._ends.pop(partition.partition, None)

    def consumer_group_metadata(self) -> tuple[int, int]:
        return (self._member if self._member is not None else 0), self._generation

    def close(self) -> None:
        if self._callbacks and self._positions:
            self._callbacks["revoke"](self, self._places(self._positions))
        if self._member is not None and self._instance is None:
            self._broker.leave(self._member)
        if self._beat in self._broker.living:
            self._broker.living.remove(self._beat)

    def _join(self) -> None:
        self._member = self._broker.join(self._instance)
        self._generation, self._target = -1, frozenset()

    def _beat(self) -> None:
        """What the client's own thread does: join, learn the generation and the assignment, notice that it is out."""
        if not self._process.running or self._member is None or self._lost:
            return
        owned = frozenset(self._positions)
        unserved = bool(self._target - owned)  # the client joins again only once the application has served what it was given
        answer = self._broker.heartbeat(self._member, owned, self._gave_up, unserved)
        if answer is None:
            self._lost = True
            return
        self._gave_up = False
        if not self._broker.preparing:
            self._generation, self._target = answer

    def _serve(self) -> None:
        """The callbacks that are due; first what goes, then what comes. Who leaves waits for the end of a rebalance."""
        if self._leaving and not self._lost:
            if not self._broker.preparing and self._member is not None:
                if self._positions:
                    self._callbacks["revoke"](self, self._places(self._positions))
                self._broker.leave(self._member)
                self._member = None
            return
        if self._lost:
            self._lost = False
            if self._instance is not None and any(each.instance == self._instance for each in self._broker.members.values()):
                raise failure(KafkaError.FENCED_INSTANCE_ID, fatal=True)
            if self._positions:
                self._callbacks["lost"](self, self._places(self._positions))
            self._join()
            return
        owned = frozenset(self._positions)
        if gone := owned - self._target:
            self._callbacks["revoke"](self, self._places(gone))
            self._gave_up = True
        come = self._target - owned
        if come or self._served != self._generation:  # with nothing, too, after each rebalance
            self._callbacks["assign"](self, self._places(come))
        self._served = self._generation

    def _places(self, partitions: Any) -> list[TopicPartition]:
        return [TopicPartition(self._broker.source, partition) for partition in sorted(partitions)]

    def _message(self, partition: int, offset: int, entry: Entry) -> Message:
        return Message(
            topic=self._broker.source, partition=partition, offset=offset, key=entry.key, value=entry.value, timestamp=(1, offset * 1_000)
        )


class StrangerConsumer(ModelConsumer):
    """A member whose own metadata cannot be had, as where another client library is the member."""

    def consumer_group_metadata(self) -> tuple[int, int]:
        return -1, -1


class ModelProducer:
    """A transactional producer."""

    def __init__(self, broker: Broker, process: Process, transactional_id: str) -> None:
        self._broker = broker
        self._process = process
        self._id = transactional_id
        self._epoch = -1
        self._decided = False

    def init_transactions(self, timeout: float) -> None:
        self._epoch = self._broker.init(self._id)

    def begin_transaction(self) -> None:
        self._broker.check(self._id, self._epoch)
        self._decided = False

    def produce(self, topic: str, value: bytes | None, key: bytes | None, partition: int, *, headers: Any = None) -> None:
        self._broker.produce(self._id, self._epoch, (topic, partition), Entry(key, value, headers, None))

    def send_offsets_to_transaction(self, positions: list[TopicPartition], group_metadata: Any, timeout: float) -> None:
        self._broker.add_offsets(self._id, self._epoch, {place.partition: place.offset for place in positions}, group_metadata)

    def commit_transaction(self, timeout: float) -> None:
        match self._process.faults.pop(0) if self._process.faults and not self._decided else None:
            case "abort":
                raise failure(KafkaError.INVALID_TXN_STATE, abort=True)
            case "retry":
                self._broker.advance(WAIT_STEP_S)
                raise failure(KafkaError._TIMED_OUT, retriable=True)
            case "answer_lost":
                self._broker.end(self._id, self._epoch, "committed")
                raise failure(KafkaError._TIMED_OUT)
        self._broker.end(self._id, self._epoch, "committed")

    def abort_transaction(self, timeout: float) -> None:
        self._broker.end(self._id, self._epoch, "aborted")

    def poll(self, timeout: float) -> int:
        return 0

    def close(self) -> None:
        """An open transaction is aborted, as far as this producer may still speak."""
        if self._epoch == self._broker.ids[self._id].epoch if self._id in self._broker.ids else False:
            self._broker.end(self._id, self._epoch, "aborted")

"""Which transactions a worker commits in, and so what keeps a worker out that lost its partitions and does not know it yet.

- By generation (`OneSink`): one producer for the process. Each transaction carries the group's metadata of the subscribed consumer, and
  Kafka refuses a member that has left. This is the rule of a consumer of our own.
- By epoch (`SinkPerPartition`): a producer for each partition, whose transactional id names the partition. Who takes a partition over
  starts the id's next epoch, before the committed offset is read: Kafka then aborts what the former owner left open, and refuses
  whatever that owner still sends. This is the rule where the group's metadata cannot be had, because another client is the member.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from stream_retrain.engines.kafka.clients import Clients, OnError, ProducerClient
from stream_retrain.engines.kafka.sink import TransactionalSink

__all__ = ["OneSink", "SinkPerPartition", "Sinks", "sinks_of"]


class Sinks(Protocol):
    """Protocol of use: `start`; `take_over` before the committed offsets of partitions are read; `release` when they go; `close`."""

    def start(self) -> None: ...
    def take_over(self, partitions: Iterable[int]) -> None: ...
    def groups(self, partitions: Iterable[int] | None) -> Iterator[tuple[TransactionalSink, Iterable[int] | None]]:
        """The sinks of these partitions (None: of all), each with the partitions whose outputs and offsets share its transaction."""
        ...

    def release(self, partitions: Iterable[int]) -> None: ...
    def close(self) -> None: ...


class OneSink:
    """One transactional producer for everything."""

    def __init__(self, sink: TransactionalSink) -> None:
        self._sink = sink

    def start(self) -> None:
        """Take the process's transactional id over."""
        self._sink.start()

    def take_over(self, partitions: Iterable[int]) -> None:
        """Nothing is to be done: the group's generation keeps the former owner out."""

    def groups(self, partitions: Iterable[int] | None) -> Iterator[tuple[TransactionalSink, Iterable[int] | None]]:
        """One transaction holds all of them."""
        yield self._sink, partitions

    def release(self, partitions: Iterable[int]) -> None:
        """The producer stays."""

    def close(self) -> None:
        """Close the producer; an open transaction is aborted."""
        self._sink.close()


class SinkPerPartition:
    """A transactional producer for each partition; `sink_of` makes one for a transactional id."""

    def __init__(self, sink_of: Callable[[str], TransactionalSink], prefix: str) -> None:
        self._sink_of = sink_of
        self._prefix = prefix
        self._sinks: dict[int, TransactionalSink] = {}

    def start(self) -> None:
        """Nothing is to be done before there are partitions."""

    def take_over(self, partitions: Iterable[int]) -> None:
        """Start the next epoch of each partition's id. Raises `BrokerError`."""
        for partition in partitions:
            self.release([partition])
            self._sinks[partition] = sink = self._sink_of(f"{self._prefix}-{partition}")
            sink.start()

    def groups(self, partitions: Iterable[int] | None) -> Iterator[tuple[TransactionalSink, Iterable[int] | None]]:
        """A transaction for each."""
        for partition in list(self._sinks) if partitions is None else partitions:
            if partition in self._sinks:
                yield self._sinks[partition], [partition]

    def release(self, partitions: Iterable[int]) -> None:
        """Close their producers; open transactions are aborted."""
        for partition in partitions:
            if (sink := self._sinks.pop(partition, None)) is not None:
                sink.close()

    def close(self) -> None:
        """Close all of them."""
        self.release(list(self._sinks))


def sinks_of(
    clients: Clients, made: Callable[[ProducerClient], TransactionalSink], on_error: OnError, *, of_process: str, of_topic: str
) -> Sinks:
    """As the clients fence. `of_process` is the transactional id of the one producer, `of_topic` begins that of each partition's."""

    def sink_of(transactional_id: str) -> TransactionalSink:
        return made(clients.producer(transactional_id, on_error))

    return OneSink(sink_of(of_process)) if clients.fences == "generation" else SinkPerPartition(sink_of, of_topic)

"""The transactional sink: outputs and input offsets are committed together, or not at all.

`send` is one transaction, the first half of a commit (the driver's `committed` is the other):

1. begin;
2. produce every output;
3. add the offsets of the input, with the consumer group's metadata fetched now (a member that has lost its partitions since
   is refused here);
4. commit, which flushes what was produced.

`transact` is the same for records that are no lane's (`kafka.repartition`).

A call that timed out is never repeated within a transaction, and one that does not return is not waited for (`kafka.bounded`). Both
raise `BrokerError`, and the caller drops this sink: the next one takes the transactional id over, which aborts what was open. What
Kafka refuses for a moment is repeated, until a deadline. A transaction that must be aborted is aborted and raises
`TransactionAbortedError`: the caller still has the outputs, and sends the same again; `OutputRefusedError` is one that names an output
that its topic does not take. Whatever fences the producer raises `FencedError`: Kafka timed the transaction out, or another process has
this worker's name; this producer is of no use any more.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_retrain.engines.driver import Unsent
from stream_retrain.engines.failpoints import reach
from stream_retrain.engines.kafka.bounded import BoundedCalls, StuckError
from stream_retrain.engines.kafka.clients import FENCED, Clients, ConsumerClient, ProducerClient, broker_error
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import BrokerError, FencedError
from stream_retrain.settings import Settings

__all__ = ["Outgoing", "OutputRefusedError", "TransactionAbortedError", "TransactionalSink"]

Outgoing: TypeAlias = tuple[str, int, bytes | None, bytes | None, list[tuple[str, str | bytes | None]] | None]
"""A record to produce: the kind of its topic, partition, key, value, headers. An `Output` is one."""

CALL_TIMEOUT_S: Final = 10.0
GIVE_UP_AFTER_S: Final = 60.0
START_CALL_S: Final = 2.0
"""The one call that may be repeated: short, so that a worker that is told to stop meanwhile does."""
CLOSE_TIMEOUT_S: Final = 3.0
REPEAT_PAUSE_S: Final = 0.1
TIMED_OUT: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._TIMED_OUT_QUEUE, KafkaError._MSG_TIMED_OUT})
REFUSED_PLACE: Final = re.compile(r"for (\S+) \[(\d+)\]")
"""Where librdkafka says which partition refused: `ProduceRequest for flights.predictions [3] with ...`."""


class TransactionAbortedError(BrokerError):
    """Kafka had the transaction aborted; nothing of it can be seen, and the same outputs can be sent again."""


class OutputRefusedError(TransactionAbortedError):
    """A topic does not take an output of that size: `place` is its topic and partition, `output` itself, where they are known."""

    def __init__(self, message: str, place: tuple[str, int] | None = None, output: Any = None) -> None:
        super().__init__(message)
        self.place = place
        self.output = output


class TransactionalSink:
    """One transactional producer, and the topics it writes to by kind of output."""

    def __init__(self, producer: ProducerClient, topics: Mapping[str, str], settings: Settings, clients: Clients, stop: Stop) -> None:
        self._producer = producer
        self._topics = topics
        self._settings = settings
        self._clients = clients
        self._clock_s = clients.clock_s
        self._stop = stop
        self._in_doubt = False
        self._calls = BoundedCalls("transactions", stop)

    def start(self) -> None:
        """Take the transactional id over: whatever its former holder left open is aborted now, or committed if that was decided.

        This one call may be repeated after it timed out. Raises `BrokerError` where the worker is told to stop meanwhile.
        """
        until_s = self._clock_s() + GIVE_UP_AFTER_S
        while True:
            try:
                self._call("starting transactions", lambda: self._producer.init_transactions(START_CALL_S), until_s, START_CALL_S)
                return
            except BrokerError:
                if not self._in_doubt or self._calls.stuck or self._stop() or self._clock_s() >= until_s:
                    raise
                self._in_doubt = False

    def send(self, unsent: Unsent, source: str, consumer: ConsumerClient, note: str, deadline_s: float | None = None) -> None:
        """Commit outputs and offsets in one transaction, by the numbered steps of this module; give up at `deadline_s`.

        `note` is kept by Kafka beside each offset. After a call that timed out, every further `send` raises `BrokerError`.
        """
        offsets = [TopicPartition(source, partition, offset, note) for (_, _, partition), offset in unsent.offsets.items()]
        self.transact(unsent.outputs, offsets, consumer, deadline_s)

    def transact(
        self,
        outputs: Sequence[Outgoing],
        offsets: list[TopicPartition],
        consumer: ConsumerClient,
        deadline_s: float | None = None,
        timestamps_ms: Sequence[int] | None = None,
    ) -> None:
        """Commit records and the offsets of what they were made from; `timestamps_ms`: theirs, if it is not to be the time of now."""
        if self._in_doubt:
            raise BrokerError("the last transaction is in doubt: the shards are to be opened again")
        until_s = min(self._clock_s() + GIVE_UP_AFTER_S if deadline_s is None else deadline_s, self._stop.deadline_s())
        try:
            self._call("beginning a transaction", self._producer.begin_transaction, until_s)
            reach("commit.begun")
            self._produce(outputs, timestamps_ms, until_s)
            reach("commit.produced")
            metadata, patience_s = consumer.consumer_group_metadata(), self._patience(until_s)
            self._call("sending offsets", lambda: self._producer.send_offsets_to_transaction(offsets, metadata, patience_s), until_s)
            reach("commit.offsets_sent")
            self._call("committing", lambda: self._producer.commit_transaction(self._patience(until_s)), until_s)
            reach("commit.committed")
        except TransactionAbortedError:
            self._call("aborting", lambda: self._producer.abort_transaction(self._patience(until_s)), until_s)
            reach("commit.aborted")
            raise

    def close(self) -> None:
        """Close the producer; an open transaction is aborted, if not here then by who takes the id over.

        A producer with a call that has not returned is left as it is.
        """
        timeout_s = max(0.1, min(CLOSE_TIMEOUT_S, self._stop.remaining_s()))
        with contextlib.suppress(KafkaException, StuckError):  # a fenced producer can abort nothing; what fenced it was raised before
            self._calls(self._producer.close, timeout_s)
        self._calls.end()

    def _patience(self, until_s: float) -> float:
        """How long one call may last; once the process is told to stop, no longer than it may."""
        return max(0.1, min(CALL_TIMEOUT_S, until_s - self._clock_s(), self._stop.remaining_s()))

    def _produce(self, outputs: Sequence[Outgoing], timestamps_ms: Sequence[int] | None, until_s: float) -> None:
        produce, topics = self._producer.produce, self._topics
        for at, output in enumerate(outputs):
            kind, partition, key, value, headers = output
            while True:
                try:
                    if timestamps_ms is not None:
                        produce(topics[kind], value, key, partition, headers=headers, timestamp=timestamps_ms[at])
                    elif headers is None:
                        produce(topics[kind], value, key, partition)
                    else:
                        produce(topics[kind], value, key, partition, headers=headers)
                    break
                except BufferError:
                    if self._clock_s() > until_s:
                        raise BrokerError(f"producing: Kafka at {self._settings.kafka_bootstrap_servers} takes no more records") from None
                    self._stop()
                    self._producer.poll(1.0)
                except KafkaException as error:
                    translated = self._translated("producing", error)
                    if isinstance(translated, OutputRefusedError):
                        translated.output = output
                    raise translated from None

    def _call(self, doing: str, call: Callable[[], Any], until_s: float, timeout_s: float | None = None) -> None:
        """Call until it holds; repeat what Kafka refuses for a moment, and nothing that timed out."""
        while True:
            try:
                self._calls(call, timeout_s or self._patience(until_s))
                return
            except StuckError:
                self._in_doubt = True
                raise BrokerError(f"{doing}: the client's call to {self._settings.kafka_bootstrap_servers} does not return") from None
            except KafkaException as error:
                cause = _kafka_error(error)
                self._in_doubt = cause.code() in TIMED_OUT and not cause.txn_requires_abort()
                if self._in_doubt or not cause.retriable() or self._clock_s() >= until_s or self._stop():
                    raise self._translated(doing, error) from None
                self._clients.sleep(REPEAT_PAUSE_S)

    def _translated(self, doing: str, error: KafkaException) -> BrokerError:
        cause, translated = _kafka_error(error), broker_error(doing, error, self._settings)
        if cause.code() in FENCED:
            return FencedError(
                f"{translated}. Kafka aborted a transaction that took too long, because this process hung or Kafka did; or another process"
                " took this worker's name: then give each worker its own (STREAM_RETRAIN_INSTANCE)"
            )
        if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            place = REFUSED_PLACE.search(cause.str())
            return OutputRefusedError(str(translated), (place[1], int(place[2])) if place else None)
        if cause.txn_requires_abort():
            return TransactionAbortedError(str(translated))
        return translated


def _kafka_error(error: KafkaException) -> KafkaError:
    cause: KafkaError = error.args[0]
    return cause

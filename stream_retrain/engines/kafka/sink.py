"""The transactional sink: outputs and input offsets are committed together, or not at all.

`send` is one transaction, the first half of a commit (the driver's `committed` is the other):

1. begin;
2. produce every output;
3. add the offsets of the input, with the consumer group's metadata fetched now (a member that has lost its partitions since
   is refused here);
4. commit, which flushes what was produced.

A call that Kafka says can be repeated is repeated, until a deadline. A transaction that must be aborted is aborted and raises
`TransactionAbortedError`: the caller still has the outputs, and sends the same again. Whatever fences the producer raises
`FencedError`: Kafka timed the transaction out, or another process has this worker's name; this producer is of no use any more.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_retrain.engines.driver import Unsent
from stream_retrain.engines.failpoints import reach
from stream_retrain.engines.kafka.clients import ConsumerClient, ProducerClient, broker_error
from stream_retrain.errors import BrokerError, FencedError
from stream_retrain.lane.step import Output
from stream_retrain.settings import Settings

__all__ = ["TransactionAbortedError", "TransactionalSink"]

CALL_TIMEOUT_S: Final = 10.0
GIVE_UP_AFTER_S: Final = 60.0
FENCED: Final = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})


class TransactionAbortedError(BrokerError):
    """Kafka had the transaction aborted; nothing of it can be seen, and the same outputs can be sent again."""


class TransactionalSink:
    """One transactional producer, and the topics it writes to by kind of output."""

    def __init__(self, producer: ProducerClient, topics: Mapping[str, str], settings: Settings, clock_s: Callable[[], float]) -> None:
        self._producer = producer
        self._topics = topics
        self._settings = settings
        self._clock_s = clock_s

    def start(self) -> None:
        """Take the transactional id over: whatever its former holder left open is aborted now, or committed if that was decided."""
        self._call("starting transactions", lambda: self._producer.init_transactions(CALL_TIMEOUT_S), self._clock_s() + GIVE_UP_AFTER_S)

    def send(self, unsent: Unsent, source: str, consumer: ConsumerClient, deadline_s: float | None = None) -> None:
        """Commit outputs and offsets in one transaction, by the numbered steps of this module; give up at `deadline_s`."""
        offsets = [TopicPartition(source, partition, offset) for (_, _, partition), offset in unsent.offsets.items()]
        until_s = self._clock_s() + GIVE_UP_AFTER_S if deadline_s is None else deadline_s
        try:
            self._call("beginning a transaction", self._producer.begin_transaction, until_s)
            reach("commit.begun")
            self._produce(unsent.outputs, until_s)
            reach("commit.produced")
            self._call(
                "sending offsets",
                lambda: self._producer.send_offsets_to_transaction(offsets, consumer.consumer_group_metadata(), self._patience(until_s)),
                until_s,
            )
            reach("commit.offsets_sent")
            self._call("committing", lambda: self._producer.commit_transaction(self._patience(until_s)), until_s)
            reach("commit.committed")
        except TransactionAbortedError:
            self._call("aborting", lambda: self._producer.abort_transaction(self._patience(until_s)), until_s)
            reach("commit.aborted")
            raise

    def close(self) -> None:
        """Close the producer; an open transaction is aborted, if not here then by who takes the id over."""
        with contextlib.suppress(KafkaException):  # a fenced producer can abort nothing, and what fenced it was raised before
            self._producer.close()

    def _patience(self, until_s: float) -> float:
        return max(0.1, min(CALL_TIMEOUT_S, until_s - self._clock_s()))

    def _produce(self, outputs: list[Output], until_s: float) -> None:
        produce, topics = self._producer.produce, self._topics
        for kind, partition, key, value, headers in outputs:
            while True:
                try:
                    if headers is None:
                        produce(topics[kind], value, key, partition)
                    else:
                        produce(topics[kind], value, key, partition, headers=headers)
                    break
                except BufferError:
                    if self._clock_s() > until_s:
                        raise BrokerError(f"producing: Kafka at {self._settings.kafka_bootstrap_servers} takes no more records") from None
                    self._producer.poll(1.0)
                except KafkaException as error:
                    raise self._translated("producing", error) from None

    def _call(self, doing: str, call: Callable[[], Any], until_s: float) -> None:
        """Call until it holds; repeat what Kafka says can be repeated."""
        while True:
            try:
                call()
                return
            except KafkaException as error:
                if not (_kafka_error(error).retriable() and self._clock_s() < until_s):
                    raise self._translated(doing, error) from None

    def _translated(self, doing: str, error: KafkaException) -> BrokerError:
        cause, translated = _kafka_error(error), broker_error(doing, error, self._settings)
        if cause.code() in FENCED:
            return FencedError(
                f"{translated}. Kafka aborted a transaction that took too long, because this process hung or Kafka did; or another process"
                " took this worker's name: then give each worker its own (STREAM_RETRAIN_INSTANCE)"
            )
        if cause.txn_requires_abort():
            return TransactionAbortedError(str(translated))
        return translated


def _kafka_error(error: KafkaException) -> KafkaError:
    cause: KafkaError = error.args[0]
    return cause

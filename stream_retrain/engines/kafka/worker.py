"""The worker's loop: poll, learn, commit, checkpoint, until told to stop.

The protocol, each part written where it is done, each step with a fail point (`engines.failpoints`):

- start: 1 take the transactional id over, so that a transaction that an earlier process left open is aborted; 2 join the group.
- poll: 1 receive, waiting no longer than `kafka.pace` says; 2 decode, predict and learn (`driver.take`).
- commit, when `kafka.pace` says that one is due: 1 to 4 the transaction (`kafka.sink`); 5 drop the outputs, 6 append to the windows
  (`driver.committed`); then at most one checkpoint (`driver`).
- assign: 1 fence the partitions' former owner, where that is done by epoch (`kafka.sinks`); 2 read committed offsets, what is noted
  beside them and what is retained; 3 fence and restore each shard (`engines.driver.restore`); 4 give its start offset with the
  assignment itself, since pausing or seeking right after an assignment loses it.
- pause, where too many records were refused: a state of a partition, too (`lane.intake`, `kafka.held`).
- replay: a state of a partition in this very loop, not a loop of its own (`driver.take`).
- revoke, within one deadline: 1 commit; 2 checkpoint; 3 forget; 4 unassign.
- lost: 1 forget, commit nothing; 2 unassign.
- shutdown, within `shutdown_timeout_s`: 1 commit; 2 checkpoint all; 3 leave the group (`kafka.membership`); 4 let the producer go.
- trouble: a call that timed out in a transaction ends the attempt, and so do a few aborts in a row (`kafka.condition`): the next one
  prepares the topics, takes the transactional id over and opens the shards again (`engines.supervise`).

Every wait asks the watchdog how long it may last (`engines.watchdog`), and a wait longer than a turn tells it that the loop is alive.

Callbacks never raise: the client would go on with the assignment. They keep the error, and the loop ends.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.promotions import Promotions
from stream_retrain.engines.failpoints import reach
from stream_retrain.engines.kafka.clients import Clients, ConsumerClient, admin_client, broker_error, confluent_clients
from stream_retrain.engines.kafka.condition import Condition
from stream_retrain.engines.kafka.held import Held
from stream_retrain.engines.kafka.membership import Callbacks, Membership, consumer_failed, free_instance
from stream_retrain.engines.kafka.orphans import Orphans
from stream_retrain.engines.kafka.pace import Pace
from stream_retrain.engines.kafka.records import records_of
from stream_retrain.engines.kafka.sink import OutputRefusedError, TransactionAbortedError, TransactionalSink
from stream_retrain.engines.kafka.sinks import sinks_of
from stream_retrain.engines.kafka.takeover import Takeover
from stream_retrain.engines.kafka.topics import KafkaSource, SourceTopic, UnknownSource, another_topic, offset_gone, output_topic
from stream_retrain.engines.memory_guard import MemoryGuard
from stream_retrain.engines.trainer import Trainer
from stream_retrain.engines.watchdog import Stop, Watchdog
from stream_retrain.errors import InstanceHeldError
from stream_retrain.facts.worker import Assigned, Committed, Lagging, Released, Tell, TransactionAborted, WorkerStateChanged
from stream_retrain.lane.step import OUTPUT_KINDS
from stream_retrain.settings import Settings
from stream_retrain.stores.ports import Stores

__all__ = ["Worker", "run_worker"]

REVOKE_TIMEOUT_S: Final = 10.0
ABORT_PAUSE_S: Final = 0.1
IGNORED_ERRORS: Final = frozenset({KafkaError._TIMED_OUT, KafkaError._MAX_POLL_EXCEEDED})
TRANSIENT_ERRORS: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE})


def run_worker(
    pipeline: Pipeline,
    settings: Settings,
    stores: Stores,
    keyring: Keyring,
    instance: str,
    stop: Stop,
    tell: Tell,
    trainer: Trainer | None = None,
    clients: Clients | None = None,
    beside: Callable[[float], None] = lambda _: None,
) -> None:
    """Run until `stop()`, calling `beside` every turn. Raises `BrokerError`, `StoreError` (try again), `StateError`, `FencedError`."""
    tell(WorkerStateChanged(state="starting", detail=f"connecting to {settings.kafka_bootstrap_servers}"))
    stores.ping()
    admin = admin_client(settings)
    source = KafkaSource(admin, pipeline, settings)
    source.prepare()
    orphans = Orphans(admin, settings, settings.group_of(pipeline.name), pipeline.source, tell, stores.workers)
    if stop():
        return
    clients = clients or confluent_clients(settings)
    worker = Worker(pipeline, settings, stores, keyring, instance, clients, tell, trainer, source=source, stop=stop)
    try:
        worker.start()
        while not stop():
            worker.turn()
            orphans.look(now_s := time.monotonic())
            if orphans.others_have_all:
                worker.spare()
            beside(now_s)
        worker.stop()
    except InstanceHeldError:
        free_instance(settings, settings.group_of(pipeline.name), instance, pipeline.source)
        raise
    finally:
        worker.close()


class Worker:
    """One consumer, one producer and the shards between them. Protocol of use: `start`, `turn` again and again, `stop`, `close`."""

    def __init__(
        self,
        pipeline: Pipeline,
        settings: Settings,
        stores: Stores,
        keyring: Keyring,
        instance: str,
        clients: Clients,
        tell: Tell,
        trainer: Trainer | None = None,
        *,
        source: SourceTopic | None = None,
        stop: Stop | None = None,
        promotions: Promotions | None = None,
    ) -> None:
        group = settings.group_of(pipeline.name)
        self._source = pipeline.source
        self._topic: SourceTopic = source or UnknownSource()
        loop_s, end_s = settings.loop_timeout_s, settings.shutdown_timeout_s
        self._stop: Stop = stop or Watchdog(lambda: False, loop_timeout_s=loop_s, shutdown_timeout_s=end_s, clock_s=clients.clock_s)
        self._settings = settings
        self._clock_s, self._sleep = clients.clock_s, clients.sleep
        self._tell = tell
        self._driver = Driver(pipeline, stores, keyring, DriverLimits.of(settings), tell, clients.clock_s, trainer, promotions=promotions)
        self._consumer: ConsumerClient = clients.consumer(group, instance, self._on_client_error)
        callbacks = Callbacks(self._on_assign, self._on_revoke, self._on_lost)
        self._membership = Membership(self._consumer, self._source, callbacks, settings, self._clock_s)
        self._held = Held(self._consumer, self._source, self._driver)
        topics: dict[str, str] = {kind: output_topic(pipeline.name, kind) for kind in OUTPUT_KINDS}
        self._kinds = {topic: kind for kind, topic in zip(OUTPUT_KINDS, topics.values(), strict=True)}
        made = functools.partial(TransactionalSink, topics=topics, settings=settings, clients=clients, stop=self._stop)
        self._sinks = sinks_of(clients, made, self._on_client_error, of_process=f"{group}-{instance}", of_topic=f"{group}-{self._source}")
        self._fatal: BaseException | None = None
        self._pace = Pace(settings, self._clock_s)
        self._waits = True
        self._takeover = Takeover(self._consumer, pipeline, settings, clients, self._topic, self._stop)
        self._condition = Condition(tell, self._takeover.answers)
        self._memory = MemoryGuard(settings.memory_bytes_max, tell, self.stop)

    def start(self) -> None:
        """1 take the transactional id over; 2 join the group."""
        self._sinks.start()
        reach("start.fenced")
        self._membership.join()
        self._tell(WorkerStateChanged(state="restoring", detail="waiting for partitions"))

    def turn(self) -> None:
        """1 receive; 2 learn; 3 commit what is due, and write a checkpoint that is due."""
        self._pace.receive(self._received)
        self._held.keep()
        now_s = self._clock_s()
        if self._pace.is_due(now_s, self._driver.unsent_outputs):
            whole = self._commit()
            self._pace.committed(now_s, all_of_it=whole)
            self._driver.settle(now_s)
        self._look(now_s)

    def _received(self, most: int, timeout_s: float) -> int:
        """One call of the client. It may hold a rebalance, so what it gives is learned before the next call."""
        try:
            messages = self._consumer.consume(most, timeout_s)
        except KafkaException as error:
            raise self._fatal or consumer_failed("polling", error.args[0], self._settings) from None
        if self._fatal is not None:
            raise self._fatal
        if messages:
            reach("poll.received")
            self._take(messages)
        return len(messages)

    def spare(self) -> None:
        """There is no partition for this worker, so that it need not be waited for."""
        if self._waits and not self._driver.lanes and not self._condition.is_degraded:
            self._waits = False
            self._tell(WorkerStateChanged(state="running", detail="no partition is left for this worker: it waits for one"))

    def stop(self) -> None:
        """1 commit; 2 checkpoint every shard, while there is time; 3 leave the group, so that others go on with them."""
        self._tell(WorkerStateChanged(state="draining", detail="committing and checkpointing"))
        reach("shutdown.begun")
        timeout_s = self._settings.shutdown_timeout_s
        deadline_s = (end_s := min(self._clock_s() + timeout_s, self._stop.deadline_s())) - timeout_s * 0.4
        while not self._commit(deadline_s=deadline_s) and self._clock_s() < deadline_s:
            self._sleep(ABORT_PAUSE_S)
        reach("shutdown.committed")
        self._driver.checkpoint(self._clock_s(), deadline_s)
        reach("shutdown.checkpointed")
        self._membership.leave(end_s - timeout_s * 0.1)

    def close(self) -> None:
        """3 leave the group, as far as `stop` has not; 4 let the producer go: an open transaction is aborted."""
        self._driver.close()
        try:
            self._consumer.close()
            reach("shutdown.left")
        finally:
            self._sinks.close()

    @property
    def driver(self) -> Driver:
        """The open lanes, to look at."""
        return self._driver

    def _take(self, messages: list[Message]) -> None:
        """Hand a poll's records to their shards; they come in runs of one partition."""
        for partition, run in itertools.groupby(messages, key=Message.partition):
            received, end = list(run), -1
            if any(map(Message.error, received)):
                for message in received:
                    if (error := message.error()) is not None:
                        end = max(end, self._judged(error, message))
                received = [message for message in received if message.error() is None]
            if received and not self._held.drops(partition or 0):
                self._driver.take(partition or 0, records_of(received))
            if end >= 0 and not self._held.drops(partition or 0):
                self._driver.reached(partition or 0, end)

    def _judged(self, error: KafkaError, message: Message) -> int:
        """How far the partition is read without another record, if the error says that; raises for one that does not pass by itself."""
        if error.code() == KafkaError._PARTITION_EOF:
            offset = message.offset()
            return -1 if offset is None else offset
        if error.code() in IGNORED_ERRORS:
            return -1
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise offset_gone(self._topic, self._source, error.str())
        if error.code() in TRANSIENT_ERRORS or error.retriable():
            self._on_client_error(error)
            return -1
        raise consumer_failed("consuming", error, self._settings)

    def _commit(self, partitions: list[int] | None = None, deadline_s: float | None = None) -> bool:
        """Commit what is due; whether nothing is left to commit. An aborted transaction is sent again next time, the same bytes."""
        outcomes = [self._commit_through(sink, own, deadline_s) for sink, own in self._sinks.groups(partitions)]
        return all(outcomes)

    def _commit_through(self, sink: TransactionalSink, partitions: Iterable[int] | None, deadline_s: float | None) -> bool:
        """One transaction."""
        unsent = self._driver.unsent(partitions)
        if not unsent.offsets:
            return True
        started, began_s = time.perf_counter(), self._clock_s()
        reach("commit.due")
        try:
            sink.send(unsent, self._source, self._consumer, self._takeover.note, deadline_s)
        except TransactionAbortedError as error:
            self._aborted(error, self._clock_s() - began_s)
            return False
        self._tell(Committed(outputs=len(unsent.outputs), offsets=unsent.offsets, seconds=time.perf_counter() - started))
        self._driver.committed(unsent.offsets)
        self._condition.committed()
        return True

    def _aborted(self, error: TransactionAbortedError, took_s: float) -> None:
        """Say so; of an output that was refused for its size a stub goes out next time. Raises `BrokerError` where it does not end."""
        told, replaced = str(error), None
        if isinstance(error, OutputRefusedError):
            topic, partition = error.place or (None, None)
            replaced = self._driver.shorten(self._kinds.get(topic or ""), partition, error.output)
        if replaced is not None:
            told = f"{told}. It goes out without its value: {replaced}"
        self._tell(TransactionAborted(error=told))
        self._condition.aborted(told, took_s, ends=replaced is not None)

    def _look(self, now_s: float) -> None:
        """About once a second: how shards stand, how far behind what is committed is, and whether the topic is still the same one."""
        if not self._condition.is_degraded and self._topic.made_anew(now_s):
            raise another_topic(self._source)
        self._condition.look(now_s)
        self._memory.look(now_s)
        for id_, offset in self._driver.observe(now_s):
            _, high = self._consumer.get_watermark_offsets(TopicPartition(self._source, id_.partition), cached=True)
            if high >= 0:
                self._tell(Lagging(shard=id_, records=max(0, high - offset)))

    def _on_assign(self, consumer: ConsumerClient, places: list[TopicPartition]) -> None:
        """1 fence the former owner; 2 read committed offsets and what is retained; 3 open the shards; 4 assign at their offsets."""
        if self._fatal is not None:
            return
        if not places:
            self._waits = True
            self.spare()
            return
        try:
            now_s = self._clock_s()
            self._sinks.take_over([place.partition for place in places])
            reach("assign.fenced")
            for place, log in self._takeover.logs(places):
                if self._stop():
                    return  # nothing is taken over any more
                opened = self._takeover.opened(place, log, lambda partition, log: self._driver.open(partition, log, now_s))
                self._tell(Assigned(shard=opened.id, offset=opened.offset, live_from=opened.live_from))
                place.offset = opened.offset
            consumer.incremental_assign(places)
            reach("assign.assigned")
            self._tell(WorkerStateChanged(state="running", detail=f"partitions {sorted(self._driver.lanes)}"))
        except KafkaException as error:
            self._fatal = broker_error("taking partitions over", error, self._settings)
        except Exception as error:  # noqa: BLE001 - the client goes on with the assignment if a callback raises
            self._fatal = error

    def _on_revoke(self, consumer: ConsumerClient, places: list[TopicPartition]) -> None:
        """Within one deadline: 1 commit what these partitions have; 2 checkpoint them; 3 forget them; 4 unassign."""
        partitions = [place.partition for place in places if place.partition in self._driver.lanes]
        try:
            if partitions and self._fatal is None:
                reach("revoke.begun")
                deadline_s = min(self._clock_s() + REVOKE_TIMEOUT_S, self._stop.deadline_s())
                if self._commit(partitions, deadline_s):
                    reach("revoke.committed")
                    self._driver.checkpoint(self._clock_s(), deadline_s, partitions)
                    reach("revoke.checkpointed")
        except Exception as error:  # noqa: BLE001 - see _on_assign
            self._fatal = self._fatal or error
        self._release(partitions, "revoked")
        reach("revoke.released")
        if places:
            consumer.incremental_unassign(places)

    def _on_lost(self, consumer: ConsumerClient, places: list[TopicPartition]) -> None:
        """The partitions are another's already: 1 forget them, commit nothing; 2 unassign."""
        reach("lost.begun")
        self._release([place.partition for place in places], "lost")
        reach("lost.released")
        if places:
            consumer.incremental_unassign(places)

    def _release(self, partitions: list[int], how: Any) -> None:
        self._held.release(partitions)
        for id_ in self._driver.close(partitions):
            self._tell(Released(shard=id_, how=how))
        self._sinks.release(partitions)

    def _on_client_error(self, error: KafkaError) -> None:
        """The client lost the brokers: it reconnects by itself, and readiness says so meanwhile."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._condition.degraded(str(broker_error("reaching Kafka", error, self._settings)))
        if error.fatal() and self._fatal is None:
            self._fatal = consumer_failed("going on", error, self._settings)

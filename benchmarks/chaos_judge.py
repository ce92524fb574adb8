"""What a chaos run comes to: checkpoints and progress watched while it lasts, and the verifier's verdict on the topics and last states."""

from __future__ import annotations

import collections
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.codec.state import load_state
from stream_retrain.core.digest import digest
from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.engines.kafka.read import read_topic
from stream_retrain.engines.replay.checkpoint_watch import CheckpointWatch
from stream_retrain.engines.replay.recorded import recorded_in
from stream_retrain.engines.replay.verifier import Verdict, expected_of, verify
from stream_retrain.errors import BrokerError, StoreError, StreamRetrainError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.put import Found, Put
from stream_retrain.lane.step import OUTPUT_KINDS
from stream_retrain.settings import Settings
from stream_retrain.stores import connect

__all__ = ["CheckpointSampler", "ProgressSampler", "Standstill", "judge", "wait_until_committed"]

SAMPLE_EVERY_S: Final = 0.5
ANSWER_S: Final = 10.0
LOOK_S: Final = 2.0
TOLD_FROM_S: Final = 20.0


class Standstill(NamedTuple):
    """A partition did not move from `began_s` on, though records waited."""

    partition: int
    began_s: float
    took_s: float


def _observer(settings: Settings, pipeline: Pipeline, isolation: str = "read_committed") -> Consumer:
    """A consumer that asks for the group's offsets and never joins it; it is answered no offset that may still be taken back.

    Under `read_uncommitted` it is answered at once, with what was committed before the transaction that is open.
    """
    group = settings.group_of(pipeline.name)
    return Consumer({**base_config(settings), "group.id": group, "enable.auto.commit": False, "isolation.level": isolation})


class CheckpointSampler:
    """Looks at every shard's newest checkpoint, then at its committed offset, about twice a second."""

    def __init__(self, settings: Settings, pipeline: Pipeline, partitions: Callable[[], int], flushes: Callable[[], int]) -> None:
        self.watch = CheckpointWatch()
        self._pipeline = pipeline
        self._partitions = partitions
        self._stores = connect(settings.redis_url)
        self._consumer = _observer(settings, pipeline)
        self._flushes = flushes
        self._looking = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; stopping again does nothing."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile nothing is looked at: the group has no offsets."""
        with self._looking:
            yield

    def _run(self) -> None:
        known = 0
        while not self._stopped.wait(SAMPLE_EVERY_S):
            for shard in [ShardId(self._pipeline.name, self._pipeline.source, number) for number in range(self._partitions())]:
                with self._looking:
                    known = self._look(shard, known)

    def _look(self, shard: ShardId, known: int) -> int:
        flushes = self._flushes()
        try:
            stored = self._stores.checkpoints.load(shard)
            [place] = self._consumer.committed([TopicPartition(shard.topic, shard.partition)], ANSWER_S)
        except (StoreError, KafkaException):
            return known
        if flushes != self._flushes() or not stored or place.error:
            return known
        if flushes != known:
            self.watch.forget()
        self.watch.saw(shard, unseal(stored[0], Keyring.unsigned())[0].offset, place.offset if place.offset >= 0 else None)
        return flushes


class ProgressSampler:
    """Watches every partition's committed offset: how long it stood still at most while records waited, and since when each has moved."""

    def __init__(self, settings: Settings, pipeline: Pipeline, partitions: Callable[[], int]) -> None:
        self.longest_s: dict[int, float] = {}
        self.moved_at_s: dict[int, float] = {}
        self.failures: collections.Counter[str] = collections.Counter()
        """Looks that came to nothing: they count as no movement."""
        self.long: list[Standstill] = []
        self._source = pipeline.source
        self._partitions = partitions
        self._observed = functools.partial(_observer, settings, pipeline, "read_uncommitted")
        self._consumer = self._observed()
        self._offsets: dict[int, int] = {}
        self._looking = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; stopping again does nothing."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def moved_since(self, began_s: float) -> dict[int, float]:
        """By partition, how long after `began_s` it moved, as far as it has."""
        return {number: at_s - began_s for number, at_s in list(self.moved_at_s.items()) if at_s > began_s}

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile all stand still on purpose: that does not count."""
        with self._looking:
            yield
            now_s = time.monotonic()
            self.moved_at_s = dict.fromkeys(self.moved_at_s, now_s)

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_EVERY_S):
            with self._looking:
                self._look()

    def _look(self) -> None:
        places = [TopicPartition(self._source, number) for number in range(self._partitions())]
        try:
            committed = {place.partition: place.offset for place in self._consumer.committed(places, LOOK_S) if not place.error}
            ends = {place.partition: self._consumer.get_watermark_offsets(place, LOOK_S)[1] for place in places}
        except KafkaException as error:
            self.failures[error.args[0].name()] += 1
            self._consumer.close()
            self._consumer = self._observed()  # so that nothing of a broker that is gone is waited for
            return
        for partition, offset in committed.items():
            self._note(partition, offset, ends.get(partition, 0), time.monotonic())

    def _note(self, partition: int, offset: int, end: int, now_s: float) -> None:
        """Where nothing waits, nothing can move: that is no standstill."""
        if self._offsets.get(partition) != offset or offset >= end:
            began_s = self.moved_at_s.get(partition, now_s)
            took_s = now_s - began_s
            self.longest_s[partition] = max(self.longest_s.get(partition, 0.0), took_s)
            if took_s >= TOLD_FROM_S:
                self.long.append(Standstill(partition, began_s, took_s))
            self._offsets[partition], self.moved_at_s[partition] = offset, now_s


def wait_until_committed(settings: Settings, pipeline: Pipeline, partitions: int, meanwhile: Callable[[], None], limit_s: float) -> None:
    """Return when everything in the source is committed. Raises `StreamRetrainError` if that takes too long."""
    consumer = _observer(settings, pipeline)
    places = [TopicPartition(pipeline.source, partition) for partition in range(partitions)]
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        meanwhile()
        time.sleep(0.2)
        try:
            left = {
                place.partition: consumer.get_watermark_offsets(place, ANSWER_S)[1] - place.offset
                for place in consumer.committed(places, ANSWER_S)
            }
        except KafkaException:
            continue
        if not any(left.values()):
            consumer.close()
            return
    raise StreamRetrainError(f"{limit_s:.0f} s after the last fault the workers have not caught up: {left} records are left")


def judge(settings: Settings, pipeline: Pipeline, published: int, deleted: frozenset[str] = frozenset()) -> Verdict:
    """Every committed output and every shard's last checkpoint beside an uninterrupted run.

    Of a kind whose topic was `deleted` meanwhile, what came after the last deletion is compared: it must be the end of what is expected.
    """
    source = read_topic(settings, pipeline.source)
    found = {kind: read_topic(settings, f"{pipeline.name}.{kind}") for kind in OUTPUT_KINDS}
    stores, verdict = connect(settings.redis_url), Verdict()
    for partition, stored in source.items():
        records = [each.as_record() for each in stored]
        puts = [Put(kind, each.key, each.value, tuple(each.headers.items())) for kind in OUTPUT_KINDS for each in found[kind][partition]]
        sealed = stores.checkpoints.load(ShardId(pipeline.name, pipeline.source, partition))
        state = None
        if sealed:
            header, payload = unseal(sealed[0], Keyring.unsigned())
            state = header.offset, digest(load_state(payload))
        restores = recorded_in(Found.of(at, put) for at, put in enumerate(puts))  # this pipeline takes nothing else from outside
        expected = expected_of(pipeline, partition, records, restores)
        for kind in deleted:
            left = sum(put.kind == kind for put in puts)
            ours = [put for put in expected.outputs if put.kind == kind]
            gone = {id(put) for put in ours[: max(0, len(ours) - left)]}
            expected = expected._replace(outputs=[put for put in expected.outputs if id(put) not in gone])
        verdict += verify(expected, puts, state, len(records))
    if verdict.events != published:
        raise BrokerError(f"{published} events were published, and the source has {verdict.events}")
    return verdict

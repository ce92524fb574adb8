"""Before the first worker of a pipeline on a rewritten topic: each new shard gets the model of the old one that knows its keys best.

1. Which old shard: named, or the one from which most records of the new partition come. That is counted in the old topic, over the last
   `SAMPLE_RECORDS` of each of its partitions, by the same key and the same partitioner as the rewriting: a function of the log.
2. Refused is what would be no beginning: a group that has committed, or runs; and a new topic that holds what the old shards have
   learned already, by the origin in its headers, because it would be learned and answered again (`repartition --after` copies what
   they have not).
3. Each shard gets its model and a checkpoint (`engines.driver.warm`).
4. Last, the offsets at which they begin are committed, all at once: from now on a worker may open them.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver.warm import OldModel, begin_warm, old_model
from stream_retrain.engines.kafka.clients import admin_client, broker_error, partitions_of, reader_client
from stream_retrain.engines.kafka.committed import committed_by, held_by
from stream_retrain.engines.kafka.repartition import ORIGIN, PARTITIONER
from stream_retrain.engines.kafka.topics import CommitNote, topic_id_of
from stream_retrain.errors import BrokerError, SettingsError, StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.formats.partitioner import Partitioner
from stream_retrain.lane.formats.rekey import Rekey
from stream_retrain.settings import Settings
from stream_retrain.stores.ports import ArtifactLimits, Stores

__all__ = ["WarmStart", "Warmed", "counted_moves", "warm_start"]

SAMPLE_RECORDS: Final = 5_000
SILENCE_MAX_S: Final = 20.0
POLL_S: Final = 0.1
BATCH: Final = 1_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """From which pipeline and topic; `by`: the key of the rewriting; `chosen`: the old partition of new ones, None for all others."""

    pipeline: str
    topic: str
    by: str | None = None
    chosen: Mapping[int | None, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """A new shard, and what it begins with; without an old partition it begins untrained."""

    partition: int
    begins_at: int | None = None
    from_partition: int | None = None
    from_offset: int | None = None
    share: float | None = None
    """Of its records in the sample, how many came from that partition; None: it was named."""
    model: str = ""


def warm_start(pipeline: Pipeline, asked: WarmStart, settings: Settings, keyring: Keyring, stores: Stores) -> list[Warmed]:
    """By the numbered steps of this module. Raises `SettingsError`, `StateError`, `StoreError`, `BrokerError`."""
    if asked.by is None and not asked.chosen:
        raise SettingsError("say from which old shard each new one begins: --by FIELD, the key of the rewriting, or --map NEW=OLD")
    consumer = reader_client(settings, group_id=settings.group_of(pipeline.name))
    try:
        return _Warming(pipeline, asked, settings, keyring, stores, consumer).run()
    except KafkaException as error:
        raise broker_error(f"beginning the shards of {pipeline.source!r}", error, settings) from None
    finally:
        consumer.close()


class _Warming:
    def __init__(
        self, pipeline: Pipeline, asked: WarmStart, settings: Settings, keyring: Keyring, stores: Stores, consumer: Consumer
    ) -> None:
        self._pipeline, self._asked, self._settings = pipeline, asked, settings
        self._keyring, self._stores, self._consumer = keyring, stores, consumer
        self._new = partitions_of(consumer, pipeline.source, settings)
        self._old = partitions_of(consumer, asked.topic, settings)
        self._models: dict[int, OldModel] = {}

    def run(self) -> list[Warmed]:
        plan = self._plan()
        warm = {each.partition: each.from_partition for each in plan if each.from_partition is not None}
        if not warm:
            raise SettingsError(f"no record of {self._asked.topic!r} goes to a partition of {self._pipeline.source!r} by that key")
        self._refuse_what_has_begun(warm)
        begins = {new: self._begins_at(new) for new in warm}
        for new in warm:
            self._refuse_what_was_learned(new)
        admin = admin_client(self._settings)
        topic_id = topic_id_of(admin, self._pipeline.source)
        limits = ArtifactLimits(bytes_max=self._settings.artifacts_bytes_max, age_max_s=self._settings.artifacts_age_max_s)
        done = []
        for each in plan:
            if each.from_partition is None:
                done.append(each)
                continue
            id_, old = ShardId(self._pipeline.name, self._pipeline.source, each.partition), self._model(each.from_partition)
            at = begins[each.partition]
            name = begin_warm(self._pipeline, id_, at, topic_id, old, self._stores, self._keyring, limits)
            done.append(dataclasses.replace(each, begins_at=at, from_offset=old.offset, model=name))
        self._commit(begins, topic_id)
        return done

    def _plan(self) -> list[Warmed]:
        """Step 1."""
        chosen = self._asked.chosen
        for new, old in chosen.items():
            if new is not None and new not in self._new:
                raise SettingsError(f"--map {new}={old}: topic {self._pipeline.source!r} has the partitions 0 to {len(self._new) - 1}")
            if old not in self._old:
                raise SettingsError(f"--map: topic {self._asked.topic!r} has the partitions 0 to {len(self._old) - 1}, and not {old}")
        moves: Mapping[int, Counter[int]] = {}
        if self._asked.by is not None:
            partitioner = Partitioner(len(self._new), self._settings.kafka.get("partitioner", PARTITIONER))
            moves = counted_moves(self._settings, self._asked.topic, self._old, Rekey(self._asked.by), partitioner)
        plan = []
        for new in self._new:
            named = chosen.get(new, chosen.get(None))
            counts = moves.get(new)
            if named is not None:
                plan.append(Warmed(partition=new, from_partition=named))
            elif counts:
                old, most = max(counts.items(), key=lambda item: (item[1], -item[0]))
                plan.append(Warmed(partition=new, from_partition=old, share=round(most / counts.total(), 4)))
            else:
                plan.append(Warmed(partition=new))
        return plan

    def _refuse_what_has_begun(self, warm: Mapping[int, int]) -> None:
        found = committed_by(self._consumer, self._pipeline.source, warm, self._settings)
        if found:
            partition, place = next(iter(found.items()))
            raise StateError(
                f"group {self._settings.group_of(self._pipeline.name)!r} has committed offset {place.offset} of"
                f" {self._pipeline.source}/{partition}: it has begun, and a warm start is a beginning. Give the pipeline another name, or"
                " name the partitions that have not begun (--map)"
            )

    def _refuse_what_was_learned(self, new: int) -> None:
        """The first record tells of a rewriting where it came from; what no rewriting wrote tells nothing."""
        origin = _origin(_first(self._settings, self._pipeline.source, new))
        if origin is None or origin[0] != self._asked.topic:
            return
        _, partition, offset = origin
        learned = self._model(partition).offset
        if offset < learned:
            raise StateError(
                f"{self._pipeline.source}/{new} begins with the record {self._asked.topic}/{partition}/{offset}, which the old shard had"
                f" learned (its checkpoint is at offset {learned:,}): it would be answered and learned again. Rewrite what the old pipeline"
                " has not answered: stop its workers, and use repartition --after with its group, into another topic"
            )

    def _model(self, partition: int) -> OldModel:
        if partition not in self._models:
            old = ShardId(self._asked.pipeline, self._asked.topic, partition)
            self._models[partition] = old_model(self._pipeline, old, self._stores, self._keyring)
        return self._models[partition]

    def _begins_at(self, new: int) -> int:
        low, high = held_by(self._consumer, self._pipeline.source, new)
        return high if self._settings.start == "latest" else low

    def _commit(self, begins: Mapping[int, int], topic_id: str) -> None:
        note = CommitNote(topic_id, len(self._new)).text if topic_id else ""
        offsets = [TopicPartition(self._pipeline.source, new, offset, note) for new, offset in begins.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            failed = broker_error("committing where the shards begin", error, self._settings)
            raise BrokerError(f"{failed}. Stop the workers of group {self._settings.group_of(self._pipeline.name)!r} first") from None


def counted_moves(
    settings: Settings, topic: str, partitions: list[int], rekey: Rekey, partitioner: Partitioner, sample: int = SAMPLE_RECORDS
) -> dict[int, Counter[int]]:
    """By new partition, from which old ones its records come: over the last `sample` records of each old one."""
    moves: dict[int, Counter[int]] = defaultdict(Counter)
    for partition, message in _last(settings, topic, partitions, sample):
        key = rekey(message.key(), message.value())
        if isinstance(key, bytes):
            moves[partitioner(key)][partition] += 1
    return moves


def _last(settings: Settings, topic: str, partitions: list[int], sample: int) -> Iterator[tuple[int, Message]]:
    """The last committed records of each partition, as they are when the reading begins. Raises `BrokerError`."""
    consumer = reader_client(settings)
    try:
        places, open_ones = [], {}
        for partition in partitions:
            low, high = held_by(consumer, topic, partition)
            if high > low:
                places.append(TopicPartition(topic, partition, max(low, high - sample)))
                open_ones[partition] = high
        consumer.assign(places)
        until_s = time.monotonic() + SILENCE_MAX_S
        while open_ones:
            messages = consumer.consume(BATCH, POLL_S)
            until_s = time.monotonic() + SILENCE_MAX_S if messages else until_s
            if time.monotonic() > until_s:
                raise BrokerError(f"reading topic {topic!r}: no record and no end came for {SILENCE_MAX_S:.0f} s")
            for message in messages:
                partition, error = message.partition() or 0, message.error()
                at_end = error is not None and error.code() == KafkaError._PARTITION_EOF
                if error is not None and not at_end and not error.retriable():
                    raise KafkaException(error)
                if error is None and partition in open_ones and (message.offset() or 0) < open_ones[partition]:
                    yield partition, message
                if at_end or (partition in open_ones and (message.offset() or 0) >= open_ones[partition] - 1 and error is None):
                    open_ones.pop(partition, None)
    finally:
        consumer.close()


def _first(settings: Settings, topic: str, partition: int) -> Message | None:
    """The first committed record that is retained; None where there is none."""
    consumer = reader_client(settings)
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        until_s = time.monotonic() + SILENCE_MAX_S
        while time.monotonic() < until_s:
            for message in consumer.consume(1, POLL_S):
                error = message.error()
                if error is None:
                    return message
                if error.code() == KafkaError._PARTITION_EOF:
                    return None
        raise BrokerError(f"reading topic {topic!r}: no record and no end came for {SILENCE_MAX_S:.0f} s")
    finally:
        consumer.close()


def _origin(message: Message | None) -> tuple[str, int, int] | None:
    """Where a rewriting found a record; None where it does not say."""
    given: Any = (message.headers() if message is not None else None) or []
    for name, value in reversed(given):
        topic, _, place = bytes(value or b"").decode("utf-8", "replace").rpartition("/")
        topic, _, partition = topic.rpartition("/")
        if name == ORIGIN and partition.isdecimal() and place.isdecimal():
            return topic, int(partition), int(place)
    return None

"""Offsets that Kafka forgets, as it does where a group was away for longer than `offsets.retention.minutes`.

1. the workers go on until every shard has a checkpoint: one without cannot be told from one of a new group;
2. every worker is told to stop, and has to be gone in time;
3. the group's offsets are deleted, which Kafka does once the last static member's session has ended;
4. a worker that starts has to refuse, and to name the cause;
5. then all start, told to rebuild; they go on where the answers end, and the fault is over when each partition has an offset again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, TypeAlias

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from benchmarks.chaos_fleet import SESSION_TIMEOUT_S, Fleet
from stream_retrain import Pipeline
from stream_retrain.engines.kafka.clients import admin_client, base_config
from stream_retrain.errors import StreamRetrainError
from stream_retrain.facts.values import ShardId
from stream_retrain.settings import Settings
from stream_retrain.stores import connect

__all__ = ["Expired", "expire_offsets"]

Pause: TypeAlias = Callable[[], AbstractContextManager[None]]

CAUSE: Final = "offsets.retention.minutes"
REFUSED: Final = 1
CHECKPOINTED_WITHIN_S: Final = 30.0
EMPTY_WITHIN_S: Final = SESSION_TIMEOUT_S + 20.0
STABLE_WITHIN_S: Final = 45.0
"""Kafka looks every 10 s for transactions that took too long."""
REFUSED_WITHIN_S: Final = 90.0
BACK_WITHIN_S: Final = 180.0
REBUILD: Final = {"STREAM_RETRAIN_CHECKPOINT_UNFIT": "rebuild"}


class Expired(NamedTuple):
    """Whether it could be done, what to say of it, and what was not as it should be."""

    done: bool
    told: str
    wrong: list[str]


def expire_offsets(fleet: Fleet, settings: Settings, pipeline: Pipeline, partitions: int, pause: Pause) -> Expired:
    """Do it, by the numbered steps of this module; `pause` is entered from the second on. Raises `StreamRetrainError`."""
    group = settings.group_of(pipeline.name)
    consumer = Consumer({**base_config(settings), "group.id": group, "enable.auto.commit": False})
    places = [TopicPartition(pipeline.source, number) for number in range(partitions)]
    try:
        if not _all_have_checkpoints(consumer, places, settings, pipeline, fleet):
            return Expired(False, "no checkpoint, or nothing at all, is there in time, so nothing was done", [])
        with pause():
            began_s = time.monotonic()
            fleet.stop()
            begun = _begun(consumer, places)
            if bare := _bare(begun, settings, pipeline):
                fleet.start_all()
                return Expired(False, f"all were stopped; {bare} have no checkpoint any more, so nothing was deleted", [])
            _forget(settings, group)
            wrong = _refusal(fleet)
            fleet.start_all(REBUILD)
            if missing := _awaited(consumer, [TopicPartition(pipeline.source, number) for number in begun], fleet):
                told = f"offsets expired, and {BACK_WITHIN_S:.0f} s after the workers were told to rebuild {missing} have none"
                raise StreamRetrainError(told)  # whatever came next would say nothing
    finally:
        consumer.close()
    return Expired(True, f"the group's offsets are gone; {time.monotonic() - began_s:.0f} s later all partitions have one again", wrong)


def _all_have_checkpoints(consumer: Consumer, places: list[TopicPartition], settings: Settings, pipeline: Pipeline, fleet: Fleet) -> bool:
    """Whether every partition of which events were answered has a checkpoint in time, and there are such."""
    until_s = time.monotonic() + CHECKPOINTED_WITHIN_S
    while True:
        begun = _begun(consumer, places)
        if begun and not _bare(begun, settings, pipeline):
            return True
        if time.monotonic() >= until_s:
            return False
        fleet.look_after()
        time.sleep(0.2)


def _bare(partitions: list[int], settings: Settings, pipeline: Pipeline) -> list[int]:
    stores = connect(settings.redis_url)
    return [number for number in partitions if not stores.checkpoints.load(ShardId(pipeline.name, pipeline.source, number))]


def _begun(consumer: Consumer, places: list[TopicPartition]) -> list[int]:
    """The partitions of which anything is committed."""
    return [place.partition for place in _committed(consumer, places) if place.offset > 0]


def _committed(consumer: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """What is committed, once Kafka has ended the last transaction that a worker has left open."""
    until_s = time.monotonic() + STABLE_WITHIN_S
    while True:
        try:
            return consumer.committed(places, 5.0)
        except KafkaException:
            if time.monotonic() > until_s:
                raise


def _forget(settings: Settings, group: str) -> None:
    """Raises `KafkaException` if the group is not empty in time."""
    admin, until_s = admin_client(settings), time.monotonic() + EMPTY_WITHIN_S
    while True:
        try:
            admin.delete_consumer_groups([group], request_timeout=15)[group].result()
            return
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return  # an earlier request was carried out, and its answer lost
            if time.monotonic() > until_s:
                raise
            time.sleep(0.3)


def _refusal(fleet: Fleet) -> list[str]:
    """What is wrong with how a worker refuses."""
    exit_code, said = fleet.trial(REFUSED_WITHIN_S)
    if exit_code == REFUSED and CAUSE in said:
        return []
    return [f"offsets expired: a worker ended with {exit_code} and did not name the cause. It said:\n{said}"]


def _awaited(consumer: Consumer, places: list[TopicPartition], fleet: Fleet) -> list[int]:
    """The partitions that have no committed offset in time."""
    until_s, missing = time.monotonic() + BACK_WITHIN_S, [place.partition for place in places]
    while missing and time.monotonic() < until_s:
        fleet.look_after()
        try:
            missing = [place.partition for place in consumer.committed(places, 5.0) if place.offset < 0]
        except KafkaException:
            continue
        time.sleep(0.2)
    return missing

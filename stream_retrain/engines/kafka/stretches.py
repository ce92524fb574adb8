"""Which offsets of a topic lie between two bounds, and how many of them are deleted.

A range is a stretch of offsets in each partition: from the first record that is not older than its start, to before the first one that
is not older than its end. Where timestamps run back inside of it, the records there belong to it all the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream_retrain.engines.kafka.clients import partitions_of
from stream_retrain.engines.kafka.patiently import ELECTING, patiently
from stream_retrain.engines.kafka.range_text import AtOffset, AtTime, Bound
from stream_retrain.errors import SettingsError
from stream_retrain.settings import Settings

__all__ = ["Stretch", "find_stretches", "known_partitions"]

TIMEOUT_S: Final = 10.0
PAUSE_S: Final = 0.2


class Stretch(NamedTuple):
    """What a range is in one partition: the offsets from `first` to before `end`."""

    first: int
    end: int
    low: int
    """The first offset that the topic still holds."""
    high: int
    """The one after its last."""
    deleted: int
    """How many offsets of the range are below `low`; of a start by time, how many may be."""

    @property
    def offsets(self) -> int:
        """How many it has."""
        return max(0, self.end - self.first)


def known_partitions(consumer: Consumer, topic: str, named: Iterable[int], settings: Settings, where: str = "") -> list[int]:
    """The partitions of a topic. Raises `BrokerError`, and `SettingsError` that begins with `where` for one that is named and not there."""
    there = partitions_of(consumer, topic, settings)
    if unknown := sorted(set(named) - set(there)):
        raise SettingsError(f"{where}topic {topic!r} has the partitions 0 to {there[-1]}, and not {', '.join(map(str, unknown))}")
    return there


def find_stretches(consumer: Consumer, topic: str, partitions: Sequence[int], start: Bound, end: Bound) -> dict[int, Stretch]:
    """By partition, as the topic is now; what comes later is not in it. Raises `KafkaException`."""
    firsts, ends = _asked(consumer, topic, partitions, start), _asked(consumer, topic, partitions, end)
    return {partition: _stretch(consumer, topic, partition, start, firsts.get(partition), ends.get(partition)) for partition in partitions}


def _asked(consumer: Consumer, topic: str, partitions: Sequence[int], bound: Bound) -> dict[int, int | None]:
    """By partition, the offset at a bound; None for a time after which there is no record, nothing where there is no bound."""
    match bound:
        case None:
            return {}
        case AtOffset():
            return {partition: offset for partition in partitions if (offset := bound.of(partition)) is not None}
        case AtTime(ms):
            # To Kafka a time below 0 is a word of its own, such as "the end".
            asked = [TopicPartition(topic, partition, max(0, ms)) for partition in partitions]
            found = consumer.offsets_for_times(asked, TIMEOUT_S)
            for place in found:
                if place.error is not None:
                    raise KafkaException(place.error)
            return {place.partition: place.offset if place.offset >= 0 else None for place in found}


def _stretch(consumer: Consumer, topic: str, partition: int, start: Bound, first: int | None, end: int | None) -> Stretch:
    place, until_s = TopicPartition(topic, partition), time.monotonic() + TIMEOUT_S
    low, high = patiently(  # a topic that was just made has no leader for a moment
        lambda: consumer.get_watermark_offsets(place, TIMEOUT_S), lambda cause: cause.code() in ELECTING, until_s, pause_s=PAUSE_S
    )
    stop = high if end is None else min(high, end)
    if isinstance(start, AtTime):
        begin = high if first is None else first
        deleted = low if begin <= low else 0  # where a record before it is left, those that are deleted are older still
    else:
        begin = first or 0
        deleted = max(0, min(low, high if end is None else end) - begin)
    return Stretch(max(low, begin), max(low, stop), low, high, deleted)

"""The last committed records of a topic, or the first of a range: for a person who wants to see what is in it.

No group is joined and nothing is committed. Offsets are no count of records, since transactions leave markers among them: so the last
ones are looked for in a tail that is doubled until it holds enough.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final, NamedTuple

from confluent_kafka import Consumer

from stream_retrain.engines.kafka.clients import reading
from stream_retrain.engines.kafka.range_reader import read_stretches
from stream_retrain.engines.kafka.range_text import Bound
from stream_retrain.engines.kafka.stretches import Stretch, find_stretches, known_partitions
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["Peeked", "peek_first", "peek_last"]

TAIL_OFFSETS: Final = 64
"""Of each partition, beside the records that are wanted."""


class Peeked(NamedTuple):
    """Records in order of their timestamps, each with its partition; and by partition where the topic went on from there."""

    records: list[tuple[int, Record]]
    ends: dict[int, int]


def peek_last(settings: Settings, topic: str, count: int, partitions: Sequence[int] = ()) -> Peeked:
    """The last records of all partitions together. Raises `BrokerError`, and `SettingsError` for a partition that is not there."""
    with reading(settings, topic) as consumer:
        stretches = _stretches(consumer, topic, partitions, None, None, settings)
        tail = count + TAIL_OFFSETS
        while True:
            tails = {number: each._replace(first=max(each.first, each.end - tail)) for number, each in stretches.items()}
            found = list(read_stretches(consumer, topic, tails, settings))
            by_partition = {number: sum(1 for at, _ in found if at == number) for number in tails}
            if all(by_partition[number] >= count or tails[number].first <= each.first for number, each in stretches.items()):
                break
            tail *= 4
    return Peeked(found[-count:] if count else [], {number: each.high for number, each in stretches.items()})


def peek_first(settings: Settings, topic: str, count: int, start: Bound, end: Bound, partitions: Sequence[int] = ()) -> Peeked:
    """The first records of a range; it goes on behind the last one of each partition. Raises as `peek_last` does."""
    with reading(settings, topic) as consumer:
        stretches = _stretches(consumer, topic, partitions, start, end, settings)
        records = list(itertools.islice(read_stretches(consumer, topic, stretches, settings), count))
    ends = {number: each.first for number, each in stretches.items()}
    ends |= {partition: record.offset + 1 for partition, record in records}
    return Peeked(records, ends)


def _stretches(
    consumer: Consumer, topic: str, partitions: Sequence[int], start: Bound, end: Bound, settings: Settings
) -> dict[int, Stretch]:
    there = known_partitions(consumer, topic, partitions, settings)
    return find_stretches(consumer, topic, partitions or there, start, end)

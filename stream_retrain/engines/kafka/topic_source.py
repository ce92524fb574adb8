"""A range of a topic as the source of a backtest: what was live, read again by a private consumer.

It belongs to no group and commits nothing, so nobody notices it. The range is fixed when it is opened: what comes later does not belong to
it. Partitions are merged by the timestamps of their records (see `range_reader`).

What the range held and the topic does not hold any more is noted: records that retention has deleted, and offsets without a committed
record, which compaction, aborted transactions and the markers of transactions leave.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]  # it is exported, but for `__all__`

from stream_retrain.engines.kafka.clients import admin_client, reading
from stream_retrain.engines.kafka.range_reader import read_stretches
from stream_retrain.engines.kafka.range_text import AtOffset, AtTime, RangeText, parse_range
from stream_retrain.engines.kafka.stretches import Stretch, find_stretches, known_partitions
from stream_retrain.errors import SettingsError
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["TopicSource"]

TIMEOUT_S: Final = 5.0
LISTED_MAX: Final = 10


class TopicSource:
    """A range of a topic, as `range_text` says it."""

    def __init__(self, text: str, settings: Settings) -> None:
        """Looks where the range is. Raises `SettingsError` where it is empty or wrong, `BrokerError` where the topic is not there."""
        self.name = text
        self._settings = settings
        self._range = parse_range(text)
        with reading(self._settings, self._range.topic) as consumer:
            self._stretches = self._find(consumer)
        if not self.estimate():
            cut = sum(stretch.deleted for stretch in self._stretches.values())
            why = f": retention has deleted its {cut:,} offsets" if cut and not isinstance(self._range.start, AtTime) else ""
            timed = any(isinstance(bound, AtTime) for bound in (self._range.start, self._range.end))
            which = ". Times are those of the records, which may be when they were published" if timed else ""
            raise SettingsError(f"{self.name}: the range is empty{why}{self._held()}{which}")
        self._read_notes: list[str] = []
        self._compacted = _is_compacted(settings, self._range.topic)

    @property
    def notes(self) -> list[str]:
        """What is missing in the range, and what was odd about its records."""
        compacted = "the topic is compacted: of each key older records may be missing, so this is not all that was live"
        return [*_deleted(self._range, self._stretches), *([compacted] if self._compacted else []), *self._read_notes]

    def estimate(self) -> int:
        """How many offsets the range has."""
        return sum(stretch.offsets for stretch in self._stretches.values())

    def records(self) -> Iterator[tuple[int, Record]]:
        """Each committed record of the range. Raises `BrokerError`, and `SettingsError` where there is none."""
        newest_ms: dict[int, int] = {}
        count = back = 0
        with reading(self._settings, self._range.topic) as consumer:
            for partition, record in read_stretches(consumer, self._range.topic, self._stretches, self._settings):
                count += 1
                if record.timestamp_ms >= newest_ms.setdefault(partition, record.timestamp_ms):
                    newest_ms[partition] = record.timestamp_ms
                else:
                    back += 1
                yield partition, record
            if not count:
                raise SettingsError(f"{self.name}: no committed record is in the range{self._held()}")
            self._read_notes = list(self._odd(count, back, self._find(consumer)))

    def _find(self, consumer: Consumer) -> dict[int, Stretch]:
        topic, start, end, chosen = self._range
        named = {*chosen, *(partition for bound in (start, end) if isinstance(bound, AtOffset) for partition in bound.each)}
        there = known_partitions(consumer, topic, named, self._settings, f"{self.name}: ")
        return find_stretches(consumer, topic, chosen or there, start, end)

    def _held(self) -> str:
        """What the topic held when it was opened, as the end of a sentence."""
        there = {number: each for number, each in self._stretches.items() if each.high > each.low}
        held = [f"partition {number} offsets {each.low} to {each.high - 1}" for number, each in there.items()]
        more = ", ..." if len(held) > LISTED_MAX else ""
        return f"; topic {self._range.topic!r} holds {', '.join(held[:LISTED_MAX]) or 'nothing'}{more}"

    def _odd(self, count: int, back: int, now: dict[int, Stretch]) -> Iterator[str]:
        if holes := self.estimate() - count:
            yield (
                f"offsets of the range without a committed record: {holes:,} of {self.estimate():,}"
                " (markers of transactions, aborted records, or what compaction has removed)"
            )
        if moved := [number for number, before in self._stretches.items() if now[number].low > before.first]:
            said = ", ".join(map(str, moved))
            yield f"retention deleted records of the range while it was read, and some may be missing: partitions {said}"
        if back:
            yield f"records that are older than one before them in their partition: {back:,}; they were taken in order of offset"


def _deleted(wanted: RangeText, stretches: dict[int, Stretch]) -> list[str]:
    """What retention has cut off, as sentences."""
    deleted = {number: stretch.deleted for number, stretch in stretches.items() if stretch.deleted}
    if not deleted:
        return []
    listed = ", ".join(f"partition {number}: {count:,}" for number, count in list(deleted.items())[:LISTED_MAX])
    each = listed + (", ..." if len(deleted) > LISTED_MAX else "")
    count = sum(deleted.values())
    if isinstance(wanted.start, AtTime):
        return [f"the topic may have held older records of the range, which are deleted: at most {count:,} ({each})"]
    return [f"records of the range that are deleted and so missing: {count:,} offsets ({each})"]


def _is_compacted(settings: Settings, topic: str) -> bool:
    """Whether the topic's clean-up compacts it; False where one may not ask."""
    wanted, admin = ConfigResource(ConfigResource.Type.TOPIC, topic), admin_client(settings)
    try:
        [asked] = admin.describe_configs([wanted], request_timeout=TIMEOUT_S).values()
        return "compact" in (asked.result(TIMEOUT_S)["cleanup.policy"].value or "")
    except (KafkaException, KeyError, TimeoutError):
        return False

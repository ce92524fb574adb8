"""What becomes of labels, without a client: which go where, which wait, which are given up.

Protocol of use, for the relay's loop: `open` and `close` as partitions of the labels topic come and go; in between `take` what was read,
`asked` what questions became known, `expire` now and then; then `plan()` is what one transaction must hold, all of it or nothing. Where it
cannot be committed, this object is of no use any more: what it holds in memory went on with what was planned.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable
from typing import Final, TypeAlias

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.kafka.relay.index import QuestionIndex
from stream_retrain.engines.kafka.relay.label import Answer, LabelReader
from stream_retrain.engines.kafka.relay.waiting import Held, Waiting
from stream_retrain.errors import EventError
from stream_retrain.facts.records import Rejected, RejectReason
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.dead_letter import dead_letter
from stream_retrain.lane.formats.partitioner import Partitioner
from stream_retrain.lane.step import DEAD_LETTERS

__all__ = ["ANSWERS", "WAITING", "Plan", "Planned", "Router"]

ANSWERS: Final = "answers"
WAITING: Final = "waiting"
Planned: TypeAlias = tuple[str, int, bytes | None, bytes | None, list[tuple[str, str | bytes | None]]]
"""A record to produce: kind of topic, partition, key, value, headers."""


@dataclasses.dataclass(slots=True)
class Plan:
    """What one transaction must hold."""

    outputs: list[Planned] = dataclasses.field(default_factory=list)
    timestamps_ms: list[int] = dataclasses.field(default_factory=list)
    """Of each output; 0: the time at which it is sent."""
    offsets: dict[int, int] = dataclasses.field(default_factory=dict)
    """By partition of the labels topic the next offset to read: of each from which something comes, so that it is still ours."""
    relayed: int = 0
    rejected: collections.Counter[RejectReason] = dataclasses.field(default_factory=collections.Counter)

    def put(self, output: Planned, timestamp_ms: int = 0) -> None:
        """One more record to produce."""
        self.outputs.append(output)
        self.timestamps_ms.append(timestamp_ms)


class Router:
    """Decides for the labels of the partitions that are open."""

    def __init__(self, pipeline: Pipeline, partitions: int, *, record_bytes_max: int, partitioner: str) -> None:
        """`partitions`: those of the source."""
        labels = pipeline.labels
        assert labels.topic is not None, "a relay has a labels topic"
        self._pipeline, self._topic = pipeline.name, labels.topic
        self._labels = labels
        self._partitions = partitions
        self._reader = LabelReader(pipeline, record_bytes_max=record_bytes_max)
        self._dealt = Partitioner(partitions, partitioner)
        age_max_s = pipeline.pending_age_max_s if labels.index_age_max_s is None else labels.index_age_max_s
        self.index = QuestionIndex(labels.index_rows_max, labels.index_bytes_max, age_max_s)
        self._waiting: dict[int, Waiting] = {}
        self._by_id: dict[str, list[Held]] = {}
        self._position: dict[int, int] = {}
        self._plan = Plan()

    @property
    def waiting(self) -> int:
        """How many labels wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each open partition."""
        return dict(self._position)

    def open(self, partition: int, offset: int, held: Iterable[tuple[Record, int]]) -> None:
        """A partition of the labels topic came, to be read from `offset`; `held`: the labels that wait, and since when."""
        self.close(partition)
        self._position[partition] = offset
        self._waiting[partition] = Waiting(self._labels.early_rows_max, self._labels.early_bytes_max)
        for record, since_ms in held:
            try:
                answer = self._reader.read(record, since_ms)
            except EventError as error:  # it was read before by another schema
                self._reject(partition, record, error)
                self._forget(partition, record.offset)
                continue
            self._hold(Held(partition, record, answer.id, since_ms))
        for each in list(self._waiting[partition]):
            self._match(each)

    def close(self, partition: int) -> None:
        """A partition went."""
        for held in self._waiting.pop(partition, ()):
            self._unlist(held)
        self._position.pop(partition, None)

    def take(self, partition: int, records: Records, now_ms: int) -> None:
        """The next records of a partition."""
        records = records.since(self._position[partition])
        for offset in records.offsets:
            record = records.at(offset)
            try:
                answer = self._reader.read(record, now_ms)
            except EventError as error:
                self._reject(partition, record, error)
                continue
            target = self._target(partition, answer)
            if target is None:
                held = Held(partition, record, answer.id, now_ms)
                self._hold(held)
                self._plan.put((WAITING, partition, held.key, record.value, held.headers))
            else:
                self._answer(partition, record, answer, target)
        if records.offsets:
            self.reached(partition, records.offsets[-1] + 1)

    def reached(self, partition: int, position: int) -> None:
        """A partition is read up to a position, be it without records."""
        if position > self._position[partition]:
            self._position[partition] = self._plan.offsets[partition] = position

    def asked(self, id_: str, partition: int, timestamp_ms: int) -> None:
        """A question was asked in a partition of the source: labels that wait for it go there."""
        self.index.add(id_, partition, timestamp_ms)
        for held in list(self._by_id.get(id_, ())):
            self._match(held)

    def expire(self, now_ms: int) -> None:
        """Give up the labels that have waited too long, and those for which there is no place."""
        labels = self._labels
        before_ms = now_ms - int(labels.early_s * 1000)
        for waiting in self._waiting.values():
            for held, full in waiting.overdue(before_ms):
                why = f"no question with its id became known within early_age_max_s = {labels.early_s:g} s"
                if full:
                    why = "more labels wait for their questions than early_rows_max or early_bytes_max lets wait"
                self._reject(held.partition, held.record, EventError("no_question", why))
                self._release(held)

    def plan(self) -> Plan:
        """What is to be committed, which may be nothing; the next one begins."""
        plan, self._plan = self._plan, Plan()
        return plan

    def _target(self, partition: int, answer: Answer) -> int | None:
        match self._labels.route:
            case "partition":
                return partition
            case "key":
                return self._dealt(answer.key)
            case "id":
                found = self.index.partition_of(answer.id)
                return found if found is not None and found < self._partitions else None

    def _match(self, held: Held) -> None:
        """Bring a label that waits to its question, if that is known."""
        answer = self._reader.read(held.record, held.since_ms)
        if (target := self._target(held.partition, answer)) is not None:
            self._answer(held.partition, held.record, answer, target)
            self._release(held)

    def _answer(self, partition: int, record: Record, answer: Answer, target: int) -> None:
        origin = {"sr_label_topic": self._topic, "sr_label_partition": str(partition), "sr_label_offset": str(record.offset)}
        headers: list[tuple[str, str | bytes | None]] = [(name, text.encode()) for name, text in origin.items()]
        self._plan.put((ANSWERS, target, answer.key, answer.value, headers), answer.timestamp_ms)
        self._plan.offsets[partition] = self._position[partition]
        self._plan.relayed += 1

    def _hold(self, held: Held) -> None:
        self._waiting[held.partition].add(held)
        self._by_id.setdefault(held.id, []).append(held)

    def _release(self, held: Held) -> None:
        self._waiting[held.partition].drop(held)
        self._unlist(held)
        self._forget(held.partition, held.record.offset)

    def _forget(self, partition: int, offset: int) -> None:
        """A label waits no longer, which its topic is told."""
        self._plan.put((WAITING, partition, str(offset).encode(), None, []))
        self._plan.offsets[partition] = self._position[partition]

    def _unlist(self, held: Held) -> None:
        others = self._by_id[held.id]
        others.remove(held)
        if not others:
            del self._by_id[held.id]

    def _reject(self, partition: int, record: Record, error: EventError) -> None:
        reason: RejectReason = error.reason  # type: ignore[assignment]
        rejected = Rejected(offset=record.offset, reason=reason, detail=cut(error.detail), field=error.field)
        letter = dead_letter(ShardId(self._pipeline, self._topic, partition), record, rejected)
        self._plan.put((DEAD_LETTERS, partition % self._partitions, letter.key, letter.value, letter.headers))
        self._plan.rejected[reason] += 1

"""The partitions of a live run, one after the other: which offsets of each are to be compared, and what came of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.replay.comparison import Tally
from stream_retrain.engines.replay.past import Bound, KeptStates, PartitionPast, RunRange, Wanted
from stream_retrain.engines.replay.report import Impossible, PartitionReport, RunReport
from stream_retrain.engines.replay.verification import verify_partition
from stream_retrain.errors import SettingsError, StateError
from stream_retrain.facts.values import ShardId

__all__ = ["Progress", "RunPast", "verify_run"]

Progress: TypeAlias = Callable[[int, int, int, int], None]
"""Told the partition, the offset with which its replay began, the next one to learn, and the one before which it ends."""


class Commit(Protocol):
    """What the group has committed of a partition."""

    @property
    def offset(self) -> int: ...
    @property
    def other_topic(self) -> bool: ...


class RunPast(Protocol):
    """What there is of a run."""

    @property
    def partitions(self) -> list[int]: ...
    @property
    def committed(self) -> Mapping[int, Commit]: ...
    def offset_at(self, partition: int, time_s: float) -> int | None: ...
    def of(self, partition: int) -> PartitionPast: ...


def verify_run(
    pipeline: Pipeline,
    past: RunPast,
    kept: KeptStates,
    keyring: Keyring,
    wanted: RunRange,
    *,
    group: str,
    record_bytes_max: int,
    progress: Progress = lambda *_: None,
) -> RunReport:
    """Replay and compare what is wanted. Raises `SettingsError` for a partition or a range that is none, `BrokerError`, `StoreError`."""
    if unknown := [number for number in wanted.partitions if number not in past.partitions]:
        raise SettingsError(f"topic {pipeline.source!r} has the partitions {past.partitions}, and not {unknown[0]}")
    begun_s = time.monotonic()
    run = _Run(pipeline, past, kept, keyring, wanted, record_bytes_max, progress)
    reports = [run.partition(number) for number in wanted.partitions or past.partitions]
    return RunReport(
        pipeline=pipeline.name,
        topic=pipeline.source,
        group=group,
        predictions=wanted.predictions,
        partitions=tuple(reports),
        seconds=time.monotonic() - begun_s,
    )


class _Run:
    def __init__(
        self,
        pipeline: Pipeline,
        past: RunPast,
        kept: KeptStates,
        keyring: Keyring,
        wanted: RunRange,
        record_bytes_max: int,
        progress: Progress,
    ) -> None:
        self._pipeline, self._past, self._kept, self._keyring, self._wanted = pipeline, past, kept, keyring, wanted
        self._record_bytes_max = record_bytes_max
        self._progress = progress

    def partition(self, number: int) -> PartitionReport:
        """One partition, if there is something to compare."""
        id_ = ShardId(self._pipeline.name, self._pipeline.source, number)
        commit = self._past.committed.get(number)
        if commit is None:
            return _nothing(number, "the group has committed no offset of it")
        if commit.other_topic:
            reason = "what is committed is of an earlier topic of the same name: this one was made anew"
            return _nothing(number, reason, Impossible(0, commit.offset, reason))
        last, note = self._last(number, commit.offset)
        first = self._first(id_, last)
        if first is None:
            reason = "no checkpoint is stored"
            return _nothing(number, reason, Impossible(0, last, reason))
        if first >= last:
            return _nothing(number, f"there is nothing between offsets {first:,} and {last:,}")
        begin = self._wanted.from_checkpoint or self._wanted.begin.kind == "checkpoint"
        wanted = Wanted(from_offset=first, to_offset=last, predictions=self._wanted.predictions, from_checkpoint=begin)
        report = verify_partition(
            self._pipeline,
            id_,
            self._past.of(number),
            self._kept,
            self._keyring,
            wanted,
            record_bytes_max=self._record_bytes_max,
            progress=lambda began, offset: self._progress(number, began, offset, last),
        )
        return dataclasses.replace(report, notes=(*report.notes, note)) if note else report

    def _last(self, number: int, committed: int) -> tuple[int, str]:
        """The offset before which to end, at most the committed one."""
        end = self._offset(self._wanted.end, number)
        if end is None:
            return committed, ""
        return (end, "") if end <= committed else (committed, f"no more than offset {committed:,} is committed")

    def _first(self, id_: ShardId, last: int) -> int | None:
        """The first offset to compare; None where it is to be that of a checkpoint, and there is none."""
        if self._wanted.begin.kind != "checkpoint":
            found = self._offset(self._wanted.begin, id_.partition)
            return last if found is None else found
        offsets = []
        for sealed in self._kept.checkpoints(id_):
            try:
                offsets.append(unseal(sealed, self._keyring, where="a checkpoint")[0].offset)
            except StateError:
                continue
        return min(offsets, default=None)

    def _offset(self, bound: Bound, partition: int) -> int | None:
        match bound.kind:
            case "start":
                return 0
            case "offset":
                return int(bound.value)
            case "time":
                return self._past.offset_at(partition, bound.value)
            case _:
                return None


def _nothing(partition: int, note: str, impossible: Impossible | None = None) -> PartitionReport:
    return PartitionReport(
        partition=partition,
        from_offset=0 if impossible is None else impossible.from_offset,
        to_offset=0 if impossible is None else impossible.to_offset,
        began=(),
        records=0,
        inputs=0,
        tally=Tally(),
        impossible=() if impossible is None else (impossible,),
        notes=(note,),
    )

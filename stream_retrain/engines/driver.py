"""The driver: carries the shards of a worker, whatever feeds it.

An engine owns the log (Kafka, Faust, a file) and calls, in this order:

1. `open(partition, log)` when a partition becomes its own: fences older owners, restores the newest checkpoint that holds, and
   says from which offset to read;
2. `process(partition, records)` for each batch, in order of offset. Below `live_from` the events are learned and nothing is put
   out: they were answered before the restart;
3. `unsent()` when a commit is due: the outputs and the offsets that belong together;
4. `committed(offsets)` once they are committed, and only then: the window takes the rows, so that it never holds an event whose
   offset could be taken back. A crash between 3 and 4 leaves a gap in the window that the replay fills, because a checkpoint at
   an offset is written only after the window has every row below it;
5. `checkpoint_due(now_s)` now and then: at most one shard a call, so that pauses do not add up;
6. `close(partition)` when the partition goes.

State is a function of (pipeline, log): the driver adds nothing to it.

While the store is away (outages, a full Redis) the shards go on, and the window's rows wait. What a crash would have to learn
again grows meanwhile; beyond `replay_debt_events_max` the driver raises `StoreError`, and the worker lets its shards go until
the store is back: a replay then makes up for what was let go.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.outputs import dead_letter, encode_decisions, encode_predictions
from stream_retrain.codec.records import EventDecoder, Record
from stream_retrain.codec.seal import seal
from stream_retrain.codec.state import dump_state
from stream_retrain.core.messages import Fact, Predicted, Rejected, ShardId
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.shard import Shard
from stream_retrain.engines.facts import (
    Checkpointed,
    CheckpointFailed,
    Observed,
    Processed,
    Tell,
    WentLive,
    WindowRefilled,
)
from stream_retrain.engines.failpoints import FailPoint, reach
from stream_retrain.engines.outage import Outage
from stream_retrain.engines.outside import Outside
from stream_retrain.engines.restore import Log, Missing, Restore, Unfit, checkpoint_header, restore
from stream_retrain.engines.trainer import Trainer
from stream_retrain.engines.window_feed import WindowFeed
from stream_retrain.errors import StaleEpochError, StoreError, WindowGapError
from stream_retrain.stores.base import Stores, WindowLimits

__all__ = ["DEAD_LETTERS", "DECISIONS", "PREDICTIONS", "Driver", "DriverLimits", "Output", "Unsent"]

PREDICTIONS, DECISIONS, DEAD_LETTERS = "predictions", "decisions", "dead_letters"
OBSERVE_EVERY_S = 1.0


Output: TypeAlias = tuple[str, int, bytes | None, bytes | None, list[tuple[str, str | bytes | None]] | None]
"""A record to produce, in the partition of the record that caused it: kind of topic, partition, key, value, headers."""


@dataclasses.dataclass(frozen=True, slots=True)
class Unsent:
    """What one transaction must hold: outputs, and by partition the next offset to read."""

    outputs: list[Output]
    offsets: dict[int, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DriverLimits:
    """How rarely checkpoints may be written, how large a record may be, and what to do where nothing can be restored."""

    checkpoint_events: int = 50_000
    checkpoint_interval_s: float = 60.0
    record_bytes_max: int = 1_000_000
    replay_debt_events_max: int = 500_000
    checkpoint_missing: Missing = "earliest"
    checkpoint_unfit: Unfit = "fail"


@dataclasses.dataclass(slots=True)
class _Run:
    """A shard that is open, and how far it is."""

    id: ShardId
    shard: Shard
    epoch: int
    feed: WindowFeed
    next_offset: int
    live_from: int
    committed: int
    checkpointed: int
    checkpointed_at_s: float
    observed_at_s: float = float("-inf")
    outputs: list[Output] = dataclasses.field(default_factory=list)
    learned: int = 0

    @property
    def replaying(self) -> bool:
        return self.next_offset < self.live_from

    @property
    def replay_debt(self) -> int:
        return self.next_offset - self.checkpointed


class Driver:
    """The shards of one worker, by partition of the source topic."""

    def __init__(
        self,
        pipeline: Pipeline,
        stores: Stores,
        keyring: Keyring,
        limits: DriverLimits,
        tell: Tell,
        clock_s: Callable[[], float] = time.monotonic,
        trainer: Trainer | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._keyring = keyring
        self._limits = limits
        self._tell = tell
        self._decoder = EventDecoder(pipeline.schema, pipeline.task, record_bytes_max=limits.record_bytes_max)
        self._clock_s = clock_s
        self._outage = Outage(tell, clock_s)
        self._outside = Outside(pipeline, stores, keyring, trainer, tell)
        rows_max = pipeline.window_rows_max
        self._window = WindowLimits(rows_max=rows_max, age_max_s=pipeline.window_age_max_s) if rows_max else None
        self._runs: dict[int, _Run] = {}
        self.unsent_outputs = 0

    def open(self, partition: int, log: Log, now_s: float) -> int:
        """Take a partition over; the offset to read from.

        Raises `StateError` where its state does not fit the log or the pipeline, `StoreError` where the store does not answer.
        """
        id_ = ShardId(self._pipeline.name, self._pipeline.source, partition)
        limits = self._limits
        wanted = Restore(self._pipeline, id_, log, self._keyring, limits.checkpoint_missing, limits.checkpoint_unfit)
        restored = restore(wanted, self._stores, self._tell)
        run = _Run(
            id=id_,
            shard=restored.shard,
            epoch=restored.epoch,
            feed=WindowFeed(id_, restored.epoch, self._stores.window, self._window),
            next_offset=restored.offset,
            live_from=restored.live_from,
            # Where a group begins is committed at once, or `start = "latest"` would begin elsewhere after a crash.
            committed=restored.live_from - 1 if log.committed is None else restored.live_from,
            checkpointed=restored.offset,
            checkpointed_at_s=now_s,
        )
        run.feed.remember(restored.offset - 1)
        if restored.unsaved:
            self._save(run)
        self._runs[partition] = run
        reach("assign.restored")
        self._tell_if_live(run, restored.offset - 1)
        return restored.offset

    def process(self, partition: int, records: Sequence[Record]) -> None:
        """Learn a batch of one partition, in order of offset; records below the expected offset were had before, and are dropped."""
        run = self._runs.get(partition)
        if run is None:
            return
        if records[0].offset < run.next_offset:
            records = [record for record in records if record.offset >= run.next_offset]
            if not records:
                return
        started = time.perf_counter()
        before, replayed = run.next_offset, run.replaying
        events, rejected = self._decoder.decode_batch(records)
        outcome = run.shard.process(events)
        facts: list[Fact] = [*rejected, *outcome.facts] if rejected else outcome.facts
        run.next_offset = records[-1].offset + 1
        run.learned += len(outcome.learned)
        run.feed.add(outcome.learned)
        reach("replay.learned" if replayed else "poll.learned")
        if not run.replaying:
            unsent = len(run.outputs)
            self._put_out(run, records, outcome.predicted, facts)
            self.unsent_outputs += len(run.outputs) - unsent
        self._tell(
            Processed(
                shard=run.id,
                records=len(records),
                predicted=len(outcome.predicted),
                learned=len(outcome.learned),
                facts=facts,
                replayed=replayed,
                newest_time_s=events[-1].time_s if events else float("-inf"),
                seconds=time.perf_counter() - started,
            )
        )
        self._tell_if_live(run, before)

    def reached(self, partition: int, position: int) -> None:
        """The log has no more records below `position` (holes left by transactions or compaction are passed over)."""
        run = self._runs.get(partition)
        if run is not None and run.replaying and position > run.next_offset:
            before, run.next_offset = run.next_offset, min(position, run.live_from)
            self._tell_if_live(run, before)

    def replaying(self) -> list[int]:
        """The partitions that have not caught up with what was committed."""
        return [partition for partition, run in self._runs.items() if run.replaying]

    def unsent(self, partitions: Sequence[int] | None = None) -> Unsent:
        """The outputs and offsets to commit, of all partitions or of some; they stay here until `committed` says they are."""
        chosen = [run for run in self._chosen(partitions) if not run.replaying and run.next_offset > run.committed]
        outputs = [output for run in chosen for output in run.outputs]
        return Unsent(outputs, {run.id.partition: run.next_offset for run in chosen})

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Outputs and offsets given by the last `unsent` are committed: 1 drop the outputs; 2 append rows to the windows.

        Raises `StaleEpochError` where another owns a shard by now, `StoreError` where the store has been away for too long.
        """
        for partition, offset in offsets.items():
            run = self._runs[partition]
            self.unsent_outputs -= len(run.outputs)
            run.outputs.clear()
            run.committed = offset
        reach("commit.noted")
        for partition in offsets:
            self._fill(self._runs[partition], "commit.window_appended")

    def checkpoint_due(self, now_s: float) -> None:
        """Write the checkpoint of one shard whose time has come, if there is one."""
        for run in self._runs.values():
            if run.replaying and run.feed.waiting:
                self._fill(run, "replay.window_appended")
            old = now_s - run.checkpointed_at_s >= self._limits.checkpoint_interval_s and run.next_offset > run.checkpointed
            if (old or run.learned >= self._limits.checkpoint_events) and self._settled(run) and self._outage.may_ask():
                self._checkpoint(run, now_s)
                return

    def take_inputs(self, now_s: float) -> None:
        """Give settled shards what came from outside, by the numbered steps of `engines.outside`.

        Raises `StoreError` where the checkpoint that must hold an input could not be saved: the shards are then to be opened again.
        """
        for run in self._runs.values():
            if run.replaying or run.feed.waiting or not self._settled(run) or self._outage.lasts:
                continue
            inputs = self._outside.inputs_of(run.id, run.epoch, run.shard, now_s)
            for given in inputs:
                run.shard.receive(given)
            if inputs:
                reach("input.received")
                self._save(run)
                reach("input.saved")
                self._outside.taken(run.id, inputs)

    def checkpoint_all(self, now_s: float, deadline_s: float, partitions: Sequence[int] | None = None) -> None:
        """Write the checkpoint of every settled shard that has moved, while there is time; replay makes up for the others."""
        for run in self._chosen(partitions):
            if self._clock_s() < deadline_s and run.next_offset > run.checkpointed and self._settled(run):
                self._checkpoint(run, now_s)

    def observe(self, now_s: float) -> list[tuple[ShardId, int]]:
        """Tell how each shard stands, about once a second; the shards observed now, with the next offset of each."""
        seen = []
        for run in self._runs.values():
            if now_s - run.observed_at_s >= OBSERVE_EVERY_S:
                run.observed_at_s = now_s
                self._tell(Observed(shard=run.id, offset=run.next_offset, observation=run.shard.observe(), replay_debt=run.replay_debt))
                seen.append((run.id, run.next_offset))
        return seen

    def close(self, partition: int) -> ShardId | None:
        """Forget a partition and what was not committed of it; its id, if it was open."""
        run = self._runs.pop(partition, None)
        if run is None:
            return None
        self.unsent_outputs -= len(run.outputs)
        self._outside.closed(run.id)
        return run.id

    def digests(self) -> dict[int, str]:
        """The state digest of each shard. Slow on big models."""
        return {partition: run.shard.digest() for partition, run in self._runs.items()}

    def id_of(self, partition: int) -> ShardId:
        """The shard of an open partition."""
        return self._runs[partition].id

    def live_from(self, partition: int) -> int:
        """The first offset of an open partition that is answered and not only learned."""
        return self._runs[partition].live_from

    @property
    def partitions(self) -> list[int]:
        """The partitions that are open."""
        return list(self._runs)

    def _chosen(self, partitions: Sequence[int] | None) -> list[_Run]:
        return [run for partition, run in self._runs.items() if partitions is None or partition in partitions]

    def _put_out(self, run: _Run, records: Sequence[Record], predicted: Sequence[Predicted], facts: list[Fact]) -> None:
        """The records to produce for a batch, without those of offsets that were committed before a restart."""
        partition, live_from, outputs = run.id.partition, run.live_from, run.outputs
        if records[0].offset < live_from:
            records = [record for record in records if record.offset >= live_from]
            predicted = [fact for fact in predicted if fact.offset >= live_from]
            facts = [fact for fact in facts if fact.offset >= live_from]
        values = encode_predictions(predicted)
        if len(predicted) == len(records):  # every record was a question: no need to look its key up
            outputs.extend([(PREDICTIONS, partition, record[1], value, None) for record, value in zip(records, values, strict=True)])
            if not facts:
                return
            predicted, values = (), []
        by_offset = {record[0]: record for record in records}
        for fact, value in zip(predicted, values, strict=True):
            outputs.append((PREDICTIONS, partition, by_offset[fact[0]][1], value, None))
        for offset, value in encode_decisions(run.id, facts) if facts else ():
            outputs.append((DECISIONS, partition, by_offset[offset].key, value, None))
        for rejected in facts:
            if isinstance(rejected, Rejected):
                record = by_offset[rejected.offset]
                letter = dead_letter(run.id, record, rejected)
                outputs.append((DEAD_LETTERS, partition, record.key, letter.value, letter.headers))

    def _fill(self, run: _Run, appended: FailPoint) -> None:
        """Append what the window lacks; while the store is away, keep it, as long as the replay debt allows."""
        if self._outage.may_ask():
            try:
                run.feed.append(lambda gap: self._refill(run, gap), appended)
            except StaleEpochError:
                raise
            except StoreError as error:
                self._outage.failed(error)
            else:
                self._outage.answered()
        if self._outage.lasts and run.replay_debt > self._limits.replay_debt_events_max:
            raise StoreError(
                f"the store has been away while {run.replay_debt:,} records of {run.id} were learned, more than"
                f" replay_debt_events_max = {self._limits.replay_debt_events_max:,}: the shards wait until it is back"
            )

    def _refill(self, run: _Run, gap: WindowGapError) -> None:
        """The store has lost rows, so perhaps checkpoints: the next is due at once."""
        run.checkpointed_at_s = float("-inf")
        self._tell(WindowRefilled(shard=run.id, error=str(gap)))

    def _settled(self, run: _Run) -> bool:
        """Whether the shard's state is that of a committed offset."""
        return run.replaying or run.next_offset == run.committed

    def _checkpoint(self, run: _Run, now_s: float) -> None:
        """Save a settled shard; where the store does not take it, the next is tried soon, and replay makes up for it."""
        reach("checkpoint.due")
        try:
            self._save(run)
        except StaleEpochError:
            raise
        except StoreError as error:
            self._tell(CheckpointFailed(shard=run.id, error=str(error)))
            self._outage.failed(error)
            return
        self._outage.answered()
        run.learned, run.checkpointed_at_s = 0, now_s

    def _save(self, run: _Run) -> None:
        """1 append what the window lacks; 2 pickle and seal the state; 3 save it at its offset under this owner's epoch."""
        started = time.perf_counter()
        run.feed.append(lambda gap: self._refill(run, gap), "checkpoint.window_appended", confirm=True)
        payload = dump_state(run.shard.snapshot())
        sealed = seal(checkpoint_header(self._pipeline, run.id, run.next_offset, run.shard.generation), payload, self._keyring)
        reach("checkpoint.sealed")
        self._stores.checkpoints.save(run.id, run.epoch, run.next_offset, sealed)
        run.checkpointed = run.next_offset
        reach("checkpoint.saved")
        seconds = time.perf_counter() - started
        self._tell(Checkpointed(shard=run.id, offset=run.next_offset, bytes=len(sealed), seconds=seconds, at_s=time.time()))

    def _tell_if_live(self, run: _Run, before: int) -> None:
        if before < run.live_from <= run.next_offset:
            reach("replay.live")
            self._tell(WentLive(shard=run.id, offset=run.live_from))

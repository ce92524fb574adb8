"""The driver: the open lanes of a worker, whatever feeds it; it keeps the order of commits and checkpoints, and carries out commands.

An engine owns the log (Kafka, Faust, a file). It calls the driver in this order:

1. `open(partition, log)` when a partition becomes its own: fences older owners, restores the newest checkpoint that holds, and
   says from which offset to read and from which one on the lane is live;
2. `take(partition, records)` for each batch, in order of offset; the step is returned, for engines that want to see it;
3. `reached(partition, position)` where the log has no more records below a position (holes that transactions or compaction leave);
   `shorten(...)` where a topic refused an output for its size;
4. `unsent()` when a commit is due: the outputs and the offsets that belong together;
5. `committed(offsets)` once they are committed, and only then: the window takes the rows, so that it never holds an event whose
   offset could be taken back. A crash between 4 and 5 leaves a gap in the window that the replay fills, because a checkpoint at
   an offset is written only after the window has every row below it;
6. `settle(now_s)` after a commit: at most one checkpoint that is due, so that pauses do not add up; then, for shards that are
   settled, commands are carried out and inputs are taken;
7. `observe(now_s)` at every turn: how each shard stands, about once a second;
8. `checkpoint(partitions)` before partitions are given up in good order;
9. `close(partitions)` when they go.

State is a function of (pipeline, log, recorded inputs): the driver adds nothing to it.

While the store is away (outages, a full Redis) the lanes go on, and the window's rows wait. What a crash would have to learn
again grows meanwhile; beyond `replay_debt_events_max` the driver raises `StoreError`, and the worker gives its lanes up until
the store is back: a replay then makes up for what was given up.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.stamp import encoder_of
from stream_retrain.core.contest.commands import Stop
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.driver.inputs import Inputs
from stream_retrain.engines.driver.keeper import Keeper
from stream_retrain.engines.driver.limits import DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.driver.open_lane import OpenLane, opened_as
from stream_retrain.engines.driver.outage import Outage
from stream_retrain.engines.driver.promotions import OfRegistry, Promotions
from stream_retrain.engines.driver.restore import Restore, restore
from stream_retrain.engines.driver.save import Saver
from stream_retrain.engines.driver.schedules import Schedules
from stream_retrain.engines.driver.timed import restore_timed
from stream_retrain.engines.driver.told import Opened, Unsent
from stream_retrain.engines.failpoints import reach
from stream_retrain.engines.trainer import Trainer
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Observed, Processed, Tell, WentLive
from stream_retrain.lane.batch import Batch, Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Encode, Lane
from stream_retrain.lane.step import Output, OutputKind, Step
from stream_retrain.stores.ports import Looked, Stores, WindowLimits
from stream_retrain.stores.start import Start

__all__ = ["Driver"]

OBSERVE_EVERY_S: Final = 1.0


class Driver:
    """The open lanes of one worker, by partition of the source topic."""

    def __init__(
        self,
        pipeline: Pipeline,
        stores: Stores,
        keyring: Keyring,
        limits: DriverLimits,
        tell: Tell,
        clock_s: Callable[[], float] = time.monotonic,
        trainer: Trainer | None = None,
        encoder: Encode | None = None,
        promotions: Promotions | None = None,
        start: Start | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._pipeline = pipeline
        self._stores = stores
        self._keyring = keyring
        self._limits, self._start = limits, start
        self._tell = tell
        self._decoder = EventDecoder.of(pipeline, record_bytes_max=limits.record_bytes_max)
        self._encoder = encoder or encoder_of(pipeline, limits.record_bytes_max)
        self._clock_s = clock_s
        self._outage = Outage(tell, clock_s)
        promotions = promotions or Promotions(OfRegistry(stores, pipeline, keyring))
        self._keeper = Keeper(pipeline, stores, keyring, limits.versions, tell, self._outage, clock_s)
        keep, debt_max = functools.partial(self._keeper.settle, all_of_it=True), limits.replay_debt_events_max
        self._saver = Saver(pipeline, stores.checkpoints, keyring, tell, self._outage, keep, debt_max, wall_s)
        self.schedules = Schedules(pipeline, tell, wall_s)
        listening = self._keeper.listening
        self._inputs = Inputs(pipeline, stores, keyring, trainer, listening, limits.artifacts, promotions, self.schedules)
        rows_max = pipeline.window_rows_max
        self._window = WindowLimits(rows_max=rows_max, age_max_s=pipeline.window_age_max_s) if rows_max and limits.keeps_window else None
        self._open: dict[int, OpenLane] = {}
        self.unsent_outputs = 0

    @property
    def lanes(self) -> Mapping[int, Lane]:
        """The open lanes by partition, to look at."""
        return {partition: each.lane for partition, each in self._open.items()}

    def open(self, partition: int, log: Log, now_s: float) -> Opened:
        """Take a partition over.

        Raises `StateError` where its state does not fit the log or the pipeline, `StoreError` where the store does not answer.
        """
        id_ = ShardId(self._pipeline.name, self._pipeline.source, partition)
        limits = self._limits
        wanted = Restore(
            self._pipeline, id_, log, self._keyring, limits.checkpoint_missing, limits.checkpoint_unfit, self._start, limits.artifacts
        )
        restored = restore(wanted, self._stores, restore_timed(self._tell))
        lane = restored.lane(id_, self._decoder, self._encoder)
        lane.pauses = limits.pauses
        opened = opened_as(restored, lane, self._stores, self._window, now_s)
        opened.topic_id = log.topic_id
        opened.feed.remember(restored.offset - 1)
        opened.pause(self._stores.requests.look(id_), self._tell)
        self._keeper.opened(opened, restored)
        self.schedules.opened(id_, lane.shard, restored.saved_s)
        if restored.unsaved:
            self._saver.save(opened)
        self._open[partition] = opened
        reach("assign.restored")
        if not lane.replaying:
            self._went_live(lane)
        return Opened(id_, restored.offset, restored.live_from)

    def take(self, partition: int, given: Records | Batch) -> Step | None:
        """Learn a batch of one partition, in order of offset; None where nothing in it is new, or the partition is not open."""
        opened = self._open.get(partition)
        if opened is None:
            return None
        lane = opened.lane
        if isinstance(given, Records) and lane.replaying and len(given) and given.offsets[-1] >= lane.live_from:
            self._learn(opened, given.before(lane.live_from))  # what is silent and what is live are told apart
            given = given.since(lane.live_from)
        return self._learn(opened, given)

    def _learn(self, opened: OpenLane, given: Records | Batch) -> Step | None:
        started, announcing = time.perf_counter(), opened.lane.announcing
        step = opened.lane.take(given)
        if step is None:
            return None
        if announcing is not None and opened.lane.announcing is None:
            opened.checkpointed_at_s = float("-inf")  # it is told: a checkpoint that knows that is due
        opened.keep(step)
        self._keeper.learned(opened.id, step)
        self.unsent_outputs += len(step.outputs)
        reach("replay.learned" if step.replayed else "poll.learned")
        self._tell(
            Processed(
                shard=opened.id,
                records=step.records,
                predicted=len(step.predicted),
                learned=len(step.learned),
                facts=step.facts,
                replayed=step.replayed,
                newest_time_s=step.newest_time_s,
                seconds=time.perf_counter() - started,
                stamped_s=(given if isinstance(given, Records) else given.records).timestamps_ms[-1] / 1000,
                delays_s=step.delays_s,
            )
        )
        if step.went_live:
            self._went_live(opened.lane)
        return step

    def reached(self, partition: int, position: int) -> None:
        """The log has no more records below `position`: a live lane commits it, so that nothing is left behind it."""
        opened = self._open.get(partition)
        if opened is None or opened.lane.paused:
            return
        if opened.lane.reached(position):
            self._went_live(opened.lane)
        if not opened.lane.replaying and position > opened.lane.next_offset:
            opened.lane.next_offset = position

    @property
    def paused(self) -> set[int]:
        """Partitions of which nothing is taken (`Lane.paused`); `settle` looks whether they may go on."""
        return {partition for partition, opened in self._open.items() if opened.lane.paused}

    def position(self, partition: int) -> int:
        """The next offset that an open lane takes."""
        return self._open[partition].lane.next_offset

    def unsent(self, partitions: Iterable[int] | None = None) -> Unsent:
        """The outputs and offsets to commit, of all partitions or of some; they stay here until `committed` says they are."""
        chosen = [opened for opened in self._chosen(partitions) if opened.uncommitted]
        outputs = [output for opened in chosen for output in opened.outputs]
        return Unsent(outputs, {opened.id: opened.position for opened in chosen})

    def shorten(self, kind: OutputKind | None, partition: int | None, refused: Output | None) -> str | None:
        """Replace an unsent output that its topic refused for its size by a stub; which one, None where there is none to replace."""
        for opened in self._chosen(None if partition is None else [partition]):
            if (replaced := opened.shorten(kind, refused)) is not None:
                return f"{opened.id}: one of its {replaced[0]}, {len(replaced[3] or b''):,} bytes"
        return None

    def committed(self, offsets: Mapping[ShardId, int]) -> None:
        """Outputs and offsets given by the last `unsent` are committed: 1 drop the outputs; 2 append rows to the windows.

        Raises `StaleEpochError` where another owns a shard by now, `StoreError` where the store has been away for too long.
        """
        lanes = {id_: self._open[id_.partition] for id_ in offsets}
        for id_, opened in lanes.items():
            self.unsent_outputs -= len(opened.outputs)
            opened.outputs.clear()
            opened.committed = offsets[id_]
        reach("commit.noted")
        for opened in lanes.values():
            self._saver.fill(opened, "commit.window_appended")

    def settle(self, now_s: float) -> None:
        """1 write one checkpoint that is due; 2 keep versions; 3 carry out commands; 4 take inputs, by the steps of `driver.inputs`.

        Raises `StoreError` where the checkpoint that must hold an input could not be saved: the lanes are then to be opened again. Raises
        `LimitError` where a shard is to stop.
        """
        self._saver.turn()
        self._checkpoint_one(now_s)
        self._keeper.turn()
        for opened in self._open.values():
            self._saver.ahead(opened)
            if opened.lane.replaying or opened.feed.waiting or not opened.settled or self._outage.lasts or not self._keeper.settled(opened):
                continue
            while (command := opened.next_command()) is not None:
                if isinstance(command, Stop):
                    self._saver.checkpoint(opened, now_s)
                self._inputs.carry_out(opened.id, opened.epoch, command)
                del opened.commands[0]
            if (looked := self._inputs.look(opened.id, now_s)) is not None:
                self._take_inputs(opened, looked)
                opened.pause(looked, self._tell)

    def observe(self, now_s: float) -> list[tuple[ShardId, int]]:
        """Tell how each shard stands, about once a second; the shards observed now, with the offset each has committed."""
        seen = []
        for opened in self._open.values():
            if now_s - opened.observed_at_s >= OBSERVE_EVERY_S:
                opened.observed_at_s = now_s
                offset, debt = opened.lane.next_offset, opened.replay_debt
                seen_now, window = opened.lane.observe(), opened.feed.observe()
                self._keeper.seen(opened.id, seen_now)
                stands: dict[str, Any] = {"replay_debt": debt, "window": window, "paused": opened.lane.paused, "held": opened.lane.held}
                stands["schedules"] = self.schedules.seen(opened.id)
                self._tell(Observed(shard=opened.id, offset=offset, observation=seen_now, **stands))
                seen.append((opened.id, opened.committed))
        return seen

    def checkpoint(self, now_s: float, deadline_s: float, partitions: Iterable[int] | None = None) -> None:
        """Write the checkpoint of every settled shard that has moved, while there is time; replay makes up for the others."""
        for opened in self._chosen(partitions):
            if self._clock_s() < deadline_s and opened.replay_debt > 0 and opened.settled:
                self._saver.checkpoint(opened, now_s)

    def close(self, partitions: Iterable[int] | None = None) -> list[ShardId]:
        """Forget partitions and what was not committed of them, and undo what they asked for; those that were open."""
        closed = self._chosen(partitions)
        for opened in closed:
            del self._open[opened.id.partition]
            self._saver.forget(opened)
            self.unsent_outputs -= len(opened.outputs)
            for command in opened.lane.release():
                self._inputs.carry_out(opened.id, opened.epoch, command)
            self._inputs.forget(opened.id)
            self._keeper.close(opened.id)
        return [opened.id for opened in closed]

    def _chosen(self, partitions: Iterable[int] | None) -> list[OpenLane]:
        return [opened for partition, opened in self._open.items() if partitions is None or partition in partitions]

    def _checkpoint_one(self, now_s: float) -> None:
        for opened in self._open.values():
            if opened.feed.waiting and opened.settled:  # of a replay, also of one that is over
                self._saver.fill(opened, "replay.window_appended")
            old = now_s - opened.checkpointed_at_s >= self._limits.checkpoint_interval_s and opened.replay_debt > 0
            if (old or opened.learned >= self._limits.checkpoint_events) and opened.settled and self._outage.may_ask():
                self._saver.due(opened, now_s)
                return

    def _take_inputs(self, opened: OpenLane, looked: Looked) -> None:
        inputs = self._inputs.come_for(opened.lane, looked)
        if not inputs:
            return
        reach("input.come")
        self._inputs.keep(opened.lane, opened.epoch, inputs)
        self._keeper.challengers(opened, inputs)
        reach("input.kept")
        for given in inputs:
            opened.lane.receive(given)
        reach("input.received")
        self._saver.save(opened)
        reach("input.saved")
        self._inputs.taken(opened.id, inputs)

    def _went_live(self, lane: Lane) -> None:
        reach("replay.live")
        self._tell(WentLive(shard=lane.id, offset=lane.live_from))

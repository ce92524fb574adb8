"""How a shard is saved: its window after each commit, and a checkpoint by the numbered steps of `Saver.save`.

A state that takes long to pickle is pickled by a child while the loop goes on (`driver.apart`); the checkpoint is that of the offset at
which the child began, which was committed by then. A checkpoint that must be there before anything more is committed, and those at the
end, are written by the loop (`Saver.save`), and take the place of one that is being pickled. There is one child at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import Header, seal
from stream_retrain.codec.state import dump_state
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.cron import Cron
from stream_retrain.engines.driver.apart import Pickling, PicklingError
from stream_retrain.engines.driver.open_lane import OpenLane
from stream_retrain.engines.driver.origin import SAVED, untold
from stream_retrain.engines.driver.outage import Outage
from stream_retrain.engines.driver.stored import list_of_parts
from stream_retrain.engines.failpoints import FailPoint, reach
from stream_retrain.errors import StaleEpochError, StoreError, WindowGapError
from stream_retrain.facts.worker import Checkpointed, CheckpointFailed, Tell, WindowRefilled
from stream_retrain.models.segments import Segment
from stream_retrain.stores.ports import CheckpointStore

__all__ = ["Saver"]

APART_FROM_S: Final = 0.002
"""What pickling must have taken the last time to be done beside the loop; and as long as a fork took the last time."""
FORKS_MIN: Final = 1.0


class _Apart(NamedTuple):
    """A checkpoint whose state is being pickled beside the loop."""

    opened: OpenLane
    pickling: Pickling
    header: Header
    held_s: float
    """How long the loop waited for it so far."""


class Saver:
    """Writes checkpoints of open lanes, and what has to be stored before them; while the store is away, lanes go on as long as they may."""

    def __init__(
        self,
        pipeline: Pipeline,
        store: CheckpointStore,
        keyring: Keyring,
        tell: Tell,
        outage: Outage,
        keep: Callable[[OpenLane], object],
        replay_debt_events_max: int,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """`keep` stores the versions that began or ended."""
        self._pipeline = pipeline
        self._store = store
        self._keyring = keyring
        self._tell = tell
        self._outage = outage
        self._keep = keep
        self._replay_debt_events_max = replay_debt_events_max
        self._wall_s = wall_s if any(isinstance(each, Cron) for each in pipeline.triggers) else None
        """Where schedules need to know when a checkpoint was written."""
        self._apart: _Apart | None = None
        self._fork_s = 0.0
        """What the last fork took: the more memory is resident, the longer."""

    def fill(self, opened: OpenLane, appended: FailPoint) -> None:
        """Append what the window lacks; while the store is away, keep it, as long as the replay debt allows."""
        if self._outage.may_ask():
            try:
                opened.feed.append(lambda gap: self._refill(opened, gap), appended)
            except StaleEpochError:
                raise
            except StoreError as error:
                self._outage.failed(error)
            else:
                self._outage.answered()
        if self._outage.lasts and opened.replay_debt > self._replay_debt_events_max:
            raise StoreError(
                f"the store has been away while {opened.replay_debt:,} records of {opened.id} were learned, more than"
                f" replay_debt_events_max = {self._replay_debt_events_max:,}: the shards wait until it is back"
            )

    def ahead(self, opened: OpenLane) -> None:
        """Write some of what the next checkpoint will need; while the store is away, nothing."""
        if self._outage.lasts:
            return
        try:
            opened.parts.ahead(opened.lane.shard.segments())
        except StaleEpochError:
            raise
        except StoreError as error:
            self._outage.failed(error)

    def turn(self) -> None:
        """Save what was pickled beside the loop, if it is there by now. Raises `StaleEpochError`."""
        if (apart := self._apart) is None:
            return
        try:
            pickled = apart.pickling.ended()
        except PicklingError as error:
            self._apart = None
            self._failed(apart.opened, error)
            return
        if pickled is None:
            return
        self._apart, opened = None, apart.opened
        opened.pickling_s = pickled.seconds
        began = time.perf_counter()
        if self._holds(opened, lambda: self._put(opened, apart.header, pickled.payload)):
            opened.parts.saved(())
            self._done(opened, len(pickled.payload), apart.held_s + time.perf_counter() - began)
        else:
            opened.checkpointed_at_s = float("-inf")

    def due(self, opened: OpenLane, now_s: float) -> None:
        """As `checkpoint`, but a state that takes long to pickle is pickled beside the loop, and `turn` saves it."""
        if opened.pickling_s < max(APART_FROM_S, FORKS_MIN * self._fork_s) or any(True for _ in opened.lane.shard.segments()):
            self.checkpoint(opened, now_s)
        elif self._apart is None:
            reach("checkpoint.due")
            if self._holds(opened, lambda: self._begin(opened)):
                opened.learned, opened.checkpointed_at_s = 0, now_s

    def checkpoint(self, opened: OpenLane, now_s: float) -> None:
        """Save a settled shard; where the store does not take it, the next is tried soon, and replay makes up for it."""
        reach("checkpoint.due")
        if self._holds(opened, lambda: self.save(opened)):
            opened.learned, opened.checkpointed_at_s = 0, now_s

    def save(self, opened: OpenLane) -> None:
        """1 append what the window lacks; 2 keep the versions that began or ended; 3 pickle the state; 4 write the parts it names; 5 seal
        it, and save it at its offset under this owner's epoch; 6 drop the parts that are not needed any more. Raises `StoreError`."""
        started, lane, segments = time.perf_counter(), opened.lane, dict[str, Segment]()
        self.forget(opened)  # this one is newer
        self._prepare(opened)
        began = time.perf_counter()
        payload = dump_state(lane.snapshot(), segments)
        opened.pickling_s = time.perf_counter() - began
        parts = {digest: segment.data for digest, segment in segments.items()}
        digest, listed = list_of_parts(parts)
        written = opened.parts.keep({**parts, digest: listed} if parts else {})
        reach("checkpoint.parts_kept")
        self._put(opened, self._header(opened, digest), payload)
        opened.parts.saved({digest, *parts} if parts else ())
        self._done(opened, len(payload) + written, time.perf_counter() - started)

    def forget(self, opened: OpenLane) -> None:
        """What is being pickled of this shard is not wanted any more."""
        if self._apart is not None and self._apart.opened is opened:
            self._apart.pickling.drop()
            self._apart = None

    def _begin(self, opened: OpenLane) -> None:
        """Steps 1 and 2 of `save`; then a child begins step 3. The header is of this moment, as the state is."""
        began, lane = time.perf_counter(), opened.lane
        self._prepare(opened)
        forking = time.perf_counter()
        pickling = Pickling.begin(lambda: _whole(lane.snapshot()))
        self._fork_s = time.perf_counter() - forking
        if pickling is None:
            self.save(opened)
        else:
            self._apart = _Apart(opened, pickling, self._header(opened, list_of_parts({})[0]), time.perf_counter() - began)

    def _prepare(self, opened: OpenLane) -> None:
        opened.feed.append(lambda gap: self._refill(opened, gap), "checkpoint.window_appended", confirm=True)
        self._keep(opened)

    def _header(self, opened: OpenLane, digest: str) -> Header:
        lane, wall_s = opened.lane, self._wall_s
        extra = {**untold(lane.announcing), **({} if wall_s is None else {SAVED: repr(wall_s())})}
        told: dict[str, Any] = {"topic_id": opened.topic_id, "list_of_parts": digest, "extra": extra}
        return checkpoint_header(self._pipeline, lane.id, lane.next_offset, lane.shard.generation, waiting=lane.shard.waiting, **told)

    def _put(self, opened: OpenLane, header: Header, payload: bytes) -> None:
        sealed = seal(header, payload, self._keyring)
        reach("checkpoint.sealed")
        self._store.save(opened.id, opened.epoch, header.offset, sealed)
        opened.checkpointed = header.offset
        reach("checkpoint.saved")

    def _done(self, opened: OpenLane, size: int, seconds: float) -> None:
        self._tell(Checkpointed(shard=opened.id, offset=opened.checkpointed, bytes=size, seconds=seconds, at_s=time.time()))

    def _holds(self, opened: OpenLane, save: Callable[[], None]) -> bool:
        """Whether the store took it; that it did not is told. Raises `StaleEpochError`."""
        try:
            save()
        except StaleEpochError:
            raise
        except StoreError as error:
            self._tell(CheckpointFailed(shard=opened.id, error=str(error)))
            self._outage.failed(error)
            return False
        self._outage.answered()
        return True

    def _failed(self, opened: OpenLane, error: PicklingError) -> None:
        """The next one is due at once, and is pickled here."""
        opened.checkpointed_at_s, opened.pickling_s = float("-inf"), 0.0
        self._tell(CheckpointFailed(shard=opened.id, error=str(error)))

    def _refill(self, opened: OpenLane, gap: WindowGapError) -> None:
        """The store has lost rows, so perhaps checkpoints: the next is due at once."""
        opened.checkpointed_at_s = float("-inf")
        self._tell(WindowRefilled(shard=opened.id, error=str(gap)))


def _whole(state: Any) -> bytes:
    """In the child. Segments would have to be written to the store, which is not its to do."""
    segments: dict[str, Segment] = {}
    payload = dump_state(state, segments)
    if segments:
        raise ValueError("a state with segments is pickled by the loop")
    return payload

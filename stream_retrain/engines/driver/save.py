"""How a shard is saved: its window after each commit, and a checkpoint by the numbered steps of `Saver.save`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.keyring import Keyring
from stream_retrain.codec.seal import seal
from stream_retrain.codec.state import dump_state
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.react.cron import Cron
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

    def checkpoint(self, opened: OpenLane, now_s: float) -> None:
        """Save a settled shard; where the store does not take it, the next is tried soon, and replay makes up for it."""
        reach("checkpoint.due")
        try:
            self.save(opened)
        except StaleEpochError:
            raise
        except StoreError as error:
            self._tell(CheckpointFailed(shard=opened.id, error=str(error)))
            self._outage.failed(error)
            return
        self._outage.answered()
        opened.learned, opened.checkpointed_at_s = 0, now_s

    def save(self, opened: OpenLane) -> None:
        """1 append what the window lacks; 2 keep the versions that began or ended; 3 pickle the state; 4 write the parts it names; 5 seal
        it, and save it at its offset under this owner's epoch; 6 drop the parts that are not needed any more. Raises `StoreError`."""
        started, lane, id_ = time.perf_counter(), opened.lane, opened.id
        opened.feed.append(lambda gap: self._refill(opened, gap), "checkpoint.window_appended", confirm=True)
        self._keep(opened)
        segments: dict[str, Segment] = {}
        payload = dump_state(lane.snapshot(), segments)
        parts = {digest: segment.data for digest, segment in segments.items()}
        digest, listed = list_of_parts(parts)
        written = opened.parts.keep({**parts, digest: listed} if parts else {})
        reach("checkpoint.parts_kept")
        extra = {**untold(lane.announcing), **({} if self._wall_s is None else {SAVED: repr(self._wall_s())})}
        told: dict[str, Any] = {
            "topic_id": opened.topic_id,
            "list_of_parts": digest,
            "extra": extra,
        }
        header = checkpoint_header(self._pipeline, id_, lane.next_offset, lane.shard.generation, waiting=lane.shard.waiting, **told)
        sealed = seal(header, payload, self._keyring)
        reach("checkpoint.sealed")
        self._store.save(id_, opened.epoch, lane.next_offset, sealed)
        opened.checkpointed = lane.next_offset
        reach("checkpoint.saved")
        opened.parts.saved({digest, *parts} if parts else ())
        seconds, size = time.perf_counter() - started, len(sealed) + written
        self._tell(Checkpointed(shard=id_, offset=lane.next_offset, bytes=size, seconds=seconds, at_s=time.time()))

    def _refill(self, opened: OpenLane, gap: WindowGapError) -> None:
        """The store has lost rows, so perhaps checkpoints: the next is due at once."""
        opened.checkpointed_at_s = float("-inf")
        self._tell(WindowRefilled(shard=opened.id, error=str(gap)))

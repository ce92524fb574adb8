"""How a shard is saved: by the numbered steps of `Saver.save`."""

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
from stream_retrain.engines.driver.stored import list_of_parts
from stream_retrain.engines.failpoints import reach
from stream_retrain.errors import WindowGapError
from stream_retrain.facts.worker import Checkpointed, Tell
from stream_retrain.models.segments import Segment
from stream_retrain.stores.ports import CheckpointStore

__all__ = ["Saver"]


class Saver:
    """Writes checkpoints of open lanes."""

    def __init__(
        self, pipeline: Pipeline, store: CheckpointStore, keyring: Keyring, tell: Tell, wall_s: Callable[[], float] = time.time
    ) -> None:
        self._pipeline = pipeline
        self._store = store
        self._keyring = keyring
        self._tell = tell
        self._wall_s = wall_s if any(isinstance(each, Cron) for each in pipeline.triggers) else None
        """Where schedules need to know when a checkpoint was written."""

    def save(self, opened: OpenLane, on_gap: Callable[[WindowGapError], None], keep: Callable[[], None]) -> None:
        """1 append what the window lacks; 2 keep the versions that began or ended; 3 pickle the state; 4 write the parts it names; 5 seal
        it, and save it at its offset under this owner's epoch; 6 drop the parts that are not needed any more. Raises `StoreError`."""
        started, lane, id_ = time.perf_counter(), opened.lane, opened.id
        opened.feed.append(on_gap, "checkpoint.window_appended", confirm=True)
        keep()
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

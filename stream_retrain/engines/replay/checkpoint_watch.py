"""What was seen of a shard's checkpoints while it ran: an offset that is never above the committed one, and never goes back except after
the store lost what it had.
"""

from __future__ import annotations

from collections.abc import Mapping

from stream_retrain.facts.values import ShardId

__all__ = ["CheckpointWatch"]


class CheckpointWatch:
    """Takes checkpoint offsets as they are seen; `faults` says what must not be."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.seen = 0
        self._newest: dict[ShardId, int] = {}

    def saw(self, shard: ShardId, offset: int, committed: int | None) -> None:
        """A checkpoint at `offset` was there before `committed` was read."""
        self.seen += 1
        if committed is None or offset > committed:
            self.faults.append(f"{shard}: a checkpoint at {offset}, and {committed} is committed")
        if offset < self._newest.get(shard, 0):
            self.faults.append(f"{shard}: the checkpoint went back from {self._newest[shard]} to {offset}")
        self._newest[shard] = offset

    def forget(self, shards: Mapping[ShardId, object] | None = None) -> None:
        """The store was emptied: what comes next may begin anywhere."""
        for shard in list(self._newest if shards is None else shards):
            self._newest.pop(shard, None)

"""The errors with which a store refuses a write: the same messages from every store."""

from __future__ import annotations

from stream_retrain.errors import RequestsFullError, StaleEpochError, StateError, StoreError, WindowGapError
from stream_retrain.facts.values import ShardId

__all__ = ["offset_below_stored", "owned_by_group", "requests_full", "stale_epoch", "window_gap"]


def stale_epoch(shard: ShardId, epoch: int, stored: int) -> StaleEpochError:
    """The writer's `epoch` is older than the stored one."""
    return StaleEpochError(
        f"Shard {shard} was claimed under epoch {stored}, so epoch {epoch} can no longer write to it: "
        "another worker owns it now, or this one has claimed it again"
    )


def offset_below_stored(shard: ShardId, offset: int, stored: int) -> StoreError:
    """A checkpoint would replace one with a higher offset."""
    return StoreError(
        f"A checkpoint of shard {shard} at offset {offset} was not saved: there is one at offset {stored}, and state never goes back. "
        "If the topic was created again, delete the shard's checkpoints first"
    )


def window_gap(shard: ShardId, after: int, ends: int | None) -> WindowGapError:
    """The window had reached the offset `after`, and now ends at `ends`."""
    found = "is empty" if ends is None else f"ends at offset {ends}"
    return WindowGapError(
        f"The window of shard {shard} had rows up to offset {after}, and now {found}: the store was emptied, or restored from a backup"
    )


def requests_full(shard: ShardId, waiting: int) -> RequestsFullError:
    """As many requests wait for the shard as may."""
    return RequestsFullError(
        f"{waiting} requests wait for shard {shard} already, which takes them with its events: see that a worker has it, that it is not"
        " paused (stream-retrain resume), and that events come"
    )


def owned_by_group(shard: ShardId, group: str, owner: str, where: str) -> StateError:
    """Another consumer group has the shard: two would overwrite each other's state, and publish everything twice."""
    return StateError(
        f"Shard {shard} belongs to the consumer group {owner!r}, and this worker is of {group!r}: give its pipeline a name or a Redis"
        f" database of its own. If the other group is gone for good, delete {where}"
    )

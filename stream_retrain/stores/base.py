"""The ports of the stores: what a shard leaves outside the process, and who may write it.

Ownership is a number. `CheckpointStore.claim` gives an epoch greater than every one given before for that shard; each write
carries the epoch its writer claimed, and a write with an older one raises `StaleEpochError` and changes nothing (law 5).

Every method raises `StoreError` when the store cannot be reached or refuses; the message says which and what to look at.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

from stream_retrain.core.messages import Learned, ShardId
from stream_retrain.stores.jobs import JobStore
from stream_retrain.stores.requests import RequestStore
from stream_retrain.stores.window import WindowChunk

__all__ = ["CheckpointStore", "Stores", "WindowLimits", "WindowSpan", "WindowStore"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimits:
    """How much a window keeps; both limits hold, and a chunk is dropped only when every row of it is beyond one of them."""

    rows_max: int = 10_000
    age_max_s: float | None = None
    """Event time, counted back from the newest row of the batch appended; None: no limit by age."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowSpan:
    """What a window holds now."""

    rows: int
    first_offset: int
    last_offset: int
    oldest_time_s: float
    newest_time_s: float


class WindowStore(Protocol):
    """The last labelled events of each shard, in order of offset."""

    def append(self, shard: ShardId, epoch: int, chunk: WindowChunk, limits: WindowLimits, *, after: int | None = None) -> int:
        """Append a chunk of rows and trim; return how many were new.

        Rows at or below the last offset already held are skipped, so that appending twice changes nothing, however the
        rows were cut into batches the first time. `after` is an offset that the window is known to have reached: if it ends
        below it, the store has lost rows, nothing is appended, and `WindowGapError` is raised. Raises `StaleEpochError`.
        """
        ...

    def last(self, shard: ShardId, rows_max: int, *, since_time_s: float | None = None, through_offset: int | None = None) -> list[Learned]:
        """The last `rows_max` rows, oldest first: those not older than `since_time_s` and not beyond `through_offset`."""
        ...

    def after(self, shard: ShardId, offset: int, rows_max: int) -> list[Learned]:
        """The first `rows_max` rows beyond `offset`, oldest first; what was trimmed meanwhile is not among them."""
        ...

    def span(self, shard: ShardId) -> WindowSpan | None:
        """What the window holds, or None if it is empty."""
        ...


class CheckpointStore(Protocol):
    """The newest checkpoints of each shard (at least the last two), as sealed bytes."""

    def claim(self, shard: ShardId) -> int:
        """Become the shard's owner: a new epoch, greater than any given before; older epochs can write no more."""
        ...

    def save(self, shard: ShardId, epoch: int, offset: int, sealed: bytes) -> None:
        """Store a checkpoint taken at `offset`, atomically; the one before is kept.

        Saving again at the same offset replaces it. Raises `StaleEpochError`, and `StoreError` for an offset below the stored one.
        """
        ...

    def load(self, shard: ShardId) -> list[bytes]:
        """The stored checkpoints, newest first; empty if there is none."""
        ...

    def delete(self, shard: ShardId, epoch: int) -> None:
        """Forget every checkpoint of the shard. Raises `StaleEpochError`."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The stores a worker needs, from one place."""

    window: WindowStore
    checkpoints: CheckpointStore
    jobs: JobStore
    requests: RequestStore
    ping: Pinger
    """Raises `StoreError` when the store does not answer."""


class Pinger(Protocol):
    def __call__(self) -> None: ...

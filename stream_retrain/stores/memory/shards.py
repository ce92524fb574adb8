"""What the memory stores keep of each shard, under one lock: they share its epoch."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.ports import PAUSE_TOKENS_MAX, Ending, JobStatus
from stream_retrain.stores.refusals import stale_epoch
from stream_retrain.stores.window import WindowChunk

__all__ = ["Shards", "StoredArtifact", "StoredJob", "StoredShard"]


class StoredArtifact(NamedTuple):
    """A sealed model, and when it was kept."""

    sealed: bytes
    kept_at_s: float


@dataclasses.dataclass(slots=True)
class StoredShard:
    """Everything stored of one shard."""

    epoch: int = 0
    group: str | None = None
    chunks: collections.deque[WindowChunk] = dataclasses.field(default_factory=collections.deque)
    rows: int = 0
    """Of all chunks together."""
    checkpoints: list[tuple[int, bytes]] = dataclasses.field(default_factory=list)
    """Newest first, each with its offset."""
    parts: dict[str, bytes] = dataclasses.field(default_factory=dict)
    """Of checkpoints, by digest."""
    job: StoredJob | None = None
    requests: list[Asked] = dataclasses.field(default_factory=list)
    paused: Asked | None = None
    resumed: int | None = None
    pause_tokens: collections.deque[str] = dataclasses.field(default_factory=lambda: collections.deque(maxlen=PAUSE_TOKENS_MAX))
    artifacts: dict[str, StoredArtifact] = dataclasses.field(default_factory=dict)
    """By name, oldest first."""
    versions: dict[bytes, bytes] = dataclasses.field(default_factory=dict)
    """Texts by id."""
    models: dict[str, bytes] = dataclasses.field(default_factory=dict)
    """Sealed, by name."""


@dataclasses.dataclass(slots=True)
class StoredJob:
    """A job that was asked for; `heartbeat_s` and `expires_s` are times of the monotonic clock."""

    token: str
    base: bytes | None
    expire_s: float
    heartbeat_s: float = 0.0
    expires_s: float = 0.0
    status: JobStatus = "waiting"
    rows: int = 0
    rows_total: int | None = None
    ending: Ending | None = None

    def renew(self) -> None:
        """A step or a heartbeat: the time until it expires begins again."""
        self.heartbeat_s = time.monotonic()
        self.expires_s = self.heartbeat_s + self.expire_s


class Shards:
    """The stored shards, by id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[ShardId, StoredShard] = {}

    @contextlib.contextmanager
    def locked(self, shard: ShardId) -> Iterator[StoredShard]:
        """The shard, under the lock."""
        with self._lock:
            yield self._kept.setdefault(shard, StoredShard())

    def ids(self) -> list[ShardId]:
        """The shards there are."""
        with self._lock:
            return list(self._kept)

    @contextlib.contextmanager
    def owned(self, shard: ShardId, epoch: int) -> Iterator[StoredShard]:
        """The shard, under the lock, for a write of the owner of `epoch`. Raises `StaleEpochError`."""
        with self.locked(shard) as stored:
            if epoch < stored.epoch:
                raise stale_epoch(shard, epoch, stored.epoch)
            stored.epoch = epoch
            yield stored

"""The stores in this process's memory, for tests, backtests and experiments; their content is lost when the process ends.

The twin of the Redis stores: the same chunks, the same trimming, the same errors. One contract suite runs on both. Only requests
differ: here they never expire.
"""

from __future__ import annotations

from stream_retrain.codec.keyring import Keyring
from stream_retrain.stores.memory.artifacts import MemoryArtifactStore
from stream_retrain.stores.memory.checkpoints import MemoryCheckpointStore
from stream_retrain.stores.memory.jobs import MemoryJobStore
from stream_retrain.stores.memory.parts import MemoryPartStore
from stream_retrain.stores.memory.requests import MemoryRequestStore
from stream_retrain.stores.memory.shards import Shards
from stream_retrain.stores.memory.versions import MemoryModelStore, MemoryVersionStore
from stream_retrain.stores.memory.window import MemoryWindowStore
from stream_retrain.stores.memory.workers import MemoryWorkerStore
from stream_retrain.stores.ports import Stores

__all__ = ["memory_stores"]


def memory_stores(keyring: Keyring, group: str | None = None) -> Stores:
    """New, empty stores, which share their epochs."""
    shards = Shards()
    return Stores(
        window=MemoryWindowStore(shards, keyring),
        checkpoints=MemoryCheckpointStore(shards, group),
        parts=MemoryPartStore(shards),
        jobs=MemoryJobStore(shards),
        requests=MemoryRequestStore(shards),
        artifacts=MemoryArtifactStore(shards),
        workers=MemoryWorkerStore(),
        versions=MemoryVersionStore(shards),
        models=MemoryModelStore(shards),
        ping=lambda: None,
    )

"""The stores in Redis (or Valkey), 6.2 or later.

Keys and scripts are described in `stores.redis.scripts`. After a lost connection a call is retried for about a second. This is safe,
because every script may run twice (an append that was carried out before the connection broke then counts its rows as not new).
A call that timed out is not retried, so that the driver gets the error soon.
"""

from __future__ import annotations

from typing import Final

from stream_retrain.codec.keyring import Keyring
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.redis.artifacts import RedisArtifactStore
from stream_retrain.stores.redis.checkpoints import RedisCheckpointStore
from stream_retrain.stores.redis.jobs import RedisJobStore
from stream_retrain.stores.redis.parts import RedisPartStore
from stream_retrain.stores.redis.requests import RedisRequestStore
from stream_retrain.stores.redis.server import RedisServer
from stream_retrain.stores.redis.versions import RedisModelStore, RedisVersionStore
from stream_retrain.stores.redis.window import RedisWindowStore
from stream_retrain.stores.redis.workers import RedisWorkerStore

__all__ = ["PERMANENT_KEYS", "redis_stores"]

PERMANENT_KEYS: Final = (
    *("sr:{*}:epoch", "sr:{*}:group", "sr:{*}:window", "sr:{*}:checkpoint", "sr:{*}:checkpoint_previous"),
    *("sr:{*}:parts", "sr:{*}:artifacts", "sr:{*}:artifact_times"),
    *("sr:{*}:versions", "sr:{*}:models", "sr:{*}:pause"),
)
"""Glob patterns of the keys that never expire: a shard's state must be kept however long its worker is stopped."""


def redis_stores(url: str, keyring: Keyring, group: str | None, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> Stores:
    """The stores of one server, which share their epochs; nothing is sent until the first call.

    `timeout_s` is for one answer of the server. Values in the query of the URL (`?socket_timeout=10`) override these.
    Raises SettingsError if the URL is wrong.
    """
    server = RedisServer(url, timeout_s, connect_timeout_s)
    return Stores(
        window=RedisWindowStore(server, keyring),
        checkpoints=RedisCheckpointStore(server, keyring, group),
        parts=RedisPartStore(server),
        jobs=RedisJobStore(server),
        requests=RedisRequestStore(server),
        artifacts=RedisArtifactStore(server),
        workers=RedisWorkerStore(server),
        versions=RedisVersionStore(server),
        models=RedisModelStore(server),
        ping=server.ping,
    )

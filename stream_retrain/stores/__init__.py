"""The stores of shards, by their URL: windows, checkpoints, jobs and requests."""

from __future__ import annotations

from stream_retrain.errors import SettingsError
from stream_retrain.stores.ports import Stores

__all__ = ["connect"]


def connect(url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> Stores:
    """The stores at `url`: `redis://`, `rediss://` or `unix://` (`valkey://` and `valkeys://` mean the same), or `memory://`.

    Each `memory://` is a new, empty store, lost when the process ends. Nothing is sent until the first call; `ping` tells whether the
    store answers. Raises SettingsError for any other URL.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "memory":
            from stream_retrain.stores.memory import memory_stores

            return memory_stores()
        case "redis" | "rediss" | "unix" | "valkey" | "valkeys":
            # Imported here, because redis-py takes a fifth of a second to import, and replays do not need it.
            from stream_retrain.stores.redis.stores import redis_stores

            return redis_stores(f"{scheme.replace('valkey', 'redis')}://{rest}", timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
    raise SettingsError("The URL of the store must begin with redis://, rediss://, unix:// or memory://")

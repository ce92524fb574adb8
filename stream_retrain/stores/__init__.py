"""Where shards keep their windows and checkpoints, behind a URL."""

from __future__ import annotations

from stream_retrain.errors import SettingsError
from stream_retrain.stores.base import Stores

__all__ = ["connect"]


def connect(url: str, *, timeout_s: float = 5.0, connect_timeout_s: float = 2.0) -> Stores:
    """The stores at `url`: `redis://`, `rediss://` or `unix://` (`valkey://` and `valkeys://` mean the same), or `memory://`.

    Each `memory://` is a store of its own, empty and gone with the process. Nothing is sent until the first call; `ping`
    tells whether it answers. Raises SettingsError if the URL is not one of these.
    """
    scheme, _, rest = url.partition("://")
    match scheme:
        case "memory":
            from stream_retrain.stores.memory import memory_stores

            return memory_stores()
        case "redis" | "rediss" | "unix" | "valkey" | "valkeys":
            # Here, because redis-py takes a fifth of a second to import, and replays do without.
            from stream_retrain.stores.redis import redis_stores

            return redis_stores(f"{scheme.replace('valkey', 'redis')}://{rest}", timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
    raise SettingsError("The store's URL begins with redis://, rediss://, unix:// or memory://, and the one given does not")

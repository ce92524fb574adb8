"""The stores of shards, by their URL: windows, checkpoints, jobs and requests."""

from __future__ import annotations

import dataclasses

from stream_retrain.codec.keyring import Keyring
from stream_retrain.errors import SettingsError
from stream_retrain.stores.ports import Stores

__all__ = ["connect"]


def connect(
    url: str,
    *,
    keyring: Keyring | None = None,
    group: str | None = None,
    artifacts_url: str | None = None,
    timeout_s: float = 5.0,
    connect_timeout_s: float = 2.0,
) -> Stores:
    """The stores at `url`: `redis://`, `rediss://` or `unix://` (`valkey://` and `valkeys://` mean the same), or `memory://`.

    `keyring` seals windows; without one they are unsigned. `group` is the consumer group for which shards are claimed, so that a worker of
    another one is refused; without one, whoever asks may claim. `artifacts_url` is where copies of models belong (`stores.objects`);
    without one they are in this store.

    Each `memory://` is a new, empty store, lost when the process ends. Nothing is sent until the first call; `ping` tells whether the
    store answers. Raises SettingsError for any other URL.
    """
    keyring = keyring or Keyring.unsigned()
    if artifacts_url is not None:
        from stream_retrain.stores.objects import object_store

        stores = connect(url, keyring=keyring, group=group, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
        return dataclasses.replace(stores, objects=object_store(artifacts_url))
    scheme, _, rest = url.partition("://")
    match scheme:
        case "memory":
            from stream_retrain.stores.memory import memory_stores

            return memory_stores(keyring, group)
        case "redis" | "rediss" | "unix" | "valkey" | "valkeys":
            # Imported here, because redis-py takes a fifth of a second to import, and replays do not need it.
            from stream_retrain.stores.redis.stores import redis_stores

            address = f"{scheme.replace('valkey', 'redis')}://{rest}"
            return redis_stores(address, keyring, group, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
    raise SettingsError("The URL of the store must begin with redis://, rediss://, unix:// or memory://")

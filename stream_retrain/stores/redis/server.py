"""The Redis client, which raises our errors, and the names of our keys."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream_retrain.errors import SettingsError, StoreError
from stream_retrain.facts.values import ShardId
from stream_retrain.stores.redis.errors import connection_lost, redacted, store_error, unknown_options

__all__ = ["RedisServer", "WrongTypeError", "key_of"]

_Answer = TypeVar("_Answer")
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4)
_HEALTH_CHECK_INTERVAL_S: Final = 30


class WrongTypeError(StoreError):
    """A key of ours holds another program's type."""


class RedisServer:
    """A Redis client that raises `StoreError`.

    It retries by itself instead of letting redis-py do so: redis-py's retries of a command, of a connection and of a health check
    multiply, and it retries after a wrong password as after a lost connection.
    """

    def __init__(self, url: str, timeout_s: float, connect_timeout_s: float) -> None:
        try:
            self._url = redacted(url)
            if (unknown := unknown_options(url)) is not None:
                raise ValueError(unknown)
            self.client = redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=connect_timeout_s,
                health_check_interval=_HEALTH_CHECK_INTERVAL_S,
                retry=Retry(NoBackoff(), 0),
                decode_responses=False,
            )
            pool = self.client.connection_pool
            pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"The Redis URL is wrong: {error}. It is like redis://user:password@host:6379/0") from None

    def call(self, doing: str, command: Callable[[], _Answer]) -> _Answer:
        """The result of `command`; `doing` completes the error message "Could not ..."."""
        for pause_s in (*_PAUSES_S, None):
            try:
                return command()
            except (redis.RedisError, OSError, ValueError) as error:  # redis-py lets some of the system's and of its parser's through
                if pause_s is None or not connection_lost(error):
                    kind = WrongTypeError if "WRONGTYPE" in str(error) else StoreError
                    raise kind(str(store_error(doing, self._url, error))) from error
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def ping(self) -> None:
        self.call("get an answer to PING", self.client.ping)


def key_of(shard: ShardId, name: str) -> str:
    """The key `name` of a shard; the part in braces (the hash tag) keeps all keys of a shard on one node."""
    return f"sr:{{{shard}}}:{name}"

"""The causes of Redis's errors and their remedies, in one table.

redis-py has classes for some errors; others are recognised only by the first word of the server's answer, and within a script that
word can be anywhere in the answer. So a hint matches by either, and the first that matches is used.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import redis
from redis import exceptions as errors

from stream_retrain.errors import StoreError

__all__ = ["connection_lost", "redacted", "store_error"]

_SECRET: Final = re.compile(r"password|secret|token", re.IGNORECASE)


class _Hint(NamedTuple):
    """`words` is a pattern for the server's answer, `error` is redis-py's class; one match is enough."""

    words: str | None
    error: type[redis.RedisError] | None
    text: str


_HINTS: Final = (
    _Hint(
        "OOM",
        errors.OutOfMemoryError,
        "it is out of memory (OOM): raise its maxmemory or free some; its policy must be noeviction, or it evicts data that shards need",
    ),
    _Hint("READONLY", errors.ReadOnlyError, "it is a read-only replica (READONLY): give the URL of the primary"),
    _Hint("NOAUTH|WRONGPASS", errors.AuthenticationError, "it refused the credentials: check the user and password in the URL"),
    _Hint(
        "NOPERM",
        errors.NoPermissionError,
        "the user may not do this (NOPERM): it needs ~sr:* with +@read +@write +@scripting +@connection +time",
    ),
    _Hint("LOADING", errors.BusyLoadingError, "it is still loading its data (LOADING): wait until it is done"),
    _Hint("MISCONF|NOREPLICAS", None, "it refuses writes because it cannot persist or replicate them: check its log, disk and replicas"),
    _Hint("BUSY", None, "a script blocks it: check its slow log"),
    _Hint("WRONGTYPE", None, "a key beginning with sr: has another type: check which other program writes such keys"),
    _Hint("MOVED|ASK|CROSSSLOT|CLUSTERDOWN", None, "it is part of a cluster, which is not supported: give the URL of a single primary"),
    _Hint(
        "CERTIFICATE_VERIFY_FAILED",
        None,
        "its certificate is not trusted: name its certificate authority in the URL, ?ssl_ca_certs=/path/ca.pem",
    ),
    _Hint(None, errors.InvalidResponse, "the server there is not Redis: check the host and port in the URL"),
    _Hint(None, errors.TimeoutError, "it did not answer in time: check its slow log, its memory (swapping) and the network"),
    _Hint(
        None,
        errors.ConnectionError,
        "it cannot be reached: check that it runs there, and that the URL begins with rediss:// if it requires TLS",
    ),
)


def store_error(doing: str, url: str, error: redis.RedisError) -> StoreError:
    """The error to raise instead: what was attempted, where, what to check, and the server's answer. `url` must be redacted."""
    return StoreError(f"Could not {doing} (Redis at {url}): {_hint(error)}. It said: {error or type(error).__name__}")


def _hint(error: redis.RedisError) -> str:
    for hint in _HINTS:
        if (hint.error and isinstance(error, hint.error)) or (hint.words and re.search(rf"\b({hint.words})\b", str(error))):
            return hint.text
    return "it refused: check its log"


def connection_lost(error: redis.RedisError) -> bool:
    """Whether a retry may succeed soon: the connection broke or was refused, or Redis has just started."""
    return isinstance(error, errors.ConnectionError) and not isinstance(error, errors.AuthenticationError | errors.AuthorizationError)


def redacted(url: str) -> str:
    """`url` without its secrets: the password, and the values in the query whose names are those of secrets."""
    parts = urlsplit(url)
    query = [(name, "***" if _SECRET.search(name) else value) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
    return f"{parts.scheme}://{_netloc(parts)}{parts.path}{parts.query and '?'}{urlencode(query, safe='*/')}"


def _netloc(parts: SplitResult) -> str:
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    return f"{user}{colon and ':***'}{at}{host}"

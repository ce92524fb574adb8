"""The causes of Redis's errors and their remedies, in one table.

redis-py has classes for some errors, and takes the first word of the answer away from them; within a script that word can be anywhere in
the answer, and the class is that of no error in particular. So a hint matches by either, and the first that matches is used.
"""

from __future__ import annotations

import difflib
import re
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis import exceptions as errors

from stream_retrain.errors import StoreError

__all__ = ["connection_lost", "redacted", "store_error", "unknown_options"]

ANSWER_CHARACTERS_MAX: Final = 500
_SECRET: Final = re.compile(r"password|secret|token", re.IGNORECASE)


class _Hint(NamedTuple):
    """`error` is redis-py's class; `words` is a pattern for the server's answer, where redis-py has no class. One match is enough."""

    words: str | None
    error: type[Exception] | tuple[type[Exception], ...]
    text: str


_NONE: Final = ()
_CLUSTER: Final = "it is part of a cluster, which is not supported: give the URL of a single primary"
_HINTS: Final = (
    _Hint(
        r"\bOOM\b",
        errors.OutOfMemoryError,
        "it is out of memory (OOM): raise its maxmemory or free some; its policy must be noeviction, or it evicts data that shards need",
    ),
    _Hint(r"\bREADONLY\b", errors.ReadOnlyError, "it is a read-only replica (READONLY): give the URL of the primary"),
    _Hint(r"\bMASTERDOWN\b", errors.MasterDownError, "it is a replica without its primary: give the URL of the primary"),
    _Hint(
        r"\b(NOAUTH|WRONGPASS)\b|without any password configured",
        (errors.AuthenticationError, errors.AuthenticationWrongNumberOfArgsError),
        "it refused the credentials: check the user and password in the URL",
    ),
    _Hint(
        r"\bNOPERM\b|\bACL failure\b|has no permissions",
        errors.NoPermissionError,
        "the user may not do this (NOPERM): it needs ~sr:* with +@read +@write +@scripting +@connection +time",
    ),
    _Hint(r"\bLOADING\b", errors.BusyLoadingError, "it is still loading its data (LOADING): wait until it is done"),
    _Hint(
        r"\b(MOVED|ASK|CROSSSLOT|CLUSTERDOWN|TRYAGAIN)\b|local keys in cluster mode",
        (errors.ClusterError, errors.AskError, errors.ClusterDownError, errors.ClusterCrossSlotError, errors.TryAgainError),
        _CLUSTER,
    ),
    _Hint(
        r"DB index is out of range|Invalid Database|SELECT is not allowed",
        _NONE,
        "it has no database of that number: the number at the end of the URL is from 0 to 15 unless its configuration says otherwise",
    ),
    _Hint(
        r"\b(MISCONF|NOREPLICAS)\b",
        _NONE,
        "it refuses writes because it cannot persist or replicate them: check its log, disk and replicas",
    ),
    _Hint(r"\bBUSY\b", _NONE, "a script blocks it: check its slow log"),
    _Hint(
        r"\bWRONGTYPE\b",
        _NONE,
        "a key beginning with sr: has another type: see which other program writes such keys, and delete it",
    ),
    _Hint("max number of clients", errors.MaxConnectionsError, "it takes no more clients: raise its maxclients"),
    _Hint(
        "CERTIFICATE_VERIFY_FAILED",
        _NONE,
        "its certificate is not trusted: name its certificate authority in the URL, ?ssl_ca_certs=/path/ca.pem",
    ),
    _Hint(
        "WRONG_VERSION_NUMBER|record layer failure|UNEXPECTED_EOF_WHILE_READING",
        _NONE,
        "there is no TLS on that port: the URL of a port without TLS begins with redis://",
    ),
    _Hint(
        "Connection closed by server|Connection reset by peer|Connection not ready",
        errors.InvalidResponse,
        "what answers there does not speak Redis's protocol: check host and port in the URL (9092 is Kafka's), and that it begins with rediss://"
        " if the port requires TLS",
    ),
    _Hint(None, errors.TimeoutError, "it did not answer in time: check its slow log, its memory (swapping) and the network"),
    _Hint(
        None,
        (errors.ConnectionError, OSError),
        "it cannot be reached: check that it runs there, and that the URL begins with rediss:// if it requires TLS",
    ),
)


def store_error(doing: str, url: str, error: Exception) -> StoreError:
    """The error to raise instead: what was attempted, where, what to check, and the server's answer. `url` must be redacted."""
    said = " ".join(str(error).split())[:ANSWER_CHARACTERS_MAX]
    hint = _hint(error)
    if isinstance(error, errors.TimeoutError) and url.startswith(
        "rediss:"
    ):  # a server without TLS waits for the rest of what it takes for a line
        hint += "; or there is no TLS on that port: the URL of a port without TLS begins with redis://"
    return StoreError(f"Could not {doing} (Redis at {url}): {hint}. It said: {said or type(error).__name__}")


def _hint(error: Exception) -> str:
    chain = f"{error} {error.__cause__ or ''} {error.__context__ or ''}"
    for hint in _HINTS:
        if (hint.error and isinstance(error, hint.error)) or (hint.words and re.search(hint.words, chain)):
            return hint.text
    return "it refused: check its log"


def connection_lost(error: Exception) -> bool:
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


OPTIONS: Final = frozenset(
    {
        *("db", "username", "password", "client_name", "protocol", "timeout", "max_connections", "health_check_interval"),
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive"),
        *("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs"),
        *("ssl_check_hostname", "ssl_ciphers", "ssl_min_version"),
    }
)
"""What may stand in a URL's query."""


def unknown_options(url: str) -> str | None:
    """What is wrong with the query of a URL; None if nothing is."""
    names = [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    unknown = [name for name in names if name not in OPTIONS]
    if not unknown:
        return None
    near = difflib.get_close_matches(unknown[0], OPTIONS, n=1)
    return f"it has no option {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(OPTIONS))}")

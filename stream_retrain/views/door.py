"""The HTTP door for requests: `POST /v1/pipelines/{name}/{retrain|reset|promote|rollback|pause|resume}`.

It knows HTTP and nothing behind it: a callable that it is given checks a request and puts it into the store. In this order:

1. who asks: the write token, as Bearer, and nothing else. A browser sends a password of Basic by itself, also for another site's page;
2. how often: a bucket for those who have the token, and one of its own for those who have not, who cannot use up the other's;
3. what is asked: the path, then the body;
4. the callable, in a thread of its own: its time is limited, and `ASKED_AT_ONCE` of them run at most. Where the time is over nobody knows
   whether it was asked; the answer has the token, and asking again with it is the same request.

Every answer but 202 is one line of JSON (RFC 9457) that says what to change.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, TypeAlias

import msgspec

from stream_retrain.errors import BrokerError, RequestError, RequestsFullError, StoreError
from stream_retrain.facts.request import REQUEST_KINDS, Asked
from stream_retrain.facts.sent import SENT_BYTES_MAX, read_sent
from stream_retrain.views.access import WriteAccess

__all__ = ["ASKED_BYTES_MAX", "DOOR", "Ask", "Bucket", "Door", "Posted", "Told", "problem"]

DOOR: Final = "/v1/"
ASKED_BYTES_MAX: Final = SENT_BYTES_MAX
ASK_TIMEOUT_S: Final = 6.0
"""Shorter than a connection may last, so that who asks is told."""
ASKED_AT_ONCE: Final = 4
ASKED_PER_S, ASKED_BURST = 2.0, 60
REFUSED_PER_S, REFUSED_BURST = 1.0, 20
KIND: Final = "application/problem+json"
STATUS: Final = {"invalid": HTTPStatus.UNPROCESSABLE_ENTITY, "unknown": HTTPStatus.NOT_FOUND, "conflict": HTTPStatus.CONFLICT}
CLOSED: Final = "the setting http_write_token_file is not given, so nothing can be asked over HTTP; use stream-retrain, or give it"

_LOG: Final = logging.getLogger(__name__)

Ask: TypeAlias = Callable[[Asked, Sequence[int] | None], Mapping[str, object]]
"""Checks a request and puts it into the store, for these partitions or for all; what the command line prints with --json.

Raises `RequestError`, `StoreError`, `BrokerError`.
"""


class Posted(NamedTuple):
    """A request as it came."""

    path: str
    authorization: str
    idempotency_key: str | None
    body: bytes
    address: str


class Told(NamedTuple):
    """What is answered."""

    status: HTTPStatus
    kind: str
    content: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclasses.dataclass(slots=True)
class Bucket:
    """So many a second, and so many at once after a while without any."""

    per_s: float
    burst: int
    clock_s: Callable[[], float] = time.monotonic
    _left: float = dataclasses.field(init=False)
    _at_s: float = dataclasses.field(init=False)
    _lock: threading.Lock = dataclasses.field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._left, self._at_s = float(self.burst), self.clock_s()

    def wait_s(self) -> int:
        """0 where this one may go on, and is counted; else the whole seconds after which another one may."""
        with self._lock:
            now_s = self.clock_s()
            self._left = min(self.burst, self._left + (now_s - self._at_s) * self.per_s)
            self._at_s = now_s
            if self._left < 1:
                return max(1, math.ceil((1 - self._left) / self.per_s))
            self._left -= 1
            return 0


class Door:
    """What is answered to a POST below `/v1/`; called by several threads."""

    def __init__(
        self,
        pipeline: str,
        ask: Ask,
        access: WriteAccess,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        timeout_s: float = ASK_TIMEOUT_S,
    ) -> None:
        self._pipeline, self._ask, self._access, self._timeout_s = pipeline, ask, access, timeout_s
        self._asked = Bucket(ASKED_PER_S, ASKED_BURST, clock_s)
        self._refused = Bucket(REFUSED_PER_S, REFUSED_BURST, clock_s)
        self._places = threading.Semaphore(ASKED_AT_ONCE)

    def answer(self, posted: Posted) -> Told:
        """In the order of the module; whatever happens is an answer."""
        refused = self._who(posted)
        if refused is not None:
            return refused
        try:
            asked, partitions = self._read(posted)
        except RequestError as error:
            return problem(STATUS[error.problem], str(error))
        told = self._within(asked, partitions)
        _LOG.info("%s: %s %s, token %s: HTTP %d", asked.by, asked.do, asked.version, asked.token, told.status)
        return told

    def _who(self, posted: Posted) -> Told | None:
        """None where the request may be looked at."""
        found = self._access.judged(posted.authorization)
        if found == "closed":
            return problem(HTTPStatus.FORBIDDEN, CLOSED)
        wait_s = (self._asked if found == "write" else self._refused).wait_s()
        if wait_s:
            said = f"too many requests; at most {ASKED_PER_S:g} a second, and {ASKED_BURST} at once"
            return problem(HTTPStatus.TOO_MANY_REQUESTS, said, ("Retry-After", str(wait_s)))
        if found == "read":
            return problem(
                HTTPStatus.FORBIDDEN, "this is the token that reads; to ask for something needs the one of http_write_token_file"
            )
        if found == "none":
            said = "this needs the token of http_write_token_file, as Authorization: Bearer TOKEN"
            return problem(HTTPStatus.UNAUTHORIZED, said, ("WWW-Authenticate", 'Bearer realm="stream_retrain"'))
        return None

    def _read(self, posted: Posted) -> tuple[Asked, list[int] | None]:
        """What is asked. Raises `RequestError`."""
        parts = posted.path.removeprefix(DOOR).split("/")
        if len(parts) != 3 or parts[0] != "pipelines" or parts[2] not in REQUEST_KINDS:
            raise RequestError("unknown", f"no such path; there is POST {DOOR}pipelines/{self._pipeline}/({'|'.join(REQUEST_KINDS)})")
        if parts[1] != self._pipeline:
            raise RequestError("unknown", f"no such pipeline here; there is {self._pipeline}")
        sent = read_sent(posted.body or b"{}")
        for name, said, here in (("pipeline", sent.pipeline, parts[1]), ("do", sent.do, parts[2])):
            if said not in ("", here):
                raise RequestError("invalid", f"the path says {here}, and {name} of the body {said[:40]!r}; give one of them")
        if sent.token is not None and posted.idempotency_key not in (None, sent.token):
            raise RequestError("invalid", "Idempotency-Key and the token of the body differ; give one of them")
        given = sent.token if sent.token is not None else posted.idempotency_key
        asked = Asked(
            token=uuid.uuid4().hex if given is None else given,
            do=parts[2],
            reason="asked over HTTP" if sent.reason is None else sent.reason,
            version=sent.version,
            by=f"http:{posted.address}",
        )
        return asked, sent.named

    def _within(self, asked: Asked, partitions: list[int] | None) -> Told:
        """Ask, for as long as that may take."""
        until_s = time.monotonic() + self._timeout_s
        again = {"token": asked.token}
        if not self._places.acquire(timeout=self._timeout_s):
            said = "the store does not answer those who asked before; nothing was asked: ask again with this token"
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, said, ("Retry-After", "10"), **again)
        found: list[Told] = []

        def ask() -> None:
            try:
                found.append(self._asks(asked, partitions))
            finally:
                self._places.release()

        thread = threading.Thread(target=ask, name="http-ask", daemon=True)
        thread.start()
        thread.join(max(0.0, until_s - time.monotonic()))
        if found:
            return found[0]
        said = f"no answer in {self._timeout_s:g} s: it may have been asked, or not; ask again with this token, it is done once"
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, said, ("Retry-After", "10"), **again)

    def _asks(self, asked: Asked, partitions: list[int] | None) -> Told:
        again = {"token": asked.token}
        try:
            return Told(HTTPStatus.ACCEPTED, "application/json", msgspec.json.encode(self._ask(asked, partitions)) + b"\n")
        except RequestError as error:
            return problem(STATUS[error.problem], str(error))
        except RequestsFullError as error:
            return problem(HTTPStatus.TOO_MANY_REQUESTS, str(error), ("Retry-After", "10"), **again)
        except (StoreError, BrokerError) as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), ("Retry-After", "10"), **again)
        except Exception as error:  # noqa: BLE001 - whatever it is, who asks gets an answer
            _LOG.error("a request that came over HTTP failed", exc_info=error)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}; the log says more", **again)


def problem(status: HTTPStatus, detail: str, *headers: tuple[str, str], **more: str) -> Told:
    """An answer that says what is wrong, in one line."""
    said = {"title": status.phrase, "status": int(status), "detail": " ".join(detail.split()), **more}
    return Told(status, KIND, msgspec.json.encode(said) + b"\n", headers)

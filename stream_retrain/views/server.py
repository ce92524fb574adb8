"""The sockets of the HTTP view: who is answered, how long a request may take, how much it may send, and streams that stay open.

Nobody can keep others out: a request has `REQUEST_TIMEOUT_S` from its connection to its answer, however busily it sends, and where
`CONNECTIONS_MAX` are open the oldest is dropped for a new one. A stream of events lasts, so it does not count among them: there may be
`STREAMS_MAX`, and the next one is told 503. Closing the server ends all of them at once.

Nobody's browser can be made to read this: a request must come for an address, for `localhost`, or for a name that the operator has
given, because a web page elsewhere can give its own name any address; no answer allows another origin to read it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import ipaddress
import logging
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, TypeAlias

from stream_retrain.views.access import CHALLENGES, Access
from stream_retrain.views.door import ASKED_BYTES_MAX, DOOR, Door, Posted, Told, problem
from stream_retrain.views.events import FRAME_EVERY_S, RETRY_MS

__all__ = ["HEADERS", "Body", "Frame", "Server", "Site", "View", "line"]

CONNECTIONS_MAX: Final = 64
STREAMS_MAX: Final = 16
REQUEST_TIMEOUT_S: Final = 10.0
HEAD_BYTES_MAX: Final = 16_384
"""Of the request line and the headers together."""
BODY_BYTES_MAX: Final = 65_536
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}

Body: TypeAlias = tuple[str, bytes]
"""Content type and content."""
View: TypeAlias = Callable[[str], tuple[HTTPStatus, Body]]
"""From the Accept header to the answer."""
Frame: TypeAlias = Callable[[], bytes]
"""The next part of a stream of events; called about once a second, in the thread of the request."""

_LOG = logging.getLogger(__name__)


def line(text: str) -> Body:
    """An answer of one line."""
    return "text/plain; charset=utf-8", " ".join(text.split()).encode() + b"\n"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What is served, to whom: views and streams by path, the names requests may come for, the token, and TLS."""

    views: Mapping[str, View]
    streams: Mapping[str, Frame]
    hosts: frozenset[str]
    access: Access = dataclasses.field(default_factory=Access)
    tls: ssl.SSLContext | None = None
    door: Door | None = None
    """Where requests come in; without one there is no such path."""

    def answer(self, path: str, accept: str) -> tuple[HTTPStatus, Body]:
        """What the view of a path answers; an error of the view, or of the path, is an answer too."""
        view = self.views.get(path)
        if view is None:
            return HTTPStatus.NOT_FOUND, line(f"no such page; there are {', '.join([*self.views, *self.streams])}")
        try:
            return view(accept)
        except Exception as error:  # noqa: BLE001 - whatever a view raises must not end in a broken answer, nor reach the worker
            _LOG.debug("%s failed", path, exc_info=True)
            return HTTPStatus.INTERNAL_SERVER_ERROR, line(f"{type(error).__name__}: {error}")


class Server(ThreadingHTTPServer):
    """Binds without looking its own name up, limits its connections, and is silent about clients that go away."""

    request_queue_size = CONNECTIONS_MAX

    def __init__(self, family: int, address: Any, site: Site) -> None:
        self.address_family = family
        self.site = site
        self.closing = threading.Event()
        self._open: dict[socket.socket, float] = {}
        """The open connections, oldest first, and until when each may stay."""
        self._streams: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service for a name nobody needs here: minutes where there is none.
        socketserver.TCPServer.server_bind(self)

    def get_request(self) -> tuple[Any, Any]:
        """The handshake is left to the thread of the request: a client that is slow with it must not keep others waiting."""
        accepted, address = super().get_request()
        if self.site.tls is not None:
            accepted = self.site.tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=True)
        return accepted, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            crowded = list(self._open)[: max(0, len(self._open) + 1 - CONNECTIONS_MAX)]
            self._open[request] = time.monotonic() + REQUEST_TIMEOUT_S
        self._drop(crowded)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.pop(request, None)
                self._streams.discard(request)

    def becomes_stream(self, request: socket.socket) -> bool:
        """Count a connection as a stream from now on; whether there was a place for it."""
        with self._lock:
            if len(self._streams) >= STREAMS_MAX or self.closing.is_set():
                return False
            self._open.pop(request, None)
            self._streams.add(request)
            return True

    def service_actions(self) -> None:
        """Called by the loop between requests, several times a second: drops whoever has had the time of a request."""
        now_s = time.monotonic()
        with self._lock:
            late = [request for request, until_s in self._open.items() if until_s <= now_s]
        self._drop(late)

    def shutdown(self) -> None:
        """Also end the streams."""
        self.closing.set()
        with self._lock:
            streams = list(self._streams)
        self._drop(streams)
        super().shutdown()

    def _drop(self, requests: Iterable[socket.socket]) -> None:
        """End connections: the thread of each finds it closed, and ends."""
        for request in requests:
            with self._lock:
                self._open.pop(request, None)
                self._streams.discard(request)
            with contextlib.suppress(OSError):
                socket.socket.shutdown(request, socket.SHUT_RDWR)  # below TLS, whose own would meddle with the thread that reads

    def handle_error(self, request: Any, client_address: Any) -> None:
        _LOG.debug("a request from %s failed: %r", client_address, request, exc_info=True)


class _TooLargeError(Exception):
    """A request's head has more bytes than are read."""


class _Head(io.BufferedIOBase):
    """What a client sends, line by line, up to a number of bytes."""

    def __init__(self, sent: io.BufferedIOBase) -> None:
        super().__init__()
        self._sent = sent
        self._left = HEAD_BYTES_MAX

    def readline(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002 - the limit of all lines together holds
        found = self._sent.readline(self._left + 1)
        self._left -= len(found)
        if self._left < 0:
            raise _TooLargeError
        return found

    def read(self, size: int | None = -1, /) -> bytes:
        return self._sent.read(-1 if size is None else size)

    def close(self) -> None:
        self._sent.close()


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: HTTP/1.0 leaves no idle connection that would hold a thread."""

    server: Server
    timeout = REQUEST_TIMEOUT_S

    def setup(self) -> None:
        super().setup()
        self.rfile = _Head(self.rfile)
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()

    def handle(self) -> None:
        try:
            super().handle()
        except _TooLargeError:
            self.requestline = self.command = ""
            self.request_version = "HTTP/1.0"
            self._send(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, line(f"the head of a request has at most {HEAD_BYTES_MAX:,} bytes"))

    def __getattr__(self, name: str) -> Callable[[], None]:
        """What carries out a method of HTTP: the base class looks for `do_` and the method's name."""
        if name in ("do_GET", "do_HEAD"):
            return self._get
        if name == "do_POST":
            return self._post
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _refuse(self) -> None:
        if self._emptied():
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, line("only GET and HEAD"), ("Allow", "GET, HEAD"))

    def _emptied(self) -> bool:
        """Whether the body is read and gone: closing on unread bytes resets the connection, and the client would not see the answer."""
        if self._body(BODY_BYTES_MAX) is None:
            told = line(f"a body has at most {BODY_BYTES_MAX:,} bytes, and nothing here needs one")
            self._send(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, told)
            return False
        return True

    def _body(self, bytes_max: int) -> bytes | None:
        """What follows the head; None where that is too much, or its length is no number."""
        length = self.headers.get("Content-Length", "0")
        if not length.isascii() or not length.isdecimal() or len(length) > 18 or int(length) > bytes_max:
            return None
        return self.rfile.read(int(length))

    def _post(self) -> None:
        """A request for a shard; anywhere else a POST is refused as any other method is."""
        site, path = self.server.site, self.path.partition("?")[0]
        if site.door is None or not path.startswith(DOOR):
            self._refuse()
            return
        headers, body = self.headers, self._body(ASKED_BYTES_MAX)
        if "Transfer-Encoding" in headers:
            self._tell(problem(HTTPStatus.LENGTH_REQUIRED, "send the body with a Content-Length, not in chunks"))
        elif body is None:
            self._tell(problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {ASKED_BYTES_MAX:,} bytes"))
        elif not _is_for(headers.get("Host", ""), site.hosts):
            self._tell(problem(HTTPStatus.MISDIRECTED_REQUEST, "this name is not served; allow it with the setting http_allowed_hosts"))
        elif headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            self._tell(problem(HTTPStatus.FORBIDDEN, "another site's page may ask for nothing"))
        else:
            given = headers.get("Authorization", "")
            address = str(self.client_address[0]) if self.client_address else "socket"
            self._tell(site.door.answer(Posted(path, given, headers.get("Idempotency-Key"), body, address)))

    def _tell(self, told: Told) -> None:
        self._send(told.status, (told.kind, told.content), *told.headers)

    def _get(self) -> None:
        if not self._emptied():
            return
        site, path = self.server.site, self.path.partition("?")[0]
        if not _is_for(self.headers.get("Host", ""), site.hosts):
            self._send(HTTPStatus.MISDIRECTED_REQUEST, line("this name is not served; allow it with the setting http_allowed_hosts"))
        elif self.headers.get("Sec-Fetch-Site") == "cross-site" and self.headers.get("Sec-Fetch-Mode") != "navigate":
            self._send(HTTPStatus.FORBIDDEN, line("another site's page may link here, and ask for nothing else"))
        elif not site.access.allows(path, self.headers.get("Authorization", "")):
            told = line("this needs the token of http_token_file: as Authorization: Bearer TOKEN, or as the password of any user")
            self._send(HTTPStatus.UNAUTHORIZED, told, *(("WWW-Authenticate", each) for each in CHALLENGES))
        elif site.door is not None and path.startswith(DOOR):
            self._tell(problem(HTTPStatus.METHOD_NOT_ALLOWED, "only POST asks for something", ("Allow", "POST")))
        elif path in site.streams:
            self._stream(site.streams[path])
        else:
            self._send(*site.answer(path, self.headers.get("Accept", "")))

    def _stream(self, frame: Frame) -> None:
        """Send frames until the client or the server goes. A client that does not read for `REQUEST_TIMEOUT_S` is dropped."""
        if self.command == "HEAD":
            self._head(HTTPStatus.OK, "text/event-stream")
            return
        if not self.server.becomes_stream(self.request):
            told = line(f"{STREAMS_MAX} pages are open already; ask /status instead")
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, told, ("Retry-After", "10"))
            return
        self._head(HTTPStatus.OK, "text/event-stream")
        self.wfile.write(b"retry: %d\n\n" % RETRY_MS)
        while not self.server.closing.is_set():
            self.wfile.write(frame())
            self.server.closing.wait(FRAME_EVERY_S)

    def _send(self, status: HTTPStatus, body: Body, *headers: tuple[str, str]) -> None:
        kind, content = body
        self._head(status, kind, ("Content-Length", str(len(content))), *headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), *HEADERS.items(), *headers):
            self.send_header(name, value)
        self.end_headers()

    def version_string(self) -> str:
        return "stream_retrain"

    def log_message(self, *_: object) -> None:
        """Say nothing: probes and scrapes come every few seconds."""


def _is_for(host: str, names: frozenset[str]) -> bool:
    """Whether a request's Host header names an address or one of `names`; without a header (HTTP/1.0) it does."""
    name = host.strip().lower()
    name = name.partition("]")[0].removeprefix("[") if name.startswith("[") else name.partition(":")[0]
    if not name or name in names or "*" in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""The worker seen over HTTP: `/metrics`, `/healthz`, `/readyz`, `/status`, and `/` which lists them.

It only reads. What it serves comes from functions it is given; each is called in the thread of the request, so it must be
quick, must not block and must not change anything. The worker never waits for a request: the server runs on daemon threads.

Nobody can keep others out: a request has `REQUEST_TIMEOUT_S` from its connection to its answer, however busily it sends, and where
`CONNECTIONS_MAX` are open the oldest is dropped for a new one. Nobody's browser can be made to read this: a request must come for an
address, for `localhost`, or for a name that the operator has given, because a web page elsewhere can give its own name any address.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import ipaddress
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import msgspec

from stream_retrain.errors import SettingsError

__all__ = ["Body", "Health", "HttpServer", "Pages", "serve", "serve_at"]

CONNECTIONS_MAX: Final = 64
REQUEST_TIMEOUT_S: Final = 10.0
REFUSED_BODY_BYTES_MAX: Final = 65_536

Body: TypeAlias = tuple[str, bytes]
"""Content type and content."""
View: TypeAlias = Callable[[str], tuple[HTTPStatus, Body]]
"""From the Accept header to the answer."""

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the worker is well, and what that is judged by; `detail` must go into JSON."""

    ok: bool
    detail: Mapping[str, object] = dataclasses.field(default_factory=dict)


class HttpServer:
    """A server that serves, until it is closed; also a context manager. `serve` makes one."""

    def __init__(self, server: _Server, host: str | None = None) -> None:
        """Serve; without a `host` it is a socket in the file system, which has no port and no URL."""
        self._server = server
        self.port: int = server.server_address[1] if host is not None else 0
        self.url = f"http://{_reachable(host)}:{self.port}" if host is not None else ""
        self._thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; requests in progress are not waited for. Closing again does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """What is served, as functions.

    `metrics` is given the request's Accept header and answers with a content type and the exposition. `healthy` says whether
    the worker is alive (a restart would cure it if not), `ready` whether it is at work; both are 200 or 503. `status` is shown
    as JSON. What one of them raises is a 500 with one line, and changes nothing else. Every path also answers HEAD.
    """

    metrics: Callable[[str], Body]
    healthy: Callable[[], Health]
    ready: Callable[[], Health]
    status: Callable[[], object]

    def views(self) -> dict[str, View]:
        """By path."""
        views: dict[str, View] = {
            "/metrics": lambda accept: (HTTPStatus.OK, self.metrics(accept)),
            "/healthz": lambda _: _health(self.healthy()),
            "/readyz": lambda _: _health(self.ready()),
            "/status": lambda _: (HTTPStatus.OK, _json(self.status())),
        }
        return views | {"/": lambda _: (HTTPStatus.OK, _links(views))}


def serve(host: str, port: int, pages: Pages, hosts: Collection[str] = ("localhost",)) -> HttpServer:
    """Serve from now on, until the server is closed; `port` 0 takes a free port, and `.port` and `.url` say which.

    A request that comes for a name that is none of `hosts` (`*`: any) is refused; one for an address is not.
    Raises SettingsError if it cannot listen there.
    """
    return HttpServer(_listening(host, port, pages.views(), frozenset(hosts)), host)


def serve_at(path: Path, pages: Pages) -> HttpServer:
    """Serve on a socket in the file system, whose folder says who may connect; one that an earlier process left is taken over.

    Raises SettingsError if it cannot listen there.
    """
    try:
        path.unlink(missing_ok=True)
        return HttpServer(_Server(socket.AF_UNIX, str(path), pages.views(), frozenset({"localhost"})))
    except OSError as error:
        raise SettingsError(f"no socket can be made at {path}: {error.strerror or error}; let TMPDIR name another folder") from error


def _health(health: Health) -> tuple[HTTPStatus, Body]:
    return HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE, _json({"ok": health.ok, "detail": health.detail})


def _json(value: object) -> Body:
    return "application/json", msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def _links(paths: Mapping[str, object]) -> Body:
    listed = "".join(f'<li><a href="{path}">{path}</a></li>' for path in paths)
    return "text/html; charset=utf-8", f"<!doctype html><title>stream_retrain</title><ul>{listed}</ul>\n".encode()


def _reachable(host: str) -> str:
    """The address a client on this host would use; one that means every address is no address to connect to."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - looked up, not bound to
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int, views: Mapping[str, View], hosts: frozenset[str]) -> _Server:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return _Server(family, address, views, hosts)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"http_port: {port} is in use on {host}; choose another, or 0 for a free one") from error
        if error.errno == errno.EACCES:
            raise SettingsError(f"http_port: {port} is not for this user to open; choose one above 1023, or 0 for a free one") from error
        raise SettingsError(f"http_host: {host!r} cannot be served on: {error.strerror}; 127.0.0.1 is this host, 0.0.0.0 all") from error


class _Server(ThreadingHTTPServer):
    """Binds without looking its own name up, limits its connections, and is silent about clients that go away."""

    request_queue_size = CONNECTIONS_MAX

    def __init__(self, family: int, address: Any, views: Mapping[str, View], hosts: frozenset[str]) -> None:
        self.address_family = family
        self.views = views
        self.hosts = hosts
        self._open: dict[socket.socket, float] = {}
        """The open connections, oldest first, and until when each may stay."""
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the name service for a name nobody needs here: minutes where there is none.
        socketserver.TCPServer.server_bind(self)

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

    def service_actions(self) -> None:
        """Called by the loop between requests, several times a second: drops whoever has had the time of a request."""
        now_s = time.monotonic()
        with self._lock:
            late = [request for request, until_s in self._open.items() if until_s <= now_s]
        self._drop(late)

    def _drop(self, requests: Iterable[socket.socket]) -> None:
        """End connections: the thread of each finds it closed, and ends."""
        for request in requests:
            with self._lock:
                self._open.pop(request, None)
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        _LOG.debug("a request from %s failed: %r", client_address, request, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One request a connection: HTTP/1.0 leaves no idle connection that would hold a thread."""

    server: _Server
    timeout = REQUEST_TIMEOUT_S

    def __getattr__(self, name: str) -> Callable[[], None]:
        """What carries out a method of HTTP: the base class looks for `do_` and the method's name."""
        if name in ("do_GET", "do_HEAD"):
            return lambda: self._send(*self._answer())
        if name.startswith("do_"):
            return self._refuse
        raise AttributeError(name)

    def _refuse(self) -> None:
        # The body is read first: closing on unread bytes resets the connection, and the client would not see the answer.
        length = self.headers.get("Content-Length", "")
        self.rfile.read(min(int(length), REFUSED_BODY_BYTES_MAX) if length.isdecimal() else 0)
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, _line("only GET and HEAD"))

    def _answer(self) -> tuple[HTTPStatus, Body]:
        if not _is_for(self.headers.get("Host", ""), self.server.hosts):
            return HTTPStatus.MISDIRECTED_REQUEST, _line("this name is not served; allow it with the setting http_allowed_hosts")
        view = self.server.views.get(self.path.partition("?")[0])
        if view is None:
            return HTTPStatus.NOT_FOUND, _line(f"no such page; there are {', '.join(self.server.views)}")
        try:
            return view(self.headers.get("Accept", ""))
        except Exception as error:  # noqa: BLE001 - whatever a view raises must not end in a broken answer, nor reach the worker
            _LOG.debug("%s failed", self.path, exc_info=True)
            return HTTPStatus.INTERNAL_SERVER_ERROR, _line(f"{type(error).__name__}: {error}")

    def _send(self, status: HTTPStatus, body: Body) -> None:
        kind, content = body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

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


def _line(text: str) -> Body:
    return "text/plain; charset=utf-8", " ".join(text.split()).encode() + b"\n"

"""The worker seen over HTTP: the page at `/`, `/metrics`, `/healthz`, `/readyz`, `/status`, `/history`, `/models` and `/events`.

It only reads, but for `/v1/`, where something can be asked of a shard (`views.door`).

What it serves comes from functions it is given; each is called in the thread of the request, so it must be
quick, must not block and must not change anything. The worker never waits for a request: the server runs on daemon threads.
What a request may take, and who is answered, is `views.server`'s.
"""

from __future__ import annotations

import dataclasses
import errno
import socket
import ssl
import threading
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from stream_retrain.errors import SettingsError
from stream_retrain.views.access import Access
from stream_retrain.views.door import Door
from stream_retrain.views.events import Frames
from stream_retrain.views.page import page_files
from stream_retrain.views.server import Body, Server, Site, View

__all__ = ["Body", "Health", "HttpServer", "Pages", "serve", "serve_at"]

_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not bound to
"""Addresses that mean every address of this host, and one of them to connect to."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the worker is well, and what that is judged by; `detail` must go into JSON."""

    ok: bool
    detail: Mapping[str, object] = dataclasses.field(default_factory=dict)


class HttpServer:
    """A server that serves, until it is closed; also a context manager. `serve` makes one."""

    def __init__(self, server: Server, host: str | None = None) -> None:
        """Serve; without a `host` it is a socket in the file system, which has no port and no URL."""
        self._server = server
        self.port: int = server.server_address[1] if host is not None else 0
        scheme = "http" if server.site.tls is None else "https"
        self.url = f"{scheme}://{_reachable(host)}:{self.port}" if host is not None else ""
        self.url_elsewhere = f"{scheme}://{socket.gethostname()}:{self.port}" if host in _EVERY_ADDRESS else self.url
        """For who is on another host, as far as this one knows its name."""
        self._thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; requests in progress are not waited for, streams end. Closing again does nothing."""
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
    the worker is alive (a restart would cure it if not), `ready` whether it is at work; both are 200 or 503. `status`, `history` and
    `models` are shown as JSON; `status` is also what `/events` sends every second. What one of them raises is a 500 with one line, and
    changes nothing else. Every path also answers HEAD.
    """

    metrics: Callable[[str], Body]
    healthy: Callable[[], Health]
    ready: Callable[[], Health]
    status: Callable[[], object]
    history: Callable[[], object] = dict
    models: Callable[[], object] = dict

    def site(self, hosts: frozenset[str], access: Access, tls: ssl.SSLContext | None = None, door: Door | None = None) -> Site:
        """By path."""
        views: dict[str, View] = {path: _file(body) for path, body in page_files().items()}
        views |= {
            "/metrics": lambda accept: (HTTPStatus.OK, self.metrics(accept)),
            "/healthz": lambda _: _health(self.healthy()),
            "/readyz": lambda _: _health(self.ready()),
            "/status": lambda _: (HTTPStatus.OK, _json(self.status())),
            "/history": lambda _: (HTTPStatus.OK, ("application/json", msgspec.json.encode(self.history()))),
            "/models": lambda _: (HTTPStatus.OK, ("application/json", msgspec.json.encode(self.models()))),
        }
        return Site(views=views, streams={"/events": Frames(self.status)}, hosts=hosts, access=access, tls=tls, door=door)


def serve(
    host: str,
    port: int,
    pages: Pages,
    hosts: Collection[str] = ("localhost",),
    *,
    token: str | None = None,
    tls: ssl.SSLContext | None = None,
    door: Door | None = None,
) -> HttpServer:
    """Serve from now on, until the server is closed; `port` 0 takes a free port, and `.port` and `.url` say which.

    A request that comes for a name that is none of `hosts` (`*`: any) is refused; one for an address is not. With a `token` everything
    needs it but what probes ask; a `door` has a token of its own. Raises SettingsError if it cannot listen there.
    """
    return HttpServer(_listening(host, port, pages.site(frozenset(hosts), Access(token), tls, door)), host)


def serve_at(path: Path, pages: Pages) -> HttpServer:
    """Serve on a socket in the file system, whose folder says who may connect; one that an earlier process left is taken over.

    Raises SettingsError if it cannot listen there.
    """
    try:
        path.unlink(missing_ok=True)
        return HttpServer(Server(socket.AF_UNIX, str(path), pages.site(frozenset({"localhost"}), Access())))
    except OSError as error:
        raise SettingsError(f"no socket can be made at {path}: {error.strerror or error}; let TMPDIR name another folder") from error


def _health(health: Health) -> tuple[HTTPStatus, Body]:
    return HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE, _json({"ok": health.ok, "detail": health.detail})


def _json(value: object) -> Body:
    return "application/json", msgspec.json.format(msgspec.json.encode(value)) + b"\n"


def _file(body: Body) -> View:
    return lambda _: (HTTPStatus.OK, body)


def _reachable(host: str) -> str:
    """The address a client on this host would use; one that means every address is no address to connect to."""
    host = _EVERY_ADDRESS.get(host, host)
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int, site: Site) -> Server:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return Server(family, address, site)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"http_port: {port} is in use on {host}; choose another, or 0 for a free one") from error
        if error.errno == errno.EACCES:
            raise SettingsError(f"http_port: {port} is not for this user to open; choose one above 1023, or 0 for a free one") from error
        raise SettingsError(f"http_host: {host!r} cannot be served on: {error.strerror}; 127.0.0.1 is this host, 0.0.0.0 all") from error

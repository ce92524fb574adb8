"""The HTTP view, asked over real sockets."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from stream_retrain.errors import SettingsError
from stream_retrain.views.http import Health, HttpServer, Pages, serve
from stream_retrain.views.page import page_files
from stream_retrain.views.server import CONNECTIONS_MAX

PATHS = ("/", "/page.js", "/metrics", "/healthz", "/readyz", "/status", "/history", "/models")


class Worker:
    """What the server shows; a test changes it."""

    def __init__(self) -> None:
        self.health = Health(ok=True, detail={"loop_age_s": 0.1})
        self.readiness = Health(ok=False, detail={"replaying": ["t/0"]})
        self.state: Any = {"pipeline": "flights", "score": float("nan")}

    def metrics(self, accept: str) -> tuple[str, bytes]:
        kind = "application/openmetrics-text" if "openmetrics" in accept else "text/plain"
        return kind, b"# exposition\n"

    def status(self) -> Any:
        if isinstance(self.state, Exception):
            raise self.state
        return self.state


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def server(worker: Worker) -> Iterator[HttpServer]:
    with serving(worker) as server:
        yield server


def serving(worker: Worker, host: str = "127.0.0.1", port: int = 0, hosts: Collection[str] = ("localhost",)) -> HttpServer:
    return serve(host, port, pages_of(worker), hosts)


def pages_of(worker: Worker) -> Pages:
    return Pages(metrics=worker.metrics, healthy=lambda: worker.health, ready=lambda: worker.readiness, status=worker.status)


def ask(
    server: HttpServer, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_metrics_are_exposed_as_the_accept_header_asks(server: HttpServer) -> None:
    plain, content = ask(server, "/metrics")
    assert (plain.status, plain.getheader("Content-Type"), content) == (200, "text/plain", b"# exposition\n")
    asked, _ = ask(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert asked.getheader("Content-Type") == "application/openmetrics-text"


@pytest.mark.parametrize(("ok", "status"), [(True, 200), (False, 503)])
def test_health_and_readiness_are_said_by_status_and_told_in_json(server: HttpServer, worker: Worker, ok: bool, status: int) -> None:
    worker.health = worker.readiness = Health(ok=ok, detail={"why": "so"})
    for path in ("/healthz", "/readyz"):
        answer, content = ask(server, path)
        assert answer.status == status
        assert answer.getheader("Content-Type") == "application/json"
        assert json.loads(content) == {"ok": ok, "detail": {"why": "so"}}


def test_health_is_not_readiness(server: HttpServer) -> None:
    assert [ask(server, path)[0].status for path in ("/healthz", "/readyz")] == [200, 503]


def test_status_is_json_where_what_is_not_a_number_is_null(server: HttpServer) -> None:
    answer, content = ask(server, "/status?pretty=1")
    assert answer.status == 200
    assert json.loads(content) == {"pipeline": "flights", "score": None}


def test_the_root_is_a_page_that_links_what_machines_read(server: HttpServer) -> None:
    answer, content = ask(server, "/")
    assert (answer.status, answer.getheader("Content-Type")) == (200, "text/html; charset=utf-8")
    assert all(f'href="{path}"' in content.decode() for path in ("metrics", "healthz", "readyz", "status"))


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
def test_head_is_get_without_the_content(server: HttpServer, path: str) -> None:
    got, content = ask(server, path)
    head, nothing = ask(server, path, method="HEAD")
    assert nothing == b""
    assert head.status == got.status
    assert head.getheader("Content-Length") == got.getheader("Content-Length") == str(len(content))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused_and_the_client_reads_why(server: HttpServer, method: str) -> None:
    answer, content = ask(server, "/metrics", method=method, body=b"x" * 50_000)
    assert (answer.status, answer.getheader("Allow"), content) == (405, "GET, HEAD", b"only GET and HEAD\n")


def test_an_unknown_page_is_404(server: HttpServer) -> None:
    assert ask(server, "/metrics/../etc/passwd")[0].status == 404


def test_what_a_view_raises_is_one_line_and_the_server_goes_on(server: HttpServer, worker: Worker) -> None:
    worker.state = RuntimeError("no\nluck")
    answer, content = ask(server, "/status")
    assert (answer.status, content) == (500, b"RuntimeError: no luck\n")
    worker.state = {"unfit": object()}
    assert ask(server, "/status")[0].status == 500
    assert ask(server, "/healthz")[0].status == 200


def test_no_request_is_written_to_standard_error(server: HttpServer, capfd: pytest.CaptureFixture[str]) -> None:
    ask(server, "/nowhere")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"NONSENSE\r\n\r\n")
        connection.recv(1000)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.0\r\nContent-")
    ask(server, "/")
    assert capfd.readouterr().err == ""


def test_a_port_in_use_is_a_settings_error_that_names_the_setting_and_the_way_out(server: HttpServer, worker: Worker) -> None:
    with pytest.raises(SettingsError, match=rf"http_port: {server.port} is in use on 127.0.0.1; choose another, or 0 for a free one"):
        serving(worker, port=server.port)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_hosts_is_a_settings_error(worker: Worker, host: str) -> None:
    with pytest.raises(SettingsError, match=f"http_host: '{host}'"):
        serving(worker, host=host)


@pytest.mark.parametrize(
    ("host", "url"), [("127.0.0.1", "http://127.0.0.1"), ("0.0.0.0", "http://127.0.0.1"), ("localhost", "http://localhost")]
)
def test_the_url_is_one_a_client_can_use(worker: Worker, host: str, url: str) -> None:
    with serving(worker, host=host) as server:
        assert server.url == f"{url}:{server.port}"
        assert server.url_elsewhere == (f"http://{socket.gethostname()}:{server.port}" if host == "0.0.0.0" else server.url)


@pytest.mark.skipif(not socket.has_ipv6, reason="this host has no IPv6")
def test_ipv6_is_served(worker: Worker) -> None:
    try:
        server = serving(worker, host="::1")
    except SettingsError:
        pytest.skip("this host has no IPv6 loopback")
    with server:
        assert server.url == f"http://[::1]:{server.port}"
        connection = http.client.HTTPConnection("::1", server.port, timeout=5)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_after_close_nothing_listens_and_no_thread_is_left(worker: Worker) -> None:
    before = set(threading.enumerate())
    server = serving(worker)
    ask(server, "/")
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        ask(server, "/")
    assert {thread for thread in threading.enumerate() if thread.name == "http"} <= before
    serving(worker, port=server.port).close()


def test_where_every_place_is_taken_the_oldest_connection_is_dropped(server: HttpServer) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(CONNECTIONS_MAX)]
    assert ask(server, "/healthz")[0].status == 200
    assert idle[0].recv(1000) == b""
    for connection in idle[1:]:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.0 200")
    for connection in idle:
        connection.close()


def test_a_client_that_keeps_sending_has_the_time_of_one_request(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream_retrain.views.server.REQUEST_TIMEOUT_S", 0.4)
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as slow:
        slow.sendall(b"GET /healthz HTTP/1.0\r\n")
        started_s = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - started_s < 5:
                slow.sendall(b"X: y\r\n")
                slow.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    if slow.recv(10) == b"":
                        break
    assert time.monotonic() - started_s < 2


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9464", 200),
        ("LOCALHOST", 200),
        ("10.1.2.3:80", 200),
        ("[::1]:9464", 200),
        ("worker.example:9464", 200),
        ("evil.example", 421),
        ("worker.example.evil", 421),
    ],
)
def test_a_request_for_a_name_that_was_not_given_is_refused(worker: Worker, host: str, status: int) -> None:
    with serving(worker, hosts=("localhost", "worker.example")) as server:
        answer, content = ask(server, "/status", Host=host)
    assert answer.status == status
    assert (b"http_allowed_hosts" in content) == (status == 421)


def test_the_page_is_small_files_that_are_all_served_and_name_no_other_site(server: HttpServer) -> None:
    files = page_files()
    assert sum(len(content) for _, content in files.values()) < 100_000
    for path, (kind, content) in files.items():
        answer, served = ask(server, path)
        assert (answer.status, answer.getheader("Content-Type"), served) == (200, kind, content)
        assert content.count(b"\n") <= 350, path
        assert set(re.findall(rb"https?://[^\s\"')]+", content)) <= {b"http://www.w3.org/2000/svg"}, path
        for name in re.findall(rb'(?:from|src=|href=) ?"(?:\./)?([\w.]+\.(?:js|css|svg))"', content):
            assert f"/{name.decode()}" in files, path

"""Who may read the HTTP view, over what, and how much they may send: asked over real sockets."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_retrain.codec.private_file import read_token
from stream_retrain.errors import SettingsError
from stream_retrain.views import server as server_module
from stream_retrain.views.access import Access
from stream_retrain.views.http import HttpServer, serve
from stream_retrain.views.server import BODY_BYTES_MAX, HEAD_BYTES_MAX
from stream_retrain.views.tls import client_context, server_context
from tests.views.test_http import PATHS, Worker, ask, pages_of

TOKEN = "s3cret-s3cret-s3cret"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def closed() -> Iterator[HttpServer]:
    """A server that asks for a token."""
    with serve("127.0.0.1", 0, pages_of(Worker()), token=TOKEN) as server:
        yield server


@pytest.fixture(scope="module")
def open_() -> Iterator[HttpServer]:
    with serve("127.0.0.1", 0, pages_of(Worker())) as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that signs itself, for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=worker", "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run([*command, *named], check=True, capture_output=True)
    files[1].chmod(0o600)
    return files


class TestAToken:
    @pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer  {TOKEN} ", basic("anybody", TOKEN), basic("", TOKEN)])
    def test_opens_everything(self, closed: HttpServer, given: str) -> None:
        assert [ask(closed, path, Authorization=given)[0].status for path in PATHS] == [200, 200, 200, 200, 503, 200, 200, 200]

    @pytest.mark.parametrize(
        "given",
        [
            *(None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Token {TOKEN}", TOKEN, "Bearer sécret"),
            *(basic("anybody", "wrong"), basic(TOKEN, ""), "Basic !!!", "Basic " + base64.b64encode(TOKEN.encode()).decode()),
        ],
    )
    @pytest.mark.parametrize("path", ["/", "/page.js", "/metrics", "/status", "/history", "/events", "/nowhere"])
    def test_is_needed_for_all_but_what_probes_ask(self, closed: HttpServer, path: str, given: str | None) -> None:
        headers = {} if given is None else {"Authorization": given.encode().decode("latin-1")}
        answer, content = ask(closed, path, **headers)
        assert answer.status == 401
        assert answer.headers.get_all("WWW-Authenticate") == [
            'Basic realm="stream_retrain", charset="UTF-8"',
            'Bearer realm="stream_retrain"',
        ]
        assert b"http_token_file" in content
        assert TOKEN.encode() not in content

    @pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 503)])
    def test_is_not_needed_by_probes(self, closed: HttpServer, path: str, status: int) -> None:
        assert ask(closed, path)[0].status == status

    def test_is_asked_for_after_the_name_that_the_request_is_for(self, closed: HttpServer) -> None:
        assert ask(closed, "/status", Host="evil.example", Authorization=f"Bearer {TOKEN}")[0].status == 421

    def test_may_have_any_sign_and_be_in_utf8_in_basic(self) -> None:
        access = Access("grün:grün:grün:grün")
        assert access.allows("/", basic("x", "grün:grün:grün:grün"))
        assert not access.allows("/", basic("x", "grun:grun:grun:grun"))

    def test_comes_from_a_file_that_is_closed_to_others(self, tmp_path: Path) -> None:
        file = tmp_path / "token"
        file.write_text(f"{TOKEN}\n")
        file.chmod(0o600)
        assert read_token(file) == TOKEN
        file.chmod(0o640)
        with pytest.raises(SettingsError, match=r"token file .* is open to others \(its mode is 0640\): chmod 600"):
            read_token(file)

    @pytest.mark.parametrize("text", ["", "short", "two words that are long", f"{TOKEN}\n{TOKEN}", "x" * 1_001])
    def test_that_is_none_is_refused_and_not_shown(self, tmp_path: Path, text: str) -> None:
        file = tmp_path / "token"
        file.write_text(text)
        file.chmod(0o600)
        with pytest.raises(SettingsError, match="one line of 16 to 1,000") as raised:
            read_token(file)
        assert not text or text not in str(raised.value)


class TestTls:
    def test_is_served_and_checked_by_a_client_that_trusts_the_certificate(self, certificate: tuple[Path, Path]) -> None:
        with serve("127.0.0.1", 0, pages_of(Worker()), tls=server_context(*certificate)) as server:
            assert server.url == f"https://127.0.0.1:{server.port}"
            connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=client_context(certificate[0]))
            connection.request("GET", "/status")
            assert json.loads(connection.getresponse().read())["pipeline"] == "flights"
            connection.close()
            with pytest.raises(ssl.SSLCertVerificationError):
                http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=client_context()).connect()

    def test_keeps_nobody_waiting_for_a_client_that_does_not_shake_hands(self, certificate: tuple[Path, Path]) -> None:
        with serve("127.0.0.1", 0, pages_of(Worker()), tls=server_context(*certificate)) as server:
            with socket.create_connection(("127.0.0.1", server.port)), socket.create_connection(("127.0.0.1", server.port)) as plain:
                plain.sendall(b"GET /status HTTP/1.0\r\n\r\n")
                connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=5, context=client_context(certificate[0]))
                connection.request("GET", "/healthz")
                assert connection.getresponse().status == 200
                connection.close()
                plain.settimeout(5)
                assert b"HTTP/1.0 200" not in plain.recv(100)

    def test_has_no_version_that_is_broken(self, certificate: tuple[Path, Path]) -> None:
        assert server_context(*certificate).minimum_version == ssl.TLSVersion.TLSv1_2

    def test_says_which_files_cannot_be_used(self, certificate: tuple[Path, Path], tmp_path: Path) -> None:
        for cert, key in [(tmp_path / "none.pem", None), (certificate[0], None), (certificate[1], certificate[1])]:
            with pytest.raises(SettingsError, match=r"http_tls_cert_file, http_tls_key_file: .* cannot be used for TLS"):
                server_context(cert, key)
        with pytest.raises(SettingsError, match="cannot be read as certificates"):
            client_context(tmp_path / "none.pem")


def raw(server: HttpServer, sent: bytes) -> bytes:
    """What is answered to bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(sent)
        found = b""
        while part := connection.recv(65_536):
            found += part
        return found


class TestLimits:
    @pytest.mark.parametrize(
        "head",
        [
            b"GET /" + b"x" * (HEAD_BYTES_MAX - 5) + b"\n",
            b"GET / HTTP/1.0\r\nX: " + b"y" * (HEAD_BYTES_MAX - 19) + b"\n",
            b"GET / HTTP/1.0\r\n" + b"A: b\r\n" * (HEAD_BYTES_MAX // 6),
        ],
        ids=["request line", "one header", "many headers"],
    )
    def test_a_head_that_is_too_large_is_refused(self, open_: HttpServer, head: bytes) -> None:
        answer = raw(open_, head[: HEAD_BYTES_MAX + 1])
        assert answer.startswith((b"HTTP/1.0 431", b"HTTP/1.0 414")), answer[:100]

    def test_a_body_that_is_too_large_is_refused_unread(self, open_: HttpServer) -> None:
        for method in ("GET", "POST"):
            head = f"{method} /status HTTP/1.0\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n"
            assert raw(open_, head.encode()).startswith(b"HTTP/1.0 413")
        assert raw(open_, b"POST / HTTP/1.0\r\nContent-Length: -1\r\n\r\n").startswith(b"HTTP/1.0 413")

    def test_a_body_that_nothing_needs_is_passed_over(self, open_: HttpServer) -> None:
        assert ask(open_, "/status", body=b"x" * BODY_BYTES_MAX)[0].status == 200


class TestBrowsers:
    @pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
    def test_are_told_to_load_nothing_from_elsewhere_and_to_show_it_in_no_frame(self, open_: HttpServer, path: str) -> None:
        answer, _ = ask(open_, path, Origin="https://evil.example")
        policy = answer.getheader("Content-Security-Policy") or ""
        assert all(part in policy for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"))
        assert "unsafe" not in policy
        assert answer.getheader("X-Frame-Options") == "DENY"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert answer.getheader("Cross-Origin-Resource-Policy") == "same-origin"
        assert [name for name in answer.headers if name.lower().startswith("access-control")] == []

    @pytest.mark.parametrize(("mode", "status"), [("no-cors", 403), ("cors", 403), ("navigate", 200)])
    def test_that_come_from_another_site_may_follow_a_link_and_nothing_else(self, open_: HttpServer, mode: str, status: int) -> None:
        assert ask(open_, "/status", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode})[0].status == status


class Stream:
    """A client of `/events`."""

    def __init__(self, server: HttpServer) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        self.socket.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        self.lines = self.socket.makefile("rb")
        self.status = int(self.lines.readline().split()[1])
        self.kind = next(line for line in iter(self.lines.readline, b"\r\n") if line.lower().startswith(b"content-type"))
        for line in iter(self.lines.readline, b"\r\n"):
            assert line

    def event(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in iter(self.lines.readline, b"\n"):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            found[name] = value
        return found

    def close(self) -> None:
        self.lines.close()
        self.socket.close()


class TestEvents:
    def test_are_the_status_every_second(self, open_: HttpServer) -> None:
        stream = Stream(open_)
        assert (stream.status, b"text/event-stream" in stream.kind) == (200, True)
        assert stream.event() == {"retry": "2000"}
        first, second = stream.event(), stream.event()
        assert (first["event"], json.loads(first["data"])["pipeline"]) == ("status", "flights")
        assert int(second["id"]) == int(first["id"]) + 1
        stream.close()

    def test_are_made_once_for_all_who_listen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        worker, asked = Worker(), []
        monkeypatch.setattr(worker, "status", lambda: asked.append(threading.current_thread().name) or {})
        began_s = time.monotonic()
        with serve("127.0.0.1", 0, pages_of(worker)) as server:
            streams = [Stream(server) for _ in range(6)]
            for stream in streams:
                assert stream.event() == {"retry": "2000"}
                stream.event()
            assert len(asked) <= 2 + (time.monotonic() - began_s)
            assert threading.main_thread().name not in asked
            for stream in streams:
                stream.close()

    @pytest.mark.slow
    def test_have_places_of_their_own(self, open_: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_module, "STREAMS_MAX", 2)
        streams = [Stream(open_) for _ in range(2)]
        answer, content = ask(open_, "/events")
        assert (answer.status, answer.getheader("Retry-After")) == (503, "10")
        assert b"ask /status instead" in content
        assert ask(open_, "/status")[0].status == 200
        streams[0].close()
        until_s = time.monotonic() + 10
        while ask(open_, "/events", method="HEAD")[0].status != 200 or not _free(open_):
            assert time.monotonic() < until_s, "a stream whose client went away gives its place back"
            time.sleep(0.1)
        streams[1].close()

    @pytest.mark.slow
    def test_last_longer_than_a_request_may_and_do_not_crowd_others_out(self, open_: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(server_module, "REQUEST_TIMEOUT_S", 2.0)
        monkeypatch.setattr(server_module, "CONNECTIONS_MAX", 2)
        stream = Stream(open_)
        stream.event()
        for _ in range(6):
            assert ask(open_, "/healthz")[0].status == 200
        assert [stream.event()["event"] for _ in range(3)] == ["status"] * 3
        stream.close()

    def test_end_at_once_when_the_server_is_closed(self) -> None:
        server = serve("127.0.0.1", 0, pages_of(Worker()))
        stream = Stream(server)
        stream.event()
        stream.event()
        began_s = time.monotonic()
        server.close()
        while stream.lines.readline():
            pass
        assert time.monotonic() - began_s < 5
        stream.close()


def _free(server: HttpServer) -> bool:
    """Whether a stream is given a place."""
    stream = Stream(server)
    stream.close()
    return stream.status == 200

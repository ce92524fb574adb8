"""`stream-retrain status` of one worker: where its token goes, and nothing that a terminal would obey."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from stream_retrain.cli.status import _labels_text, _show, fetch_status
from tests.views.made import MadeWorker


class Elsewhere(BaseHTTPRequestHandler):
    """Redirects `/status`, and notes what it was asked with."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        away = self.path == "/status"
        self.send_response(302 if away else 200)
        self.send_header("Location", "/elsewhere/status")
        self.end_headers()
        if not away:
            self.wfile.write(b'{"ready": true}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def redirecting() -> Iterator[str]:
    Elsewhere.asked = []
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_token_is_for_the_address_that_was_named_and_for_none_that_it_redirects_to(redirecting: str) -> None:
    assert fetch_status(redirecting, "s3cret-s3cret-s3cret") == {"ready": True}
    assert Elsewhere.asked == [("/status", "Bearer s3cret-s3cret-s3cret"), ("/elsewhere/status", None)]


@pytest.mark.parametrize("answer", [b"+PONG\r\n", *(b"HTTP/1.0 200 OK\r\n\r\n" + body for body in (b"hello", b"[]", b"{}"))])
def test_what_is_no_worker_is_told_as_such(answer: bytes) -> None:
    def answers() -> None:
        with listening.accept()[0] as connection:
            connection.recv(10_000)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answers, daemon=True)
        thread.start()
        with pytest.raises(OSError, match="what answers is no worker"):
            fetch_status(f"http://127.0.0.1:{listening.getsockname()[1]}")
        thread.join()


def test_a_terminal_obeys_nothing_that_a_worker_says(capsys: pytest.CaptureFixture[str]) -> None:
    made = MadeWorker(1, seconds_ago=10)
    made.run(10)
    found = made.status.snapshot()
    nasty = "\x1b[31m[bold]\x07\x9b2J"
    entry = {"partition": 0, "offset": 1, "text": nasty}
    _show("0", found | {"detail": nasty, "instance": nasty, "missing": [nasty], "recent": [entry]})
    text = capsys.readouterr().out
    assert not any(sign in text for sign in "\x1b\x07\x9b")
    assert text.count("[31m[bold]") == 4


def test_a_shard_says_how_many_of_its_labels_found_their_question() -> None:
    found = {"joined": 90, "unjoined": 10, "expired": 3, "early": 2, "join_rate": 0.9, "delay_s": {"p50": 10.0, "p99": 4_590.0}}
    said = "90.0% of 100 later labels found their question"
    assert _labels_text(found) == f"{said}; they came after 10.0 s (median), 4,590.0 s (99 %)"
    assert _labels_text(found | {"delay_s": {"p50": None, "p99": None}}) == said
    assert _labels_text(found | {"join_rate": None}) is _labels_text(None) is None

"""A server that answers webhooks as it is told, decisions to send it, and handlers without a pipeline."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from stream_retrain.core.callbacks import NamedHandler, Webhook
from stream_retrain.engines.callbacks.forker import Forker
from stream_retrain.engines.callbacks.runner import Place, Runner
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.decision import read_decision
from stream_retrain.lane.decision_examples import example_fact
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.lane.messages import PUBLISHED

KINDS = {kind.kind: kind for kind in PUBLISHED}


class Came(NamedTuple):
    """A request that came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return str(json.loads(self.body)["id"])


class Answer(NamedTuple):
    status: int = 200
    headers: Mapping[str, str] = {}
    slow_s: float = 0.0
    """Before each byte of the body."""
    body: bytes = b"ok"


class Receiver:
    """Requests in the order in which they came; `answers` are given first, then 200."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.came: list[Came] = []
        self.answers: list[Answer] = []
        self.always: Callable[[Came], Answer] | None = None

    def answer(self, came: Came) -> Answer:
        self.came.append(came)
        if self.always is not None:
            return self.always(came)
        return self.answers.pop(0) if self.answers else Answer()


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = receiver.answer(Came(self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                for byte in answer.body:
                    time.sleep(answer.slow_s)
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
            except OSError:
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """A client that goes away is part of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver(f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_address[1]}/hook")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def value_of(kind: str = "drift.detected", offset: int = 7, partition: int = 0, **fields: Any) -> bytes:
    shard = ShardId("shop", "shop.orders", partition)
    [(_, value)] = encode_decisions(shard, [example_fact(KINDS[kind], offset=offset, **fields)])
    return value


def place_of(value: bytes, partition: int = 0, offset: int = 0) -> Place:
    decision = read_decision(value)
    assert decision is not None
    return Place(partition, offset, None, value, decision)


def hook(url: str, **parts: Any) -> NamedHandler:
    webhook = Webhook(url=url, **{"pause_s": 0.05, **parts})
    return NamedHandler(webhook.called, tuple(webhook.on), webhook)


def until(holds: Callable[[], bool], turn: Callable[[], Any] = lambda: None, seconds: float = 60.0) -> None:
    limit_s = time.monotonic() + seconds
    while not holds():
        turn()
        assert time.monotonic() < limit_s, f"waited {seconds} s in vain"
        time.sleep(0.01)


def runner_of(handler: NamedHandler) -> Runner:
    """Of a webhook, which nothing is forked for."""
    return Runner(handler, "", Forker(), chance=lambda: 1.0)

"""`stream-retrain healthcheck` asks a real server, and says in one line and an exit code what it heard."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from stream_retrain.cli import app
from stream_retrain.views.http import Health, HttpServer, Pages, serve

WELL = Health(ok=True, detail={"state": "running", "detail": ""})
STUCK = Health(ok=False, detail={"state": "failed", "detail": "the checkpoint is beyond\nthe committed offset"})


def asked(port: int, *options: str, **environment: str) -> Result:
    return CliRunner().invoke(app(), ["healthcheck", *options], env={"STREAM_RETRAIN_HTTP_PORT": str(port), **environment})


@pytest.fixture
def server() -> Iterator[HttpServer]:
    pages = Pages(metrics=lambda _: ("text/plain", b""), healthy=lambda: WELL, ready=lambda: STUCK, status=dict)
    with serve("127.0.0.1", 0, pages) as serving:
        yield serving


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_a_worker_that_is_well(server: HttpServer, host: str) -> None:
    found = asked(server.port, STREAM_RETRAIN_HTTP_HOST=host)
    assert (found.exit_code, found.output) == (0, "running\n")


def test_one_that_is_not_ready_says_why_in_one_line(server: HttpServer) -> None:
    found = asked(server.port, "--ready")
    assert (found.exit_code, found.output) == (1, "failed the checkpoint is beyond the committed offset\n")


def test_of_several_workers_each_is_told() -> None:
    well = {"ok": True, "detail": {"state": "running", "detail": "partitions [0]", "missing": []}}
    late = {"ok": True, "detail": {"state": "running", "detail": "partitions [1]", "missing": ["restored: partition 1 is replayed"]}}
    every = Health(ok=False, detail={"0": well, "1": late, "2": {"ok": False, "detail": "no answer"}})
    with serve(
        "127.0.0.1", 0, Pages(metrics=lambda _: ("text/plain", b""), healthy=lambda: WELL, ready=lambda: every, status=dict)
    ) as several:
        found = asked(several.port, "--ready")
    first, second, third = found.output.strip().split("; worker ")
    assert (found.exit_code, first, third) == (1, "worker 0: running partitions [0]", "2: no answer")
    assert second == "1: running partitions [1] (not ready: restored: partition 1 is replayed)"


def test_no_worker_at_all() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        found = asked(closed.getsockname()[1])
    assert found.exit_code == 1
    assert found.output.startswith("no worker answers at 127.0.0.1:")


def test_a_worker_that_hangs_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = asked(silent.getsockname()[1], "--timeout-s", "0.2")
    assert (found.exit_code, "timed out" in found.output) == (1, True)


def test_what_answers_there_and_is_no_worker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b"HTTP/1.0 404 Not Found\r\n\r\nno such\npage")

        threading.Thread(target=answer, daemon=True).start()
        found = asked(other.getsockname()[1])
    assert (found.exit_code, found.output) == (1, "no such page\n")


def test_the_check_of_a_container_says_the_same_and_imports_next_to_nothing(server: HttpServer) -> None:
    code = """import runpy, sys
try:
    runpy.run_module("stream_retrain.ops.healthcheck", run_name="__main__")
finally:
    assert not {"river", "typer", "numpy", "confluent_kafka"} & sys.modules.keys()
"""

    def ran(port: str) -> tuple[int, str]:
        environment = {**os.environ, "STREAM_RETRAIN_HTTP_HOST": "0.0.0.0", "STREAM_RETRAIN_HTTP_PORT": port}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
        return done.returncode, done.stdout

    assert ran(str(server.port)) == (0, "running\n")
    code_of_fault, text = ran("many")
    assert (code_of_fault, "STREAM_RETRAIN_HTTP_PORT: must be" in text) == (1, True)

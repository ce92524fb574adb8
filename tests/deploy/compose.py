"""docker-compose.yml without a container engine: each service's own command line and environment, with this machine's parts.

What is changed, and nothing else: host names of the compose network are loopback, ports are free ones, volumes are folders. The environment
of Kafka becomes `server.properties` by the rule of its image; that of our services is the Dockerfile's and what compose adds.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import yaml

import stream_retrain
from stream_retrain.local import LocalStack
from stream_retrain.local.artifacts import kafka_command, valkey_server
from stream_retrain.local.process import Process, free_ports
from tests.ops.support import debian

__all__ = ["ROOT", "Compose", "dockerfile_environment", "loaded", "seconds"]

ROOT: Final = Path(stream_retrain.__file__).parent.parent
VARIABLE: Final = re.compile(r"\$\$|\$\{(\w+):-([^}]*)\}")
JAVA_OPTIONS: Final = ("KAFKA_HEAP_OPTS",)
BIN: Final = Path(sys.executable).parent


def loaded(variables: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in, as compose does it: `${NAME:-default}`, `$$` for a dollar."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else variables.get(found[1]) or found[2]

    read: dict[str, Any] = yaml.safe_load(VARIABLE.sub(value, (ROOT / "docker-compose.yml").read_text()))
    return {name: part for name, part in read.items() if not name.startswith("x-")}


def seconds(duration: str) -> float:
    """Of "15s" or "1m"."""
    found = re.fullmatch(r"(\d+)(s|m)", duration)
    assert found, duration
    return float(found[1]) * {"s": 1, "m": 60}[found[2]]


def dockerfile_environment() -> dict[str, str]:
    """What the last stage of the Dockerfile sets, but for PATH, which is this machine's."""
    last = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").rpartition("\nFROM ")[2]
    found = dict(pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", last, re.MULTILINE) for pair in line.split())
    del found["PATH"]
    return found


class Compose:
    """The services as processes, each started when what it depends on is as it must be."""

    def __init__(self, stack: LocalStack, variables: Mapping[str, str]) -> None:
        self.services: dict[str, Any] = loaded(variables)["services"]
        self._stack = stack
        self._processes: dict[str, Process] = {}
        self._done: set[str] = set()
        listening = [service.get(part) for service in self.services.values() for part in ("ports", "command", "environment")]
        numbers = sorted(set(re.findall(r":(\d{4,5})\b", json.dumps(listening))))
        self.ports = dict(zip(numbers, map(str, free_ports(len(numbers))), strict=True))

    def start(self, name: str) -> None:
        """Start a service, after the services it depends on; return when it is healthy, or has done its work."""
        if name in self._processes or name in self._done:
            return
        for other in self.services[name].get("depends_on", {}):
            self.start(other)
        if self.services[name].get("restart") == "no":
            self._run_once(name)
            return
        process = self._processes[name] = self._stack.process(name, self.command(name), self.environment(name))
        process.spawn()
        self.wait_healthy(name)

    def stop(self) -> None:
        """End what runs, the services that others depend on last."""
        for process in reversed(self._processes.values()):
            process.stop()

    def wait_healthy(self, name: str) -> None:
        """Ask as often as the file says while a service starts; most checks start a process."""
        check = self.services[name]["healthcheck"]
        if "test" not in check:
            return
        until_s = time.monotonic() + seconds(check["start_period"])
        while not self._is_healthy(name):
            assert time.monotonic() < until_s, f"{name}: {self._processes[name].tail()}"
            time.sleep(seconds(check["start_interval"]))

    def process(self, name: str) -> Process:
        return self._processes[name]

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{self.ports[str(port)]}"

    def command(self, name: str) -> list[str]:
        """The command line of a service: that of its image, which the file replaces or goes on."""
        service = self.services[name]
        given = [self.here(name, part) for part in service.get("command", [])]
        match service["image"].partition(":")[0]:
            case "stream-retrain":
                return [*service.get("entrypoint", [str(BIN / "stream-retrain")]), *given]
            case "valkey/valkey":
                assert given[0] == "valkey-server"
                return [str(valkey_server()), *given[1:]]
            case "prom/prometheus":
                return [debian("prometheus"), *given]
            case "apache/kafka":
                return self._kafka(name)
        raise AssertionError(service["image"])

    def environment(self, name: str) -> dict[str, str]:
        """Exactly what compose gives a service beside its image, and where programs are."""
        service = self.services[name]
        image = dockerfile_environment() if service["image"].startswith("stream-retrain:") else {}
        given = {key: self.here(name, value) for key, value in service.get("environment", {}).items()}
        return {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **image, **given}

    def here(self, name: str, text: str) -> str:
        """A text of the file for this machine."""
        mounts = dict(volume.split(":")[1::-1] for volume in self.services[name].get("volumes", []))
        places = "|".join(sorted(mounts, key=len, reverse=True)) or "(?!)"
        text = re.sub(rf"(?<!\S)({places})|(?<==)({places})", lambda found: str(self._mounted(name, mounts[found[0]])), text)
        text = re.sub(rf"\b({'|'.join(self.services)})(?=:\d)", "127.0.0.1", text)
        return re.sub(rf"(?<![\d.])({'|'.join(self.ports)})(?!\d)", lambda found: self.ports[found[1]], text)

    def _mounted(self, name: str, source: str) -> Path:
        """A folder of this machine; a file is copied, because it names hosts and places too."""
        place = ROOT / source if source.startswith(".") else self._stack.directory / "volumes" / source
        if place.is_file():
            copy = self._stack.directory / place.name
            if not copy.exists():
                copy.touch()  # what it holds may name the place of the file itself
                copy.write_text("".join(self.here(name, line) for line in place.read_text().splitlines(keepends=True)))
            return copy
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _run_once(self, name: str) -> None:
        folder = self.here(name, self.services[name].get("working_dir", str(self._stack.directory)))
        ran = subprocess.run(
            self.command(name), env=self.environment(name), cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        self._done.add(name)

    def _is_healthy(self, name: str) -> bool:
        assert self._processes[name].alive, self._processes[name].tail()
        kind, program, *arguments = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        given = [self.here(name, argument) for argument in arguments]
        if program == "wget":  # which this machine may not have
            try:
                with urllib.request.urlopen(given[-1], timeout=10) as response:
                    return bool(response.status == HTTPStatus.OK)
            except OSError:
                return False
        program = (shutil.which("valkey-cli") or "redis-cli") if program == "valkey-cli" else program
        return subprocess.run([program, *given], env=self.environment(name), capture_output=True, timeout=30, check=False).returncode == 0

    def _kafka(self, name: str) -> list[str]:
        """Kafka from its jars, with the settings that its image makes of the environment, and formatted as the image does it."""
        environment = self.environment(name)
        properties = {
            re.sub("_{1,3}", lambda run: " ._-"[len(run[0])], key.removeprefix("KAFKA_").lower()): value
            for key, value in environment.items()
            if key.startswith("KAFKA_") and key not in JAVA_OPTIONS
        }
        file = self._stack.directory / "server.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        java = [*kafka_command(self._stack.directory / "downloads", lambda _: None), *environment["KAFKA_HEAP_OPTS"].split()]
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={environment['CLUSTER_ID']}", "-c", str(file)]
        formatted = subprocess.run([*java, *tool], capture_output=True, text=True, timeout=60, check=False)
        assert formatted.returncode == 0, formatted.stdout + formatted.stderr
        return [*java, "kafka.Kafka", str(file)]

"""One server process of the local stack: started, watched until it is ready, signalled, ended, and started again as it was."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from stream_retrain.errors import LocalStackError
from stream_retrain.local.guardian import REGISTERED, Guardian

__all__ = ["HOST", "PortTakenError", "Process", "accepts", "free_ports", "on_free_ports", "wait_until"]

HOST = "127.0.0.1"
PORT_CHOICES = 5
STOP_S = 10.0
ACCEPT_S = 1.0
POLL_S = 0.02
TAIL_LINES = 30

# Below the ports that Linux and macOS choose for outgoing connections: while a server is down, no client's connection takes its port.
PORTS = range(15_000, 32_000)

# What a Java would read besides its command; a stack is the same everywhere.
JAVA_VARIABLES = frozenset({"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"})


class Server(Protocol):
    """What is made for certain ports, then started."""

    def start(self) -> None: ...
    def kill(self) -> None: ...


S = TypeVar("S", bound=Server)


class PortTakenError(LocalStackError):
    """Another process took a port after it was chosen and before it was bound: start on other ports."""


class Process:
    """A command that may run once at a time, in `directory`, its output appended to `directory / "log"`.

    The guardian knows it from before its first instruction until it has been reaped.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, directory: Path, guardian: Guardian, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = directory / "log"
        self.pid = 0
        self._command = [*REGISTERED, *command]
        self._directory = directory
        self._environment = environment
        self._guardian = guardian
        self._running: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._exit_code = 0

    @property
    def alive(self) -> bool:
        """Whether it runs (a suspended process does)."""
        return self._running is not None and not self._reaped(self._running)

    def spawn(self) -> None:
        """Start the command, unless it runs; it is not ready yet."""
        if self.alive:
            return
        pipe = self._guardian.pipe
        environment = self._environment or {name: value for name, value in os.environ.items() if name not in JAVA_VARIABLES}
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._running = subprocess.Popen(
                self._command,
                cwd=self._directory,
                env=environment,
                stdin=pipe,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._running.pid

    def wait(self, limit_s: float) -> int | None:
        """The exit code, or None if the process still runs after `limit_s` seconds."""
        running = self._running
        if running is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(limit_s)
            if not self._reaped(running):
                return None
        return self._exit_code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        running = self._running
        if running is not None and not self._reaped(running):
            running.send_signal(number)

    def kill(self) -> None:
        """End it by SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.wait(STOP_S)

    def stop(self) -> None:
        """End it by SIGTERM, a suspended one too, and by SIGKILL if that has not done it in `STOP_S` seconds."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        if self.wait(STOP_S) is None:
            self.kill()

    def tail(self) -> str:
        """The end of what it has written since it was last started, without the frames of Java's stack traces."""
        lines = [line for line in self.output().splitlines() if not line.startswith("\tat ")]
        return "\n".join(lines[-TAIL_LINES:]) or "(it wrote nothing)"

    def output(self) -> str:
        """What it has written since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _reaped(self, running: subprocess.Popen[bytes]) -> bool:
        exit_code = running.poll()
        if exit_code is None:
            return False
        self._exit_code = exit_code
        if self._running is running:  # another thread may have started the next one
            self._running = None
        self._guardian.release(running.pid)
        return True


def wait_until(ready: Callable[[], bool], processes: Sequence[Process], *, limit_s: float) -> None:
    """Return when `ready` holds; all of `processes` are needed for it.

    Raises PortTakenError or LocalStackError, with the tail of the log, when one of them has ended or the time is over.
    """
    deadline = time.monotonic() + limit_s
    while not ready():
        for process in processes:
            if not process.alive:
                raise _ended(process)
        if time.monotonic() > deadline:
            tails = "\n".join(f"the end of the log of {process.name}:\n{process.tail()}" for process in processes)
            raise LocalStackError(f"{processes[0].name} was not ready within {limit_s:g} s; {tails}")
        time.sleep(POLL_S)


def _ended(process: Process) -> LocalStackError:
    kind = PortTakenError if "Address already in use" in process.output() else LocalStackError
    return kind(f"{process.name} ended with code {process.wait(0)} before it was ready; the end of its log:\n{process.tail()}")


def accepts(port: int) -> bool:
    """Whether something listens on the port."""
    try:
        socket.create_connection((HOST, port), timeout=ACCEPT_S).close()
    except OSError:
        return False
    return True


def on_free_ports(make: Callable[[], S]) -> S:
    """The server that `make` makes, started; made again, a few times, if another process took one of its ports meanwhile.

    Raises LocalStackError, with nothing left running.
    """
    for _ in range(PORT_CHOICES - 1):
        with contextlib.suppress(PortTakenError):
            return _started(make())
    return _started(make())


def _started(server: S) -> S:
    try:
        server.start()
    except BaseException:
        server.kill()
        raise
    return server


def free_ports(count: int) -> list[int]:
    """Ports that nothing is bound to now; another process may take one before the server does (PortTakenError)."""
    ports: list[int] = []
    for port in random.Random().sample(PORTS, len(PORTS)):
        if len(ports) == count:
            return ports
        with socket.socket() as candidate:
            try:
                candidate.bind((HOST, port))
            except OSError:
                continue
            ports.append(port)
    raise LocalStackError(f"no {count} ports between {PORTS.start} and {PORTS.stop} are free: stop what holds them")

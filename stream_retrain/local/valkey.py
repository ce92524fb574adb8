"""A real Valkey, which speaks Redis's protocol: every write goes to an append-only file in its directory."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from pathlib import Path

from stream_retrain.local.artifacts import valkey_server
from stream_retrain.local.guardian import Guardian
from stream_retrain.local.process import HOST, Process, free_ports, on_free_ports, wait_until

__all__ = ["ValkeyServer"]

READY_S = 30.0
ANSWER_S = 1.0


class ValkeyServer:
    """Made ready by `start_in`; after `kill` or `stop`, `start` brings it back on the same port with the same data."""

    def __init__(self, binary: Path, *, port: int, directory: Path, guardian: Guardian) -> None:
        self.port = port
        # One fsync a second: what a killed process has written is safe with the system; only a power cut may take up to a second.
        network = ["--port", str(port), "--bind", HOST]
        durability = ["--dir", str(directory), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
        self._process = Process("Valkey", [str(binary), *network, *durability], directory=directory, guardian=guardian)

    @classmethod
    def start_in(cls, directory: Path, guardian: Guardian, on_progress: Callable[[str], None]) -> ValkeyServer:
        """A server that answers, on a free port, with the data that `directory` holds. Raises LocalStackError."""
        binary = valkey_server()
        directory.mkdir(parents=True, exist_ok=True)
        server = on_free_ports(lambda: cls(binary, port=free_ports(1)[0], directory=directory, guardian=guardian))
        on_progress(f"Valkey is ready at {server.url}")
        return server

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"redis://{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process's number; of the last one, if none runs."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs; a suspended one does."""
        return self._process.alive

    def start(self) -> None:
        """Start it, if it does not run, and return when it answers with its data loaded. Raises LocalStackError."""
        self._process.spawn()
        wait_until(self._answers, [self._process], limit_s=READY_S)

    def stop(self) -> None:
        """End it by SIGTERM; by SIGKILL, if that does not do."""
        self._process.stop()

    def kill(self) -> None:
        """End it by SIGKILL; returns when it is gone."""
        self._process.kill()

    def suspend(self) -> None:
        """Have it hang (SIGSTOP): connections are accepted by the system, and nothing answers."""
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a suspension (SIGCONT)."""
        self._process.signal(signal.SIGCONT)

    def _answers(self) -> bool:
        """Whether it is this process that answers on the port, and PING with PONG: while it loads its data it answers with an error."""
        try:
            with socket.create_connection((HOST, self.port), timeout=ANSWER_S) as connection:
                connection.sendall(b"INFO server\r\nPING\r\nQUIT\r\n")
                with connection.makefile("rb") as answers:
                    answer = answers.read()
        except OSError:
            return False
        return b"\r\n+PONG\r\n" in answer and f"\r\nprocess_id:{self.pid}\r\n".encode() in answer

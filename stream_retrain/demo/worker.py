"""The demo's worker: `stream-retrain run` in a process of its own, as a user would run it."""

from __future__ import annotations

import os
import re
import sys
import time
import urllib.request
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from stream_retrain.errors import StreamRetrainError
from stream_retrain.local.stack import LocalStack
from stream_retrain.settings import Settings

__all__ = ["DemoWorker"]

START_TIMEOUT_S: Final = 60.0
SERVING: Final = re.compile(r"serving (http://[^\s:]+:\d+)")


class DemoWorker:
    """Starts it, asks its `/status`, and stops it; what it logs is kept for the message if it fails."""

    def __init__(self, target: str, stack: LocalStack, settings: Settings) -> None:
        key_file = stack.directory / "signing.key"
        key_file.touch(mode=0o600)
        key_file.write_text(f"demo:{os.urandom(32).hex()}\n")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")},
            "STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "STREAM_RETRAIN_REDIS_URL": settings.redis_url,
            "STREAM_RETRAIN_HTTP_PORT": "0",
            "STREAM_RETRAIN_SIGNING_KEY_FILE": str(key_file),
        }
        command = [sys.executable, "-m", "stream_retrain", "run", target]
        self._process = stack.process("worker", command, environment)
        self._process.spawn()
        self.url = self._wait()

    def status(self) -> dict[str, Any]:
        """What `/status` answers now. Raises `StreamRetrainError` if the worker has ended."""
        try:
            with urllib.request.urlopen(f"{self.url}/status", timeout=10) as response:  # noqa: S310 - our own worker
                found: dict[str, Any] = msgspec.json.decode(response.read())
                return found
        except OSError as error:
            raise StreamRetrainError(f"the demo's worker does not answer ({error}):\n{self._process.tail()}") from None

    def metrics(self) -> int:
        """How many samples `/metrics` exposes."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:  # noqa: S310 - our own worker
            return sum(1 for line in response.read().decode().splitlines() if line and not line.startswith("#"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.stop()

    def _wait(self) -> str:
        until_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until_s and self._process.alive:
            if found := SERVING.search(self._process.output()):
                return found[1]
            time.sleep(0.05)
        self._process.stop()
        raise StreamRetrainError(f"the demo's worker did not start:\n{self._process.tail()}")

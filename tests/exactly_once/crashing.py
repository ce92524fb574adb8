"""Workers as processes that begin at once: forked from a server that has imported everything and holds no client."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.conftest import Services

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["stream_retrain.cli", "stream_retrain.engines.kafka", "stream_retrain.stores.redis", "river.linear_model"])


def _run(pipeline: str, environment: dict[str, str], log: str, arguments: tuple[str, ...]) -> None:
    """In the new process: `stream-retrain run`."""
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 2)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    from stream_retrain.cli import main

    main(["run", pipeline, *arguments])


class CrashingWorker:
    """One worker process; `log` is what it said on standard error."""

    def __init__(self, services: Services, pipeline: Path, arguments: tuple[str, ...], settings: dict[str, Any]) -> None:
        self._log = pipeline.with_name(services.name("log"))
        self._log.write_text("")
        environment = services.environment | {"STREAM_RETRAIN_HTTP": "false"}
        environment |= {f"STREAM_RETRAIN_{name.upper()}": str(value) for name, value in settings.items()}
        self._process = CONTEXT.Process(target=_run, args=(str(pipeline), environment, str(self._log), arguments), daemon=True)
        self._process.start()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: signal.Signals) -> None:
        assert self._process.pid
        os.kill(self._process.pid, number)

    def ended(self, seconds: float = 30.0) -> int | None:
        """The exit code; None if it still runs then."""
        self._process.join(seconds)
        return self._process.exitcode

    def wait_for(self, holds: Callable[[], bool], seconds: float = 40.0) -> None:
        until_s = time.monotonic() + seconds
        while not holds():
            assert self._process.is_alive(), f"the worker ended with {self._process.exitcode}:\n{self.log}"
            assert time.monotonic() < until_s, f"waited {seconds} s in vain:\n{self.log}"
            time.sleep(0.02)


@contextlib.contextmanager
def crashing_worker(services: Services, pipeline: Path, *arguments: str, **settings: Any) -> Iterator[CrashingWorker]:
    """A worker; it is gone afterwards, whatever happened."""
    worker = CrashingWorker(services, pipeline, arguments, settings)
    try:
        yield worker
    finally:
        if worker._process.is_alive():
            worker._process.kill()
        worker._process.join(30)

"""A worker in a process of its own, the topics it reads and writes, and what an uninterrupted run would have put there."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from stream_retrain import Pipeline
from stream_retrain.cli.status import fetch_status
from stream_retrain.engines.kafka import read as kafka_read
from stream_retrain.engines.kafka.read import Stored
from stream_retrain.engines.replay.verifier import expected_of
from stream_retrain.lane.step import DECISIONS, PREDICTIONS
from stream_retrain.settings import load_settings
from tests import warm
from tests.conftest import Services


def read_topic(services: Services, topic: str) -> dict[int, list[Stored]]:
    """Every committed record, by partition."""
    return kafka_read.read_topic(load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), topic)


class Expected(NamedTuple):
    """What one shard puts out and comes to when nothing interrupts it."""

    predictions: list[bytes]
    decisions: list[bytes]
    digest: str


def uninterrupted(pipeline: Pipeline, partition: int, records: list[Stored]) -> Expected:
    """The oracle: the whole log of one partition in one batch, in this process."""
    expected = expected_of(pipeline, partition, [record.as_record() for record in records])
    of_kind = {kind: [put.value or b"" for put in expected.outputs if put.kind == kind] for kind in (PREDICTIONS, DECISIONS)}
    return Expected(of_kind[PREDICTIONS], of_kind[DECISIONS], expected.digest)


class Worker:
    """A `stream-retrain run` in a process of its own."""

    def __init__(self, process: warm.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        return "".join(self.lines)

    @property
    def url(self) -> str:
        self.wait_for(lambda: "serving http://" in self.log)
        found = re.search(r"serving (http://[^\s:]+:\d+)", self.log)
        assert found
        return found[1]

    def status(self) -> dict[str, Any]:
        return fetch_status(self.url)

    def records(self) -> int:
        """Records it has had, replayed ones left out."""
        return sum(shard["records"] for shard in self.status()["shards"].values())

    def counts(self, counter: str) -> dict[str, float]:
        """A counter of its metrics by its labels; unlike the status it goes on counting when shards are opened again."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"stream_retrain_{counter}_total")
        }

    def wait_for(self, holds: Callable[[], bool], seconds: float = 60.0) -> None:
        until_s = time.monotonic() + seconds
        while not holds():
            if self.process.poll() is not None and not holds():
                raise AssertionError(f"the worker ended with {self.process.returncode}:\n{self.log}")
            if time.monotonic() > until_s:
                raise AssertionError(f"waited {seconds} s in vain:\n{self.log}")
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Signal it, and wait until it has ended; the seconds that took."""
        started_s = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        self._reader.join(5)
        return time.monotonic() - started_s

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line)


@contextlib.contextmanager
def worker(services: Services, pipeline_file: Path, *arguments: str, **settings: Any) -> Iterator[Worker]:
    """Run a pipeline file; the process is gone afterwards, whatever happened."""
    environment = services.environment | {"STREAM_RETRAIN_HTTP_PORT": "0"}
    environment |= {f"STREAM_RETRAIN_{name.upper()}": str(value) for name, value in settings.items()}
    process = warm.start(["run", str(pipeline_file), *arguments], environment)
    started = Worker(process)
    try:
        yield started
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        started._reader.join(5)
        process.stdout.close()  # a worker writes nothing there
        process.stderr.close()


def decoded(values: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(value) for value in values]

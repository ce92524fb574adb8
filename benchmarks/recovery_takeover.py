"""How long a partition is without answers after SIGKILL of one of two workers, seen by a reader of its predictions."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.chaos_source import PIPELINE, Publisher
from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings

__all__ = ["takeovers"]

PARTITIONS = 4
RATE = 400.0
SESSION_TIMEOUT_S = 6.0
SETTLED_S = 2.0
LIMIT_S = 60.0


class Reader:
    """Notes when the newest prediction of each partition came."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.came_s = [0.0] * PARTITIONS
        self._consumer = Consumer({**base_config(settings), "group.id": "recovery.reader", "fetch.wait.max.ms": 10})
        self._consumer.assign([TopicPartition(topic, partition, -1) for partition in range(PARTITIONS)])
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            for message in self._consumer.consume(100, 0.01):
                if message.error() is None and (partition := message.partition()) is not None:
                    self.came_s[partition] = time.monotonic()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        self._consumer.close()


class Pair:
    """Two workers: each by itself, or both under `run --workers 2`."""

    def __init__(self, stack: LocalStack, file: Path, *, supervised: bool) -> None:
        self._supervised = supervised
        self._command = [sys.executable, "-m", "stream_retrain", "run", str(file), "--allow-unsigned"]
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")} | {
            "STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "STREAM_RETRAIN_REDIS_URL": stack.redis_url,
            "STREAM_RETRAIN_SESSION_TIMEOUT_MS": str(int(SESSION_TIMEOUT_S * 1000)),
            "STREAM_RETRAIN_CHECKPOINT_INTERVAL_S": "10",
            "STREAM_RETRAIN_LOG_LEVEL": "error",
        }
        self._base = random.Random().randrange(33_000, 60_000)
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        for number in range(1 if supervised else 2):
            self.start(self._base + number)

    @property
    def ports(self) -> list[int]:
        return [self._base, self._base + 1]

    def start(self, port: int) -> None:
        extra = ["--workers", "2"] if self._supervised else []
        self._running[port] = subprocess.Popen([*self._command, "--http-port", str(port), *extra], env=self._environment)

    def status(self, port: int) -> dict[str, Any] | None:
        """Of the worker that has this port, or would have it: under one parent both are served on the first."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._base if self._supervised else port}/status", timeout=2) as response:
                found: dict[str, Any] | None = json.load(response)
        except OSError:
            return None
        return found["workers"][str(port - self._base)] if found and self._supervised else found

    def shards(self, port: int) -> dict[str, dict[str, object]]:
        found = self.status(port)
        shards: dict[str, dict[str, object]] = found["shards"] if found and found["ready"] else {}
        return shards

    def balanced(self) -> bool:
        return all(len(self.shards(port)) == PARTITIONS // 2 for port in self.ports)

    def kill(self, port: int) -> list[int]:
        """The partitions that the killed one had."""
        partitions = [int(name.rpartition("/")[2]) for name in self.shards(port)]
        if self._supervised:
            found = self.status(port)
            assert found is not None
            os.kill(found["pid"], signal.SIGKILL)
        else:
            self._running[port].kill()
            self._running[port].wait()
        return partitions

    def end(self) -> None:
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        for process in self._running.values():
            process.wait(30)


def takeovers(stack: LocalStack, settings: Settings, trials: int, *, supervised: bool) -> list[float]:
    """Seconds from each SIGKILL to the first new prediction, for each partition the killed worker had."""
    name = f"takeover-{uuid.uuid4().hex[:6]}"
    file = stack.directory / f"{name.replace('-', '_')}.py"
    file.write_text(PIPELINE.format(name=name, source=f"{name}.events"))
    create_topic(settings, f"{name}.events", PARTITIONS, {"retention.ms": "-1"})
    publisher = Publisher(settings, f"{name}.events", PARTITIONS, 1, RATE)
    publisher.start()
    pair = Pair(stack, file, supervised=supervised)
    _wait(pair.balanced)
    reader = Reader(settings, f"{name}.predictions")
    found: list[float] = []
    try:
        for trial in range(trials):
            time.sleep(SETTLED_S)
            port = pair.ports[trial % 2]
            killed_s = time.monotonic()
            partitions = pair.kill(port)
            time.sleep(0.05)  # what was committed before it died may still be on its way to the reader
            sent_s = time.monotonic()
            _wait(lambda partitions=partitions, sent_s=sent_s: all(reader.came_s[each] > sent_s for each in partitions))
            found += [reader.came_s[each] - killed_s for each in partitions]
            if not supervised:
                pair.start(port)
            _wait(pair.balanced)
    finally:
        pair.end()
        publisher.stop()
        reader.stop()
    return found


def _wait(holds: object) -> None:
    assert callable(holds)
    until_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.005)

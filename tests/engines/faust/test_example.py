"""`examples/faust_app.py` on a real Kafka and Redis: the team's agent, the pipeline in its app, and the agents that subscribe to it."""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.engines.kafka.publish import create_topic, publish_rows
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import decoded, read_topic

pytestmark = pytest.mark.services

EXAMPLE = Path(__file__).parents[3] / "examples" / "faust_app.py"
ORDERS = 3_000


def raw_orders() -> Iterator[dict[str, Any]]:
    """Which orders come back turns around half-way."""
    rng = random.Random(1)
    for number in range(ORDERS):
        amount, items = rng.uniform(5, 200), rng.randint(1, 5)
        returned = (amount / items > 40) != (number > ORDERS // 2)
        yield {"id": f"o{number}", "customer": f"c{rng.randrange(50)}", "amount": amount, "items": items, "returned": returned}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


class Example:
    """The example's process, and what it has printed."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, str(EXAMPLE), "worker", "-l", "warn", "--web-port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=folder, env=services.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.lines.extend(iter(self.process.stdout.readline, ""))

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/stream_retrain/returns/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_for(self, holds: Callable[[], bool], seconds: float = 90.0) -> None:
        until_s = time.monotonic() + seconds
        while not holds():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < until_s, self.said
            time.sleep(0.1)


def test_the_example(services: Services, tmp_path: Path) -> None:
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    for topic in ("shop.raw", "shop.orders"):
        create_topic(settings, topic, 1, {})
    example = Example(services, tmp_path)
    try:
        example.wait_for(lambda: example.get("readyz")[0] == 200)
        publish_rows(raw_orders(), settings, topic="shop.raw", key="customer", partitions=1)
        example.wait_for(lambda: "3,000 orders predicted" in example.said and "duel.started" in example.said)
        assert '"pipeline": "returns"' in example.get("status")[1]
        assert "<title>" in example.get("")[1]
        assert "stream_retrain_events" in example.get("metrics")[1]
        assert example.get("nothing")[0] == 404
        began_s = time.monotonic()
        example.process.send_signal(signal.SIGTERM)
        assert example.process.wait(30) == 0, example.said
        assert time.monotonic() - began_s < 15
    finally:
        example.process.kill()
        example.process.wait(10)
        example._reader.join(5)
        assert example.process.stdout
        example.process.stdout.close()
        (tmp_path / "said").write_text(example.said)
    assert "Traceback" not in example.said
    predicted = [row["id"] for row in decoded([each.value or b"" for each in read_topic(services, "returns.predictions")[0]])]
    assert sorted(predicted) == sorted(f"o{number}" for number in range(ORDERS))
    assert re.search(r"shop\.orders/\d offset [\d,]+: drift\.detected", example.said)

"""`run --workers 2` on a real Kafka and Redis: one address says how both stand, also while one of them is dead."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import Worker, worker
from tests.engines.test_worker import PIPELINE, rows

pytestmark = [pytest.mark.services, pytest.mark.slow]
PARTITIONS = 4


def scraped(parent: Worker) -> dict[tuple[str, str], float]:
    """Sums by name and worker."""
    request = urllib.request.Request(f"{parent.url}/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        text = response.read().decode()
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name.removeprefix("stream_retrain_"), sample.labels.get("worker", "")
            found[key] = found.get(key, 0.0) + sample.value
    return found


def test_one_address_serves_every_worker_and_a_dead_one_does_not_end_it(services: Services, tmp_path: Path) -> None:
    file, source = tmp_path / "pipeline.py", services.name("events")
    file.write_text(PIPELINE.format(name=services.name("p"), source=source))
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    publish_rows(iter(rows(4_000)), settings, topic=source, partitions=PARTITIONS)
    with worker(services, file, "--workers", "2", session_timeout_ms=6_000) as parent:
        parent.wait_for(lambda: parent.status()["ready"])
        parent.wait_for(lambda: all(scraped(parent).get(("assigned_partitions", number)) == PARTITIONS / 2 for number in "01"))
        parent.wait_for(lambda: sum(scraped(parent)["records_consumed_total", number] for number in "01") >= 4_000)
        shown = subprocess.run([sys.executable, "-m", "stream_retrain", "status", "--url", parent.url], capture_output=True, text=True)
        assert shown.returncode == 0
        assert "worker 0" in shown.stdout
        assert "worker 1" in shown.stdout
        before = scraped(parent)
        assert {number: before["worker_up", number] for number in "01"} == {"0": 1.0, "1": 1.0}
        os.kill(parent.status()["workers"]["1"]["pid"], signal.SIGKILL)
        parent.wait_for(lambda: scraped(parent)["worker_up", "1"] == 0.0)
        assert scraped(parent)["records_consumed_total", "0"] == before["records_consumed_total", "0"]
        assert parent.status()["ready"] is False
        parent.wait_for(lambda: scraped(parent)["worker_starts_total", "1"] == 2.0)
        parent.wait_for(lambda: parent.status()["ready"] and scraped(parent)["worker_up", "1"] == 1.0)
        assert parent.stop() < 10
    told = [json.loads(line) for line in parent.lines]
    host = socket.gethostname()
    assert {each["instance"] for each in told} == {"parent", f"{host}-0", f"{host}-1"}
    assert [each["level"] for each in told if "ended with exit code -9" in each["event"]] == ["error"]
    assert {each["instance"] for each in told if each["event"].startswith("worker is running")} == {f"{host}-0", f"{host}-1"}

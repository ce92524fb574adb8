"""The whole way of an alert: a worker's `/metrics`, Prometheus with the rules as they are exported, Alertmanager, a receiver."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream_retrain.facts.worker import Assigned, StoreLost, WorkerStateChanged
from stream_retrain.ops import export_rules
from stream_retrain.views.http import Health, Pages, serve
from stream_retrain.views.metrics import Metrics, PipelineLabels
from tests.ops.servers import alertmanager, prometheus, until
from tests.views.support import SHARD

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture
def received() -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A receiver of Alertmanager's webhooks: its port, and what came."""
    came: list[dict[str, Any]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1], came
    server.shutdown()
    server.server_close()


def test_alertmanager_gets_what_fires_with_a_text_and_the_page_to_read(tmp_path: Path, received: tuple[int, list[dict[str, Any]]]) -> None:
    port, came = received
    metrics = Metrics(PipelineLabels(name="flights", task="binary", topic="flights.events", model="M"), "1")
    for fact in (Assigned(shard=SHARD, offset=0, live_from=0), WorkerStateChanged(state="running"), StoreLost(error="away")):
        metrics(fact)
    health = Health(ok=True)
    pages = Pages(metrics=metrics.render, healthy=lambda: health, ready=lambda: health, status=dict)
    routes = {
        "route": {"receiver": "test", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"},
        "receivers": [{"name": "test", "webhook_configs": [{"url": f"http://127.0.0.1:{port}/"}]}],
    }
    with serve("127.0.0.1", 0, pages) as worker, alertmanager(tmp_path, routes) as manager:
        rules, settings = export_rules(tmp_path, "https://example.org/runbooks")
        rules.write_text(rules.read_text().replace("for: 2m", "for: 1s"))  # a test cannot wait that long
        configuration = yaml.safe_load(settings.read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration["scrape_configs"][0]["static_configs"][0]["targets"] = [worker.url.removeprefix("http://")]
        configuration["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [manager.removeprefix("http://")]
        with prometheus(tmp_path, configuration):
            until(lambda: came, what="a webhook")
    assert {alert["labels"]["alertname"] for alert in came} == {"StreamRetrainStoreDown"}, "and nothing else is wrong"
    [alert] = came[:1]
    assert alert["status"] == "firing"
    assert (alert["labels"]["pipeline"], alert["labels"]["severity"]) == ("flights", "critical")
    assert alert["annotations"]["summary"] == "flights: Redis takes no writes"
    assert alert["annotations"]["runbook_url"] == "https://example.org/runbooks/StreamRetrainStoreDown.md"

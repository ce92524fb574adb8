"""The services of docker-compose.yml, started by hand with what the file gives each: they work together, and stop and resume in good order.

No container engine is at hand: what is not shown here is what an engine does (images, users, read-only file systems, limits), and Grafana.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from stream_retrain.engines.kafka.read import read_topic
from stream_retrain.errors import LocalStackError
from stream_retrain.local import LocalStack
from stream_retrain.settings import load_settings
from tests.deploy.compose import Compose, seconds
from tests.ops.servers import Prometheus, get_json, until
from tests.ops.test_live import ALERTS

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(300)]
VARIABLES = {"FLIGHTS_A_SECOND": "700", "INCIDENT_EVERY": "6000"}
NOT_RUN = {"grafana"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Compose]:
    try:
        own = LocalStack.start(kafka=False, redis=False)
    except LocalStackError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with own:
        compose = Compose(own, VARIABLES)
        try:
            for name in sorted(compose.services.keys() - NOT_RUN):
                compose.start(name)
            yield compose
        finally:
            compose.stop()


def topic(stack: Compose, name: str) -> list[dict[str, Any]]:
    """The values of a topic that nobody writes to now, read from this host as an operator would: through the published port."""
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": f"127.0.0.1:{stack.ports['9092']}"})
    return [json.loads(record.value or b"{}") for found in read_topic(settings, name).values() for record in found]


def test_every_service_but_grafana_was_started(stack: Compose) -> None:
    assert all(stack.process(name).alive for name in ("kafka", "valkey", "worker", "trainer", "producer", "prometheus"))
    assert stack.services.keys() - NOT_RUN == {"kafka", "valkey", "keys", "rules", "worker", "trainer", "producer", "prometheus"}


def test_predictions_come_and_a_drift_is_decided_on(stack: Compose) -> None:
    server = Prometheus(stack.url(9090))
    until(lambda: server.query("sum(stream_retrain_events_predicted_total) > 1000"), 60, "predictions")
    until(lambda: server.query("sum(stream_retrain_drift_detected_total) > 0"), 60, "a drift")


def test_the_trainer_trains(stack: Compose) -> None:
    server = Prometheus(stack.url(9090))
    until(lambda: server.query('stream_retrain_trainings_total{outcome="joined"} > 0'), 60, stack.process("trainer").output())


def test_prometheus_has_the_worker_and_the_rules(stack: Compose) -> None:
    server = Prometheus(stack.url(9090))
    until(lambda: server.query('up{job="stream_retrain"} == 1'), 30, "the target")
    rules = server.rules()
    assert {rule["name"] for rule in rules} == ALERTS.keys()
    assert all(rule["annotations"]["runbook_url"].startswith("docs/runbooks/") for rule in rules)


def test_the_worker_answers_for_the_name_that_prometheus_asks_for(stack: Compose) -> None:
    def answer(host: str) -> int:
        try:
            asked = urllib.request.Request(f"{stack.url(9464)}/metrics", headers={"Host": host})
            with urllib.request.urlopen(asked, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert (answer("worker:9464"), answer("10.0.0.7:9464"), answer("evil.example")) == (200, 200, 421)


def ended(stack: Compose, name: str) -> None:
    """Told to stop, a service ends well within its grace."""
    grace_s, began_s = seconds(stack.services[name]["stop_grace_period"]), time.monotonic()
    process = stack.process(name)
    process.signal(signal.SIGTERM)
    assert process.wait(grace_s) == 0, process.tail()
    assert time.monotonic() - began_s < grace_s - 5


def test_sigterm_ends_the_worker_within_its_grace_and_a_restart_goes_on(stack: Compose) -> None:
    worker = stack.process("worker")
    ended(stack, "worker")
    worker.spawn()
    stack.wait_healthy("worker")

    def shards() -> list[dict[str, Any]]:
        return list(get_json(f"{stack.url(9464)}/status")["shards"].values())

    until(lambda: sum(shard["records"] for shard in shards()) > 500, 60, "events after the restart")
    assert get_json(f"{stack.url(9464)}/status")["instance"] == "worker-1"
    assert "restored from its checkpoint" in worker.output()
    ended(stack, "producer")
    published = len(topic(stack, "flights.events"))
    until(lambda: sum(shard["offset"] for shard in shards()) >= published, 60, "the rest of the flights")
    ended(stack, "worker")
    ids = [each["id"] for each in topic(stack, "flights.predictions")]
    assert len(ids) == published, "each was predicted"
    assert len(set(ids)) == len(ids), "and none twice"
    assert any(each["type"] == "io.streamretrain.drift.detected.v1" for each in topic(stack, "flights.decisions"))

"""The flows of examples/orchestration in a real Prefect: run, and started by a decision."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.integrations.running import Running, wait_until
from tests.integrations.tools import EXAMPLES, Tool, answer, answers, free_port

pytestmark = [pytest.mark.integrations, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]
RETRAIN, ON_DECISION = str(EXAMPLES / "prefect_retrain.py"), str(EXAMPLES / "prefect_on_decision.py")
GROUP = "prefect.on_decision"
DEPLOYMENTS = {"stream-retrain-retrain": "nightly", "stream-retrain-on-decision": "decisions"}


def prefect(home: Path, place: Running, port: int) -> Tool:
    return Tool(
        "prefect",
        home,
        place.environment
        | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_CLI_COLORS": "false",
        },
    )


@pytest.fixture(scope="module")
def installed(place: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tool]:
    """With a server."""
    port = free_port()
    tool = prefect(tmp_path_factory.mktemp("prefect"), place, port)
    with tool.started("prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)):
        wait_until(lambda: answers(f"http://127.0.0.1:{port}/api/health"), 180, "Prefect's server")
        yield tool


def deployed(tool: Tool, flow: str) -> bool:
    try:
        answer(f"{tool.environment['PREFECT_API_URL']}/deployments/name/{flow}/{DEPLOYMENTS[flow]}")
    except OSError:
        return False
    return True


def runs(tool: Tool, flow: str) -> list[dict[str, Any]]:
    wanted = {"flows": {"name": {"any_": [flow]}}}
    found: list[dict[str, Any]] = answer(f"{tool.environment['PREFECT_API_URL']}/flow_runs/filter", "POST", wanted)
    return [run for run in found if run["state_type"] != "SCHEDULED" or run["auto_scheduled"] is False]


def test_the_deployment_asks_every_shard_for_a_retrain_and_waits_for_it(installed: Tool, place: Running) -> None:
    with installed.started("python", RETRAIN):
        wait_until(lambda: deployed(installed, "stream-retrain-retrain"), 120, "the deployment")
        installed.run("prefect", "deployment", "run", "stream-retrain-retrain/nightly", "--watch")
        [run] = runs(installed, "stream-retrain-retrain")
    assert run["state_type"] == "COMPLETED"
    assert place.requested_by("Prefect flow run") == {f"Prefect flow run {run['id']}": 2}


def test_the_flow_fails_where_the_training_fails(installed: Tool, untrained: Running, tmp_path: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); from prefect_retrain import retrain; retrain()"
    tool = prefect(tmp_path, untrained, int(installed.environment["PREFECT_API_URL"].split(":")[-1].removesuffix("/api")))
    assert "stream-retrain ended with 1" in tool.run("python", "-c", code, ends_with=1)
    [run] = [run for run in runs(installed, "stream-retrain-retrain") if run["state_type"] == "FAILED"]
    assert untrained.requested_by("Prefect flow run") == {f"Prefect flow run {run['id']}": 2}


def test_each_decision_starts_the_flow_once_also_when_it_comes_twice(installed: Tool, place: Running) -> None:
    def completed() -> list[str]:
        done = [run for run in runs(installed, "stream-retrain-on-decision") if run["state_type"] == "COMPLETED"]
        assert all(run["parameters"]["decision"]["id"] == run["idempotency_key"] for run in done)
        return sorted(run["idempotency_key"] for run in done)

    installed.environment["STREAM_RETRAIN_KAFKA_AUTO_OFFSET_RESET"] = "earliest"
    with installed.started("python", ON_DECISION, "serve"):
        wait_until(lambda: deployed(installed, "stream-retrain-on-decision"), 120, "the deployment")
        with installed.started("python", ON_DECISION, "follow"):
            place.drift()
            wait_until(lambda: completed() == sorted(place.starting()), 240, "a run for each decision")
        told_again(place)
        with installed.started("python", ON_DECISION, "follow"):
            place.drift()
            wait_until(lambda: completed() == sorted(place.starting()), 240, "a run for each new decision, and no other")


def told_again(place: Running) -> None:
    """Every decision comes again, as after a crash between a run and its commit."""
    topic = f"{place.pipeline.name}.decisions"
    admin = AdminClient({"bootstrap.servers": place.services.bootstrap_servers})
    begin = ConsumerGroupTopicPartitions(GROUP, [TopicPartition(topic, number, 0) for number in (0, 1)])
    admin.alter_consumer_group_offsets([begin])[GROUP].result()

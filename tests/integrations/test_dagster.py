"""The jobs of examples/orchestration in a real Dagster: run, and started by a decision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.running import Running, wait_until
from tests.integrations.tools import EXAMPLES, Tool, answer, answers, free_port

pytestmark = [pytest.mark.integrations, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]
RETRAIN, ON_DECISION = str(EXAMPLES / "dagster_retrain.py"), str(EXAMPLES / "dagster_on_decision.py")
RUNS = "{runsOrError {... on Runs {results {runId jobName status tags {key value}}}}}"
TICKS = """{sensorsOrError(repositorySelector: {repositoryName: "__repository__", repositoryLocationName: "dagster_on_decision.py"})
{... on Sensors {results {sensorState {ticks {status cursor}}}}}}"""


def dagster(home: Path, place: Running) -> Tool:
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    return Tool("dagster", home, place.environment | {"DAGSTER_HOME": str(home)})


@pytest.fixture(scope="module")
def installed(place: Running, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return dagster(tmp_path_factory.mktemp("dagster"), place)


@contextlib.contextmanager
def deployed(tool: Tool) -> Iterator[Callable[[str], Any]]:
    """`dagster dev`: web server, daemon and code server; what its web server answers to a query."""
    port = free_port()
    with tool.started("dagster", "dev", "-f", ON_DECISION, "-h", "127.0.0.1", "-p", str(port)):
        server = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(f"{server}/server_info"), 180, "Dagster's web server")
        yield lambda query: answer(f"{server}/graphql", "POST", {"query": query})["data"]


def ticks(ask: Callable[[str], Any]) -> list[dict[str, Any]]:
    """Of the sensor, the youngest first."""
    return [tick for each in ask(TICKS)["sensorsOrError"]["results"] for tick in each["sensorState"]["ticks"]]


def runs(ask: Callable[[str], Any]) -> list[tuple[str, str]]:
    """Key and status of each run."""
    results = ask(RUNS)["runsOrError"]["results"]
    return sorted((tag["value"], run["status"]) for run in results for tag in run["tags"] if tag["key"] == "dagster/run_key")


def test_the_job_asks_every_shard_for_a_retrain_and_waits_for_it(installed: Tool, place: Running) -> None:
    said = installed.run("dagster", "job", "execute", "-f", RETRAIN, "-j", "retrain")
    assert "RUN_SUCCESS" in said
    assert list(place.requested_by("Dagster run").values()) == [2]


def test_the_job_fails_where_the_training_fails(untrained: Running, tmp_path: Path) -> None:
    said = dagster(tmp_path, untrained).run("dagster", "job", "execute", "-f", RETRAIN, "-j", "retrain", ends_with=1)
    assert "RUN_FAILURE" in said
    assert "stream-retrain ended with 1" in said
    assert list(untrained.requested_by("Dagster run").values()) == [2]


def test_each_decision_starts_the_job_once_also_when_dagster_was_away(installed: Tool, place: Running) -> None:
    before = set(place.starting())

    def those_since() -> list[tuple[str, str]]:
        return sorted((each, "SUCCESS") for each in place.starting() if each not in before)

    with deployed(installed) as ask:
        wait_until(lambda: any(tick["status"] in ("SUCCESS", "SKIPPED") for tick in ticks(ask)), 120, "the first look at the topic")
        place.drift()
        wait_until(lambda: runs(ask) == those_since(), 240, "a run for each decision")
    place.drift()
    with deployed(installed) as ask:
        wait_until(lambda: runs(ask) == those_since(), 240, "a run for each that came meanwhile, and no other")

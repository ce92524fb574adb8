"""`MlflowTracking` with a real MLflow server: what the registry knows is in it, whatever happens to the server and to the calls.

The process of callbacks runs in a virtual environment that has this project with its extra; the worker runs here, where no MLflow is.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from confluent_kafka.admin import AdminClient

from stream_retrain import load_model
from tests.conftest import Services
from tests.engines.support import read_topic
from tests.integrations.running import COMMAND, Running, running, wait_until
from tests.integrations.tools import Tool, answer, answers, free_port

pytestmark = [pytest.mark.integrations, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]
SHARDS = (0, 1)
QUESTIONS = [{"a": number / 4 - 2.0} for number in range(17)]


class Mlflow:
    """A server that can be killed and started again, and what it answers."""

    def __init__(self, tool: Tool, name: str) -> None:
        self.tool, self.name, self.port = tool, name, free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def serving(self) -> Any:
        stores = ("--backend-store-uri", f"sqlite:///{self.tool.home}/mlflow.db", "--artifacts-destination", f"{self.tool.home}/artifacts")
        where = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        return self.tool.started("mlflow", "server", *stores, *where, ends_by=signal.SIGKILL)

    def wait(self) -> None:
        wait_until(lambda: answers(f"{self.url}/api/2.0/mlflow/registered-models/search"), 120, "MLflow's server")

    def ask(self, what: str, **body: Any) -> Any:
        return answer(f"{self.url}/api/2.0/mlflow/{what}", "POST", body)

    def runs(self) -> dict[str, dict[str, Any]]:
        """By the version they are of."""
        [experiment] = [each for each in self.ask("experiments/search", max_results=100)["experiments"] if each["name"] == self.name]
        found = self.ask("runs/search", experiment_ids=[experiment["experiment_id"]], max_results=1000).get("runs", [])
        runs = [
            {
                "status": run["info"]["status"],
                "id": run["info"]["run_id"],
                **{what: _flat(run["data"].get(what, [])) for what in ("tags", "params", "metrics")},
            }
            for run in found
        ]
        assert len({run["tags"]["sr_key"] for run in runs}) == len(runs), "each version has one run"
        return {run["tags"]["sr_version"]: run for run in runs if "sr_version" in run["tags"]}

    def registered(self) -> dict[str, dict[str, str]]:
        """The tags of registered versions by number."""
        found = answer(f"{self.url}/api/2.0/mlflow/model-versions/search?max_results=1000")["model_versions"]
        versions = {each["version"]: _flat(each["tags"]) for each in found if each["name"] == self.name}
        assert len({tags["sr_key"] for tags in versions.values()}) == len(versions), "each is registered once"
        return versions

    def aliases(self) -> dict[str, str]:
        """The ids of versions by alias."""
        model = answer(f"{self.url}/api/2.0/mlflow/registered-models/get?name={self.name}")["registered_model"]
        versions = self.registered()
        return {each["alias"]: versions[each["version"]]["sr_version"] for each in model.get("aliases", [])}


def _flat(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in pairs}


class Tracked(NamedTuple):
    """A pipeline whose decisions go to MLflow."""

    place: Running
    file: Path
    server: Mlflow
    client: Tool
    key: Path

    def command(self, *arguments: str, ends_with: int = 0) -> Any:
        """One of our own, in the environment of the worker."""
        done = subprocess.run([COMMAND, *arguments, "--json"], env=self.place.environment, capture_output=True, text=True, timeout=180)
        assert done.returncode == ends_with, done.stderr
        return json.loads(done.stdout)

    def known(self) -> dict[str, dict[str, Any]]:
        """The versions of the registry by id."""
        shards = self.command("models", "list", str(self.place.file))["shards"]
        return {version["id"]: version for versions in shards.values() for version in versions}

    def aliases(self) -> dict[str, str]:
        """As they are to be in MLflow."""
        known = self.known()
        return {f"{alias}-{each['partition']}": id_ for id_, each in known.items() for alias in each["aliases"]}

    def letters(self) -> int:
        """None are there as long as their topic is not."""
        services, topic = self.place.services, f"{self.place.pipeline.name}.callbacks.dead_letters"
        there = AdminClient({"bootstrap.servers": services.bootstrap_servers}).list_topics(timeout=20).topics
        return sum(map(len, read_topic(services, topic).values())) if topic in there else 0

    def settled(self) -> bool:
        """Whether MLflow has what the registry has."""
        known, runs = self.known(), self.server.runs()
        ended = {id_: run["status"] != "RUNNING" for id_, run in runs.items()}
        return ended == {id_: version["ended"] is not None for id_, version in known.items()} and self.server.aliases() == self.aliases()


@pytest.fixture(scope="module")
def tracked(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    folder = tmp_path_factory.mktemp("mlflow")
    key = folder / "signing.key"
    key.write_text("k1:" + "5a" * 32)
    key.chmod(0o600)
    with running(services, folder, trainer="process", signing_key_file=key) as place:
        environment = place.environment | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        server = Mlflow(Tool("mlflow", folder, environment), place.pipeline.name)
        file = folder / "tracked.py"
        declared = f"integrations=[MlflowTracking(tracking_uri={server.url!r}, timeout_s=30, pause_s=0.1)],\n    react=["
        text = "from stream_retrain.integrations.mlflow import MlflowTracking\n" + place.file.read_text().replace("react=[", declared)
        file.write_text(text)
        yield Tracked(place, file, server, Tool("mlflow-client", folder, environment), key)


def test_what_the_registry_knows_is_in_mlflow_once_though_the_server_is_killed_and_decisions_come_twice(tracked: Tracked) -> None:
    place, server, client = tracked.place, tracked.server, tracked.client
    assert "mlflow" in client.run("stream-retrain", "check", str(tracked.file))
    client.run("stream-retrain", "callbacks", str(tracked.file), "--test", ends_with=1)  # there is no server yet
    with client.started("stream-retrain", "callbacks", str(tracked.file)):
        with server.serving():
            server.wait()
            client.run("stream-retrain", "callbacks", str(tracked.file), "--test")
            tracked.command("retrain", str(place.file), "--wait", "--reason", "a new season")
            wait_until(tracked.settled, 120, "the trainings")
            of_a_training(server.runs()["0-t0"], tracked)
            place.drift()
        # MLflow is away: what is decided meanwhile waits for it, and the worker does not.
        tracked.command("models", "rollback", str(place.file), "--wait", "--reason", "it was better")
        before = tracked.known()
        forged = forge_the_copy_of(tracked, "0-g1")
        with server.serving():
            server.wait()
            wait_until(tracked.settled, 120, "what was decided while it was away")
            rolled_back(tracked, before)
            assert "sr_artifact_error" in server.runs()["0-g1"]["tags"], forged
            again_changes_nothing(tracked)
            the_models_are_those_of_the_registry(tracked)
    assert tracked.letters() == 0


def of_a_training(run: dict[str, Any], tracked: Tracked) -> None:
    known = tracked.known()["0-t0"]
    assert (run["status"], run["tags"]["sr_outcome"]) == ("FINISHED", known["ended_by"])
    assert run["params"]["cause"] == "request"
    assert run["params"]["window"] == "the last 500 rows"
    assert run["params"]["pipeline_digest"] == tracked.place.pipeline.digest()
    assert int(run["params"]["learned_through_offset"]) == known["trained_on"]["learned_through"]
    assert run["metrics"]["training/lessons"] == known["trained_on"]["lessons"] > 0
    assert run["metrics"]["training/seconds"] == pytest.approx(known["trained_on"]["seconds"])
    [own] = [each for each in known["standings"] if each["name"] == known["challenger"]]
    evidence = own["e_value"] if known["won_by"] is None else known["won_by"]
    assert run["metrics"]["duel/e_value"] == pytest.approx(evidence)
    assert run["metrics"]["duel/p_value_at_most"] == pytest.approx(min(1.0, 1 / evidence))


def rolled_back(tracked: Tracked, before: dict[str, dict[str, Any]]) -> None:
    for shard in SHARDS:
        [champion] = [id_ for id_, each in before.items() if each["partition"] == shard and "champion" in each["aliases"]]
        run = tracked.server.runs()[champion]
        assert (run["status"], run["params"]["came"], run["tags"]["sr_outcome"]) == ("RUNNING", "rolled_back", "serves")
        assert run["tags"]["sr_reason"] == "it was better"
        assert tracked.server.aliases()[f"champion-{shard}"] == champion
        assert tracked.server.aliases()[f"previous-{shard}"] == before[champion]["replaced"]
    assert "champion" not in tracked.server.aliases(), "with two shards it would not say whose"


def forge_the_copy_of(tracked: Tracked, version: str) -> str:
    """Change a bit of the copy that is kept as the version ends; MLflow has not seen it yet."""
    name, place = tracked.known()[version]["artifact"]["name"], tracked.place
    store = redis.Redis.from_url(place.services.redis_url)
    key = f"sr:{{{place.pipeline.name}/{place.pipeline.source}/0}}:models"
    sealed = store.hget(key, name)
    store.hset(key, name, sealed[:-1] + bytes([sealed[-1] ^ 1]))
    return name


def again_changes_nothing(tracked: Tracked) -> None:
    runs, registered, aliases = tracked.server.runs(), tracked.server.registered(), tracked.server.aliases()
    tracked.client.run("stream-retrain", "callbacks", str(tracked.file), "--from", "offset:0", "--handler", "mlflow")
    assert {id_: run["id"] for id_, run in tracked.server.runs().items()} == {id_: run["id"] for id_, run in runs.items()}
    assert tracked.server.registered().keys() == registered.keys()
    assert tracked.server.aliases() == aliases


def the_models_are_those_of_the_registry(tracked: Tracked) -> None:
    code = f"""
import json, mlflow
mlflow.set_tracking_uri({tracked.server.url!r})
name = {tracked.server.name!r}
of = [(f"models:/{{name}}@{{alias}}-1", alias) for alias in ("previous", "champion")]
print(json.dumps([mlflow.artifacts.download_artifacts(uri, dst_path=alias) for uri, alias in of]))
"""
    previous, champion = (Path(each) for each in tracked.client.python(code))
    id_ = tracked.aliases()["previous-1"]
    exported = tracked.client.home / "exported.model"
    tracked.command("models", "export", str(tracked.place.file), id_, str(exported))
    ours, theirs = load_model(exported, key=tracked.key), load_model(previous / f"{id_}.model", key=tracked.key)
    assert [ours.predict_proba_one(each) for each in QUESTIONS] == [theirs.predict_proba_one(each) for each in QUESTIONS]
    assert len({repr(theirs.predict_proba_one(each)) for each in QUESTIONS}) > 1, "it has learned"
    [serving] = champion.glob("*.model")
    load_model(serving, key=tracked.key).predict_one(QUESTIONS[0])
    assert id_ in (previous / "card.md").read_text()

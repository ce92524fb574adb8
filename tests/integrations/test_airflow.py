"""The DAGs of examples/orchestration in a real Airflow: read, run, and started by a decision."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integrations.running import COMMAND, Running, wait_until
from tests.integrations.tools import EXAMPLES, Tool, answer, answers, free_port

pytestmark = [pytest.mark.integrations, pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(900)]
RETRAIN, ON_DECISION = "stream_retrain_retrain", "stream_retrain_on_decision"
RUN = f"""
import json
from airflow.models import DagBag
dag = DagBag().get_dag("{RETRAIN}")
run = dag.test()
[task] = run.get_task_instances()
returned = task.xcom_pull(task_ids="retrain")
print(json.dumps({{"run_id": run.run_id, "state": str(run.state), "returned": returned, "tries": task.try_number}}))
"""


def airflow(home: Path, place: Running) -> Tool:
    """Installed as the examples and docs/orchestration.md say."""
    api, worker_logs, trigger_logs = free_port(), free_port(), free_port()
    kafka = {
        "bootstrap.servers": place.services.bootstrap_servers,
        "group.id": f"airflow.{place.pipeline.name}",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    tool = Tool(
        "airflow",
        home,
        place.environment
        | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW_CONN_STREAM_RETRAIN": json.dumps({"conn_type": "kafka", "extra": kafka}),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{api}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(api),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        },
    )
    for folder, names in {"dags": ("airflow_retrain.py", "airflow_on_decision.py"), "plugins": ("airflow_decisions.py",)}.items():
        (home / folder).mkdir()
        for name in names:
            shutil.copy(EXAMPLES / name, home / folder)
    tool.run("airflow", "db", "migrate")
    return tool


@pytest.fixture(scope="module")
def installed(place: Running, tmp_path_factory: pytest.TempPathFactory) -> Tool:
    return airflow(tmp_path_factory.mktemp("airflow"), place)


@contextlib.contextmanager
def deployed(tool: Tool) -> Iterator[Callable[..., Any]]:
    """`airflow standalone`: scheduler, DAG processor, triggerer and API server; what its API answers."""
    server = f"http://127.0.0.1:{tool.environment['AIRFLOW__API__PORT']}"
    with tool.started("airflow", "standalone"):
        wait_until(lambda: answers(f"{server}/api/v2/monitor/health"), 300, "Airflow's API server")
        token = answer(f"{server}/auth/token")["access_token"]
        yield lambda path, method="GET", body=None: answer(f"{server}/api/v2/{path}", method, body, token)


def acted_on(api: Callable[..., Any]) -> list[str]:
    """The ids of the decisions that runs of the DAG got, in order."""
    runs = api(f"dags/{ON_DECISION}/dagRuns?limit=100")["dag_runs"]
    assert {run["state"] for run in runs} <= {"queued", "running", "success"}
    returned = "taskInstances/act/xcomEntries/return_value?deserialize=true"
    done = [run["dag_run_id"] for run in runs if run["state"] == "success"]
    return sorted(each for run in done for each in api(f"dags/{ON_DECISION}/dagRuns/{run}/{returned}")["value"])


def test_airflow_reads_the_dags_without_an_error(installed: Tool) -> None:
    told = installed.python(
        "import json; from airflow.models import DagBag; b = DagBag(); print(json.dumps([sorted(b.dags), list(b.import_errors.values())]))"
    )
    assert told == [[ON_DECISION, RETRAIN], []]


def test_the_dag_asks_every_shard_for_a_retrain_and_waits_for_it(installed: Tool, place: Running) -> None:
    told = installed.python(RUN)
    assert told["state"] == "success"
    assert {each["outcome"] for each in told["returned"]["outcomes"].values()} <= {"promoted", "kept", "undecided"}
    assert place.requested_by("Airflow run") == {f"Airflow run {told['run_id']}": 2}
    again = [COMMAND, "retrain", str(place.file), "--wait", "--json", "--timeout", "60", "--token", told["returned"]["token"]]
    done = subprocess.run(again, env=place.services.environment, capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)["outcomes"]) == (0, told["returned"]["outcomes"]), "a task that is tried again"
    assert place.requested_by("Airflow run") == {f"Airflow run {told['run_id']}": 2}
    assert not place.requested_by("asked on the command line")


def test_the_dag_fails_where_the_training_fails(installed: Tool, untrained: Running, tmp_path: Path) -> None:
    told = airflow(tmp_path, untrained).python(RUN)
    assert (told["state"], told["returned"], told["tries"]) == ("failed", None, 1)
    assert untrained.requested_by("Airflow run") == {f"Airflow run {told['run_id']}": 2}


def test_decisions_start_the_dag_which_gets_each_once_also_when_airflow_was_away(installed: Tool, place: Running) -> None:
    with deployed(installed) as api:
        wait_until(lambda: ON_DECISION in {each["dag_id"] for each in api("dags")["dags"]}, 120, "the DAG is read")
        api(f"dags/{ON_DECISION}", "PATCH", {"is_paused": False})
        place.drift()
        wait_until(lambda: acted_on(api) == sorted(place.starting()), 240, "a run for every decision")
    place.drift()
    with deployed(installed) as api:
        wait_until(lambda: acted_on(api) == sorted(place.starting()), 240, "a run for those that came meanwhile, and no other")

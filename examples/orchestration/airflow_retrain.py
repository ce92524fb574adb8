"""A DAG that asks a pipeline for a retrain every night, waits for what comes of it, and fails where the training fails.

Install: Airflow 3, and this file in the folder of its DAGs. `stream-retrain` is best installed in a virtual environment of its own, as the
two need different versions of the same packages. What Airflow's workers have in their environment says where things are:

    RETRAIN_COMMAND    /opt/stream_retrain/bin/stream-retrain; without it, `stream-retrain` of the PATH
    RETRAIN_PIPELINE   /etc/stream_retrain/shop.py, the file of the pipeline; it has a rule `On.request(Retrain(...))`
    STREAM_RETRAIN_...        Kafka, Redis and keys, as a worker of the pipeline has them

Try it: airflow dags test stream_retrain_retrain

The token of the request is made from the id of the run. So a task that is tried again asks for nothing new: it waits on for the request of
its run, or is told at once what came of it. It is tried again where the wait was cut short, and not where the training failed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

COMMAND = shlex.split(os.environ.get("RETRAIN_COMMAND", "stream-retrain"))
PIPELINE = os.environ.get("RETRAIN_PIPELINE", "shop.py")
DAG_ID, WAIT_S = "stream_retrain_retrain", 3_600


@task(execution_timeout=timedelta(seconds=WAIT_S + 300), retries=2, retry_delay=timedelta(minutes=1))
def retrain() -> dict[str, Any]:
    """Ask every shard, and wait. What is returned says which request each has, and the outcome of each."""
    run_id = str(get_current_context()["run_id"])
    token = f"airflow:{hashlib.sha256(f'{DAG_ID}/{run_id}'.encode()).hexdigest()[:32]}"  # a run id may have letters that a token may not
    options = ["--wait", "--timeout", str(WAIT_S), "--json", "--token", token, "--reason", f"Airflow run {run_id}"]
    done = subprocess.run([*COMMAND, "retrain", PIPELINE, *options], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:  # 1: refused or failed; 2: a fault of settings or pipeline; else it is not known what came of it
        error = AirflowFailException if done.returncode in (1, 2) else RuntimeError
        raise error(f"stream-retrain ended with {done.returncode}: {done.stdout}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@dag(
    dag_id=DAG_ID,
    schedule="0 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["stream_retrain"],
)
def retrain_every_night() -> None:
    """One retrain a night. Nights that were missed are not made up for: a model learns from the last events anyway."""
    retrain()


retrain_every_night()

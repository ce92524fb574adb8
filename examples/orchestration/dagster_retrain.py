"""A job that asks a pipeline for a retrain every night, waits for what comes of it, and fails where the training fails.

Install: `pip install dagster dagster-webserver`. `stream-retrain` is best installed in a virtual environment of its own, as the two may
need different versions of the same packages. The environment of Dagster's daemon and web server says where things are:

    RETRAIN_COMMAND    /opt/stream_retrain/bin/stream-retrain; without it, `stream-retrain` of the PATH
    RETRAIN_PIPELINE   /etc/stream_retrain/shop.py, the file of the pipeline; it has a rule `On.request(Retrain(...))`
    STREAM_RETRAIN_...        Kafka, Redis and keys, as a worker of the pipeline has them

Run:

    dagster dev -f dagster_retrain.py                        # the schedule
    dagster job execute -f dagster_retrain.py -j retrain     # one now

The token of the request is the id of the run: a step that is tried again asks for nothing new, but waits on for the same request.
"""

import json
import os
import shlex
import subprocess
from typing import Any

from dagster import DefaultScheduleStatus, Definitions, Failure, OpExecutionContext, ScheduleDefinition, job, op

COMMAND = shlex.split(os.environ.get("RETRAIN_COMMAND", "stream-retrain"))
PIPELINE = os.environ.get("RETRAIN_PIPELINE", "shop.py")
WAIT_S = 3_600


@op
def ask_for_retrain(context: OpExecutionContext) -> dict[str, Any]:
    """Ask every shard, and wait. What is returned says which request each has, and the outcome of each."""
    run_id = context.run_id
    options = ["--wait", "--timeout", str(WAIT_S), "--json", "--token", f"dagster:{run_id}", "--reason", f"Dagster run {run_id}"]
    done = subprocess.run([*COMMAND, "retrain", PIPELINE, *options], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"stream-retrain ended with {done.returncode}: {done.stdout}", allow_retries=done.returncode not in (1, 2))
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@job
def retrain() -> None:
    """One retrain."""
    ask_for_retrain()


every_night = ScheduleDefinition(job=retrain, cron_schedule="0 3 * * *", default_status=DefaultScheduleStatus.RUNNING)
defs = Definitions(jobs=[retrain], schedules=[every_night])

"""A flow that asks a pipeline for a retrain every night, waits for what comes of it, and fails where the training fails.

Install: `pip install prefect`. `stream-retrain` is best installed in a virtual environment of its own, as the two may need different
versions of the same packages. The environment of the process that runs flows says where things are:

    RETRAIN_COMMAND    /opt/stream_retrain/bin/stream-retrain; without it, `stream-retrain` of the PATH
    RETRAIN_PIPELINE   /etc/stream_retrain/shop.py, the file of the pipeline; it has a rule `On.request(Retrain(...))`
    STREAM_RETRAIN_...        Kafka, Redis and keys, as a worker of the pipeline has them

Run:

    prefect server start
    python prefect_retrain.py                                          # makes the deployment and runs what is due
    prefect deployment run 'stream-retrain-retrain/nightly' --watch     # one now

The token of the request is the id of the run: a run that is tried again asks for nothing new, but waits on for the same request.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import Any

from prefect import flow
from prefect.runtime import flow_run

COMMAND = shlex.split(os.environ.get("RETRAIN_COMMAND", "stream-retrain"))
PIPELINE = os.environ.get("RETRAIN_PIPELINE", "shop.py")
WAIT_S = 3_600


@flow(name="stream-retrain-retrain", timeout_seconds=WAIT_S + 300)
def retrain() -> dict[str, Any]:
    """Ask every shard, and wait. What is returned says which request each has, and the outcome of each."""
    run_id = str(flow_run.get_id())
    options = ["--wait", "--timeout", str(WAIT_S), "--json", "--token", f"prefect:{run_id}", "--reason", f"Prefect flow run {run_id}"]
    done = subprocess.run([*COMMAND, "retrain", PIPELINE, *options], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"stream-retrain ended with {done.returncode}: {done.stdout}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


if __name__ == "__main__":
    retrain.serve(name="nightly", cron="0 3 * * *", limit=1)

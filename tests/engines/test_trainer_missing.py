"""A training that nobody takes is told: in the log, as a metric, and by whether trainers are missing or busy. On a real RQ queue."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.engines.driver.inputs import Inputs
from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.engines.trainer import JobDone, JobProgressed, JobWaits
from stream_retrain.engines.trainer.rq import RqTrainer
from stream_retrain.facts.worker import TrainingWaits, WorkerFact
from stream_retrain.settings import load_settings
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, Stores
from tests.conftest import Services
from tests.engines import trainer_support as support
from tests.engines.support import Worker, worker
from tests.engines.test_trainer_rq import asking, job, made, trainer_process
from tests.engines.trainer_support import KEYRING

pytestmark = [pytest.mark.services, pytest.mark.slow]
FILE = """
from river import linear_model
from stream_retrain import On, Pipeline, Retrain, Schema, Window
pipeline = Pipeline(
    name="{name}", task="binary", source="{source}", model=linear_model.LogisticRegression(),
    schema=Schema(id="id", label="y", features={{"a": float}}),
    react=[On.every(events=500, do=Retrain(window=Window(rows=450)))],
    window_rows_max=1_000,
)
"""


@pytest.fixture
def stores(valkey_url: str) -> Stores:
    return connect(valkey_url, keyring=KEYRING)


def waits(trainer: RqTrainer, seconds: float = 30.0) -> JobWaits:
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        for result in trainer.poll():
            if isinstance(result, JobWaits):
                return result
        time.sleep(0.05)
    raise AssertionError("nothing was reported")


def test_what_waits_says_whether_trainers_are_missing_or_busy(stores: Stores, valkey_url: str, tmp_path: Path) -> None:
    of = made(support.pipeline().name)
    epoch = support.fill(stores, of, support.rows(400))
    asker = asking(of, valkey_url, stores, trainer_wait_s=0.3)
    asker.submit(job(of, epoch, 399, "slow"))
    told = waits(asker)
    assert (told.shard, told.training, told.trainers) == (support.shard_of(of), 0, 0)
    assert told.waited_s > 0.3
    assert not any(isinstance(result, JobWaits) for _ in range(5) for result in asker.poll()), "it is said again after a minute"
    with trainer_process(tmp_path, of, valkey_url):
        support.until(asker, JobProgressed)
        other = asking(of, valkey_url, stores, trainer_wait_s=0.3)
        other._jobs.add(job(of, epoch, 399, "slow", training=7))
        assert other._trainers() == 1, "it is busy, and could take it later"
        support.until(asker, JobDone, 60.0)


def test_the_driver_tells_it_as_a_fact(stores: Stores, valkey_url: str) -> None:
    of = made(support.pipeline().name)
    epoch = support.fill(stores, of, support.rows(10))
    asker, told = asking(of, valkey_url, stores, trainer_wait_s=0.05), list[WorkerFact]()
    inputs = Inputs(of, stores, KEYRING, asker, told.append, ArtifactLimits(bytes_max=0, age_max_s=None))
    asker.submit(job(of, epoch, 9, "long"))
    until_s = time.monotonic() + 20
    while not told and time.monotonic() < until_s:
        inputs._poll()
        time.sleep(0.02)
    [fact] = told
    assert isinstance(fact, TrainingWaits)
    assert (fact.shard, fact.trainers) == (support.shard_of(of), 0)


def test_a_worker_whose_trainers_are_missing_says_so_until_one_comes(services: Services, tmp_path: Path) -> None:
    file, source = tmp_path / "pipeline.py", services.name("events")
    file.write_text(FILE.format(name=services.name("p"), source=source))
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    publish_rows(({"id": f"e{n}", "a": n % 7, "y": n % 7 > 3} for n in range(600)), settings, topic=source, partitions=1)
    with worker(services, file, trainer="rq", trainer_wait_s=1, checkpoint_interval_s=1, traces=True) as running:
        running.wait_for(lambda: "waits for a trainer since" in running.log)
        [told] = [json.loads(line) for line in running.lines if "waits for a trainer since" in line]
        assert (told["level"], told["kind"], told["trainers"]) == ("warning", "training.waits_for_trainer", 0)
        assert "no trainer has loaded exactly this pipeline" in told["event"]
        running.wait_for(lambda: waited(running) > 1.0)
        command = [sys.executable, "-m", "stream_retrain", "trainer", str(file)]
        with subprocess.Popen(command, env=services.environment, stderr=subprocess.PIPE, text=True) as trainer:
            try:
                running.wait_for(joined(running))
                running.wait_for(lambda: waited(running) == 0.0)
            finally:
                trainer.terminate()
        publish_rows(({"id": f"f{n}", "a": n % 7, "y": n % 7 > 3} for n in range(10)), settings, topic=source)
        running.wait_for(lambda: "joined duel" in running.log)


def waited(running: Worker) -> float:
    return next(iter(metric(running, "training_waits_seconds").values()))


def metric(running: Worker, name: str) -> dict[str, float]:
    import urllib.request

    with urllib.request.urlopen(f"{running.url}/metrics", timeout=10) as response:
        lines = response.read().decode().splitlines()
    found = (line.rsplit(" ", 1) for line in lines if line.startswith(f"stream_retrain_{name}{{"))
    return {labels: float(value) for labels, value in found}


def joined(running: Worker) -> Callable[[], Any]:
    """Whether the training is done."""
    return lambda: "is done after" in running.log or "waits for the end" in running.log

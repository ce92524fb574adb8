"""A training that nobody takes is told by a worker: in its log and as a metric, until a trainer of the pool comes. On a real Kafka."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.settings import load_settings
from tests import warm
from tests.conftest import Services
from tests.engines.support import Worker, worker

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


def test_a_worker_whose_trainers_are_missing_says_so_until_one_comes(services: Services, tmp_path: Path) -> None:
    file, source = tmp_path / "pipeline.py", services.name("events")
    file.write_text(FILE.format(name=services.name("p"), source=source))
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
    publish_rows(({"id": f"e{n}", "a": n % 7, "y": n % 7 > 3} for n in range(600)), settings, topic=source, partitions=1)
    with worker(services, file, trainer="pool", trainer_wait_s=1, checkpoint_interval_s=1, traces=True) as running:
        running.wait_for(lambda: "waits for a trainer since" in running.log)
        [told] = [json.loads(line) for line in running.lines if "waits for a trainer since" in line]
        assert (told["level"], told["kind"], told["trainers"]) == ("warning", "training.waits_for_trainer", 0)
        assert "no trainer has loaded exactly this pipeline" in told["event"]
        running.wait_for(lambda: waited(running) > 1.0)
        assert shown_trainers(services, file) == []
        with warm.start(["trainer", str(file)], services.environment) as trainer:
            running.wait_for(joined(running))
            running.wait_for(
                lambda: [(shown["pid"], shown["detail"]) for shown in shown_trainers(services, file)] == [(trainer.pid, "idle")]
            )
            running.wait_for(lambda: waited(running) == 0.0)
        publish_rows(({"id": f"f{n}", "a": n % 7, "y": n % 7 > 3} for n in range(10)), settings, topic=source)
        running.wait_for(lambda: "joined duel" in running.log)


def shown_trainers(services: Services, file: Path) -> list[dict[str, Any]]:
    """The trainers of the pool that `stream-retrain status` shows."""
    ran = warm.run(["status", str(file), "--json"], services.environment)
    found: list[dict[str, Any]] = json.loads(ran.stdout)["trainers"]
    return found


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

"""Ladder (b): a real worker on a real Kafka and Redis dies at each step, comes back, and was exactly once."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos_judge import judge, wait_until_committed
from benchmarks.chaos_source import PIPELINE, Publisher
from stream_retrain import Pipeline
from stream_retrain.engines.failpoints import FAIL_POINTS, KILLED, FailPoint
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.exactly_once.crashing import CrashingWorker, crashing_worker

pytestmark = pytest.mark.services

PARTITIONS = 2
EVENTS = 200
SESSION_TIMEOUT_S = 1.5
NOT_HERE: frozenset[FailPoint] = frozenset(
    {"commit.aborted", "input.come", "input.kept", "input.received", "input.saved", "replay.window_appended"}
)
"""Kafka cannot be asked to abort a commit, inputs are the trainer's, the last takes a replay of 500 rows: the model has all of them."""
RUN = {
    "session_timeout_ms": int(SESSION_TIMEOUT_S * 1000),
    "checkpoint_events": 60,
    "commit_events_max": 40,
    "poll_records_max": 40,
    "commit_interval_ms": 20,
}


class Bench:
    """A pipeline of its own with everything around it."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.file = folder / "pipeline.py"
        self.file.write_text(PIPELINE.format(name=services.name("crash"), source=services.name("events")))
        self.pipeline: Pipeline = load_pipeline(str(self.file))
        overrides = {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url}
        self.settings: Settings = load_settings(None, {}, overrides)
        create_topic(self.settings, self.pipeline.source, PARTITIONS, {"retention.ms": "-1"})
        self.publisher = Publisher(self.settings, self.pipeline.source, PARTITIONS, 1, 1e6)
        self.publisher.publish(EVENTS)

    def worker(self, **settings: Any) -> Any:
        return crashing_worker(self.services, self.file, **RUN | {"instance": "first"} | settings)

    def catch_up(self, worker: CrashingWorker) -> None:
        def look() -> None:
            assert worker.ended(0) is None, worker.log

        wait_until_committed(self.settings, self.pipeline, PARTITIONS, look, 40.0)


@pytest.fixture(scope="module")
def bench(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(services, tmp_path_factory.mktemp("crash"))


@pytest.mark.parametrize("point", [point for point in FAIL_POINTS if point not in NOT_HERE])
def test_dies_there(bench: Bench, point: FailPoint) -> None:
    """One death after another on the same topics: each worker finds what the one before it left."""
    bench.publisher.publish(120)
    if point.startswith("replay"):
        _leave_something_to_replay(bench)
    static = not point.startswith(("revoke", "lost"))
    with bench.worker(failpoint=point, static_membership=static) as worker:
        _provoke(bench, worker, point)
        assert worker.ended() == KILLED, worker.log


def test_it_was_exactly_once_in_spite_of_it(bench: Bench) -> None:
    with bench.worker() as worker:
        bench.publisher.publish(100)
        bench.catch_up(worker)
        worker.send(signal.SIGTERM)
        assert worker.ended() == 0, worker.log
    verdict = judge(bench.settings, bench.pipeline, bench.publisher.published)
    assert verdict.holds, verdict


def _leave_something_to_replay(bench: Bench) -> None:
    with bench.worker(failpoint="commit.committed:4", checkpoint_events=1_000_000) as worker:
        assert worker.ended() == KILLED, worker.log


def _provoke(bench: Bench, worker: CrashingWorker, point: FailPoint) -> None:
    """What leads to the rarer steps."""
    match point.partition(".")[0]:
        case "shutdown":
            bench.catch_up(worker)
            bench.publisher.publish(20)
            worker.send(signal.SIGTERM)
        case "lost":
            bench.catch_up(worker)
            worker.send(signal.SIGSTOP)
            time.sleep(SESSION_TIMEOUT_S + 0.7)
            worker.send(signal.SIGCONT)
        case "revoke":
            worker.wait_for(lambda: "worker is running" in worker.log)
            with bench.worker(instance="third", static_membership=False):
                bench.publisher.publish(20)
                worker.ended()

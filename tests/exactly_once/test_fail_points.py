"""Ladder (b): a real worker on a real Kafka and Redis dies at each step, comes back, and was exactly once."""

from __future__ import annotations

import signal
import time

import pytest

from benchmarks.chaos_judge import judge
from stream_retrain.engines.failpoints import FAIL_POINTS, KILLED, FailPoint
from tests.conftest import Services
from tests.exactly_once.bench import SESSION_TIMEOUT_S, Bench
from tests.exactly_once.crashing import CrashingWorker

pytestmark = pytest.mark.services

NOT_HERE: frozenset[FailPoint] = frozenset(
    {"commit.aborted", "version.kept", "input.come", "input.kept", "input.received", "input.saved", "replay.window_appended"}
)
"""Kafka cannot be asked to abort a commit, a version ends with a change of who serves, inputs are the trainer's, the last takes a replay
of 500 rows: the model has all of them."""


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

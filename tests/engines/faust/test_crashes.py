"""Workers under Faust on a real Kafka and Redis: killed at steps of the protocol, suspended past their session, told to stop."""

from __future__ import annotations

import signal
import time

import pytest

from benchmarks.chaos_judge import judge
from stream_retrain.engines.failpoints import KILLED, FailPoint
from tests.conftest import Services
from tests.exactly_once.bench import SESSION_TIMEOUT_S, Bench

pytestmark = pytest.mark.services

POINTS: list[FailPoint] = [
    "assign.fenced",
    "commit.produced",
    "commit.committed",
    "checkpoint.saved",
    "replay.learned",
]


@pytest.fixture(scope="module")
def bench(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(services, tmp_path_factory.mktemp("faust"), "--engine", "faust")


@pytest.mark.parametrize("point", POINTS)
def test_dies_there(bench: Bench, point: FailPoint) -> None:
    """One death after another on the same topics: each worker finds what the one before it left."""
    bench.publisher.publish(120)
    if point == "replay.learned":
        with bench.worker(failpoint="commit.committed:4", checkpoint_events=1_000_000) as worker:
            assert worker.ended() == KILLED, worker.log
    with bench.worker(failpoint=point) as worker:
        assert worker.ended() == KILLED, worker.log


def test_a_zombie_wakes_up_while_another_has_its_partitions(bench: Bench) -> None:
    """It is suspended with records that it has learned and not committed, and goes on where it stood."""
    with bench.worker(instance="zombie", static_membership=False) as zombie:
        zombie.wait_for(lambda: zombie.log.count("assigned: reading from") == 2)
        bench.publisher.publish(2_000)
        zombie.send(signal.SIGSTOP)
        with bench.worker(instance="heir", static_membership=False) as heir:
            heir.wait_for(lambda: heir.log.count("assigned: reading from") >= 2)
            bench.catch_up(heir)
            zombie.send(signal.SIGCONT)
            bench.publisher.publish(200)
            zombie.wait_for(lambda: "revoked" in zombie.log or "trying again" in zombie.log or "lost" in zombie.log)
            bench.catch_up(heir)
            for worker in (zombie, heir):
                worker.send(signal.SIGTERM)
                assert worker.ended() == 0, worker.log


def test_a_worker_that_joins_takes_its_share_and_gives_it_back(bench: Bench) -> None:
    with bench.worker(static_membership=False) as first:
        first.wait_for(lambda: "partitions [0, 1]" in first.log)
        with bench.worker(instance="second", static_membership=False) as second:
            second.wait_for(lambda: "assigned: reading from" in second.log)
            bench.publisher.publish(300)
            bench.catch_up(second)
            second.send(signal.SIGTERM)
            assert second.ended() == 0, second.log
            began_s = time.monotonic()
            first.wait_for(lambda: first.log.count("partitions [0, 1]") == 2)
            assert time.monotonic() - began_s < 4 * SESSION_TIMEOUT_S, "it has left the group: nobody waits for its session"
            bench.publisher.publish(50)
            bench.catch_up(first)


def test_it_was_exactly_once_in_spite_of_all_that(bench: Bench) -> None:
    with bench.worker() as worker:
        bench.publisher.publish(100)
        bench.catch_up(worker)
        worker.send(signal.SIGTERM)
        assert worker.ended() == 0, worker.log
        assert "Traceback" not in worker.log
    verdict = judge(bench.settings, bench.pipeline, bench.publisher.published)
    assert verdict.holds, verdict

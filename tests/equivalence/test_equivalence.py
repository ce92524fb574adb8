"""The same log through a replay and through workers that come and go gives the same outputs, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from tests.conftest import Services
from tests.equivalence.harness import ENGINES, EVENTS, PARTITIONS, Engine, Run

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_workers_that_come_and_go_put_out_what_a_replay_does(services: Services, tmp_path: Path, engine: Engine, workers: int) -> None:
    with Run(services, tmp_path, engine) as run:
        run.play(workers)
        run.finish()
        expected, found = run.expected(), run.outputs()
    for kind in (PREDICTIONS, DECISIONS, DEAD_LETTERS):
        for partition in range(PARTITIONS):
            assert found[kind][partition] == expected[kind][partition], f"{kind} of partition {partition}"
    for partition in range(PARTITIONS):
        assert len(expected[PREDICTIONS][partition]) > 0.8 * EVENTS / PARTITIONS
        decisions = b"".join(put.value or b"" for put in expected[DECISIONS][partition])
        assert b"drift.detected" in decisions, "nothing happened that could have differed"
        assert b"duel.ended" in decisions

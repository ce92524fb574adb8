"""The same log through a replay and through workers that come and go gives the same outputs, byte for byte; only what must move moves."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path

import pytest

from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from tests.conftest import Services
from tests.equivalence.harness import CONSUMER_PROTOCOL, EVENTS, FAUST, KAFKA, PARTITIONS, Engine, Outputs, Run, Standing, events

CASES = [(KAFKA, 1), (KAFKA, 3), (CONSUMER_PROTOCOL, 3), (FAUST, 2)]
if EVENTS >= 50_000:
    CASES += [(KAFKA, 2), (FAUST, 1)]  # those with more pass through these


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.parametrize(("engine", "workers"), CASES, ids=[f"{engine.name}-{workers}" for engine, workers in CASES])
def test_workers_that_come_and_go_put_out_what_a_replay_does(services: Services, tmp_path: Path, engine: Engine, workers: int) -> None:
    with Run(services, tmp_path, engine) as run:
        run.play(workers)
        run.finish()
        expected, found = run.expected(), run.outputs()
    for kind in (PREDICTIONS, DECISIONS, DEAD_LETTERS):
        for partition in range(PARTITIONS):
            assert found[kind][partition] == expected[kind][partition], f"{kind} of partition {partition}"
    assert_eventful(expected)
    if engine.keeps and workers > 1:
        assert wasted(run.standings) == []
        assert run.standings[-1].opened.total() == PARTITIONS + sum(len(moved(*pair)) for pair in itertools.pairwise(run.standings))


def assert_eventful(outputs: Outputs) -> None:
    """Something happened that could have differed."""
    for partition in range(PARTITIONS):
        assert len(outputs[PREDICTIONS][partition]) > 0.8 * EVENTS / PARTITIONS
        assert outputs[DEAD_LETTERS][partition]
        decisions = b"".join(put.value or b"" for put in outputs[DECISIONS][partition])
        assert b"drift.detected" in decisions
        assert b"duel.ended" in decisions


def moved(before: Standing, after: Standing) -> set[int]:
    return {partition for partition, owner in after.owners.items() if before.owners[partition] != owner}


def wasted(standings: list[Standing]) -> list[str]:
    """What was opened again though it did not move, or more than once, or moved though it need not have."""
    found = []
    for before, after in itertools.pairwise(standings):
        opened, must_move = after.opened - before.opened, moved(before, after)
        if opened != dict.fromkeys(must_move, 1):
            found.append(f"{before.owners} -> {after.owners}: {dict(opened)} were opened, and {must_move} moved")
        names = set(before.owners.values()), set(after.owners.values())
        left = sum(owner not in names[1] for owner in before.owners.values())
        need = left or min(list(after.owners.values()).count(name) for name in names[1] - names[0])
        if len(must_move) > need:
            found.append(f"{before.owners} -> {after.owners}: {len(must_move)} moved, where {need} had to")
    return found


def test_waste_is_seen() -> None:
    def standing(owners: str, opened: str) -> Standing:
        return Standing(dict(enumerate(owners)), collections.Counter(map(int, opened)))

    first = standing("aaaa", "0123")
    assert wasted([first, standing("aabb", "012323"), standing("acbb", "0123231")]) == []
    assert len(wasted([first, standing("aabb", "0123230")])) == 1, "0 did not move and was opened again"
    assert len(wasted([first, standing("aabb", "0123233")])) == 1, "3 was opened twice"
    assert len(wasted([standing("aabb", "0123"), standing("bacb", "012302")])) == 1, "0 need not have moved"


def test_the_log_is_the_same_every_time_and_cut_short_it_is_its_own_beginning() -> None:
    whole = list(events(1, 2_000))
    assert list(events(1, 2_000)) == whole
    assert list(events(1, 500)) == whole[:500]
    assert list(events(2, 500)) != whole[:500]

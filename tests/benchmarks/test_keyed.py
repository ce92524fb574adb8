"""The benchmarks of keyed models and of ceilings: their streams are what they say, and their figures are of what happened."""

from __future__ import annotations

import itertools
import json

import pytest

from benchmarks import ceilings, keyed, keyed_quality


def test_every_key_comes_once_before_keys_come_as_a_run_has_them() -> None:
    for run in keyed.RUNS:
        made = [json.loads(record.value or b"") for record in itertools.islice(keyed.records(run, 50), 1_000)]
        assert [row["store"] for row in made[:50]] == [f"store {number}" for number in range(50)]
        busiest = sum(row["store"] == "store 0" for row in made[50:])
        assert (busiest > 150) == (run != "uniform")


@pytest.mark.slow
def test_the_quality_of_each_way_is_told_and_a_mixture_is_no_worse_than_both() -> None:
    told = {name: loss for name, loss, _ in keyed_quality.measured("linear", keyed_quality.stores(3_000, stores=60, own=0.5))}
    assert told.keys() == {"one", "alone", "PerKey"}
    assert told["PerKey"] < min(told["one"], told["alone"]) + 0.01


@pytest.mark.slow
def test_a_limit_is_kept_under_each_reaction_but_the_one_that_does_nothing() -> None:
    limit = 700_000
    found = {reaction: ceilings.measured(reaction, 1_200, limit) for reaction in ceilings.REACTIONS}
    assert all(found[reaction]["peak_bytes"] < 1.5 * limit for reaction in ("prune", "reset", "challenge", "stop"))
    assert found["no limit"]["peak_bytes"] == found["ignore"]["peak_bytes"] > 1.5 * limit
    assert found["reset"]["ModelReset"] == found["reset"]["MemoryReached"] >= 1
    assert found["stop"]["events"] < 1_200

"""What benchmarks.scale counts: the time in which every worker had something to do, and no joining, publishing or waiting."""

from __future__ import annotations

import json

import pytest

from benchmarks.scale import cases
from benchmarks.scale_workers import SETTLED_S, Case, TooShortError, _at, _balanced, _figures, pipeline_of, rows

CASE = Case(model="light", workers=2)


def samples(rate: float, until_s: float, began_s: float = 100.0, cpu: float = 1.0) -> list[tuple[float, int, int, float]]:
    """A commit each tenth of a second, from before it is counted on."""
    times = [began_s - 1.0 + number / 10 for number in range(int((until_s - began_s + 1.0) * 10) + 1)]
    return [(at, int((at - times[0]) * rate), number, (at - times[0]) * cpu) for number, at in enumerate(times)]


def test_rates_are_added_over_the_time_in_which_both_work() -> None:
    """The second one is done after four seconds: what the first does alone does not count."""
    found = _figures(CASE, [samples(1_000, 110.0), samples(3_000, 104.0, cpu=0.5)], 100.0, 108.0, broker_s=1.0)
    assert found.seconds == pytest.approx(4.0 - SETTLED_S - 0.1, abs=0.11)
    assert found.events_per_s == pytest.approx(4_000, rel=0.01)
    assert found.cores == pytest.approx(1.5, rel=0.01)
    assert found.cpu_us == pytest.approx(1.5 / 4_000 * 1e6, rel=0.01)
    assert found.events_per_transaction == pytest.approx(200, rel=0.05)
    assert found.broker_cpu_us == pytest.approx(1e6 / (8_000 + 12_000), rel=0.05)


def test_what_was_too_short_to_say_something_says_nothing() -> None:
    with pytest.raises(TooShortError, match="too few events"):
        _figures(CASE, [samples(1_000, 110.0), samples(1_000, 100.9)], 100.0, 108.0, 1.0)
    with pytest.raises(TooShortError, match="did nothing"):
        _figures(CASE, [samples(1_000, 110.0), samples(1_000, 99.9)], 100.0, 108.0, 1.0)


def test_between_two_samples_it_goes_in_proportion() -> None:
    held = [(1.0, 0, 0, 0.0), (2.0, 100, 1, 0.5), (4.0, 100, 1, 0.5)]
    assert [_at(held, at_s)[0] for at_s in (0.5, 1.0, 1.25, 2.0, 3.0, 9.0)] == [0, 0, 25, 100, 100, 100]


def test_workers_are_balanced_when_all_partitions_are_theirs_evenly() -> None:
    assert _balanced([4, 4], CASE)
    assert not _balanced([8, 0], CASE)
    assert not _balanced([4, 0], CASE)
    assert _balanced([1, 0], Case(model="light", partitions=1, workers=2))


def test_every_case_is_of_a_pipeline_that_loads_and_of_records_that_it_takes() -> None:
    named = dict.fromkeys(sweep for sweep, _ in cases(quick=False))
    assert list(named) == ["partitions", "features", "transactions", "workers"]
    for _, case in cases(quick=True):
        pipeline = pipeline_of("scale", case)
        [value] = rows(case.features, 1)
        assert set(pipeline.schema.features) | {"id", "y"} == set(json.loads(value))
    assert {case.partitions for sweep, case in cases(quick=False) if sweep == "partitions"} >= {1, 64}
    assert {case.features for sweep, case in cases(quick=False) if sweep == "features"} >= {1, 50}

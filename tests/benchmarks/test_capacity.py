"""The capacity model finds the cost it was made from, and the simulation comes to what can be computed by hand, and was measured."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from benchmarks.capacity import Burst, DriftStorm, Restart, Sizing, fit, main, simulate, simulate_backlog
from benchmarks.scale import markdown, ratios
from benchmarks.scale_plots import plot

ONE = Sizing(events_per_s=500, partitions=1, workers=1, event_us=1_000)
"""A worker that could do 1,000 events a second, at half its load."""


def row(model: str, features: int, size: float, cost: float, **other: Any) -> dict[str, Any]:
    plain = {"sweep": "features", "partitions": 4, "workers": 1, "broker_cpu_us": 9.0, "events_per_s": 1e6 / cost, "cores": 1.0}
    return {**plain, "model": model, "features": features, "events_per_transaction": size, "cpu_us": cost, **other}


def cost(model: str, features: int, size: float) -> float:
    return {"light": 12.0, "heavy": 500.0}[model] + {"light": 1.1, "heavy": 9.0}[model] * features + 4_000.0 / size


ROWS = [
    row(model, features, size, cost(model, features, size))
    for model in ("light", "heavy")
    for features in (1, 8, 50)
    for size in (250.0, 5_000.0)
]


def test_the_fit_finds_the_cost_that_the_rows_were_made_from() -> None:
    found = fit(ROWS)
    assert found.per_transaction_us == pytest.approx(4_000, rel=1e-6)
    assert found.model_us == pytest.approx({"light": 12.0, "heavy": 500.0})
    assert found.event_us("light", 20, 1_000.0) == pytest.approx(cost("light", 20, 1_000.0))
    assert found.error_median < 1e-9


def test_what_partitions_add_is_told_and_not_fitted() -> None:
    swept = [row("light", 8, 5_000.0, 20.0 + 0.1 * math.log2(number), sweep="partitions", partitions=number) for number in (1, 4, 16, 64)]
    assert fit([*ROWS, *swept]).partitions_slope == pytest.approx(0.6 / 20.0, rel=1e-6)


@pytest.mark.parametrize(("factor", "lasts_s"), [(3.0, 10.0), (4.0, 5.0)])
def test_a_burst_at_one_worker_is_as_by_hand(factor: float, lasts_s: float) -> None:
    """While it lasts (500 * factor - 1,000) records a second pile up; then 500 a second go."""
    piled = (500 * factor - 1_000) * lasts_s
    found = simulate(ONE, 60, burst=Burst(10, lasts_s, factor))
    assert found.lag_max == pytest.approx(piled, rel=0.05)
    assert found.recovered_s(10, 10 + lasts_s) == pytest.approx(piled / 500, abs=0.6)
    assert found.processed == pytest.approx(500 * 60 + 500 * (factor - 1) * lasts_s, abs=100)


def test_nothing_piles_up_below_the_load_and_never_ends_above_it() -> None:
    assert simulate(ONE, 30).delay_max_s < 0.5
    over = Sizing(events_per_s=1_200, partitions=4, workers=1, event_us=1_000)
    found = simulate(over, 30)
    assert found.lag_max == pytest.approx(200 * 30, rel=0.05)
    assert simulate_backlog(over, 1_000, seconds=30) == math.inf


def test_partitions_that_share_a_worker_share_its_speed_and_workers_add_theirs() -> None:
    four = Sizing(events_per_s=1_600, partitions=8, workers=4, event_us=1_000)
    assert four.load == pytest.approx(0.4)
    found = simulate(four, 20)
    assert found.processed == pytest.approx(1_600 * 20, rel=0.02)
    assert simulate_backlog(four, 4_800) == pytest.approx(4_800 / (4_000 - 1_600), rel=0.15)


def test_a_commit_takes_its_time() -> None:
    """A full poll takes half a second here, and one commit of 30 ms follows it."""
    slow = Sizing(events_per_s=500, partitions=1, workers=1, event_us=1_000, transaction_us=30_000)
    assert simulate_backlog(slow, 3_000) == pytest.approx(3_000 / (500 / 0.53 - 500), rel=0.08)


def test_in_a_rolling_restart_a_partition_waits_for_its_worker_and_for_its_turn() -> None:
    two = Sizing(events_per_s=800, partitions=8, workers=2, event_us=1_000)
    found = simulate(two, 40, restart=Restart(5.0, 4.0))
    assert 4.0 <= found.gap_s < 6.0
    assert found.lag_max == pytest.approx(400 * 4, rel=0.15)
    assert found.lags[-1] < 200, "each was back before the next went"


def test_a_storm_of_duels_passes_and_one_of_rematches_stays_where_the_load_is_too_high() -> None:
    sizing = Sizing(events_per_s=7_000, partitions=10, workers=10, event_us=1_000, poll_records_max=50)
    duels = simulate(sizing, 40, storm=DriftStorm(5.0, duel_events=5_000, duel_factor=2.0))
    assert duels.lag_max == pytest.approx((7_000 - 5_000) * 10, rel=0.1), "5,000 events of each shard take 10 s at half the speed"
    assert duels.recovered_s(5, 5) == pytest.approx(10 + 20_000 / 3_000, rel=0.1)
    rematches = simulate(sizing, 40, storm=DriftStorm(5.0, rematches=1.0, rematch_factor=1.6))
    assert rematches.recovered_s(5, 5) == math.inf
    shared = dataclasses.replace(sizing, partitions=100)
    half = simulate(shared, 40, storm=DriftStorm(5.0, duel_events=10, rematches=0.5))
    assert shared.load * (1 + 0.5 * 0.6) < 1
    assert half.recovered_s(5, 5) < 5


def test_the_burst_that_was_measured_is_simulated() -> None:
    """`python -m benchmarks.scale`, a burst at one worker with the recommended mixture on a real Kafka; docs/scaling.md has the figures."""
    point = json.loads((Path(__file__).parent / "burst.json").read_text())
    sizing = Sizing(events_per_s=point["rate_per_s"], partitions=4, workers=1, event_us=1e6 / point["worked_per_s"])
    assert simulate_backlog(sizing, point["waiting"]) == pytest.approx(point["recovered_s"], rel=0.2)


WORKERS = [
    row(model, 8, 5_000.0, cost("light", 8, 5_000.0), sweep="workers", workers=workers, events_per_s=rate)
    for model in ("light",)
    for workers, rate in ((1, 1_000.0), (2, 1_900.0), (1, 1_000.0), (2, 1_700.0), (1, 1_000.0), (2, 1_800.0))
]


def test_two_workers_are_compared_with_one_round_by_round() -> None:
    [said] = ratios([*ROWS, *WORKERS])
    assert (said["ratio"], said["ratios"], said["ratio_at_equal_cores"]) == (1.8, [1.9, 1.7, 1.8], 2.0)
    table = markdown([*ROWS, *WORKERS], [said])
    assert "| light | 1,000, 1,800 | 1.80 (1.90, 1.70, 1.80) | 2.00 |" in table
    assert table.count("\n| features |") == len(ROWS)


def test_the_plot_has_a_line_a_model_and_a_point_a_row() -> None:
    drawn = plot([*ROWS, row("light", 8, 5_000.0, 20.0, sweep="partitions", partitions=4)])
    assert drawn.count("<polyline") == 3
    assert drawn.count("<circle") == len(ROWS) + 2
    assert "NaN" not in drawn


def test_the_program_extrapolates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scale.json").write_text(json.dumps({"rows": [*ROWS, row("light", 8, 5_000.0, 20.0, sweep="partitions", partitions=4)]}))
    main([str(tmp_path / "scale.json"), "--quick", "--json", str(tmp_path / "out.json")])
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["capacity"]["per_transaction_us"] == pytest.approx(4_000, rel=0.05)
    assert {scene["load"] for scene in found["light"]} == {0.6, 0.8}
    assert len(found["light"]) == 14

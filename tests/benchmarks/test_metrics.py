"""The benchmark of what metrics cost measures what it says."""

from __future__ import annotations

import pytest

from benchmarks import metrics

pytestmark = pytest.mark.slow


def test_a_scrape_is_of_twenty_pipelines_with_eight_partitions_each() -> None:
    found = metrics.scrape(1)
    assert found["series_of_all"] > 19 * found["series_of_a_worker"]
    assert found["series_of_a_worker"] > 8 * 20, "each shard says much"
    assert found["scrape_of_all_ms"] > found["scrape_of_a_worker_ms"] > 0


def test_both_sides_of_the_comparison_learn_the_same_events() -> None:
    found = metrics.cost(2_000, 1)
    assert found["events_per_s_with"] > 0
    assert found["events_per_s_without"] > 0

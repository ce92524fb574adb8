"""Comparisons: the order, the interval of a mean difference, and whether it covers what it should."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

import pytest
from scipy import stats

from stream_retrain.backtesting.ranking import Loss, compared, ranked


def losses(means: Sequence[float], labels: int = 100) -> list[Loss]:
    return [Loss(mean * labels, labels) for mean in means]


def test_the_interval_of_equal_batches_is_that_of_a_paired_t_test() -> None:
    rng = random.Random(1)
    one = [rng.gauss(0.20, 0.05) for _ in range(18)]
    two = [loss + rng.gauss(0.02, 0.03) for loss in one]
    found = compared("one", "two", losses(one), losses(two))
    assert found is not None
    differences = [worse - better for better, worse in zip(one, two, strict=True)]
    expected = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert found.difference == pytest.approx(statistics.fmean(differences))
    assert (found.low, found.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert found.intervals == 18
    assert found.is_shown == (expected.low > 0)


def test_many_intervals_become_twenty_batches_of_neighbours() -> None:
    found = compared("one", "two", losses([0.1] * 200), losses([0.2] * 200))
    assert found is not None
    assert found.intervals == 20
    assert found.difference == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1), "all batches agree"


def test_batches_have_about_as_many_labels_each_and_intervals_without_labels_are_no_evidence() -> None:
    one = [Loss(0.0, 0)] * 50 + losses([0.1] * 40, 10) + [Loss(0.0, 0)] * 50 + losses([0.3] * 40, 10)
    two = [Loss(each.sum * 2, each.labels) for each in one]
    found = compared("one", "two", one, two)
    assert found is not None
    assert found.difference == pytest.approx(0.2)
    assert found.intervals <= 20


def test_where_one_has_fewer_losses_the_means_are_compared() -> None:
    found = compared("one", "two", [Loss(10, 100), Loss(20, 100)], [Loss(10, 50), Loss(20, 50)])
    assert found is not None
    assert found.difference == pytest.approx(0.3 - 0.15)


def test_with_a_single_batch_nothing_is_said() -> None:
    assert compared("one", "two", losses([0.1]), losses([0.2])) is None
    assert compared("one", "two", losses([0.1, 0.2]), [Loss(0, 0), Loss(5, 10)]) is None
    assert ranked({"one": losses([0.1]), "two": losses([0.2])}) == []


def test_neighbours_are_ranked_by_their_mean_the_best_first_and_equals_as_they_were_given() -> None:
    pairs = ranked({"bad": losses([0.5, 0.6]), "a": losses([0.1, 0.2]), "nothing": [Loss(0, 0)] * 2, "b": losses([0.2, 0.1])})
    assert [(pair.better, pair.worse) for pair in pairs] == [("a", "b"), ("b", "bad")]
    assert pairs[0].difference == 0


@pytest.mark.parametrize(("correlation", "at_least"), [(0.0, 0.92), (0.5, 0.88), (0.7, 0.85)])
def test_the_interval_holds_the_true_difference_also_where_losses_come_in_runs(correlation: float, at_least: float) -> None:
    rng, held, held_naively, runs, true = random.Random(7), 0, 0, 300, 0.01
    for _ in range(runs):
        noise, differences = 0.0, []
        for _ in range(200):
            noise = correlation * noise + rng.gauss(0, 0.01)
            differences.append(true + noise)
        found = compared("one", "two", losses([0.2] * 200), losses([0.2 + difference for difference in differences]))
        assert found is not None
        held += found.low <= true <= found.high
        held_naively += abs(statistics.fmean(differences) - true) <= 1.97 * statistics.stdev(differences) / math.sqrt(200)
    assert at_least < held / runs <= 0.99
    assert held_naively < held or not correlation

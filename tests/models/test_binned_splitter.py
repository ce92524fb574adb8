"""The splitter of a regression tree: it finds the split that the values say, and is bounded whatever they are."""

from __future__ import annotations

import math
import pickle
import random
import statistics
from typing import Any

import pytest
from river import stats
from river.tree.split_criterion import VarianceReductionSplitCriterion

from stream_retrain.models import QuickTreeRegressor
from stream_retrain.models.binned_splitter import BINS_MAX, BinnedSplitter

Pairs = list[tuple[float, float]]
LEAST = 5


def suggested(pairs: Pairs) -> Any:
    splitter, total = BinnedSplitter(), stats.Var()
    for value, target in pairs:
        splitter.update(value, target, 1.0)
        total.update(target)
    return splitter.best_evaluated_split_suggestion(VarianceReductionSplitCriterion(min_samples_split=LEAST), total, "a")


def best_of(pairs: Pairs, edges: list[float]) -> tuple[float, float]:
    """The edge with the greatest reduction of variance, and how great it is; worked out from the pairs themselves."""
    whole = statistics.variance([target for _, target in pairs])

    def merit(edge: float) -> float:
        left = [target for value, target in pairs if value <= edge]
        right = [target for value, target in pairs if value > edge]
        if min(len(left), len(right)) < LEAST:
            return 0.0
        return whole - sum(len(side) / len(pairs) * statistics.variance(side) for side in (left, right))

    best = max(edges, key=merit)
    return best, merit(best)


def drawn(seed: int, count: int, scale: float) -> Pairs:
    chance = random.Random(seed)
    values = [scale * chance.gauss(0.0, 1.0) for _ in range(count)]
    return [(value, math.tanh(3.0 * value / scale) + chance.gauss(0.0, 0.3)) for value in values]


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1.0, 1_000.0, 1e12, 1e140])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_split_is_the_best_between_two_bins(scale: float, seed: int) -> None:
    pairs = drawn(seed, 300, scale)
    splitter = BinnedSplitter()
    for value, target in pairs:
        splitter.update(value, target, 1.0)
    edges = [edge * splitter._width for edge in sorted(splitter._bins)]
    found = suggested(pairs)
    threshold, merit = best_of(pairs, edges)
    assert found.merit == pytest.approx(merit)
    if merit:
        assert found.split_info == pytest.approx(threshold)
        left = [target for value, target in pairs if value <= threshold]
        assert found.children_stats[0].mean.n == len(left)
        assert found.children_stats[0].mean.get() == pytest.approx(statistics.fmean(left))
        assert found.children_stats[0].get() == pytest.approx(statistics.variance(left))
        assert found.children_stats[1].mean.n == len(pairs) - len(left)


def test_a_value_at_an_edge_goes_where_its_bin_goes() -> None:
    pairs = [(0.5, 1.0)] * 10 + [(0.51, 5.0)] * 10
    found = suggested(pairs)
    assert 0.5 <= found.split_info < 0.51
    assert [child.mean.get() for child in found.children_stats] == [1.0, 5.0]


@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_a_constant_has_no_split(value: float) -> None:
    assert suggested([(value, float(number)) for number in range(30)]).merit == -math.inf


def test_a_split_that_leaves_too_few_on_a_side_has_no_merit() -> None:
    assert suggested([(0.0, 0.0)] * 30 + [(1.0, 50.0)] * (LEAST - 1)).merit == 0.0


@pytest.mark.parametrize("missing", [None, math.nan])
def test_a_missing_value_is_passed_over(missing: Any) -> None:
    splitter = BinnedSplitter()
    splitter.update(missing, 1.0, 1.0)
    assert not splitter._bins


@pytest.mark.parametrize("value", [1e308, -1.79e308, math.inf, -math.inf, 10**300, 5e-324, True])
def test_any_number_has_a_bin(value: Any) -> None:
    pairs = [*drawn(1, 100, 1.0), *[(value, 9.0)] * 10]
    found = suggested(pairs)
    assert found.merit > 0.0
    assert sum(child.mean.n for child in found.children_stats) == 110


@pytest.mark.parametrize("exponent", [-300, -3, 0, 3, 149])
def test_there_are_never_more_bins_than_allowed_and_no_target_is_lost(exponent: int) -> None:
    chance, splitter, total = random.Random(exponent), BinnedSplitter(), stats.Var()
    for number in range(3_000):
        splitter.update(chance.choice((-1, 1)) * chance.random() * 10.0**exponent, float(number % 17), 1.0)
        total.update(float(number % 17))
        assert len(splitter._bins) <= BINS_MAX
    counts = [count for count, _, _ in splitter._bins.values()]
    assert sum(counts) == 3_000
    assert sum(count * mean for count, mean, _ in splitter._bins.values()) == pytest.approx(3_000 * total.mean.get())


def test_far_values_cost_as_few_steps_as_near_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, widen = [], BinnedSplitter._widen
    monkeypatch.setattr(BinnedSplitter, "_widen", lambda self: steps.append(1) or widen(self))
    for scale in (1.0, 1e140):
        splitter = BinnedSplitter()
        for value, target in drawn(1, 300, scale):
            splitter.update(value, target, 1.0)
        assert len(splitter._bins) > BINS_MAX / 8, "no wider than they need to be"
    assert len(steps) < 40


def test_weights_count() -> None:
    twice, weighted = BinnedSplitter(), BinnedSplitter()
    for value, target in drawn(3, 50, 1.0):
        twice.update(value, target, 1.0)
        twice.update(value, target, 1.0)
        weighted.update(value, target, 2.0)
    assert twice._bins.keys() == weighted._bins.keys()
    for edge, moments in twice._bins.items():
        assert weighted._bins[edge] == pytest.approx(moments)


def test_a_clone_is_empty() -> None:
    splitter = BinnedSplitter()
    splitter.update(1.0, 1.0, 1.0)
    assert (splitter.clone()._bins, len(splitter._bins)) == ({}, 1)


@pytest.mark.slow
def test_a_tree_of_wide_features_stays_small_while_it_grows() -> None:
    """With River's splitter it had 7 MB at this point."""
    chance, model = random.Random(1), QuickTreeRegressor()
    for _ in range(40_000):
        x = {f"f{number}": chance.gauss(0.0, 1_000.0) for number in range(8)}
        model.learn_one(x, x["f0"] / 1_000 + abs(x["f1"] / 500) + chance.gauss(0.0, 0.3))
    assert len(pickle.dumps(model)) < 4_000_000

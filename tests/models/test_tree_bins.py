"""The bins of a regression tree: it finds the split that the values say, and is bounded whatever they are."""

from __future__ import annotations

import math
import pickle
import random
import statistics
from typing import Any

import pytest
from river import stats

from stream_retrain.models import QuickTreeRegressor
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.tree_bins import BINS_MAX, LEAST, NOTHING, Bins, added, variance

Pairs = list[tuple[float, float]]


def suggested(pairs: Pairs) -> Any:
    bins, total = Bins(), NOTHING
    for value, target in pairs:
        bins.update(value, target, 1.0)
        total = added(total, target, 1.0)
    return bins.best_split(total)


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
    bins = Bins()
    for value, target in pairs:
        bins.update(value, target, 1.0)
    edges = [edge * bins.width for edge in sorted(bins.bins)]
    found = suggested(pairs)
    threshold, merit = best_of(pairs, edges)
    assert found.merit == pytest.approx(merit)
    if merit:
        assert found.by == pytest.approx(threshold)
        left = [target for value, target in pairs if value <= threshold]
        assert found.children[0][0] == len(left)
        assert found.children[0][1] == pytest.approx(statistics.fmean(left))
        assert variance(found.children[0]) == pytest.approx(statistics.variance(left))
        assert found.children[1][0] == len(pairs) - len(left)


def test_a_value_at_an_edge_goes_where_its_bin_goes() -> None:
    pairs = [(0.5, 1.0)] * 10 + [(0.51, 5.0)] * 10
    found = suggested(pairs)
    assert 0.5 <= found.by < 0.51
    assert [child[1] for child in found.children] == [1.0, 5.0]


@pytest.mark.parametrize("value", [0.0, 3.5, -2.0])
def test_a_constant_has_no_split(value: float) -> None:
    assert suggested([(value, float(number)) for number in range(30)]).merit == -math.inf


def test_a_split_that_leaves_too_few_on_a_side_has_no_merit() -> None:
    assert suggested([(0.0, 0.0)] * 30 + [(1.0, 50.0)] * 4).merit == 0.0


@pytest.mark.parametrize("value", [1e149, -1.79e149, 5e-324, 1.0])
def test_any_number_has_a_bin(value: Any) -> None:
    pairs = [*drawn(1, 100, 1.0), *[(value, 9.0)] * 10]
    found = suggested(pairs)
    assert found.merit > 0.0
    assert sum(child[0] for child in found.children) == 110


@pytest.mark.parametrize("exponent", [-300, -3, 0, 3, 149])
def test_there_are_never_more_bins_than_allowed_and_no_target_is_lost(exponent: int) -> None:
    chance, bins, total = random.Random(exponent), Bins(), stats.Var()
    for number in range(3_000):
        bins.update(chance.choice((-1, 1)) * chance.random() * 10.0**exponent, float(number % 17), 1.0)
        total.update(float(number % 17))
        assert len(bins.bins) <= BINS_MAX
    counts = [count for count, _, _ in bins.bins.values()]
    assert sum(counts) == 3_000
    assert sum(count * mean for count, mean, _ in bins.bins.values()) == pytest.approx(3_000 * total.mean.get())


def test_far_values_cost_as_few_steps_as_near_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, widen = [], Bins._widen
    monkeypatch.setattr(Bins, "_widen", lambda self: steps.append(1) or widen(self))
    for scale in (1.0, 1e140):
        bins = Bins()
        for value, target in drawn(1, 300, scale):
            bins.update(value, target, 1.0)
        assert len(bins.bins) > BINS_MAX / 8, "no wider than they need to be"
    assert len(steps) < 40


def test_weights_count() -> None:
    twice, weighted = Bins(), Bins()
    for value, target in drawn(3, 50, 1.0):
        twice.update(value, target, 1.0)
        twice.update(value, target, 1.0)
        weighted.update(value, target, 2.0)
    assert twice.bins.keys() == weighted.bins.keys()
    for edge, moments in twice.bins.items():
        assert weighted.bins[edge] == pytest.approx(moments)


def test_bins_that_were_written_and_read_are_the_same() -> None:
    for scale in (1e-6, 1.0, 1e140):
        bins, to = Bins(), Writer()
        for value, target in drawn(4, 400, scale):
            bins.update(value, target, 1.0)
        bins.write(to)
        read = Bins.read(Reader(to.block()))
        assert (read.width, read.bins) == (bins.width, dict(sorted(bins.bins.items())))


@pytest.mark.slow
def test_a_tree_of_wide_features_stays_small_while_it_grows() -> None:
    """With River's bins it had 7 MB at this point."""
    chance, model = random.Random(1), QuickTreeRegressor()
    for _ in range(40_000):
        x = {f"f{number}": chance.gauss(0.0, 1_000.0) for number in range(8)}
        model.learn_one(x, x["f0"] / 1_000 + abs(x["f1"] / 500) + chance.gauss(0.0, 0.3))
    assert len(pickle.dumps(model)) < 4_000_000

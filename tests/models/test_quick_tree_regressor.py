"""The regression tree is River's up to rounding, where River has our bins, and it keeps its limits."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from river import linear_model, metrics, stats, tree
from river.tree.splitter.base import Splitter
from river.tree.utils import BranchFactory

from stream_retrain.core.digest import digest
from stream_retrain.models import QuickTreeRegressor
from stream_retrain.models.tree_bins import Bins, Moments, variance
from stream_retrain.models.tree_targets import Linear
from tests.models import streams


class OurBins(Splitter):  # type: ignore[misc]
    """Our bins as a splitter of River's."""

    def __init__(self) -> None:
        self._bins = Bins()

    @property
    def is_target_class(self) -> bool:
        return False

    def cond_proba(self, att_val: Any, target_val: Any) -> float:
        raise NotImplementedError

    def update(self, att_val: float, target_val: float, w: float) -> None:
        self._bins.update(att_val, target_val, w)

    def best_evaluated_split_suggestion(self, criterion: Any, pre_split_dist: Any, att_idx: Any, binary_only: bool) -> Any:  # noqa: ARG002
        total = (pre_split_dist.mean.n, pre_split_dist.mean.get(), pre_split_dist._S)
        split = self._bins.best_split(total)
        if split.merit == -math.inf:
            return BranchFactory()
        return BranchFactory(split.merit, att_idx, split.by, [as_rivers(child) for child in split.children])


def as_rivers(moments: Moments) -> Any:
    return stats.Var._from_state(moments[0], moments[1], variance(moments))


def rivers(**params: Any) -> Any:
    usual = {"grace_period": 50, "delta": 1e-3, "tau": 0.2, "leaf_model": linear_model.LinearRegression(), "splitter": OurBins()}
    return tree.HoeffdingTreeRegressor(**{**usual, **params})


@pytest.mark.parametrize("params", [{}, {"grace_period": 20, "tau": 0.4, "max_depth": 3}], ids=str)
def test_it_is_rivers_up_to_rounding(params: dict[str, Any]) -> None:
    ours, theirs = QuickTreeRegressor(**params), rivers(**params)
    for x, y in streams.regression(2_000):
        assert ours.predict_one(x) == pytest.approx(theirs.predict_one(x), rel=1e-6, abs=1e-6)
        ours.learn_one(x, y)
        theirs.learn_one(x, y)
    assert (ours.n_nodes, ours.n_leaves) == (theirs.n_nodes, theirs.n_leaves)
    assert ours.n_nodes > 3


def categories(count: int) -> streams.Rows:
    rng, made = random.Random(8), []
    for _ in range(count):
        x = {"s": rng.choice("abcd"), "t": rng.choice("xy"), "n": rng.random()}
        made.append((x, "abcd".index(x["s"]) * (1.0 if x["t"] == "x" else -1.0) + 0.1 * rng.random()))
    return made


def test_with_categories_it_is_rivers_up_to_rounding() -> None:
    ours, theirs = QuickTreeRegressor(), rivers(leaf_prediction="mean")
    for x, y in categories(1_500):
        ours.learn_one(x, y)
        theirs.learn_one(x, y)
    assert (ours.n_nodes, ours.n_leaves) == (theirs.n_nodes, theirs.n_leaves)
    assert ours.n_leaves >= 4


def test_it_learns_what_categories_say() -> None:
    model, error = QuickTreeRegressor(), metrics.MAE()
    for number, (x, y) in enumerate(categories(3_000)):
        if number >= 2_000:
            error.update(y, model.predict_one(x))
        model.learn_one(x, y)
    assert error.get() < 0.2


def test_the_linear_model_of_a_leaf_is_rivers() -> None:
    ours, theirs = Linear(), linear_model.LinearRegression()
    for features, y in streams.regression(300):
        x = {name: value for name, value in features.items() if isinstance(value, float)}
        assert ours.predict(x) == pytest.approx(theirs.predict_one(x))
        ours.learn(x, y, 1.0)
        theirs.learn_one(x, y)


def test_missing_values_and_any_order_of_the_features() -> None:
    plain, marked = QuickTreeRegressor(), QuickTreeRegressor()
    for number, (x, y) in enumerate(streams.mixed(800)):
        gap = None if number % 2 else float("nan")
        full = {name: x.get(name, gap) for name in (*x, "n", "i", "s", "b")}
        assert plain.predict_one(x) == marked.predict_one(dict(reversed(full.items())))
        plain.learn_one(x, float(y))
        marked.learn_one(full, float(y))
    assert digest(plain) == digest(marked)


@pytest.mark.parametrize("y", [float("nan"), float("inf"), 1e200])
def test_a_target_that_is_no_number_is_refused(y: float) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        QuickTreeRegressor().learn_one({"a": 1.0}, y)


def test_a_damaged_state_is_an_error_or_harmless() -> None:
    model = QuickTreeRegressor()
    for x, y in categories(1_000):
        model.learn_one(x, y)
    names, values, (counts, floats) = model._core.state()
    rng, refused = random.Random(2), 0
    for number in range(200):
        changed = bytearray(counts)
        changed[rng.randrange(len(changed))] = rng.randrange(256)
        block = (bytes(changed), floats) if number % 2 else (counts, floats[: 8 * rng.randrange(len(floats) // 8)])
        try:
            QuickTreeRegressor()._core.restore((names, values, block))
        except ValueError:
            refused += 1
    assert refused > 100


def test_a_tree_stops_growing_at_its_depth() -> None:
    model = QuickTreeRegressor(grace_period=10, tau=1.0, max_depth=2)
    for x, y in streams.regression(1_500):
        model.learn_one(x, y)
    assert 2 <= model.n_leaves <= 4

"""The quick tree equals River's to the last digit where River computes with our arithmetic, and has the limits that River's has not."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river.datasets import synth

from stream_retrain.core.digest import digest
from stream_retrain.models import QuickTree, QuickTreeRegressor
from tests.models import streams
from tests.models.rivers import our_arithmetic, rivers_tree

__all__ = ["our_arithmetic"]


def whole_first(rows: streams.Rows) -> streams.Rows:
    """The rows from the first one on that lacks no feature: from it a tree has the features in the order of the events."""
    most = max(len(x) for x, _ in rows)
    return rows[next(number for number, (x, _) in enumerate(rows) if len(x) == most) :]


ROWS = {
    "binary": streams.binary(2500),
    "multiclass": streams.multiclass(1500),
    "missing": whole_first(streams.mixed(1500)),
    "ten classes": list(synth.LED(seed=1, noise_percentage=0.2).take(2500)),
}


@pytest.mark.usefixtures("our_arithmetic")
@pytest.mark.parametrize("params", [{}, {"grace_period": 20, "tau": 0.3, "max_depth": 3}], ids=str)
@pytest.mark.parametrize("name", ROWS)
def test_it_equals_rivers_to_the_last_digit(name: str, params: dict[str, Any]) -> None:
    ours, rivers = QuickTree(**params), rivers_tree(**params)
    for number, (x, y) in enumerate(ROWS[name]):
        if number % 5:
            assert list(ours.predict_proba_one(x).items()) == list(rivers.predict_proba_one(x).items())
        ours.learn_one(x, y)
        rivers.learn_one(x, y)
    assert (ours.n_nodes, ours.n_leaves) == (rivers.n_nodes, rivers.n_leaves)
    assert ours.n_nodes > 1 or name == "ten classes"


def test_without_our_arithmetic_rivers_is_the_same_up_to_rounding() -> None:
    ours, rivers = QuickTree(), rivers_tree()
    for x, y in ROWS["binary"]:
        assert ours.predict_proba_one(x) == pytest.approx(rivers.predict_proba_one(x), abs=1e-7)
        ours.learn_one(x, y)
        rivers.learn_one(x, y)


@pytest.mark.parametrize("kind", [QuickTree, QuickTreeRegressor])
def test_a_feature_of_very_many_values_is_withheld(kind: Any) -> None:
    rng, model = random.Random(2), kind(categories_max=20)
    for number in range(1500):
        x = {"user": f"u{rng.randrange(700)}", "few": rng.choice("ab"), "a": rng.random()}
        model.predict_one(x)
        model.learn_one(x, float((x["a"] > 0.5) != (x["few"] == "a")) if number % 9 else 0.0)
    assert list(model.withheld) == ["user"]
    assert model.n_leaves < 60


def test_a_feature_that_is_withheld_means_nothing_any_more() -> None:
    model = QuickTree(categories_max=3)
    for number in range(600):
        model.learn_one({"s": "ab"[number % 2], "a": float(number % 7)}, number % 2 == 0)
    assert model.predict_proba_one({"s": "a", "a": 1.0})[True] > 0.9
    for number in range(4):
        model.learn_one({"s": f"new{number}", "a": 1.0}, True)
    assert model.withheld == ("s",)
    assert model.predict_proba_one({"s": "a", "a": 1.0}) == model.predict_proba_one({"a": 1.0})


def test_none_and_nan_are_the_same_as_an_absent_feature() -> None:
    plain, marked = QuickTree(), QuickTree()
    for number, (x, y) in enumerate(streams.mixed(800)):
        gap = None if number % 2 else float("nan")
        full = {name: x.get(name, gap) for name in ("n", "i", "s", "b")}
        assert plain.predict_proba_one(x) == marked.predict_proba_one(full)
        plain.learn_one(x, y)
        marked.learn_one({name: full[name] for name in (*x, *full)}, y)
    assert digest(plain) == digest(marked)


def test_a_value_of_the_other_kind_counts_as_missing() -> None:
    model = QuickTree()
    for number in range(400):
        model.learn_one({"n": float(number % 9), "s": "ab"[number % 2]}, number % 2)
    for odd in ({"n": "text"}, {"s": 3.5}, {"n": "text", "s": True}):
        assert model.predict_proba_one(odd) == model.predict_proba_one({})


def test_a_tree_stops_growing_and_its_leaves_go_on_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = streams.binary(4000)
    free = QuickTree(grace_period=10, tau=1.0)
    for x, y in rows:
        free.learn_one(x, y)
    assert free.n_leaves > 40
    deep = QuickTree(grace_period=10, tau=1.0, max_depth=2)
    for x, y in rows:
        deep.learn_one(x, y)
    assert deep.height <= 3
    assert deep.n_leaves <= 9 * 9


def test_an_event_of_weight_three_is_not_three_events_but_its_classes_weigh_the_same() -> None:
    heavy, thrice = QuickTree(), QuickTree()
    for x, y in streams.binary(40):
        heavy.learn_one(x, y, w=3.0)
        for _ in range(3):
            thrice.learn_one(x, y)
    assert heavy.predict_proba_one({}) == pytest.approx(thrice.predict_proba_one({}))


@pytest.mark.parametrize("params", [{"grace_period": 0}, {"delta": 0.0}, {"categories_max": 0}, {"max_depth": -1}])
def test_parameters_out_of_range_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        QuickTree(**params)


def test_a_weight_that_is_not_above_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="use one above 0"):
        QuickTree().learn_one({"a": 1.0}, True, w=0.0)

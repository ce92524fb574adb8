"""The additive model: lists and arrays give one result; categories, classes and features that appear and disappear."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import metrics

from stream_retrain.core.digest import digest
from stream_retrain.models import AdditiveClassifier, AdditiveRegressor, QuickTree, SoftBins
from tests.models import streams


def test_a_class_that_comes_late_leaves_the_probabilities_of_the_others() -> None:
    model = AdditiveClassifier()
    rows = [(x, y) for x, y in streams.multiclass(300, classes=3) if y != "c2"]
    for x, y in rows:
        model.learn_one(x, y)
    before = model.predict_proba_one(rows[0][0])
    model.learn_one({"unknown": 1.0}, "c2")
    after = model.predict_proba_one(rows[0][0])
    assert list(after) == [*before, "c2"]
    first, second = before
    assert after[second] / after[first] == pytest.approx(before[second] / before[first], rel=0.6)


@pytest.mark.parametrize("kind", [AdditiveClassifier, QuickTree])
def test_the_order_of_the_features_in_an_event_means_nothing_once_they_are_known(kind: Any) -> None:
    model, other = kind(), kind()
    for number, (x, y) in enumerate(streams.multiclass(400)):
        turned = dict(reversed(x.items())) if number else x
        assert model.predict_proba_one(x) == other.predict_proba_one(turned)
        model.learn_one(x, y)
        other.learn_one(turned, y)
    assert digest(model) == digest(other)


def test_the_encoding_kept_by_predict_is_not_used_for_an_event_that_was_changed() -> None:
    rows = streams.binary(300)
    expected, model = AdditiveClassifier(), AdditiveClassifier()
    for x, y in rows:
        event = dict(x)
        model.predict_one(event)
        event["age"] = event["age"] + 10
        model.learn_one(event, y)
        expected.learn_one({**x, "age": x["age"] + 10}, y)
    assert digest(model) == digest(expected)


def test_true_is_not_one() -> None:
    model, expected = AdditiveClassifier(), AdditiveClassifier()
    for number in range(20):
        x: dict[str, Any] = {"a": 1}
        model.predict_one(x)
        x["a"] = True
        model.learn_one(x, number % 2)
        expected.learn_one({"a": True}, number % 2)
    assert digest(model) == digest(expected)


def test_the_least_recently_learned_category_is_removed_with_its_weight() -> None:
    model = AdditiveClassifier(categories_max=2)
    for _ in range(30):
        model.learn_one({"s": "old"}, True)
        model.learn_one({"s": "kept"}, False)
    assert model.predict_proba_one({"s": "old"})[True] > 0.7
    for _ in range(2):
        model.learn_one({"s": "kept"}, False)
        model.learn_one({"s": "new"}, True)
    assert model.predict_proba_one({"s": "old"}) == model.predict_proba_one({"s": "never seen"})
    assert model.predict_proba_one({"s": "kept"})[False] > 0.7


def test_thousands_of_categories_take_bounded_memory() -> None:
    model = AdditiveClassifier(categories_max=50)
    for number in range(3000):
        model.learn_one({"user": f"u{number}", "a": number % 7}, number % 2 == 0)
    numbers, categories, _, (_, floats) = model._core.state()
    assert numbers == ["a"]
    assert [(name, len(values)) for name, values in categories] == [("user", 50)]
    slots = 50 + model.bins
    assert len(floats) == 8 * (3 + 2 + 2 * slots)


def test_it_follows_a_drift_without_a_detector() -> None:
    rng, model, late = random.Random(0), AdditiveClassifier(), metrics.Accuracy()
    for number in range(4500):
        x = {"a": rng.gauss(0, 1), "constant": 2.5}
        y = (abs(x["a"]) < 0.7) != (number >= 1500)
        if number >= 3000:
            late.update(y, model.predict_one(x))
        model.learn_one(x, y)
    assert late.get() > 0.88


def test_a_regressor_predicts_within_the_range_of_the_targets_seen_and_10_percent_beyond() -> None:
    model = AdditiveRegressor()
    assert model.predict_one({"a": 1.0}) == 0.0
    for number in range(200):
        model.learn_one({"a": float(number % 20), "b": float(number % 3)}, float(number % 20))
    for value in (-1e300, -50.0, 0.0, 50.0, 1e300):
        assert -1.9 <= model.predict_one({"a": value, "b": value}) <= 20.9
    assert model.predict_one({"a": 12.0, "b": 1.0}) == pytest.approx(12.0, abs=1.5)


@pytest.mark.parametrize("y", [float("nan"), float("inf")])
def test_a_target_that_is_no_number_is_refused(y: float) -> None:
    with pytest.raises(ValueError, match="not a finite number"):
        AdditiveRegressor().learn_one({"a": 1.0}, y)


def test_a_value_of_no_usable_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'a' is a list"):
        AdditiveClassifier().learn_one({"a": [1, 2]}, True)


@pytest.mark.parametrize("params", [{"bins": 1}, {"rate": 0.0}, {"categories_max": 0}])
def test_parameters_out_of_range_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        AdditiveRegressor(**params)


def test_soft_bins_are_two_neighbours_that_add_up_to_one() -> None:
    model = SoftBins(bins=8)
    for number in range(100):
        model.learn_one({"a": float(number), "s": "x", "t": True})
    made = model.transform_one({"a": 42.5, "s": "x", "t": True, "u": 3.0, "n": None})
    numbers = {name: weight for name, weight in made.items() if name.startswith("a[")}
    assert len(numbers) == 2
    assert sum(numbers.values()) == pytest.approx(1.0)
    assert made["s=x"] == made["t=True"] == 1.0
    assert len(made) == 4
    assert "s=y" not in model.transform_one({"s": "y"})

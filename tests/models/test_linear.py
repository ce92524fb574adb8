"""The linear models: what they learn, and that no value moves them far."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from stream_retrain.core.digest import digest
from stream_retrain.models import LinearClassifier, LinearRegressor
from tests.models.twins import computing, exchanged, needs_extension, predict, twins


def rows(count: int) -> Iterator[tuple[dict[str, Any], float]]:
    """A linear function of numbers of unequal scale and a category."""
    rng = random.Random(5)
    for _ in range(count):
        x: dict[str, Any] = {"a": rng.gauss(0, 1), "b": rng.gauss(1e6, 1e4), "c": rng.random() / 1e9, "s": rng.choice("uv")}
        yield x, 2 * x["a"] - (x["b"] - 1e6) / 1e4 + 2 * (x["s"] == "u") + rng.gauss(0, 0.1)


def test_a_regressor_learns_a_linear_function_of_features_of_unequal_scale() -> None:
    model, errors = LinearRegressor(), []
    for number, (x, y) in enumerate(rows(4_000)):
        if number >= 3_000:
            errors.append(abs(y - model.predict_one(x)))
        model.learn_one(x, y)
    assert sum(errors) / len(errors) < 0.2


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_learns_a_linear_boundary(classes: int) -> None:
    model, right = LinearClassifier(), 0
    for number, (x, y) in enumerate(rows(4_000)):
        label = "low" if y < 0 else "high" if y < 2 or classes == 2 else "higher"
        right += number >= 3_000 and model.predict_one(x) == label
        model.learn_one(x, label)
    assert right > 930
    assert set(model.predict_proba_one(x)) == {"low", "high", "higher"} - ({"higher"} if classes == 2 else set())


@pytest.mark.parametrize("value", [1e12, -1e12, 1e149, 5e-324])
def test_no_step_of_a_weight_is_larger_than_the_rate(value: float) -> None:
    with computing("Python"):
        model = LinearClassifier(rate=0.1)
    for number in range(100):
        model.learn_one({"a": number % 7, "s": "u"}, number % 2)
    weights = model._core._weights.weights
    before = list(weights[0])
    for y in (1, 0, 1):
        model.learn_one({"a": value, "s": "u"}, y)
        assert all(abs(new - old) <= 0.1 for new, old in zip(weights[0], before, strict=True))
        before = list(weights[0])


def test_a_number_has_one_slot_and_a_category_one_a_value() -> None:
    model = LinearRegressor(categories_max=2)
    for number in range(9):
        model.learn_one({"a": 1.0 * number, "b": 3.0, "s": f"v{number}"}, 1.0 * number)
    assert len(model._core.state()[3][1]) == 8 * (5 + 2 * 3 + 2 + 2 * 4)


@pytest.mark.parametrize("params", [{"rate": 0.0}, {"rate": float("inf")}, {"categories_max": 0}, {"decay": 0.0}, {"decay": 2.0}])
@pytest.mark.parametrize("kind", [LinearClassifier, LinearRegressor])
def test_parameters_out_of_range_are_refused(kind: Any, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        kind(**params)


@needs_extension
@pytest.mark.parametrize("value", [1e12, -1e300, 2**62])
def test_twins_are_equal_over_a_value_far_outside(value: float) -> None:
    compiled, plain = twins(LinearRegressor)
    for number, (x, y) in enumerate(rows(1_500)):
        if number in (3, 40, 900):
            x["a"] = value
            y = float(value) / 1e200
        assert predict(compiled, x) == predict(plain, x)
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
        if number % 400 == 399:
            assert digest(compiled) == digest(plain)
            compiled, plain = exchanged(compiled, plain)

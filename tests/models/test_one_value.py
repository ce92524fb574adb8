"""One value, however far out, leaves every shipped model within 10 % of its error a thousand events later."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any

import pytest
from river import base

from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    LinearClassifier,
    LinearRegressor,
    NearestClassifier,
    NearestRegressor,
    QuickTree,
    QuickTreeRegressor,
    RestartingForest,
    RestartingForestRegressor,
    adaptive_classifier,
    adaptive_regressor,
)

AT, BACK_AFTER, MEASURED = 1_500, 1_000, 1_000


def pairs_classifier() -> AdditiveClassifier:
    return AdditiveClassifier(pairs=40)


def pairs_regressor() -> AdditiveRegressor:
    return AdditiveRegressor(pairs=40)


CLASSIFIERS = [AdditiveClassifier, pairs_classifier, LinearClassifier, NearestClassifier, QuickTree, RestartingForest, adaptive_classifier]
REGRESSORS = [
    AdditiveRegressor,
    pairs_regressor,
    LinearRegressor,
    NearestRegressor,
    QuickTreeRegressor,
    RestartingForestRegressor,
    adaptive_regressor,
]
WIDE = [f"w{number}" for number in range(60)]
VALUES: list[dict[str, Any]] = [
    {"a": 1e308},
    {"a": -1.79e308},
    {"a": 1e154},
    {"a": 1e20},
    {"a": 1e12},
    {"a": 5e-324},
    {"c": 2**62},
    {"a": 1e16, "b": -1e16, "c": 10**16},
    {"a": 1e308, "b": -1e308, "c": 2**62},
]
LABELS = [{"y": 1e12}, {"y": 1e16}, {"y": -1e20}, {"y": 1e149}, {"y": 1e16, "a": 1e308}]


def rows(regression: bool, features: list[str]) -> list[dict[str, Any]]:
    rng, made = random.Random(7), []
    for _ in range(AT + BACK_AFTER + MEASURED):
        a, b, c = rng.gauss(0, 1), rng.random(), rng.randint(0, 9)
        row: dict[str, Any] = {"a": a, "b": b, "c": c, "d": rng.choice("uvw"), **{name: rng.gauss(0, 1) for name in features}}
        made.append({**row, "y": 3 * a + b + rng.gauss(0, 0.3) if regression else (a + b > 0.5) != (rng.random() < 0.1)})
    return made


def error_at_the_end(make: Callable[[], Any], value: dict[str, Any], features: list[str]) -> float:
    """The mean error of the last thousand events, of a stream with one row changed."""
    model = make()
    regression, errors = isinstance(model, base.Regressor), []
    for number, row in enumerate(rows(regression, features)):
        x = {**row, **value} if number == AT else dict(row)
        y = x.pop("y")
        y_pred = model.predict_one(x)
        if number >= AT + BACK_AFTER:
            errors.append(abs(y - y_pred) if regression else float(y != y_pred))
        model.learn_one(x, y)
    return sum(errors) / len(errors)


@functools.cache
def error_without(make: Callable[[], Any]) -> float:
    return error_at_the_end(make, {}, [])


@pytest.mark.slow
@pytest.mark.parametrize("value", VALUES, ids=str)
@pytest.mark.parametrize("make", CLASSIFIERS + REGRESSORS)
def test_a_value_of_a_feature_is_forgotten(make: Callable[[], Any], value: dict[str, Any]) -> None:
    assert error_at_the_end(make, value, []) <= 1.1 * error_without(make) + 0.002


@pytest.mark.slow
@pytest.mark.parametrize("value", LABELS, ids=str)
@pytest.mark.parametrize("make", REGRESSORS)
def test_a_target_is_forgotten(make: Callable[[], Any], value: dict[str, Any]) -> None:
    assert error_at_the_end(make, value, []) <= 1.1 * error_without(make) + 0.002


@pytest.mark.parametrize("make", [AdditiveClassifier, AdditiveRegressor])
def test_a_value_of_a_feature_is_forgotten_by_arrays(make: Callable[[], Any]) -> None:
    assert error_at_the_end(make, {"a": 1e308, "w3": -1e20}, WIDE) <= 1.1 * error_at_the_end(make, {}, WIDE) + 0.002

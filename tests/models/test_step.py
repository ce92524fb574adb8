"""Compiled models take many events in one call: the same comes of it as of predicting and learning each."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from stream_retrain.core.digest import digest
from stream_retrain.core.serve.predictor import predictor
from stream_retrain.core.serve.step import Looks, Step, Taken, step_of
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    FixedShareRegressor,
    LinearClassifier,
    LinearRegressor,
    NearestClassifier,
    NearestRegressor,
    QuickTree,
    QuickTreeRegressor,
    RestartingClassifier,
    RestartingForest,
    RestartingForestRegressor,
    RestartingRegressor,
    adaptive_classifier,
    adaptive_regressor,
)
from tests.models.twins import bits, computing, exchanged, needs_extension, stream, twins

pytestmark = needs_extension
MODELS: dict[str, tuple[Callable[[], Any], int]] = {
    "tree": (lambda: QuickTree(grace_period=20), 3),
    "additive": (AdditiveClassifier, 3),
    "pairs": (lambda: AdditiveClassifier(pairs=9), 3),
    "linear": (LinearClassifier, 2),
    "nearest": (NearestClassifier, 3),
    "forest": (lambda: RestartingForest(trees=3, grace_period=30, drift_confidence=0.1, warning_confidence=0.4), 3),
    "restarting": (lambda: RestartingClassifier(QuickTree(grace_period=20), drift.ADWIN(delta=0.5)), 2),
    "mixture": (adaptive_classifier, 2),
    "tree regressor": (lambda: QuickTreeRegressor(grace_period=20), 0),
    "additive regressor": (AdditiveRegressor, 0),
    "pairs regressor": (lambda: AdditiveRegressor(pairs=9), 0),
    "linear regressor": (LinearRegressor, 0),
    "nearest regressor": (NearestRegressor, 0),
    "forest regressor": (lambda: RestartingForestRegressor(trees=3, grace_period=20, drift_confidence=0.1, warning_confidence=0.4), 0),
    "restarting regressor": (lambda: RestartingRegressor(QuickTreeRegressor(grace_period=20)), 0),
    "mixture regressor": (adaptive_regressor, 0),
    "two regressors": (lambda: FixedShareRegressor([AdditiveRegressor(), QuickTreeRegressor()]), 0),
}


def task_of(classes: int) -> str:
    return {0: "regression", 2: "binary"}.get(classes, "multiclass")


def step(model: Any, task: str) -> Step:
    return step_of(model, task, predictor(model, task, proba=True), proba=True, threshold=None)


def taken_by(model: Any, task: str, rows: list[tuple[dict[str, Any], Any]], rng: random.Random) -> list[Any]:
    """What it predicts where it takes rows in random parts."""
    found: list[Any] = []
    take = step(model, task)
    while len(found) < len(rows):
        part = rows[len(found) : len(found) + rng.choice((1, 3, 97))]
        taken = take([x for x, _ in part], [y for _, y in part], Looks())
        assert taken.predictions, taken
        assert taken.error is None
        found += taken.predictions if task == "regression" else taken.of_classes
    return found


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), waits=st.booleans())
def test_the_twin_in_python_predicts_and_learns_the_same(name: str, seed: int, waits: bool) -> None:
    make, classes = MODELS[name]
    compiled, plain = twins(make)
    rng, task = random.Random(seed), task_of(classes)
    for part in range(3):
        rows = list(stream(seed + part, 150, classes=classes, gaps=0.05, categories=5, wild=True))
        if task == "binary":
            rows = [(x, y == "c1") for x, y in rows]
        asked = rows[:7] if waits else []  # their labels have not come
        for x, _ in asked:
            for model in (compiled, plain):
                model.predict_one(x)
        with computing("Python"):
            expected = taken_by(plain, task, rows, random.Random(0))
        assert [bits(each) for each in taken_by(compiled, task, rows, rng)] == [bits(each) for each in expected]
        for x, y in asked:
            compiled.learn_one(x, y)
            plain.learn_one(x, y)
        assert digest(compiled) == digest(plain)
        compiled, plain = exchanged(compiled, plain)


def rows_of(count: int = 60) -> tuple[list[Any], list[Any]]:
    xs = [{"a": float(n % 7), "b": "red" if n % 3 else "blue"} for n in range(count)]
    return xs, [bool(n % 2) for n in range(count)]


def test_it_ends_where_a_look_says_something() -> None:
    xs, ys = rows_of()
    seen: list[Any] = []

    def look(y: Any, y_pred: Any, proba: Any) -> Any:
        seen.append((y, y_pred, proba))
        return ["said"] if len(seen) == 10 else []

    model = QuickTree()
    taken = step(model, "binary")(xs, ys, Looks(rows=look))
    assert (len(taken.predictions), taken.said, taken.odd, taken.error) == (10, ["said"], False, None)
    assert seen[0] == (False, None, {})
    assert seen[-1] == (ys[9], taken.predictions[9], taken.of_classes[9])
    plain = QuickTree()
    for x, y in zip(xs[:10], ys[:10], strict=True):
        plain.learn_one(x, y)
    assert digest(model) == digest(plain), "nothing more was learned"


def test_errors_are_shown_and_what_a_look_raises_is_said() -> None:
    xs, ys = rows_of()
    errors: list[int] = []

    def count(error: int) -> bool:
        errors.append(error)
        if len(errors) == 20:
            raise ArithmeticError("no more")
        return False

    taken = step(QuickTree(), "binary")(xs, ys, Looks(errors=count))
    assert isinstance(taken.said, ArithmeticError)
    expected = [int(y != y_pred) for y, y_pred in zip(ys, taken.predictions, strict=False) if y_pred is not None]
    assert errors == expected
    assert set(errors) == {0, 1}

    def stop(_: int) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(QuickTree(), "binary")(xs, ys, Looks(errors=stop))


def test_probabilities_and_a_threshold() -> None:
    xs, ys = rows_of()
    plain = step(AdditiveClassifier(), "binary")(xs, ys, Looks())
    assert plain.probabilities == [proba.get(True, 0.0) if proba else None for proba in plain.of_classes]
    model = AdditiveClassifier()
    high = step_of(model, "binary", predictor(model, "binary", proba=False, threshold=0.9), proba=False, threshold=0.9)
    taken: Taken = high(xs, ys, Looks())
    assert taken.probabilities == plain.probabilities
    assert taken.of_classes == []
    assert taken.predictions == [None if p is None else p >= 0.9 for p in plain.probabilities]
    many = step(AdditiveClassifier(), "multiclass")(xs, ["red", "blue", "green"] * 20, Looks())
    assert many.probabilities[3:] == [proba[label] for proba, label in zip(many.of_classes[3:], many.predictions[3:], strict=True)]


@pytest.mark.parametrize("value", [float("inf"), [1]], ids=["infinite", "a list"])
def test_an_odd_event_is_left_to_who_called(value: Any) -> None:
    xs, ys = rows_of(10)
    xs[4]["a"] = value
    for make in (QuickTree, adaptive_classifier):
        model, plain = make(), make()
        taken = step(model, "binary")(xs, ys, Looks())
        assert (len(taken.predictions), taken.odd, taken.error) == (4, True, None)
        for x, y in zip(xs[:4], ys[:4], strict=True):
            plain.predict_one(x)
            plain.learn_one(x, y)
        assert digest(model) == digest(plain)
    taken = step(QuickTreeRegressor(), "regression")(xs[:4], [1.0, 2.0, float("nan"), 3.0], Looks())
    assert (len(taken.predictions), taken.odd) == (2, True)


def test_what_is_no_compiled_model_is_taken_event_by_event() -> None:
    class Other(QuickTree):
        """It may do otherwise than its core."""

        def predict_proba_one(self, _: Any) -> Any:
            return {True: 1.0, False: 0.0}

    xs, ys = rows_of()
    assert step(Other(), "binary")(xs, ys, Looks()).predictions == [True] * len(xs)

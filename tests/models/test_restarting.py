"""Detectors, restarts and quick trees: the fast HDDMA and the quick tree equal River's, and only a rise of the error counts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base, drift, dummy, linear_model
from river.drift import binary

from stream_retrain.models import FastADWIN, FastHDDMA, QuickTree, QuickTreeRegressor, Restarting, RestartingClassifier, RestartingRegressor
from tests.models import streams


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.floats(0.02, 0.98), min_size=1, max_size=4), st.sampled_from([0.001, 0.005, 0.05]))
def test_the_fast_hddma_fires_and_warns_exactly_as_rivers(seed: int, rates: list[float], confidence: float) -> None:
    rng = random.Random(seed)
    ours, rivers = FastHDDMA(confidence, 2 * confidence), binary.HDDMA(confidence, 2 * confidence)
    for rate in rates:
        for _ in range(150):
            missed = rng.random() < rate
            ours.update(missed)
            rivers.update(missed)
            assert (ours.drift_detected, ours.warning_detected) == (rivers.drift_detected, rivers.warning_detected)


@pytest.mark.parametrize(
    "detector", [None, binary.HDDMA(drift_confidence=0.005), drift.ADWIN(), FastADWIN(), drift.PageHinkley(threshold=15)]
)
def test_a_classifier_restarts_once_its_labels_are_inverted(detector: Any) -> None:
    rng, model = random.Random(4), Restarting(QuickTree(), detector)
    restarts = []
    for number in range(1600):
        x = {"a": rng.gauss(0, 1)}
        y = (x["a"] > 0) != (number >= 800)
        model.predict_one(x)
        model.learn_one(x, y)
        restarts.append(model.restarts)
    assert restarts[790] == 0
    assert restarts[-1] >= 1
    assert model.predict_one({"a": 2.0}) is False
    assert model.standing().restarts == (model.restarts,)


class AtEvent(base.DriftDetector):  # type: ignore[misc]
    """Fires once, at the given event, for any input."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self._seen = 0

    def update(self, x: float) -> None:  # noqa: ARG002
        self._seen += 1
        self._drift_detected = self._seen == self.number


@pytest.mark.parametrize(("label_late", "restarts"), [(True, 0), (False, 1)])
def test_an_alarm_counts_only_if_the_error_rose(label_late: bool, restarts: int) -> None:
    model = Restarting(dummy.NoChangeClassifier(), AtEvent(199))
    for number in range(200):
        early = number % 3 == 0
        model.learn_one({"a": 1.0}, early if number < 100 else label_late or number % 2 == 0)
    assert model.restarts == restarts


def test_a_regressor_restarts_when_its_error_rises() -> None:
    rng, model = random.Random(4), Restarting(QuickTreeRegressor())
    for number in range(3000):
        x = {"a": rng.random(), "b": rng.random()}
        model.predict_one(x)
        model.learn_one(x, (x["a"] if number < 1500 else -x["a"]) * 10 + rng.gauss(0, 0.2))
    assert model.restarts >= 1
    assert -14 <= model.predict_one({"a": 1e9, "b": -1e9}) <= 14


def test_the_class_follows_the_model() -> None:
    assert type(Restarting(QuickTree())) is RestartingClassifier
    assert type(Restarting(linear_model.LinearRegression())) is RestartingRegressor
    assert isinstance(Restarting(QuickTree()), Restarting)


def test_delayed_labels_are_scored_against_the_prediction_that_was_served() -> None:
    class Recorder(FastHDDMA):
        def update(self, x: float) -> None:
            seen.append(x)

    seen: list[float] = []
    model = Restarting(QuickTree(), Recorder())
    rows = streams.binary(300)
    served: dict[int, Any] = {}
    expected = []
    for step, number in streams.delayed(rows, delay=40):
        x, y = rows[number]
        if step == "predict":
            served[number] = model.predict_one(dict(x))
        else:
            if served[number] is not None:
                expected.append(float(served[number] != y))
            model.learn_one(x, y)
    assert seen[-len(expected) :] == expected


def test_what_is_no_suitable_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="not a River drift detector"):
        Restarting(QuickTree(), detector=3)
    with pytest.raises(ValueError, match="takes 0 and 1 only"):
        Restarting(QuickTreeRegressor(), detector=binary.DDM())

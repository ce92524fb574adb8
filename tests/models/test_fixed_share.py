"""Mixtures: weights follow the best member by the predictions it served, and no failing member stops the mixture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from river import base, compose, dummy, linear_model, preprocessing

from stream_retrain.core.digest import digest
from stream_retrain.models import (
    Adaptive,
    AdditiveClassifier,
    AdditiveRegressor,
    FixedShareClassifier,
    FixedShareRegressor,
    QuickTree,
    Restarting,
    adaptive_classifier,
    adaptive_regressor,
)
from stream_retrain.models.prediction_cache import PREDICTIONS_MAX
from stream_retrain.models.probabilities import last_step
from tests.models import streams


class Fixed(base.Classifier):  # type: ignore[misc]
    """Predicts a fixed probability, counts its calls, and raises in the methods that `broken` or the event names."""

    def __init__(self, p: float = 0.5, broken: str = "") -> None:
        self.p = p
        self.broken = broken
        self.predicted = self.learned = 0

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        self.predicted += 1
        if "predict" in self.broken or x.get("poison") == "predict":
            raise RuntimeError("broken")
        return {True: self.p, False: 1 - self.p}

    def learn_one(self, x: dict[str, Any], y: Any) -> None:  # noqa: ARG002
        if "learn" in self.broken or x.get("poison") == "learn":
            raise RuntimeError("broken")
        self.learned += 1


def test_the_prediction_is_the_weighted_mean_and_the_weights_follow_the_rule() -> None:
    model = FixedShareClassifier([Fixed(0.9), Fixed(0.4)], eta=1.0, share=0.1)
    assert model.predict_proba_one({"a": 1})[True] == pytest.approx(0.65)
    model.learn_one({"a": 1}, True)
    first = 0.9 * 0.9 / 1.3 + 0.05
    assert model.standing().weights == pytest.approx((first, 1 - first))
    assert model.predict_proba_one({"a": 1})[True] == pytest.approx(0.9 * first + 0.4 * (1 - first))


def test_the_leader_changes_once_when_the_better_member_changes() -> None:
    model = FixedShareClassifier({"yes": Fixed(0.9), "no": Fixed(0.1)})
    leaders = []
    for number in range(60):
        model.learn_one({"a": number}, number < 30)
        leaders.append(model.standing().leader)
    assert leaders[29] == "yes"
    assert leaders[-1] == "no"
    assert model.changes == 1


def test_every_member_predicts_once_an_event_also_with_delay() -> None:
    member = Fixed(0.7)
    model = FixedShareClassifier([member, AdditiveClassifier()])
    rows = streams.binary(200)
    for step, number in streams.delayed(rows, delay=30):
        model.predict_one(rows[number][0]) if step == "predict" else model.learn_one(dict(rows[number][0]), rows[number][1])
    assert (member.predicted, member.learned) == (200, 200)


def test_weights_depend_on_the_predictions_that_were_served() -> None:
    model = FixedShareClassifier([Fixed(0.5), Restarting(AdditiveClassifier())], share=0.0)
    for number in range(50):
        model.learn_one({"a": float(number % 2)}, number % 2 == 0)
    x = {"a": 0.0}
    p = min(model.members["RestartingClassifier(AdditiveClassifier)"].predict_proba_one(x)[True], 0.98)
    model.predict_one(x)
    for _ in range(20):
        model.learn_one({"a": 1.0}, False)
    w = model.standing().weights
    model.learn_one(dict(x), True)
    assert model.standing().weights[1] == pytest.approx(w[1] * p / (w[0] * 0.5 + w[1] * p))


def test_an_event_that_was_changed_is_predicted_again() -> None:
    member = Fixed(0.7)
    model = FixedShareClassifier([member])
    x = {"a": 1.0}
    model.predict_one(x)
    x["a"] = 2.0
    model.learn_one(x, True)
    assert member.predicted == 2


def test_predictions_without_a_label_are_kept_up_to_a_limit() -> None:
    for member in (Fixed(0.7), AdditiveClassifier()):
        model = FixedShareClassifier([member])
        for number in range(PREDICTIONS_MAX + 500):
            model.predict_one({"a": number})
        assert model._core.waiting() == PREDICTIONS_MAX


@pytest.mark.parametrize("broken", ["predict", "learn", "predict learn"])
def test_a_member_that_always_raises_is_left_out_and_counted(broken: str) -> None:
    model = FixedShareClassifier({"bad": Fixed(0.1, broken), "good": Fixed(0.9)})
    for number in range(20):
        model.predict_one({"a": number})
        model.learn_one({"a": number}, True)
    standing = model.standing()
    assert standing.failures[0] >= 20
    assert standing.restarts[0] == standing.failures[0]
    assert standing.failures[1] == 0
    if broken != "learn":
        assert model.predict_proba_one({"a": 1})[True] == pytest.approx(0.9)


@pytest.mark.parametrize("when", ["predict", "learn"])
def test_one_event_on_which_a_member_raises_costs_one_restart(when: str) -> None:
    model = FixedShareClassifier([Fixed(0.8), AdditiveClassifier()])
    for number in range(30):
        x: dict[str, Any] = {"a": float(number)} | ({"poison": when} if number == 15 else {})
        assert model.predict_proba_one(x) or number == 0
        model.learn_one(x, True)
    assert model.standing().failures == (1, 0)


def test_if_every_member_raises_there_is_no_prediction_until_the_next_event() -> None:
    model = FixedShareClassifier([Fixed(0.8)])
    assert model.predict_proba_one({"poison": "predict"}) == {}
    model.learn_one({"poison": "predict"}, True)
    assert model.predict_proba_one({"a": 1})[True] == pytest.approx(0.8)


def test_a_regressor_without_members_that_predict_falls_back_to_the_mean() -> None:
    class Broken(dummy.StatisticRegressor):  # type: ignore[misc]
        def predict_one(self, x: Any) -> float:  # noqa: ARG002
            raise RuntimeError("broken")

    from river import stats

    model = FixedShareRegressor([Broken(stats.Mean())])
    for number in range(10):
        model.predict_one({"a": number})
        model.learn_one({"a": number}, 5.0)
    assert model.predict_one({"a": 1}) == 5.0
    assert model.standing().failures[0] == 10


def test_a_diverging_member_of_a_regressor_does_no_harm() -> None:
    class Diverging(linear_model.LinearRegression):  # type: ignore[misc]
        def predict_one(self, x: Any) -> float:
            return 1e40 if x["a"] > 0.5 else float("nan")

    model = FixedShareRegressor([Diverging(), AdditiveRegressor()])
    for number in range(400):
        x = {"a": number % 10 / 10}
        model.predict_one(x)
        model.learn_one(x, x["a"])
    assert model.standing().weights[1] > 0.9
    assert model.predict_one({"a": 0.7}) == pytest.approx(0.7, abs=0.15)


@pytest.mark.parametrize("kind", [FixedShareClassifier, FixedShareRegressor])
def test_a_mixture_needs_a_member_and_valid_rates(kind: Any) -> None:
    with pytest.raises(ValueError, match="at least one member"):
        kind([])
    with pytest.raises(ValueError, match="eta"):
        kind([QuickTree()], eta=0.0)
    with pytest.raises(ValueError, match="share"):
        kind([QuickTree()], share=1.0)


def test_members_of_the_same_class_are_numbered() -> None:
    scaled = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    model = FixedShareClassifier([QuickTree(), QuickTree(), scaled])
    assert model.standing().members == ("QuickTree", "QuickTree_2", "LogisticRegression")


def test_a_model_that_adapts_is_found_at_the_end_of_a_pipeline() -> None:
    pipeline = compose.SelectType(float) | adaptive_classifier()
    assert last_step(pipeline).standing().members[:2] == ("tree", "forest")
    assert isinstance(adaptive_regressor(), Adaptive)
    assert not isinstance(last_step(preprocessing.StandardScaler() | linear_model.LogisticRegression()), Adaptive)


def test_restarts_inside_a_member_are_seen_from_outside() -> None:
    model = adaptive_classifier()
    for x, y in streams.binary(4000):
        model.predict_one(x)
        model.learn_one(x, y)
    standing = model.standing()
    assert standing.restarts[1] >= 1
    assert standing.restarts[0] == standing.restarts[2] == 0
    assert sum(standing.weights) == pytest.approx(1.0)
    assert standing.changes >= standing.restarts[1]


def test_new_classes_may_appear_at_any_time() -> None:
    model = adaptive_classifier()
    for number, (x, y) in enumerate(streams.multiclass(400)):
        model.predict_one(x)
        model.learn_one(x, y if number > 200 or y in ("c0", "c1") else "c0")
    assert set(model.predict_proba_one(x)) == {"c0", "c1", "c2", "c3"}
    assert sum(model.predict_proba_one(x).values()) == pytest.approx(1.0)


PROGRAM = """
from tests.models import streams
from stream_retrain.core.digest import digest
from stream_retrain.models import adaptive_classifier
model, predictions = adaptive_classifier(), []
for x, y in streams.multiclass(250) + streams.mixed(200):
    predictions.append(tuple(model.predict_proba_one(x).items()))
    model.learn_one(x, str(y))
print(digest(predictions))
"""


@pytest.mark.slow
def test_predictions_do_not_depend_on_the_hash_seed() -> None:
    root = Path(__file__).parents[2]
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_a_clone_of_a_trained_mixture_is_untrained() -> None:
    model = adaptive_classifier()
    fresh = digest(model.clone())
    for x, y in streams.binary(200):
        model.learn_one(x, y)
    assert digest(model.clone()) == fresh
    assert model.clone({"eta": 2.0}).eta == 2.0


def test_the_recommended_mixtures_take_strings_without_a_failure() -> None:
    for model, label in ((adaptive_classifier(), bool), (adaptive_regressor(), float)):
        for x, y in streams.mixed(400):
            model.predict_one(x)
            model.learn_one(x, label(y))
        assert sum(model.standing().failures) == 0

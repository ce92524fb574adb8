"""Stackings: a mixture that is better than its best member, with members that sleep, classes that come late, and labels that do."""

from __future__ import annotations

import math
import pickle
import random
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base

from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    FixedShareClassifier,
    FixedShareRegressor,
    LinearClassifier,
    QuickTree,
    adaptive_classifier,
)
from stream_retrain.models.fixed_share import STACKINGS, STACKINGS_OF_NUMBERS
from stream_retrain.models.mixture import SERVED_MAX
from stream_retrain.models.stacking import DECAY, Stackings, clipped, packed, shared
from stream_retrain.models.stacking_regressor import StackingsOfNumbers
from stream_retrain.models.targets import Targets
from tests.models import streams


class Says(base.Classifier):  # type: ignore[misc]
    """Says `True` with the probability that the event holds under its name; of a text it is sure by four fifths; else it says nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        said = x.get(self.name)
        if said is None or isinstance(said, float):
            return {} if said is None else {False: 1.0 - said, True: said}
        return {label: 0.8 if label == said else 0.1 for label in {*"uv", said}}

    def learn_one(self, x: dict[str, Any], y: Any) -> None: ...


class SaysNumber(base.Regressor):  # type: ignore[misc]
    """The same of numbers; it raises where the event holds none."""

    def __init__(self, name: str) -> None:
        self.name = name

    def predict_one(self, x: dict[str, Any]) -> float:
        return float(x[self.name])

    def learn_one(self, x: dict[str, Any], y: float) -> None: ...


def weak_votes(seed: int, count: int) -> list[tuple[dict[str, Any], bool]]:
    """Three members, each right in 7 of 10 events on its own account: the mean of any weights is no better than that."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        y = rng.random() < 0.5
        x = {}
        for name in "abc":
            x[name] = 0.7 if (rng.random() < 0.7) == y else 0.3
        rows.append((x, y))
    return rows


def log_loss(model: Any, rows: list[tuple[Any, Any]], begin: int) -> float:
    total = 0.0
    for number, (x, y) in enumerate(rows):
        proba = model.predict_proba_one(x)
        total -= math.log(max(proba.get(y, 0.0), 1e-3)) if number >= begin else 0.0
        model.learn_one(x, y)
    return total / (len(rows) - begin)


def test_a_stacking_of_weak_members_is_better_than_all_of_them() -> None:
    rows = weak_votes(1, 4_000)
    alone = log_loss(FixedShareClassifier([Says("a")]), rows, 1_000)
    mean = log_loss(FixedShareClassifier([Says(name) for name in "abc"]), rows, 1_000)
    stacked = log_loss(FixedShareClassifier([Says(name) for name in "abc"], stackings=STACKINGS), rows, 1_000)
    assert stacked < mean - 0.05
    assert stacked < alone - 0.1


def test_a_member_that_is_always_wrong_is_turned_round() -> None:
    rows = [({"a": 0.1 if number % 2 else 0.9}, number % 2 == 1) for number in range(1_500)]
    assert log_loss(FixedShareClassifier([Says("a")], stackings=STACKINGS), rows, 1_000) < 0.1


def test_where_one_member_knows_everything_nothing_is_lost() -> None:
    rows = [({"a": 0.98 if label == "u" else 0.02, "b": 0.5}, label == "u") for label in "uuvuv" * 300]
    members = [Says("a"), Says("b")]
    assert log_loss(FixedShareClassifier(members, stackings=STACKINGS), rows, 200) <= log_loss(FixedShareClassifier(members), rows, 200)


def test_members_may_sleep_and_classes_come_late() -> None:
    model = FixedShareClassifier([Says("a"), Says("b")], stackings=STACKINGS)
    rng = random.Random(2)
    for number in range(2_000):
        labels = "uv" if number < 700 else "uvw"
        y = rng.choice(labels)
        x = {name: y for name in "ab" if rng.random() < 0.6}
        proba = model.predict_proba_one(x)
        if x and number:
            assert sum(proba.values()) == pytest.approx(1.0)
        model.learn_one(x, y)
    assert set(model.predict_proba_one({"a": "u"})) == set("uvw")
    assert model.predict_proba_one({"b": "w"})["w"] > 0.9
    assert model.predict_proba_one({}) == {}


def test_a_label_that_only_a_member_knows_is_left_to_the_mean() -> None:
    model = FixedShareClassifier([Says("a"), Says("b")], stackings=STACKINGS)
    for y in "uvuvuv":
        model.learn_one({"a": y}, y)
    assert model.predict_proba_one({"a": "w", "b": "u"})["w"] > 0.1
    model.learn_one({"a": "w"}, "u")
    assert set(model.predict_proba_one({"a": "u"})) == set("uv")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 80))
def test_a_mixture_goes_on_from_its_state_with_late_labels(seed: int, delay: int) -> None:
    model = FixedShareClassifier([QuickTree(grace_period=20), AdditiveClassifier()], stackings=STACKINGS)
    rows = streams.binary(250)
    rng = random.Random(seed)
    other = pickle.loads(pickle.dumps(model))
    for step, number in streams.delayed(rows, delay):
        x, y = rows[number]
        if step == "predict":
            assert model.predict_proba_one(x) == other.predict_proba_one(x)
        else:
            model.learn_one(x, y)
            other.learn_one(x, y)
        if rng.random() < 0.03:
            other = pickle.loads(pickle.dumps(other))


def turning(count: int, turn: int) -> list[tuple[dict[str, Any], bool]]:
    """A boundary that goes round once in so many events."""
    rng, rows = random.Random(1), []
    for number in range(count):
        angle = 2.0 * math.pi * number / turn
        x = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1)}
        rows.append((x, (x["a"] * math.cos(angle) + x["b"] * math.sin(angle) > 0) != (rng.random() < 0.05)))
    return rows


def right(model: Any, rows: list[tuple[dict[str, Any], Any]], delay: int) -> float:
    hits = 0
    for step, number in streams.delayed(rows, delay):
        x, y = rows[number]
        if step == "learn":
            model.learn_one(x, y)
        elif number > delay:
            hits += model.predict_one(x) == y
        else:
            model.predict_one(x)
    return hits / (len(rows) - delay - 1)


def test_where_the_concept_turns_faster_than_labels_come_the_recommended_model_is_no_worse_than_its_first_form() -> None:
    rows = turning(4_000, 700)
    assert right(adaptive_classifier(), rows, 1_100) > right(adaptive_classifier("first"), rows, 1_100) - 0.02


def test_what_misleads_is_left_for_the_plain_mean() -> None:
    """The member that is right when it is asked anew, and was wrong when it was asked first."""
    stackings = Stackings((0.1,), 2)
    then = stackings.answer([0.9, 0.1], [[0.98, 0.02], [0.3, 0.7]])
    now = stackings.answer([0.2, 0.8], [[0.02, 0.98], [0.3, 0.7]])
    levels = [proba[1] for proba in then.levels]
    assert levels[1] == pytest.approx(0.36)
    for _ in range(200):
        stackings.learn(now, 1, packed(then.levels))
    assert max(range(3), key=stackings._weights.__getitem__) == max(range(3), key=levels.__getitem__)


def test_of_a_class_that_was_not_known_when_the_event_was_predicted_counts_what_is_said_now() -> None:
    weights = []
    for served in (None, packed([[1.0]] * 3)):
        stackings = Stackings((0.1,), 1)
        stackings.learn(stackings.answer([0.2, 0.8], [[0.3, 0.7]]), 1, served)
        weights.append(stackings._weights)
    assert weights[0] == weights[1]
    assert weights[0][0] > weights[0][1]


@pytest.mark.parametrize("kept", [b"\0" * 20, packed([[math.nan, 1.0]] * 3), packed([[-1.0, 2.0]] * 3)])
def test_a_state_whose_kept_probabilities_cannot_be_is_refused(kept: bytes) -> None:
    members = [AdditiveClassifier(), Says("a")]
    for model in (FixedShareClassifier(members[:1], stackings=(0.1,)), FixedShareClassifier(members, stackings=(0.1,))):
        x = {"a": 0.5}
        for y in (True, False):
            model.learn_one({"a": 1.0}, y)
        model.predict_one(x)
        models, standing, answers, (classes, block, served) = model._core.state()
        model._core.restore((models, standing, answers, (classes, block, {key: (names, kept) for key, (names, _) in served.items()})))
        with pytest.raises(ValueError, match="damaged"):
            model.learn_one(x, True)


def test_what_was_served_is_kept_up_to_a_limit() -> None:
    model = FixedShareClassifier([LinearClassifier(), AdditiveClassifier(3)], stackings=STACKINGS)
    for number in range(3):
        model.learn_one({"a": -1.0}, number)
    for number in range(SERVED_MAX + 100):
        model.predict_one({"a": number})
    served = model._core.state()[3][2]
    assert list(served) == [(number,) for number in range(100, SERVED_MAX + 100)]
    model.learn_one({"a": SERVED_MAX}, 1)
    assert len(model._core.state()[3][2]) == SERVED_MAX - 1


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60), st.sampled_from([1.0, 1e-9, 0.0]))
def test_no_step_is_larger_than_its_rate_however_long_it_was_calm(events: list[tuple[float, bool]], calm: float) -> None:
    stackings = Stackings((0.1,), 2)
    stacking = stackings._stackings[0]
    stacking.squares = [calm, calm]
    for p, y in events:
        before = list(stacking.weights)
        answered = stackings.answer([1.0 - p, p], [[1.0 - p, p], None])
        assert math.isclose(sum(stackings.mean(answered)), 1.0)
        stackings.learn(answered, int(y))
        assert abs(stacking.weights[0] - before[0]) <= 0.1 + 1e-12
        assert stacking.weights[1] == before[1], "it sleeps"
        assert math.isclose(sum(stackings._weights), 1.0)
    assert 0.0 < DECAY < 1.0
    assert 0.0 < clipped(0.0, 0.1) < clipped(0.3, 0.1) < clipped(1.0, 0.1) < 1.0


def test_shares_are_given_to_all() -> None:
    assert shared([3.0, 1.0, 0.0], 0.3) == pytest.approx([0.625, 0.275, 0.1])


def r2(model: Any, rows: list[tuple[Any, float]], begin: int) -> float:
    errors = squares = total = 0.0
    for number, (x, y) in enumerate(rows):
        missed = model.predict_one(x) - y
        if number >= begin:
            errors, squares, total = errors + missed * missed, squares + y * y, total + y
        model.learn_one(x, y)
    count = len(rows) - begin
    return 1.0 - errors / (squares - total * total / count)


def test_numbers_are_corrected_beyond_their_members() -> None:
    rng = random.Random(3)
    rows = []
    for _ in range(3_000):
        u, v = rng.gauss(0, 1), rng.gauss(0, 1)
        rows.append(({"a": u, "b": v}, 2.0 * u - v + 0.1 * rng.gauss(0, 1)))
    members = [SaysNumber("a"), SaysNumber("b")]
    assert r2(FixedShareRegressor(members, stackings=STACKINGS_OF_NUMBERS), rows, 500) > 0.9
    assert r2(FixedShareRegressor(members), rows, 500) < 0.7


def test_a_regressor_that_fails_counts_as_the_mean_of_the_others() -> None:
    model = FixedShareRegressor([SaysNumber("a"), SaysNumber("b")], stackings=STACKINGS_OF_NUMBERS)
    rng = random.Random(5)
    for _ in range(200):
        a = float(rng.randrange(5))
        model.learn_one({"a": a}, a + 1.0)
    assert model.predict_one({"a": 2.0}) == pytest.approx(3.0, abs=0.3)
    assert 1.0 <= model.predict_one({}) <= 5.0
    assert model.standing().failures[1] == 200


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
        min_size=3,
        max_size=80,
    )
)
def test_whatever_members_and_targets_are_the_prediction_stays_in_their_range(events: list[tuple[float, float, float]]) -> None:
    targets, stackings = Targets(), StackingsOfNumbers((0.5, 0.998), 2)
    for first, second, y in events:
        members: list[float | None] = [targets.clip(first), targets.clip(second)]
        corrected = stackings.answer(targets.clip(0.5 * (first + second)), members, stackings.recent(), targets)
        prediction = stackings.mean(corrected)
        assert math.isfinite(prediction)
        assert targets.clip(prediction) == pytest.approx(prediction, abs=1e-6, rel=1e-9)
        if targets.variance:
            stackings.learn(corrected, corrected.levels, y, targets)
        stackings.follow(targets.usual(y), first=not targets.count)
        targets.update(y)


def test_an_inverse_that_rounding_has_spoilt_begins_anew() -> None:
    stackings = StackingsOfNumbers((0.9,), 1)
    least = stackings._stackings[0]
    rows = len(least.coefficients)
    least.inverse = [[-float(row == column) for column in range(rows)] for row in range(rows)]
    least.learn([1.0] * rows, 0.5)
    assert least.inverse == [[0.02 * (row == column) for column in range(rows)] for row in range(rows)]


def test_stackings_may_come_from_anywhere() -> None:
    assert FixedShareClassifier([QuickTree()], stackings=(each for each in STACKINGS)).stackings == STACKINGS  # type: ignore[arg-type]
    assert FixedShareClassifier([QuickTree()], stackings=[]).stackings is None


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("kind", [FixedShareClassifier, FixedShareRegressor])
def test_a_state_whose_numbers_cannot_be_is_refused(kind: Any, wrong: float) -> None:
    """The block begins with the numbers of the second level; those of the targets stand before it in a regressor."""
    numbers = kind is FixedShareRegressor
    model = kind([AdditiveRegressor()] if numbers else [AdditiveClassifier()], stackings=STACKINGS_OF_NUMBERS if numbers else STACKINGS)
    for number in range(20):
        model.learn_one({"a": float(number)}, float(number) if numbers else number % 2)
    core = model._core
    models, standing, kept, own = core.state()
    counts, floats = own if numbers else own[1]
    at = 8 * (5 if numbers else 0)
    damaged = (counts, floats[:at] + struct.pack("<d", wrong) + floats[at + 8 :])
    with pytest.raises(ValueError, match="damaged"):
        core.restore((models, standing, kept, damaged if numbers else (own[0], damaged, own[2])))


@pytest.mark.parametrize("stackings", [(0.0,), (1.5,), (0.1, -0.1), 0.1])
def test_stackings_are_checked(stackings: Any) -> None:
    with pytest.raises(ValueError, match="stackings is"):
        FixedShareClassifier([QuickTree()], stackings=stackings)

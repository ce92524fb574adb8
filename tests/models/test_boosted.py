"""Regressors mixed with members that learn what the others leave over, labels that come late, and targets that follow one another."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from river import base

from stream_retrain.core.digest import digest
from stream_retrain.models import AdditiveRegressor, FixedShareRegressor, LinearRegressor, QuickTreeRegressor, adaptive_regressor
from stream_retrain.models.fixed_share import STACKINGS_OF_NUMBERS
from stream_retrain.models.mixture import SERVED_MAX
from stream_retrain.models.prediction_cache import PREDICTIONS_MAX
from stream_retrain.models.stacking_regressor import ERROR_MAX, RECENT, StackingsOfNumbers, within
from stream_retrain.models.targets import Targets
from stream_retrain.native import extension
from tests.models import streams
from tests.models.twins import computing, needs_extension


class Says(base.Regressor):  # type: ignore[misc]
    """Says what a function says of the event; counts questions, keeps what it was taught."""

    def __init__(self, says: Callable[[dict[str, Any]], float]) -> None:
        self.says = says
        self.asked = 0
        self.taught: list[float] = []

    def predict_one(self, x: dict[str, Any]) -> float:
        self.asked += 1
        return self.says(x)

    def learn_one(self, x: dict[str, Any], y: float) -> None:  # noqa: ARG002
        self.taught.append(y)


def bent(count: int) -> streams.Rows:
    """Slopes, and steps."""
    rng, rows = random.Random(8), []
    for _ in range(count):
        x = {"a": rng.random(), "b": rng.random(), "c": rng.random()}
        step = 2.0 if 0.3 < x["b"] < 0.6 else 0.0
        rows.append((x, 4.0 * x["a"] - 3.0 * x["c"] + step + rng.gauss(0.0, 0.1)))
    return rows


def r2(model: Any, rows: streams.Rows, delay: int = 1, begin: int = 500) -> float:
    said = [0.0] * len(rows)
    for step, number in streams.delayed(rows, delay):
        if step == "predict":
            said[number] = model.predict_one(rows[number][0])
        else:
            model.learn_one(*rows[number])
    ys = [y for _, y in rows[begin:]]
    mean = sum(ys) / len(ys)
    return 1.0 - sum((y - p) ** 2 for y, p in zip(ys, said[begin:], strict=True)) / sum((y - mean) ** 2 for y in ys)


@pytest.mark.parametrize("stackings", [None, STACKINGS_OF_NUMBERS])
def test_a_boosted_tree_sees_what_is_left_over(stackings: Any) -> None:
    rows = bent(3_000)
    members = {"linear": LinearRegressor(), "tree": QuickTreeRegressor()}
    boosted = r2(FixedShareRegressor(members, stackings=stackings, boosted=["tree"]), rows)
    assert boosted > max(0.9, r2(FixedShareRegressor(members, stackings=stackings), rows) + 0.01)


def test_a_boosted_member_learns_the_error_of_the_others_at_most_three_deviations_of_it() -> None:
    one, boosted = Says(lambda _: 1.0), Says(lambda _: 100.0)
    model = FixedShareRegressor({"one": one, "left": boosted}, boosted=["left"])
    for y in (1.0, 3.0, 1.0, 3.0):
        assert model.predict_one({}) <= 3.2 + 1e-9
        model.learn_one({}, y)
    assert one.taught == [1.0, 3.0, 1.0, 3.0]
    assert boosted.taught[1] == 2.0, "the other one said 1"
    model.learn_one({}, 1e6)
    assert boosted.taught[-1] == pytest.approx(ERROR_MAX, abs=0.2), "the deviation was about 1"


@pytest.mark.parametrize("wrong", [["other"], ["one", "left"], "one"])
def test_boosted_is_checked(wrong: Any) -> None:
    with pytest.raises(ValueError, match="use names of some of the members, which are 'one', 'left'"):
        FixedShareRegressor({"one": LinearRegressor(), "left": LinearRegressor()}, boosted=wrong)
    assert FixedShareRegressor([LinearRegressor()], boosted=[]).boosted is None


def test_what_a_mixture_without_boosted_members_writes_does_not_say_so() -> None:
    assert "boosted" not in FixedShareRegressor([LinearRegressor()]).__getstate__()
    model = FixedShareRegressor([LinearRegressor(), QuickTreeRegressor()], boosted=["QuickTreeRegressor"])
    assert pickle.loads(pickle.dumps(model)).boosted == model.clone().boosted == ("QuickTreeRegressor",)


def test_a_boosted_member_that_raises_is_left_out_and_counted() -> None:
    def breaks(_: Any) -> float:
        raise RuntimeError("broken")

    model = FixedShareRegressor(
        {"right": Says(lambda x: float(x["a"])), "left": Says(breaks)}, stackings=STACKINGS_OF_NUMBERS, boosted=["left"]
    )
    for number in range(100):
        a = float(number * number % 7)
        model.predict_one({"a": a})
        model.learn_one({"a": a}, a)
    assert model.standing().failures == (0, 100)
    assert model.predict_one({"a": 4.0}) == pytest.approx(4.0, abs=0.1)


def test_members_are_asked_once_where_labels_come_at_once_and_again_where_they_come_late() -> None:
    def questions(delay: int, stackings: Any) -> int:
        member = Says(lambda x: float(x["a"]))
        model = FixedShareRegressor([member], stackings=stackings)
        rows = [({"a": float(number)}, float(number % 5)) for number in range(100)]
        r2(model, rows, delay, 0)
        return member.asked

    assert questions(1, STACKINGS_OF_NUMBERS) == questions(1, None) == questions(9, None) == 100
    assert questions(9, STACKINGS_OF_NUMBERS) == 199, "nothing was learned before the first label"


def test_a_question_that_nothing_was_learned_since_is_not_repeated() -> None:
    member = Says(lambda x: float(x["a"]))
    model = FixedShareRegressor([member], stackings=STACKINGS_OF_NUMBERS)
    for number in range(20):
        model.predict_one({"a": -1.0})
        model.predict_one({"a": float(number)})
        model.learn_one({"a": float(number)}, float(number % 5))
    assert member.asked == 40


@pytest.mark.parametrize("stackings", [None, STACKINGS_OF_NUMBERS])
@pytest.mark.parametrize("compiled", [True, False])
def test_answers_without_a_label_are_kept_up_to_a_limit(stackings: Any, compiled: bool) -> None:
    with computing("compiled" if compiled else "Python"):
        model = FixedShareRegressor([AdditiveRegressor()], stackings=stackings)
    for number in range(SERVED_MAX + 200):
        model.predict_one({"a": number})
    assert model._core.waiting() == (PREDICTIONS_MAX if stackings is None else SERVED_MAX)


def walk(count: int) -> streams.Rows:
    """Targets that wander, which no feature tells."""
    rng, level, rows = random.Random(2), 0.0, []
    for _ in range(count):
        level = 0.98 * level + rng.gauss(0.0, 0.2)
        rows.append(({"a": rng.random(), "b": rng.random()}, level))
    return rows


def test_targets_that_follow_one_another_are_followed_and_mislead_little_where_labels_are_late() -> None:
    rows = walk(4_000)
    first = r2(FixedShareRegressor([AdditiveRegressor()]), rows)
    assert r2(FixedShareRegressor([AdditiveRegressor()], stackings=STACKINGS_OF_NUMBERS), rows) > max(0.9, first + 0.1)
    for delay in (30, 300):
        late = r2(FixedShareRegressor([AdditiveRegressor()]), rows, delay, 1_000)
        assert r2(FixedShareRegressor([AdditiveRegressor()], stackings=STACKINGS_OF_NUMBERS), rows, delay, 1_000) > late - 0.05


def test_the_second_level_learns_by_what_was_said_and_the_stackings_by_what_is_said_now() -> None:
    targets, stackings = Targets(), StackingsOfNumbers((0.998,), 1)
    for y in (0.0, 2.0, 0.0, 2.0):
        targets.update(y)
    corrected = stackings.answer(1.0, [1.0], stackings.recent(), targets)
    stackings.learn(corrected, [1.0, 1.0, 2.0], 2.0, targets)
    assert stackings._weights[2] > stackings._weights[0] == stackings._weights[1]
    assert stackings._stackings[0].coefficients[1] > 0.0, "the constant"
    assert stackings.recent()[:3] == pytest.approx([1.0, 0.3, 0.05])
    stackings.follow(2.0, first=True)
    stackings.follow(4.0, first=False)
    assert stackings.recent()[3:] == pytest.approx([4.0, 2.2])
    assert len(stackings.recent()) == RECENT


def test_within() -> None:
    assert [within(number, 2.0) for number in (-3.0, -1.0, 0.0, 2.5, math.inf)] == [-2.0, -1.0, 0.0, 2.0, 2.0]


@needs_extension
@pytest.mark.parametrize("kept", [[], [1.0], [None] * 15, [1.0] * 40, [None] * 8 + [3.0] * 4 + [None] * 6])
def test_what_cannot_have_been_kept_counts_as_not_kept_in_both(kept: list[Any]) -> None:
    assert extension() is not None
    found = set()
    for where in ("compiled", "Python"):
        with computing(where):
            model = adaptive_regressor()
            rows = streams.regression(120)
            for x, y in rows[:100]:
                model.learn_one(x, y)
            models, standing, _, own = model._core.state()
            x, y = rows[100]
            model._core.restore((models, standing, {tuple(x.values()): (tuple(x), kept)}, own))
            model.learn_one(x, y)
            for each, label in rows[101:]:
                model.predict_one(each)
                model.learn_one(each, label)
            found.add(digest(model))
    assert len(found) == 1

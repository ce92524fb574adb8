"""A forest for numbers: its trees differ by chance, follow a drift one by one, need no scaler, and stay below their memory."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest

from stream_retrain.core.digest import digest
from stream_retrain.models import QuickTreeRegressor, RestartingForestRegressor
from stream_retrain.models.adaptive import Adaptive
from stream_retrain.models.forest_leaf import half_of
from stream_retrain.models.plain_forest_regressor import PlainForestRegressor, _weight
from stream_retrain.models.targets import TARGET_MAX
from stream_retrain.native import extension
from tests.models.twins import computing, exchanged, forests_are_equal, needs_extension, predict, stream, twins


def turning(count: int, *, every: int, features: int = 5, seed: int = 3) -> Iterator[tuple[dict[str, Any], float]]:
    """What the features say turns round again and again."""
    rng, names = random.Random(seed), [f"f{number}" for number in range(features)]
    for number in range(count):
        x = {name: rng.gauss(0, 1) for name in names}
        score = x["f0"] + x["f1"] * x["f2"] + (2.0 if x["f0"] > 0.5 else 0.0) + rng.gauss(0, 0.2)
        yield x, score if number // every % 2 == 0 else -score


def squares(model: Any, rows: Any) -> float:
    """The mean squared error."""
    total, count = 0.0, 0
    for x, y in rows:
        total += (model.predict_one(x) - y) ** 2
        model.learn_one(x, y)
        count += 1
    return total / count


def squares_after(number: int, rows: Any) -> float:
    """The same of the default forest, once it has learned some events."""
    forest = RestartingForestRegressor()
    squares(forest, rows[:number])
    return squares(forest, rows[number:])


@needs_extension
@pytest.mark.parametrize("delay", [0, 40])
def test_twins_are_equal_where_successors_begin_end_and_take_over(delay: int) -> None:
    compiled, plain = twins(lambda: RestartingForestRegressor(trees=4, grace_period=60, drift_confidence=0.05, warning_confidence=0.4))
    forests_are_equal(compiled, plain, list(turning(3_000, every=700)), delay)


@needs_extension
def test_twins_are_equal_over_many_features_and_categories() -> None:
    compiled, plain = twins(lambda: RestartingForestRegressor(trees=3, grace_period=40, delta=0.1, tau=0.5, categories_max=10))
    for number, (x, y) in enumerate(stream(5, 2_500, classes=0, gaps=0.1, categories=12, wild=True)):
        more = {f"w{place}": (number * place % 17) / 7 for place in range(number // 100)}
        assert predict(compiled, {**x, **more}) == predict(plain, {**x, **more})
        compiled.learn_one({**x, **more}, y)
        plain.learn_one({**x, **more}, y)
    assert digest(compiled) == digest(plain)
    assert compiled.withheld == plain.withheld == ("s",)
    assert compiled.n_leaves > 20


@needs_extension
def test_twins_are_equal_over_numbers_whose_scale_explodes() -> None:
    compiled, plain = twins(lambda: RestartingForestRegressor(trees=2, grace_period=30, tau=0.9))
    rng = random.Random(4)
    for number in range(900):
        scale = 10.0 ** (-155 + number // 3)
        x = {"a": scale * rng.random(), "b": rng.choice([1e149, 0.0, -1e149]), "c": rng.random(), "t": rng.random() < 0.5}
        y = 1e140 * x["c"] if number > 600 else x["c"]
        assert predict(compiled, x) == predict(plain, x)
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
    assert digest(compiled) == digest(plain)
    exchanged(compiled, plain)


def test_it_follows_drifts_that_one_tree_does_not() -> None:
    rows = list(turning(12_000, every=3_000))
    forest = RestartingForestRegressor()
    assert squares(forest, rows) < 0.5 * squares(QuickTreeRegressor(), rows)
    assert forest.replaced >= 10, "each tree, at most turns"
    assert isinstance(forest, Adaptive)
    assert forest.standing().restarts == (forest.replaced // 5,), "a restart of one tree of many is nothing to tell"


def test_neither_features_nor_the_target_need_a_scaler() -> None:
    rows = list(turning(4_000, every=5_000))
    plain = squares(RestartingForestRegressor(), rows)
    for scale, shift in ((1e-6, 0.0), (2.0**20, 3e6)):
        scaled = [({name: scale * value + shift for name, value in x.items()}, y) for x, y in rows]
        assert squares(RestartingForestRegressor(), scaled) < 1.2 * plain
        moved = [(x, scale * y + shift) for x, y in rows]
        assert squares_after(500, moved) / scale**2 < 1.2 * squares_after(500, rows)


def test_a_feature_of_which_much_is_missing_is_not_preferred() -> None:
    rng, forest = random.Random(3), RestartingForestRegressor(trees=1)
    for _ in range(4_000):
        x = {"a": rng.random(), "gaps": rng.random()}
        y = float(x["a"] > 0.5)
        if rng.random() < 0.9:
            del x["gaps"]
        forest.learn_one(x, y)
    assert forest.predict_one({"a": 0.9}) - forest.predict_one({"a": 0.1}) > 0.8


def test_a_successor_has_learned_when_it_takes_over() -> None:
    """Where none may begin, an untrained tree takes the place of one that restarts."""
    rows = list(turning(9_000, every=3_000, seed=5))
    full = RestartingForestRegressor(memory_max=3_000)
    error = squares(full, rows)
    assert (full.n_leaves, full.n_successors) == (5, 0)
    assert squares(RestartingForestRegressor(), rows) < error


def test_what_is_drawn_follows_the_seed() -> None:
    rows = list(turning(1_500, every=2_000))
    one, same, other = RestartingForestRegressor(), RestartingForestRegressor(), RestartingForestRegressor(seed=2)
    for model in (one, same, other):
        squares(model, rows)
    assert digest(one) == digest(same)
    assert one.predict_one(rows[0][0]) != other.predict_one(rows[0][0])
    assert digest(one.clone()) == digest(RestartingForestRegressor())


def test_predictions_stay_in_the_range_of_the_targets() -> None:
    forest, rng = RestartingForestRegressor(), random.Random(1)
    assert forest.predict_one({"a": 1.0}) == 0.0
    for _ in range(2_000):
        a = rng.gauss(0, 1)
        forest.learn_one({"a": a}, max(-1.0, min(1.0, a)))
    for value in (1e140, -1e140, 50.0):
        assert -1.2 <= forest.predict_one({"a": value}) <= 1.2
    for bad in (float("nan"), float("inf"), TARGET_MAX):
        with pytest.raises(ValueError, match="finite"):
            forest.learn_one({"a": 1.0}, bad)


def test_the_mean_follows_the_errors_of_the_trees() -> None:
    assert [half_of(features) for features in (0, 1, 2, 5, 50)] == [0, 1, 1, 3, 25]
    assert _weight(0.1, 0.1) == 1.0
    assert _weight(0.1, 0.2) == 0.25
    assert _weight(0.0, 0.0) == 1.0
    forest = PlainForestRegressor(2, 100, 0.01, 0.05, 6.0, 0.005, 0.05, 64, 10**6, 1)
    for number in range(50):
        forest.learn({"a": float(number % 2)}, float(number % 2))
    row = {"a": 1.0}
    forest._woods[0].error, forest._woods[1].error = 0.1, 0.2
    first, second = (forest._number(wood, row, forest._standard(row)) for wood in forest._woods)
    assert forest.predict({"a": 1.0}) == pytest.approx((first + 0.25 * second) / 1.25, rel=1e-12)


def test_what_a_tree_said_that_stands_no_more_is_no_error_of_the_next() -> None:
    with computing("Python"):
        forest = RestartingForestRegressor(trees=2, drift_confidence=1e-12)
    core = forest._core
    for number in range(60):
        forest.learn_one({"a": float(number)}, 1.0 + 0.01 * (number % 2))
    for number in range(100, 130):
        forest.predict_one({"a": float(number)})
    first, second = core._woods
    core.changes = first.since = 1
    first.tree = core._new_tree()
    first.error = second.error = 1.0
    for number in range(100, 120):
        forest.learn_one({"a": float(number)}, 3.0)
    assert core.waiting() == 10
    assert first.error < second.error, "it was asked when the labels came, and said what it had learned"


@needs_extension
@pytest.mark.slow
def test_its_memory_stays_below_the_limit() -> None:
    limit, free, held = 300_000, RestartingForestRegressor(), RestartingForestRegressor(memory_max=300_000)
    most = 0
    for x, y in turning(40_000, every=20_000, features=12):
        for model in (free, held):
            model.predict_one(x)
            model.learn_one(x, y)
        assert held.memory <= limit
        most = max(most, held.memory)
    assert most > limit - 10_000
    assert free.memory > 2 * limit
    assert len(pickle.dumps(held)) < 1.1 * limit


def test_a_forest_that_is_full_adds_no_leaf_for_a_new_category() -> None:
    def grown(memory_max: int) -> RestartingForestRegressor:
        forest = RestartingForestRegressor(trees=1, grace_period=50, tau=0.9, memory_max=memory_max)
        for number in range(400):
            forest.learn_one({"s": "abc"[number % 3]}, float(number % 3))
        return forest

    free = grown(10**6)
    assert free.n_leaves >= 3
    full = grown(free.memory)
    leaves = full.n_leaves
    for model in (free, full):
        model.learn_one({"s": "d"}, 1.0)
    assert full.n_leaves == leaves
    assert full.memory <= 10**6


def test_a_damaged_state_is_refused() -> None:
    for where in ("compiled", "Python") if extension() else ("Python",):
        with computing(where):
            forest = RestartingForestRegressor(trees=2)
            squares(forest, turning(400, every=1_000))
            state = forest.__getstate__()
            version, (names, values, kept, (counts, floats)) = state["_core"]
            begin = 2 * len(names)  # counts of the features: kind and withheld
            error = 8 * (5 + 3 * len(names) + 5)  # targets, features, the first detector
            bad_blocks = [
                (counts[: 4 * begin] + bytes(4) + bytes(8) + counts[4 * begin + 12 :], floats),  # a generator that draws nothing
                (counts[: 4 * begin + 12] + b"\1\0\0\0" + counts[4 * begin + 16 :], floats),  # a tree that began after the last restart
                (counts, floats[:error] + b"\0\0\0\0\0\0\x20\x40" + floats[error + 8 :]),  # an error of 8
                (counts + bytes(4), floats),
                (counts, floats[:-8]),
            ]
            for block in bad_blocks:
                with pytest.raises(ValueError, match="damaged"):
                    RestartingForestRegressor().__setstate__({**state, "_core": (version, (names, values, kept, block))})
            again = pickle.loads(pickle.dumps(forest))
            assert digest(again) == digest(forest)


@pytest.mark.parametrize(
    "bad",
    [
        {"trees": 0},
        {"trees": 101},
        {"weight_mean": 0.0},
        {"weight_mean": float("nan")},
        {"seed": -1},
        {"grace_period": 0},
        {"delta": 1.0},
        {"categories_max": 0},
        {"memory_max": 0},
        {"drift_confidence": 0.1},
        {"drift_confidence": 0.0},
        {"warning_confidence": 1.0},
    ],
    ids=str,
)
def test_parameters_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        RestartingForestRegressor(**bad)

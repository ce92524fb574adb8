"""A model for each key: what it predicts, what it keeps, and that the state depends on nothing but the events."""

from __future__ import annotations

import math
import os
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import dummy, evaluate, linear_model, metrics, preprocessing, stats

from stream_retrain.core.digest import digest
from stream_retrain.models import AdditiveClassifier, PerKey, PerKeyClassifier, PerKeyRegressor, QuickTree
from stream_retrain.models.per_key import KEY_CHARS_MAX
from tests.models import streams


def linear() -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression()


def without(rows: streams.Rows, name: str = "store") -> streams.Rows:
    return [({feature: value for feature, value in x.items() if feature != name}, y) for x, y in rows]


def scored(rows: streams.Rows, model: Any, metric: Any) -> float:
    value: float = evaluate.progressive_val_score(rows, model, metric).get()
    return value


def test_where_each_store_has_a_concept_of_its_own_it_is_much_better_than_one_model() -> None:
    rows = streams.stores(4_000, stores=20)
    one, per_key = scored(without(rows), linear(), metrics.Accuracy()), scored(rows, PerKey(linear(), by="store"), metrics.Accuracy())
    assert per_key > one + 0.07


def test_where_all_stores_have_one_concept_it_is_as_good_as_one_model() -> None:
    rows = streams.stores(3_000, stores=100, own=0.0)
    one, per_key = scored(without(rows), linear(), metrics.LogLoss()), scored(rows, PerKey(linear(), by="store"), metrics.LogLoss())
    assert per_key < one + 0.03


def test_a_key_that_is_the_only_one_learns_what_a_model_by_itself_learns() -> None:
    rows = [({**x, "store": "one"}, y) for x, y in without(streams.stores(300, stores=3))]
    model, alone = PerKey(linear(), by="store"), linear()
    for x, y in rows:
        model.predict_one(x)
        model.learn_one(x, y)
    for x, y in without(rows):
        alone.learn_one(x, y)
    kept = model._models.use("one")
    assert kept is not None
    assert digest(kept.model) == digest(alone) == digest(model._everyone)


@pytest.mark.parametrize("key", [None, math.nan, math.inf, "x" * (KEY_CHARS_MAX + 1), "\ud800", 1 << 63, ("a",), "absent"])
def test_what_is_no_key_is_answered_by_the_shared_model_and_learned_by_it(key: Any) -> None:
    model = PerKey(dummy.StatisticRegressor(stats.Mean()), by="k")
    x = {"a": 1.0} if key == "absent" else {"a": 1.0, "k": key}
    model.learn_one(x, 3.0)
    assert model.predict_one(x) == 3.0
    held = model.keys_held
    assert (held.hot + held.cold, held.shared_answers) == (0, 1)


@pytest.mark.parametrize("key", ["a", "", "ü", 7, -1, 2.5, True])
def test_any_scalar_is_a_key(key: Any) -> None:
    model = PerKey(AdditiveClassifier(), by="k", hot_keys_max=1)
    for number in range(40):
        model.learn_one({"a": float(number), "k": key}, True)
        model.learn_one({"a": float(number), "k": "another"}, False)
    assert model.keys_held.hot + model.keys_held.cold == 2
    assert model.predict_one({"a": 3.0, "k": key}) is True
    assert model.predict_one({"a": 3.0, "k": "another"}) is False


def test_the_models_do_not_see_the_key_unless_they_are_to() -> None:
    class Seeing(dummy.PriorClassifier):  # type: ignore[misc]
        seen: ClassVar[set[str]] = set()

        def learn_one(self, x: Any, y: Any) -> None:
            assert y
            Seeing.seen |= set(x)

    x = {"a": 1.0, "k": "v"}
    PerKey(Seeing(), by="k").learn_one(x, True)
    assert Seeing.seen == {"a"}
    assert x == {"a": 1.0, "k": "v"}
    PerKey(Seeing(), by="k", sees_key=True).learn_one(x, True)
    assert Seeing.seen == {"a", "k"}


def test_a_question_makes_no_model() -> None:
    model = PerKey(AdditiveClassifier(), by="k")
    model.predict_one({"a": 1.0, "k": "new"})
    assert model.keys_held.hot == 0


def test_the_order_of_use_decides_who_is_put_away_and_who_is_dropped() -> None:
    model = PerKey(AdditiveClassifier(), by="k", hot_keys_max=2, keys_max=4)

    def learn(*keys: str) -> None:
        for key in keys:
            model.learn_one({"a": 1.0, "k": key}, True)

    def hot() -> list[Any]:
        return list(model._models._hot)

    learn("a", "b", "c")
    assert hot() == ["b", "c"]
    model.predict_one({"a": 1.0, "k": "a"})  # a question is a use
    assert hot() == ["c", "a"]
    learn("d", "e")
    assert hot() == ["d", "e"]
    held = model.keys_held
    assert (held.hot, held.cold, held.put_away, held.taken_back, held.dropped) == (2, 2, 4, 1, 1)
    assert "b" not in model._models.cold
    assert "c" in model._models.cold


def test_a_key_that_is_not_used_for_long_is_dropped() -> None:
    model = PerKey(AdditiveClassifier(), by="k", hot_keys_max=2, idle_events_max=10)
    for key in "abc":
        model.learn_one({"a": 1.0, "k": key}, True)
    for _ in range(7):
        model.learn_one({"a": 1.0, "k": "c"}, True)
    assert (model.keys_held.cold, model.keys_held.hot) == (1, 2)
    model.learn_one({"a": 1.0, "k": "c"}, True)
    assert (model.keys_held.cold, model.keys_held.hot) == (0, 2)
    for _ in range(3):
        model.learn_one({"a": 1.0, "k": "c"}, True)
    assert list(model._models._hot) == ["c"]
    assert model.keys_held.dropped == 2


def test_bytes_are_bounded_in_both_tiers() -> None:
    model = PerKey(QuickTree(), by="store", hot_keys_max=50, hot_bytes_max=60_000, cold_bytes_max=20_000, keys_max=1_000)
    for x, y in streams.stores(1_200, stores=80):
        model.predict_one(x)
        model.learn_one(x, y)
        held = model.keys_held
        assert held.hot_bytes <= 60_000 or held.hot == 1
        assert held.cold_bytes <= 20_000
    assert held.dropped > 0
    assert held.hot < 50
    assert model.memory_bytes() >= held.hot_bytes + held.cold_bytes


def test_shrinking_drops_the_half_that_was_used_longest_ago() -> None:
    model = PerKey(AdditiveClassifier(), by="k", hot_keys_max=2)
    for key in "abcdef":
        model.learn_one({"a": 1.0, "k": key}, True)
    assert model.shrink()
    assert (len(model._models.cold), list(model._models._hot)) == (1, ["e", "f"])
    assert model.shrink()
    assert model.shrink()
    assert not model.shrink()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"by": ""}, "by is ''; give the name of a feature"),
        ({"by": ["store", "city"]}, "by is ['store', 'city']; give the name of a feature"),
        ({"keys_max": 0}, "keys_max is 0; give a whole number of at least 1"),
        ({"hot_bytes_max": "4 MB"}, "hot_bytes_max is '4 MB'; give a whole number of at least 1"),
        ({"cold_bytes_max": None}, "cold_bytes_max is None; give a whole number of at least 1"),
        ({"idle_events_max": 0}, "idle_events_max is 0; give a whole number of at least 1"),
        ({"model": linear_model.LogisticRegression}, "; give a classifier or a regressor of River, or a pipeline that ends in one"),
        ({"shared": 5}, "shared is 5; give a classifier or a regressor of River, or a pipeline that ends in one"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(said)}$"):
        PerKey(**{"model": AdditiveClassifier(), "by": "k", **wrong})


def test_fewer_keys_than_may_be_hot_are_all_that_is_kept() -> None:
    model = PerKey(AdditiveClassifier(), by="k", keys_max=4)
    for number in range(9):
        model.learn_one({"a": 1.0, "k": number}, True)
    assert (model.keys_held.hot, model.keys_held.cold, model.keys_held.dropped) == (4, 0, 5)


def test_it_is_of_the_model_s_kind_and_a_clone_keeps_its_parameters() -> None:
    model = PerKey(AdditiveClassifier(), by="k", shared=QuickTree(), hot_keys_max=3, keys_max=9, idle_events_max=5)
    assert isinstance(model, PerKeyClassifier)
    assert model._multiclass
    assert isinstance(PerKey(linear_model.LinearRegression(), by="k"), PerKeyRegressor)
    model.learn_one({"a": 1.0, "k": "x"}, True)
    again = model.clone()
    assert again.keys_held.hot == 0
    assert isinstance(again._everyone, QuickTree)
    assert (again.by, again.keys_max, again.idle_events_max) == ("k", 9, 5)


LIMITS: dict[str, Any] = {"hot_keys_max": 3, "keys_max": 9, "idle_events_max": 40}
ROWS = streams.stores(160, stores=14)


def taught(model: Any, rows: streams.Rows, delay: int = 7) -> list[Any]:
    """Questions, and their labels so many events later."""
    told = []
    for step, number in streams.delayed(rows, delay):
        x = dict(rows[number][0])
        told.append(model.learn_one(x, rows[number][1]) if step == "learn" else model.predict_proba_one(x))
    return told


@pytest.mark.slow
@pytest.mark.parametrize("inner", [linear, QuickTree], ids=["linear", "tree"])
@given(cuts=st.lists(st.integers(1, 150), max_size=4, unique=True))
@settings(max_examples=8, deadline=None)
def test_pickled_anywhere_it_goes_on_as_one_that_never_stopped(inner: Any, cuts: list[int]) -> None:
    whole, cut = PerKey(inner(), by="store", **LIMITS), PerKey(inner(), by="store", **LIMITS)
    at = 0
    for end in [*sorted(cuts), len(ROWS)]:
        assert taught(whole, ROWS[at:end]) == taught(cut, ROWS[at:end])
        cut = pickle.loads(pickle.dumps(cut))
        assert digest(cut) == digest(whole)
        at = end
    assert whole.keys_held.put_away > 10


def test_models_that_were_put_away_predict_as_those_that_never_were() -> None:
    roomy, tight = PerKey(QuickTree(), by="store"), PerKey(QuickTree(), by="store", hot_keys_max=1)
    assert taught(roomy, ROWS) == taught(tight, ROWS)
    assert tight.keys_held.taken_back > 50


def told_of_the_state() -> str:
    model = PerKey(QuickTree(), by="store", **LIMITS)
    taught(model, ROWS)
    return f"{digest(model)} {model.keys_held} {model.memory_bytes()}"


@pytest.mark.slow
def test_the_state_does_not_depend_on_the_hash_seed() -> None:
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    code = "from tests.models.test_per_key import told_of_the_state; print(told_of_the_state())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": other},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert run.stdout.strip() == told_of_the_state()


def test_a_regressor_mixes_what_both_predict_and_stays_in_the_range_of_the_targets() -> None:
    rng = random.Random(5)
    model = PerKey(preprocessing.StandardScaler() | linear_model.LinearRegression(), by="k")
    level = {"low": 0.0, "high": 100.0}
    for _ in range(400):
        key = rng.choice(["low", "high"])
        x = {"a": rng.gauss(0, 1), "k": key}
        assert -12 <= model.predict_one(x) <= 113
        model.learn_one(x, level[key] + x["a"])
    assert abs(model.predict_one({"a": 1.0, "k": "high"}) - 101) < 4
    assert abs(model.predict_one({"a": 1.0, "k": "low"}) - 1) < 4
    with pytest.raises(ValueError, match="not a finite number"):
        model.learn_one({"a": 1.0, "k": "low"}, math.nan)

"""A wild value among the first events, before anything can say what is usual, does not ruin a recommended model."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from river import base

from stream_retrain.core.digest import digest
from stream_retrain.core.serve.predictor import predictor
from stream_retrain.core.serve.step import Looks, step_of
from stream_retrain.models import FixedShareClassifier, QuickTree, adaptive_classifier, adaptive_regressor
from stream_retrain.models.first_events import FIRST_EVENTS, tamed
from tests.models.twins import computing, exchanged, predict, twins

Row = tuple[dict[str, Any], Any]
MAKERS = [adaptive_classifier, adaptive_regressor]


def rows(count: int, *, classify: bool, seed: int = 1) -> list[Row]:
    rng, made = random.Random(seed), []
    for number in range(count):
        x: dict[str, Any] = {f"f{place}": rng.random() for place in range(4)} | {"n": rng.randrange(50), "s": rng.choice("abc")}
        if number % 5 == 0:
            x["gap"] = rng.gauss(0, 1)
        y = 10 * x["f0"] * x["f1"] + 5 * x["f2"] + rng.gauss(0, 0.3)
        made.append((x, y > 5 if classify else y))
    return made


def with_wild(plain: list[Row], at: int, name: str, value: Any) -> list[Row]:
    x, y = plain[at]
    return [*plain[:at], ({**x, name: value}, y) if name != "y" else (x, value), *plain[at + 1 :]]


def error(model: Any, some: list[Row], since: int) -> float:
    """Mean squared error, or the part of wrong labels."""
    total = 0.0
    for number, (x, y) in enumerate(some):
        predicted = model.predict_one(x)
        model.learn_one(x, y)
        if number >= since:
            total += float(predicted != y) if isinstance(y, bool) else (predicted - y) ** 2
    return total / (len(some) - since)


@pytest.mark.parametrize("at", [0, 6, FIRST_EVENTS - 1])
@pytest.mark.parametrize(("make", "name", "value"), [
    *((make, name, value) for make in MAKERS for name, value in (("f0", 1e6), ("f1", -1e300), ("n", 10**400))),
    *((adaptive_regressor, "y", value) for value in (1e6, -1e149, Decimal("1e12"))),
])  # fmt: skip
def test_it_is_forgotten_within_a_thousand_events(make: Callable[[], Any], name: str, value: Any, at: int) -> None:
    plain = rows(2_000, classify=make is adaptive_classifier)
    wanted, got = error(make(), plain, 1_030), error(make(), with_wild(plain, at, name, value), 1_030)
    assert got < 1.1 * wanted + 0.005


@pytest.mark.parametrize("make", MAKERS)
def test_a_model_that_began_anew_is_the_one_that_never_saw_it(make: Callable[[], Any]) -> None:
    """The wild value counts as the nearest usual one, so all that it leaves is less than one more such event would."""
    plain = rows(FIRST_EVENTS, classify=make is adaptive_classifier)
    taught, tame = make(), tamed(with_wild(plain, 4, "f0", 1e6), targets=make is adaptive_regressor)
    assert tame is not None
    for x, y in with_wild(plain, 4, "f0", 1e6):
        taught.learn_one(x, y)
    other = make()
    for x, y in tame:
        other.learn_one(x, y)
    taught._before = None
    assert digest(taught) == digest(other)


@pytest.mark.parametrize("make", MAKERS)
def test_cuts_and_pickles_change_nothing(make: Callable[[], Any]) -> None:
    task = "binary" if make is adaptive_classifier else "regression"
    some = with_wild(rows(200, classify=task == "binary"), 11, "f2", 1e9)
    whole = make()
    said = []
    for x, y in some:
        said.append(whole.predict_one(x))
        whole.learn_one(x, y)
    for sizes in ((7,), (1, 28, 3), (29, 1, 170), (500,)):
        model, at, taken_of = make(), 0, list[Any]()
        while at < len(some):
            for size in sizes:
                step = step_of(model, task, predictor(model, task, proba=False), proba=False, threshold=None)
                cut = some[at : at + size]
                taken = step([x for x, _ in cut], [y for _, y in cut], Looks()).predictions
                taken_of += taken
                at += len(taken)
                model = pickle.loads(pickle.dumps(model))
        assert taken_of == said
        assert digest(model) == digest(whole)


@pytest.mark.parametrize("make", MAKERS)
def test_twins_begin_anew_alike(make: Callable[[], Any]) -> None:
    compiled, plain = twins(make)
    for number, (x, y) in enumerate(with_wild(rows(80, classify=make is adaptive_classifier), 3, "f1", -1e12)):
        assert predict(compiled, x) == predict(plain, x)
        with computing("compiled"):
            compiled.learn_one(x, y)
        with computing("Python"):
            plain.learn_one(x, y)
        assert compiled.unmet == plain.unmet == max(0, FIRST_EVENTS - 1 - number)
        if number in (5, 40):
            compiled, plain = exchanged(compiled, plain)
    assert digest(compiled) == digest(plain)


def test_members_of_river_begin_anew_too() -> None:
    from river import linear_model, preprocessing

    def make() -> FixedShareClassifier:
        return FixedShareClassifier([preprocessing.StandardScaler() | linear_model.LogisticRegression(), QuickTree()], stackings=(0.1,))

    plain = rows(2_000, classify=True)
    plain = [({name: x[name] for name in ("f0", "f1", "f2")}, y) for x, y in plain]
    assert error(make(), with_wild(plain, 2, "f0", 1e6), 1_030) < 1.1 * error(make(), plain, 1_030)


def test_what_was_kept_is_dropped_and_models_without_stackings_keep_nothing() -> None:
    model: base.Classifier = adaptive_classifier()
    for x, y in rows(FIRST_EVENTS, classify=True):
        assert model.unmet > 0
        model.learn_one(x, y)
    assert model.unmet == 0
    assert "_first" not in model.__getstate__()
    first = adaptive_classifier("first")
    assert first.unmet == 0
    assert "_first" not in first.__getstate__()


@pytest.mark.parametrize("make", MAKERS)
def test_counts_go_on_and_a_new_leader_is_told(make: Callable[[], Any]) -> None:
    task = "binary" if make is adaptive_classifier else "regression"
    model = make()
    for at, (x, y) in enumerate(with_wild(rows(FIRST_EVENTS, classify=task == "binary"), 4, "f0", 1e9)):
        before = model.changes, model.standing()
        model.learn_one(x, y)
        assert at < FIRST_EVENTS - 1 or model.changes > before[0]
        assert all(now >= then for now, then in zip(model.standing().restarts, before[1].restarts, strict=True))
    told = pickle.loads(pickle.dumps(model))
    assert (told.changes, told.standing()) == (model.changes, model.standing())


def test_what_is_in_two_states_is_left_as_it_is() -> None:
    rng = random.Random(5)
    watts = [({"watts": (800.0 if n % 4 == 0 else 3.0) + rng.gauss(0, 0.1), "f": rng.random()}, float(n % 4)) for n in range(30)]
    assert tamed(watts, targets=True) is None
    assert tamed([({"f": rng.random()}, 500.0 if n % 6 == 0 else rng.random() / 100) for n in range(30)], targets=True) is None


def test_numbers_of_any_type_are_brought_in() -> None:
    for number in (np.float64, np.float32, Decimal):
        rng = random.Random(2)
        found = tamed([({"a": number(str(1e9 if n == 3 else rng.random()))}, n % 2) for n in range(30)], targets=False)
        assert found is not None
        assert -5 < found[3][0]["a"] < 5


def test_events_that_are_no_dicts_are_passed_over() -> None:
    from river import feature_extraction, naive_bayes

    members = [feature_extraction.BagOfWords() | naive_bayes.MultinomialNB() for _ in range(2)]
    model = FixedShareClassifier(members, stackings=(0.1,))
    for number in range(FIRST_EVENTS + 5):
        text = f"word{number % 7} and some more"
        model.predict_proba_one(text)
        model.learn_one(text, number % 2 == 0)
    assert model.unmet == 0


def test_only_what_is_wild_is_brought_in() -> None:
    rng = random.Random(3)
    usual = [
        {"a": rng.gauss(0, 1), "heavy": math.exp(rng.gauss(0, 1)), "flag": 0 if n != 4 else 7, "b": n == 4, "s": "x", "gap": math.nan}
        for n in range(30)
    ]
    assert tamed([(x, n) for n, x in enumerate(usual)], targets=True) is None
    assert tamed([({"rare": 1.0 if n else 1e9}, 1) for n in range(9)], targets=True) is None, "too few to say"
    wild = [({**x, "a": 1e9 if n == 3 else x["a"]}, n % 2) for n, x in enumerate(usual)]
    found = tamed(wild, targets=False)
    assert found is not None
    assert [n for n, ((x, _), (new, _)) in enumerate(zip(wild, found, strict=True)) if x["a"] != new["a"]] == [3]
    assert 2 < found[3][0]["a"] < 5
    assert found[3][1] == 1

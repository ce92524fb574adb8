"""A compiled model and its twin in Python: equal predictions and states to the last bit, and a state of one resumes in the other."""

from __future__ import annotations

import math
import pickle
import random
import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift, linear_model, preprocessing

import hatch_build
from stream_retrain.core.digest import digest
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    FastHDDMA,
    FixedShareClassifier,
    FixedShareRegressor,
    LinearClassifier,
    LinearRegressor,
    NearestClassifier,
    NearestRegressor,
    PerKey,
    QuickTree,
    QuickTreeRegressor,
    Restarting,
    RestartingForest,
    RestartingForestRegressor,
    adaptive_classifier,
    adaptive_regressor,
    arithmetic,
)
from stream_retrain.models.fixed_share import STACKINGS, STACKINGS_OF_NUMBERS
from stream_retrain.native import extension
from tests.models.twins import bits, computing, needs_extension, predict, stay_equal, stream, twins

pytestmark = needs_extension

CLASSIFIERS: dict[str, Any] = {
    "tree": QuickTree,
    "eager tree": lambda: QuickTree(grace_period=10, delta=0.1, tau=0.5, categories_max=4),
    "low tree": lambda: QuickTree(grace_period=20, tau=0.3, max_depth=2),
    "additive": AdditiveClassifier,
    "small additive": lambda: AdditiveClassifier(bins=3, rate=1.0, categories_max=3),
    "pairs": lambda: AdditiveClassifier(pairs=40),
    "few pairs": lambda: AdditiveClassifier(bins=4, categories_max=3, decay=0.99, pairs=5, pair_bins=3, seed=7),
    "linear": LinearClassifier,
    "small linear": lambda: LinearClassifier(rate=1.0, categories_max=3, decay=0.9),
    "nearest": NearestClassifier,
    "few nearest": lambda: NearestClassifier(neighbors=3, window=40, features_max=2),
    "forest": RestartingForest,
    "eager forest": lambda: RestartingForest(
        trees=3, grace_period=20, delta=0.2, tau=0.4, drift_confidence=0.1, warning_confidence=0.5, categories_max=6, seed=7
    ),
    "small forest": lambda: RestartingForest(grace_period=30, tau=0.3, cuts=1, weight_mean=2.5, memory_max=60_000),
    "restarting": lambda: Restarting(QuickTree(grace_period=20), FastHDDMA(0.2, 0.3)),
    "restarting by ADWIN": lambda: Restarting(AdditiveClassifier(bins=4), drift.ADWIN(delta=0.5, clock=1, grace_period=2)),
    "adaptive": adaptive_classifier,
    "stacked": lambda: FixedShareClassifier([QuickTree(), Restarting(QuickTree()), AdditiveClassifier()], stackings=STACKINGS),
    "mixture": lambda: FixedShareClassifier(
        [
            QuickTree(tau=0.5),
            Restarting(Restarting(QuickTree(), FastHDDMA(0.3, 0.4)), drift.PageHinkley(threshold=5)),
            AdditiveClassifier(3),
        ],
        eta=0.5,
        share=0.1,
    ),
}
REGRESSORS: dict[str, Any] = {
    "tree": QuickTreeRegressor,
    "eager tree": lambda: QuickTreeRegressor(grace_period=10, delta=0.5, tau=0.9, categories_max=4),
    "low tree": lambda: QuickTreeRegressor(grace_period=20, tau=0.9, max_depth=2),
    "additive": AdditiveRegressor,
    "small additive": lambda: AdditiveRegressor(bins=3, categories_max=2),
    "pairs": lambda: AdditiveRegressor(pairs=40),
    "few pairs": lambda: AdditiveRegressor(bins=3, categories_max=2, decay=0.9, pairs=6, pair_bins=4),
    "linear": LinearRegressor,
    "nearest": NearestRegressor,
    "few nearest": lambda: NearestRegressor(neighbors=3, window=40, features_max=2),
    "forest": RestartingForestRegressor,
    "eager forest": lambda: RestartingForestRegressor(
        trees=3, grace_period=20, delta=0.5, tau=0.9, drift_confidence=0.1, warning_confidence=0.5, categories_max=6, seed=7
    ),
    "small forest": lambda: RestartingForestRegressor(grace_period=20, tau=0.9, weight_mean=2.5, memory_max=40_000),
    "restarting": lambda: Restarting(QuickTreeRegressor(grace_period=20), FastHDDMA(0.3, 0.4)),
    "adaptive": adaptive_regressor,
    "stacked": lambda: FixedShareRegressor([Restarting(QuickTreeRegressor()), AdditiveRegressor()], stackings=STACKINGS_OF_NUMBERS),
    "boosted": lambda: FixedShareRegressor(
        {"tree": Restarting(QuickTreeRegressor()), "additive": AdditiveRegressor(), "left": QuickTreeRegressor(grace_period=20, tau=0.9)},
        stackings=STACKINGS_OF_NUMBERS,
        boosted=["left"],
    ),
    "boosted alone": lambda: FixedShareRegressor(
        [LinearRegressor(), Restarting(QuickTreeRegressor())], boosted=["RestartingRegressor(QuickTreeRegressor)"]
    ),
    "mixture": lambda: FixedShareRegressor([QuickTreeRegressor(tau=0.9), Restarting(AdditiveRegressor(3))], eta=2.0, share=0.1),
}
TARGETED = REGRESSORS | {"per key": lambda: PerKey(AdditiveRegressor(), by="a")}
MADE_OF_OTHERS = ("restarting", "restarting by ADWIN", "adaptive", "stacked", "boosted", "boosted alone", "mixture")
MODELS = [*(("classifier", name) for name in CLASSIFIERS), *(("regressor", name) for name in REGRESSORS)]


def maker(task: str, name: str) -> Any:
    return (CLASSIFIERS if task == "classifier" else REGRESSORS)[name]


def test_the_extension_is_built_from_these_sources() -> None:
    built = extension()
    assert built is not None
    assert hatch_build.sources() == built.SOURCES, "the sources have changed since: make native"
    assert built.ARITHMETIC == arithmetic.ARITHMETIC


@given(st.sampled_from(["exp", "log", "tanh", "erf"]), st.one_of(st.floats(), st.floats(-50, 50), st.floats(-0.5, 2.0)))
def test_the_arithmetic_is_equal_to_the_last_bit(function: str, x: float) -> None:
    built = extension()
    assert built is not None
    ours, theirs = getattr(arithmetic, function)(x), built.compute(function, x)
    assert struct.pack("<d", ours) == struct.pack("<d", theirs) or (math.isnan(ours) and math.isnan(theirs))
    if math.isfinite(x) and x != 0.0:
        assert arithmetic.log2(abs(x)) == built.compute("log2", abs(x))


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(MODELS),
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.integers(1, 9),
    st.booleans(),
    st.sampled_from([0, 0, 7, 60]),
)
def test_twins_are_equal_over_cuts_gaps_late_labels_and_exchanged_states(
    model: tuple[str, str], seed: int, classes: int, gaps: float, categories: int, wild: bool, delay: int
) -> None:
    compiled, plain = twins(maker(*model))
    rows = stream(seed, 300, classes=0 if model[0] == "regressor" else classes, gaps=gaps, categories=categories, wild=wild)
    rng = random.Random(seed)
    stay_equal(compiled, plain, rows, delay, lambda _: rng.random() < 0.01)


@pytest.mark.parametrize("delay", [1_100, 2_050])
def test_twins_are_equal_where_labels_come_later_than_answers_are_kept(delay: int) -> None:
    compiled, plain = twins(lambda: FixedShareClassifier([LinearClassifier(), AdditiveClassifier(3)], stackings=STACKINGS))
    rows = stream(11, 3_000, classes=3, gaps=0.02, categories=3, wild=False)
    stay_equal(compiled, plain, rows, delay, lambda number: number % 700 == 0)


@pytest.mark.parametrize(("task", "name"), MODELS)
@pytest.mark.parametrize("count", [2_000, pytest.param(15_000, marks=pytest.mark.slow)])
def test_twins_are_equal_over_a_long_stream(task: str, name: str, count: int) -> None:
    if count > 10_000 and (task, name) not in (("classifier", "tree"), ("classifier", "additive")):
        pytest.skip("a million events of each are for the night: make nightly")
    compiled, plain = twins(maker(task, name))
    for x, y in stream(17, count, classes=0 if task == "regressor" else 3, gaps=0.02, categories=5, wild=True):
        assert predict(compiled, x) == predict(plain, x)
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
    assert digest(compiled) == digest(plain)


def test_trees_are_equal_with_weights_and_many_classes() -> None:
    compiled, plain = twins(lambda: QuickTree(grace_period=15, tau=0.3))
    for number, (x, y) in enumerate(stream(5, 3_000, classes=40, gaps=0.1, categories=12, wild=True)):
        assert predict(compiled, x) == predict(plain, x)
        w = (1.0, 0.3, 4.0)[number % 3]
        compiled.learn_one(x, y, w=w)
        plain.learn_one(x, y, w=w)
    assert digest(compiled) == digest(plain)
    assert (compiled.n_nodes, compiled.n_leaves, compiled.height) == (plain.n_nodes, plain.n_leaves, plain.height)
    assert compiled.n_leaves > 5


@pytest.mark.parametrize(("task", "name"), MODELS)
def test_values_of_any_kind_are_taken_alike(task: str, name: str) -> None:
    odd: list[Any] = [1, 2.5, numpy.float32(0.1), numpy.int64(7), numpy.bool_(True), Decimal("1.25"), True, None, "text", ("a", 1), 10**30]
    odd += [float("nan"), numpy.float64("nan"), 1e149, 10**150, -(10**200), 10**400, -(10**5000), b"bytes", frozenset({1})]
    odd += [Fraction(1, 3), Fraction(-(10**400)), Decimal("1e300")]
    compiled, plain = twins(maker(task, name))
    rng = random.Random(1)
    for number in range(600):
        x = {f"f{place}": rng.choice(odd) for place in range(3)} | {"a": float(number % 5)}
        assert predict(compiled, x) == predict(plain, x)
        y = float(number % 5) if task == "regressor" else number % 2 == 0
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
    assert digest(compiled) == digest(plain)


@pytest.mark.parametrize(("task", "name"), MODELS)
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"a": math.inf}, "'a' is infinite"),
        ({"s": [1]}, "'s' is a list"),
        ({"s": ("b", [1])}, "'s' is a tuple"),
        ({"b": 1.0, "a": -math.inf}, "'a' is infinite"),
        ({"b": 10**400, "a": Decimal("1e400")}, "'a' is infinite"),
    ],
)
def test_what_is_refused_is_refused_alike_and_changes_nothing(task: str, name: str, bad: dict[str, Any], message: str) -> None:
    for model in twins(maker(task, name)):
        before = digest(model)
        for act in (model.predict_one, lambda x, model=model: model.learn_one(x, 1.0)):
            with pytest.raises(ValueError, match=message):
                act({"new": 3.0, **bad})
        assert digest(model) == before


@pytest.mark.parametrize("name", TARGETED)
def test_targets_of_any_type_are_learned_alike_as_floats(name: str) -> None:
    odd = [3, True, Fraction(1, 3), Decimal("0.1"), numpy.int64(7), numpy.float32(0.1), numpy.bool_(True), 2**53 + 1, Fraction(-5), -2.5]
    models, rng = (*twins(TARGETED[name]), *twins(TARGETED[name])), random.Random(1)
    for number in range(400):
        x, y = {"a": float(number % 5), "b": rng.random()}, rng.choice(odd)
        [said] = {predict(model, x) for model in models}
        assert isinstance(said, bytes)
        for place, model in enumerate(models):
            model.learn_one(x, y if place < 2 else float(y))
    assert len({digest(model) for model in models}) == 1


@pytest.mark.parametrize("name", TARGETED)
def test_a_target_that_is_no_finite_number_is_refused_in_the_same_words_and_changes_nothing(name: str) -> None:
    endless = [float("nan"), float("inf"), 1e200, -1e150, 10**150, 10**400, -(10**5000), Fraction(10**400), numpy.float64("nan")]
    endless += [Decimal("nan"), Decimal("-1e400")]
    compiled, plain = twins(TARGETED[name])
    for model in (compiled, plain):
        for number in range(30):
            model.learn_one({"a": float(number % 4)}, float(number % 3))
    before = digest(compiled)
    for kind, refused in ((ValueError, endless), (TypeError, ["1.5", None, (1.0,)])):
        for y in refused:
            words = []
            for model in (compiled, plain):
                with pytest.raises(kind) as raised:
                    model.learn_one({"a": 1.0}, y)
                words.append(str(raised.value))
            assert words[0] == words[1]
            assert kind is TypeError or (words[0].startswith("the target ") and "is not a finite number below 1e+150" in words[0])
    assert digest(compiled) == digest(plain) == before


def test_labels_of_any_kind_and_in_any_order() -> None:
    for labels in ([3, 1, 2], ["b", "a"], [True, False], [1.5, 1, "text", None], [(1, 2), (0, 1)]):
        for kind in (QuickTree, AdditiveClassifier, RestartingForest):
            compiled, plain = twins(kind)
            for number in range(60):
                y = labels[number * number % 7 % len(labels)]
                for model in (compiled, plain):
                    model.learn_one({"a": float(number % 4)}, y)
                assert predict(compiled, {"a": 1.0}) == predict(plain, {"a": 1.0})


@pytest.mark.parametrize(("task", "name"), [each for each in MODELS if each[1] not in MADE_OF_OTHERS])
def test_a_damaged_state_is_refused_or_harmless_in_both(task: str, name: str) -> None:
    make = maker(task, name)
    with computing("Python"):
        model = make()
    rows = stream(3, 800, classes=0 if task == "regressor" else 3, gaps=0.05, categories=5, wild=False)
    for x, y in rows:
        model.learn_one(x, y)
    whole = model._core.state()
    rng, refused = random.Random(5), 0
    for _ in range(150):
        *tables, (counts, floats) = whole
        cut = rng.randrange(3)
        changed = bytearray(counts)
        changed[rng.randrange(len(changed))] = rng.randrange(256)
        block = (
            (bytes(changed), floats) if cut == 0 else (counts[: rng.randrange(len(counts))], floats) if cut == 1 else (counts, floats[8:])
        )
        for where in ("compiled", "Python"):
            with computing(where):
                other = make()
            try:
                other._core.restore((*tables, block))
            except ValueError:
                refused += 1
            else:
                bits(predict(other, rows[0][0]))
    assert refused > 150


def test_a_state_of_another_arithmetic_or_of_an_earlier_release_is_refused() -> None:
    model = QuickTree()
    state = model.__getstate__()
    with pytest.raises(ValueError, match="version 99 of the models' arithmetic"):
        QuickTree().__setstate__({**state, "_core": (99, state["_core"][1])})
    with pytest.raises(ValueError, match="earlier release"):
        QuickTree().__setstate__({"grace_period": 50})


def test_the_setting_chooses_where_a_model_computes() -> None:
    compiled, plain = twins(QuickTree)
    assert type(compiled._core).__module__ == "stream_retrain._native"
    assert type(plain._core).__module__ == "stream_retrain.models.plain_tree"
    with computing("Python"):
        assert type(pickle.loads(pickle.dumps(compiled))._core).__module__ == "stream_retrain.models.plain_tree"
        assert type(compiled.clone()._core).__module__ == "stream_retrain.models.plain_tree"


def test_what_is_made_of_others_is_compiled_only_where_all_of_them_are() -> None:
    class Own(QuickTree):
        """It may do otherwise than its core."""

    with computing("compiled"):
        made = {
            "RestartingClassifier": Restarting(QuickTree()),
            "ClassifierMixture": adaptive_classifier(),
            "RegressorMixture": adaptive_regressor(),
            "PlainRestartingClassifier": Restarting(preprocessing.StandardScaler() | linear_model.LogisticRegression()),
            "PlainClassifierMixture": FixedShareClassifier([QuickTree(), Restarting(Own())]),
            "PlainRegressorMixture": FixedShareRegressor([QuickTreeRegressor(), linear_model.LinearRegression()]),
        }
        made["PlainClassifierMixture "] = FixedShareClassifier([adaptive_classifier(), QuickTree()])
    assert [type(model._core).__name__ for model in made.values()] == [name.strip() for name in made]


def test_a_model_goes_on_where_it_began_after_a_restart_under_another_setting() -> None:
    compiled, plain = twins(maker("classifier", "restarting"))
    for number in range(800):
        x, y = {"a": float(number * 7919 % 100)}, (number * 7919 % 100 > 50) == (number % 400 < 200)
        with computing("Python"):
            compiled.learn_one(x, y)
        plain.learn_one(x, y)
    assert compiled.changes == plain.changes > 0
    assert type(compiled.model._core).__module__ == "stream_retrain._native"
    assert digest(compiled) == digest(plain)


@pytest.mark.parametrize("where", ["compiled", "Python"])
def test_members_that_were_trained_before_have_labels_of_their_own(where: str) -> None:
    with computing(where):
        known = QuickTree()
        for number in range(200):
            known.learn_one({"a": float(number % 3)}, "xyz"[number % 3])
        mixture = FixedShareClassifier([known, AdditiveClassifier()])
        assert list(mixture.predict_proba_one({"a": 2.0})) == ["x", "y", "z"]
        for number in range(4):
            mixture.learn_one({"a": 2.0}, "zw"[number % 2])
    assert list(mixture.predict_proba_one({"a": 2.0})) == ["z", "w", "x", "y"]
    assert sum(mixture.predict_proba_one({"a": 2.0}).values()) == pytest.approx(1.0)


def test_the_weight_of_an_event_reaches_the_model_that_restarts() -> None:
    classifier = twins(maker("classifier", "restarting"))
    regressor = twins(maker("regressor", "restarting"))
    for number, (x, y) in enumerate(stream(9, 500, classes=0, gaps=0.1, categories=3, wild=False)):
        for model in classifier:
            model.predict_one(x)
            model.learn_one(x, y > 0.0, w=1.0 + number % 3)
        for model in regressor:
            model.predict_one(x)
            model.learn_one(x, y, w=1.0 + number % 3)
    assert digest(classifier[0]) == digest(classifier[1])
    assert digest(regressor[0]) == digest(regressor[1])


@pytest.mark.parametrize(("task", "name"), [each for each in MODELS if each[1] in MADE_OF_OTHERS])
def test_a_damaged_state_of_what_is_made_of_others_is_refused(task: str, name: str) -> None:
    for where in ("compiled", "Python"):
        with computing(where):
            model = maker(task, name)()
            for x, y in stream(3, 40, classes=0 if task == "regressor" else 3, gaps=0.0, categories=2, wild=False):
                model.learn_one(x, y)
            state = model.__getstate__()
            version, (first, *rest) = state["_core"]
            bad = [(first, *rest[:-1], 5)]
            if type(model._core).__name__.endswith("Regressor"):
                bad.append((first, *rest[:-1], (b"", b"12345678")))
            if "Mixture" in type(model._core).__name__:
                bad += [(first, ([1.0], 0, 0, [0], [0]), *rest[1:]), (first, (*rest[0][:1], 9, *rest[0][2:]), *rest[1:])]
            for core in bad:
                with pytest.raises((ValueError, TypeError)):
                    type(model).__new__(type(model)).__setstate__({**state, "_core": (version, core)})
            again = pickle.loads(pickle.dumps(model))
        assert digest(again) == digest(model)


@pytest.mark.parametrize("name", ["tree", "forest", "adaptive", "stacked", "nearest", "pairs"])
def test_a_label_that_is_not_a_number_is_one_class(name: str) -> None:
    compiled, plain = twins(CLASSIFIERS[name])
    labels = [float("nan"), 1.0, "a"]
    for number, (x, _) in enumerate(stream(3, 300, classes=2, gaps=0.05, categories=3, wild=False)):
        y = labels[number % 3]
        ours, theirs = compiled.predict_proba_one(x), plain.predict_proba_one(x)
        assert list(map(bits, ours.values())) == list(map(bits, theirs.values()))
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
    assert digest(compiled) == digest(plain)

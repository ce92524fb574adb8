"""A forest whose trees restart: they differ by chance, follow a drift one by one, and stay below their memory."""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.core.digest import digest
from stream_retrain.models import QuickTree, RestartingForest
from stream_retrain.models.adaptive import Adaptive
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.generator import Generator
from stream_retrain.models.plain_forest import PlainForest, _weight
from stream_retrain.models.poisson import Poisson
from stream_retrain.models.tree_chance import Watched
from stream_retrain.models.tree_domain import Domain, watched_of
from stream_retrain.native import extension
from tests.models.twins import computing, forests_are_equal, needs_extension, predict, stream, twins


def turning(count: int, *, every: int, features: int = 5, seed: int = 3) -> Iterator[tuple[dict[str, Any], bool]]:
    """What a feature says turns round again and again."""
    rng, names = random.Random(seed), [f"f{number}" for number in range(features)]
    for number in range(count):
        x = {name: rng.gauss(0, 1) for name in names}
        score = x["f0"] + x["f1"] * x["f2"] + rng.gauss(0, 0.3)
        yield x, (score > 0) == (number // every % 2 == 0)


def errors(model: Any, rows: Any) -> int:
    missed = 0
    for x, y in rows:
        missed += model.predict_one(x) != y
        model.learn_one(x, y)
    return missed


@needs_extension
@pytest.mark.parametrize("delay", [0, 40])
def test_twins_are_equal_where_successors_begin_end_and_take_over(delay: int) -> None:
    compiled, plain = twins(lambda: RestartingForest(trees=4, grace_period=60, drift_confidence=0.02, warning_confidence=0.2))
    forests_are_equal(compiled, plain, list(turning(3_000, every=700)), delay)


@needs_extension
def test_twins_are_equal_over_many_classes_features_and_categories() -> None:
    compiled, plain = twins(lambda: RestartingForest(trees=3, grace_period=40, delta=0.1, tau=0.3, categories_max=10))
    rows = stream(5, 2_500, classes=30, gaps=0.1, categories=12, wild=True)
    for number, (x, y) in enumerate(rows):
        more = {f"w{place}": math.sin(number * place) for place in range(number // 100)}
        assert predict(compiled, {**x, **more}) == predict(plain, {**x, **more})
        compiled.learn_one({**x, **more}, y)
        plain.learn_one({**x, **more}, y)
    assert digest(compiled) == digest(plain)
    assert compiled.withheld == plain.withheld == ("s",)
    assert compiled.n_leaves > 20


def test_it_follows_drifts_that_one_tree_does_not() -> None:
    rows = list(turning(12_000, every=3_000))
    forest = RestartingForest()
    assert errors(forest, rows) < 0.75 * errors(QuickTree(), rows)
    assert forest.replaced >= 15, "each tree, at each turn"
    assert isinstance(forest, Adaptive)
    assert forest.standing().restarts == (forest.replaced // 5,), "a restart of one tree of many is nothing to tell"


def test_a_successor_has_learned_when_it_takes_over() -> None:
    """Where none may begin, an untrained tree takes the place of one that restarts."""
    rows = list(turning(9_000, every=3_000, seed=5))
    assert errors(RestartingForest(), rows) < errors(RestartingForest(warning_confidence=0.005), rows)
    full = RestartingForest(memory_max=3_000)
    errors(full, rows)
    assert (full.n_leaves, full.n_successors) == (5, 0)


def test_what_is_drawn_follows_the_seed() -> None:
    rows = list(turning(1_500, every=2_000))
    one, same, other = RestartingForest(), RestartingForest(), RestartingForest(seed=2)
    for model in (one, same, other):
        errors(model, rows)
    assert digest(one) == digest(same)
    assert one.predict_proba_one(rows[0][0]) != other.predict_proba_one(rows[0][0])
    assert digest(one.clone()) == digest(RestartingForest())


@given(st.integers(0, 10**6), st.sampled_from([0.01, 1.0, 2.5, 6.0, 30.0, 100.0]))
def test_weights_are_drawn_alike_and_have_their_mean(seed: int, mean: float) -> None:
    poisson, generator = Poisson(mean), Generator(seed)
    drawn = [poisson.draw(generator) for _ in range(2_000)]
    built = extension()
    if built is not None:
        assert built.draw_poisson(seed, mean, 2_000) == drawn
    assert all(weight >= 0.0 and weight == int(weight) for weight in drawn)
    found = math.fsum(drawn) / len(drawn)
    spread = math.fsum((weight - found) ** 2 for weight in drawn) / len(drawn)
    assert abs(found - mean) < 6 * math.sqrt(mean / len(drawn))
    assert abs(spread - mean) < 0.3 * mean + 0.02


def test_weights_have_their_probabilities() -> None:
    poisson, generator, count = Poisson(6.0), Generator(11), 200_000
    drawn = [0] * 60
    for _ in range(count):
        drawn[int(poisson.draw(generator))] += 1
    for number, times in enumerate(drawn):
        p = math.exp(-6.0) * 6.0**number / math.factorial(number)
        assert abs(times - count * p) < 5 * math.sqrt(count * p) + 1


def features_of(count: int, withheld: tuple[int, ...] = ()) -> Domain:
    domain = Domain(3)
    domain.learn({f"f{number}": float(number) for number in range(count)}, True)
    for number in withheld:
        domain.features[f"f{number}"].withheld = True
    return domain


@pytest.mark.parametrize(("features", "watched"), [(0, 0), (1, 1), (9, 9), (12, 12), (13, 12), (16, 12), (17, 15), (50, 24), (400, 60)])
def test_a_leaf_watches_a_part_of_the_features(features: int, watched: int) -> None:
    assert watched_of(features) == watched
    drawn = [tuple(Watched.drawn(features_of(features).features, Generator(seed)).names) for seed in range(90)]
    assert {len(names) for names in drawn} == {watched}
    assert (len(set(drawn)) > 1) == (watched < features)
    assert all(list(names) == sorted(names, key=lambda name: int(name[1:])) for names in drawn)
    assert {name for names in drawn for name in names} == {f"f{number}" for number in range(features)}


def test_new_features_are_watched_while_there_is_room() -> None:
    domain = features_of(50, withheld=(3,))
    watched = Watched.drawn(domain.features, Generator(1))
    assert len(watched.names) == watched_of(49) == 21
    assert "f3" not in watched.names
    domain.learn({f"n{number}": 1.0 for number in range(10)}, True)
    watched.follow(domain.features)
    assert [name for name in watched.names if name.startswith("n")] == ["n0", "n1", "n2"], "24 of 59"
    to = Writer()
    watched.write(to, domain.features)
    again = Watched.read(Reader(to.block()), list(domain.features.items()))
    assert list(again.names) == list(watched.names)


def test_the_mean_follows_the_accuracy_of_the_trees() -> None:
    assert _weight(0.5) == 0.5**8
    assert _weight(1.0) == _weight(0.995) == pytest.approx(0.01**8)
    forest = PlainForest(2, 100, 0.01, 0.05, 3, 6.0, 0.005, 0.05, 64, 10**6, 1)
    for number in range(50):
        forest.learn({"a": float(number % 2)}, number % 2 == 1)
    first, second = (wood.tree.vote({"a": 1.0})[True] for wood in forest._woods)
    forest._woods[0].error, forest._woods[1].error = 0.2, 0.6
    shares = 0.8**8, 0.4**8
    expected = (shares[0] * first + shares[1] * second) / (shares[0] + shares[1])
    assert forest.predict({"a": 1.0})[True] == pytest.approx(expected, rel=1e-12)


def test_what_a_tree_said_that_stands_no_more_is_no_error_of_the_next() -> None:
    with computing("Python"):
        forest = RestartingForest(trees=2, drift_confidence=1e-12)
    core = forest._core
    for number in range(40):
        forest.learn_one({"a": float(number)}, "yes")
    forest.learn_one({"a": 0.0}, "no")
    for number in range(100, 130):
        assert forest.predict_one({"a": float(number)}) == "yes"
    first, second = core._woods
    core.changes = first.since = 1
    first.tree = core._new_tree()
    for number in range(100, 120):
        forest.learn_one({"a": float(number)}, "no")
    assert core.waiting() == 10
    assert first.error < 0.4, "it was asked when the labels came, and said what it had learned"
    assert second.error > 0.45, "each of its predictions was wrong"


@needs_extension
@pytest.mark.slow
def test_its_memory_stays_below_the_limit() -> None:
    limit, free, held = 300_000, RestartingForest(), RestartingForest(memory_max=300_000)
    most = refused = 0
    for number, (x, y) in enumerate(turning(100_000, every=40_000, features=12)):
        label = f"{y}{number % 2}"
        for model in (free, held):
            model.predict_one(x)
            model.learn_one(x, label)
        memory = held.memory
        assert memory <= limit
        most = max(most, memory)
        refused += memory > limit - 6_000
    assert most > limit - 6_000
    assert refused > 1_000
    assert free.memory > 2 * limit
    assert len(pickle.dumps(held)) < 1.1 * limit


def test_a_forest_that_is_full_adds_no_leaf_for_a_new_category() -> None:
    def grown(memory_max: int) -> RestartingForest:
        forest = RestartingForest(trees=1, grace_period=50, tau=0.5, memory_max=memory_max)
        for number in range(400):
            forest.learn_one({"s": "abc"[number % 3]}, number % 3 == 0)
        return forest

    free = grown(10**6)
    assert free.n_leaves == 3, "a branch for each category"
    full = grown(free.memory)
    for model in (free, full):
        model.learn_one({"s": "d"}, True)
    assert (free.n_leaves, full.n_leaves) == (4, 3)
    assert full.predict_proba_one({"s": "d"}) == full.predict_proba_one({"s": "e"})


def test_a_damaged_state_is_refused() -> None:
    for where in ("compiled", "Python") if extension() else ("Python",):
        with computing(where):
            forest = RestartingForest(trees=2)
            errors(forest, turning(400, every=1_000))
            state = forest.__getstate__()
            version, (names, values, labels, kept, (counts, floats)) = state["_core"]
            begin = 2 * len(names)  # counts of the features: kind and withheld
            floats_begin = 8 * 3 * len(names)
            bad_blocks = [
                (counts[: 4 * begin] + bytes(4) + bytes(8) + counts[4 * begin + 12 :], floats),  # a generator that draws nothing
                (counts[: 4 * begin + 12] + b"\1\0\0\0" + counts[4 * begin + 16 :], floats),  # a tree that began after the last restart
                (counts, floats[: floats_begin + 40] + b"\0\0\0\0\0\0\0\x40" + floats[floats_begin + 48 :]),  # an error rate of 2
                (counts + bytes(4), floats),
                (counts, floats[:-8]),
            ]
            for block in bad_blocks:
                with pytest.raises(ValueError, match="damaged"):
                    RestartingForest().__setstate__({**state, "_core": (version, (names, values, labels, kept, block))})
            again = pickle.loads(pickle.dumps(forest))
            assert digest(again) == digest(forest)


@pytest.mark.parametrize(
    "bad",
    [
        {"trees": 0},
        {"trees": 101},
        {"cuts": 0},
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
        RestartingForest(**bad)

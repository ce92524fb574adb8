"""Pairs of features in the additive models: what they learn, which of them there are, and what becomes of their weights."""

from __future__ import annotations

import itertools
import pickle
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import base

from stream_retrain.core.digest import digest
from stream_retrain.models import AdditiveClassifier, AdditiveRegressor
from stream_retrain.models.pairs import VALUES_MAX, Pairs
from tests.models.twins import computing, exchanged, needs_extension, predict, stream, twins

KINDS = ("numbers", "categories", "mixed")


def exclusive(kind: str, count: int) -> Iterator[tuple[dict[str, Any], bool]]:
    """The label is the exclusive or of two features; each alone says nothing of it."""
    rng = random.Random(3)
    for _ in range(count):
        a, b = rng.gauss(0, 1), rng.gauss(0, 1)
        x: dict[str, Any] = {"a": a, "b": b, "noise": rng.random(), "other": rng.choice("uvw")}
        if kind != "numbers":
            x["b"] = rng.choice(["low", "lower"] if b < 0 else ["high", "higher"])
        if kind == "categories":
            x["a"] = a > 0
        yield x, (a > 0) != (b > 0)


def late_score(model: Any, kind: str) -> float:
    """Accuracy, or correlation of a regressor's predictions with the truth, after the first 3,000 events of 6,000."""
    scores = []
    for number, (x, y) in enumerate(exclusive(kind, 6_000)):
        target = y if isinstance(model, base.Classifier) else float(y)
        if number >= 3_000:
            scores.append((model.predict_one(x) > 0.5) == y)
        model.learn_one(x, target)
    return sum(scores) / len(scores)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [AdditiveClassifier, AdditiveRegressor])
def test_pairs_learn_the_exclusive_or_of_two_features_and_single_features_cannot(make: Any, kind: str) -> None:
    assert late_score(make(pairs=6), kind) > 0.9
    assert late_score(make(), kind) < 0.56


def test_a_third_class_goes_on_from_what_the_pairs_of_two_have_learned() -> None:
    model = AdditiveClassifier(pairs=6)
    rows = list(exclusive("numbers", 3_000))
    for x, y in rows:
        model.learn_one(x, str(y))
    before = model.predict_proba_one(rows[0][0])
    model.learn_one({"unknown": 1.0}, "third")
    after = model.predict_proba_one(rows[0][0])
    assert after["True"] / after["False"] == pytest.approx(before["True"] / before["False"], rel=0.8)
    assert sum(model.predict_one(x) == str(y) for x, y in rows[-500:]) > 430


def chosen(model: Any) -> list[tuple[int, int]]:
    """The pairs of a model in Python."""
    return [(pair.first, pair.second) for pair in model._core._weights.bins.pairs.pairs]


def learned(rows: list[dict[str, Any]], **params: Any) -> Any:
    with computing("Python"):
        model = AdditiveClassifier(**params)
        for number, x in enumerate(rows):
            model.learn_one(x, number % 2)
        return model


def named(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, 1.0)


def test_while_all_fit_every_pair_is_taken_in_the_order_in_which_it_became_possible() -> None:
    assert chosen(learned([named("a", "b", "c")], pairs=3)) == [(0, 1), (0, 2), (1, 2)]
    assert chosen(learned([named("a"), named("b"), named("c", "b"), named("d")], pairs=99)) == [
        (0, 1),
        (0, 2),
        (1, 2),
        (0, 3),
        (1, 3),
        (2, 3),
    ]
    assert chosen(learned([{"a": "text", "b": 1.0}, {"a": 2.0}], pairs=9)) == [(0, 1), (0, 2), (1, 2)]


def test_if_not_all_fit_the_seed_decides_and_a_pair_that_was_taken_stays() -> None:
    wide = named(*"abcdefgh")
    every = list(itertools.combinations(range(8), 2))
    draws = [chosen(learned([wide], pairs=5, seed=seed)) for seed in range(40)]
    assert draws[7] == chosen(learned([wide], pairs=5, seed=7))
    assert all(len(set(draw)) == 5 and draw == sorted(draw, key=lambda pair: pair[::-1]) and set(draw) <= set(every) for draw in draws)
    assert len({tuple(draw) for draw in draws}) > 35
    assert {pair for draw in draws for pair in draw} == set(every)
    before = [(0, 1), (0, 2), (1, 2)]
    grown = chosen(learned([named("a", "b", "c"), wide, named("later")], pairs=5))
    assert grown[:3] == before
    assert len(grown) == 5
    assert all(second < 8 for _, second in grown)


def test_every_pair_is_drawn_as_often() -> None:
    counts: dict[tuple[int, int], int] = {}
    for seed in range(3_000):
        pairs = Pairs(3, 5, 9, seed)
        for base_ in range(5):
            pairs.add_number(16 * base_)
        pairs.choose(80)
        for pair in pairs.pairs:
            counts[pair[:2]] = counts.get(pair[:2], 0) + 1
    assert len(counts) == 10
    assert 800 < min(counts.values()) <= max(counts.values()) < 1_000


def test_thousands_of_features_at_once_take_no_more_than_the_pairs_that_are_wanted() -> None:
    for model in twins(lambda: AdditiveClassifier(pairs=20)):
        x = {f"f{number}": float(number) for number in range(4_000)}
        model.learn_one(x, 1)
        counts, floats = model._core.state()[3]
        assert len(floats) == 8 * (3 * 4_000 + 2 + 2 * (16 * 4_000 + 20 * 25))
        assert len(counts) == 4 * (1 + 4_000 + 1 + 1 + 3 * 20 + 2)


def weights_of_pairs(model: Any) -> list[float]:
    """The weights of the first output of a model in Python that belong to pairs."""
    weights = model._core._weights
    sizes = weights.bins.pairs._sizes
    return [
        weights.weights[0][pair.base + place]
        for pair in weights.bins.pairs.pairs
        for place in range(sizes[pair.first] * sizes[pair.second])
    ]


def test_a_missing_value_leaves_its_pairs_as_they_are() -> None:
    model = learned([named("a", "b")] * 9, pairs=9)
    before = weights_of_pairs(model)
    model.learn_one({"a": 1.0}, 1)
    model.learn_one({"a": 1.0, "b": None}, 1)
    assert weights_of_pairs(model) == before
    model.learn_one({"a": 1.0, "b": 1.0}, 1)
    assert weights_of_pairs(model) != before


def test_a_weight_whose_part_is_nothing_is_left_alone() -> None:
    model = learned([{"s": "u", "t": "v", "a": 1.0}] * 9, pairs=9)
    assert sum(weight != 0.0 for weight in weights_of_pairs(model)) == 1 + 2 + 2


def test_values_after_the_first_dozen_have_no_place() -> None:
    model = learned([{"s": f"v{number}", "t": True} for number in range(VALUES_MAX + 3)], pairs=1)
    assert sum(weight != 0.0 for weight in weights_of_pairs(model)) == VALUES_MAX - 1  # nothing is learned from one class
    before = weights_of_pairs(model)
    model.learn_one({"s": f"v{VALUES_MAX}", "t": True}, 1)
    assert weights_of_pairs(model) == before


def test_a_value_in_the_place_of_a_removed_one_begins_without_its_weights() -> None:
    model = learned([{"s": "ab"[number // 2 % 2], "t": "pq"[number % 2]} for number in range(40)], pairs=1, categories_max=2)
    assert sum(weight != 0.0 for weight in weights_of_pairs(model)) == 4
    model.learn_one({"s": "a"}, 1)
    model.learn_one({"s": "new"}, 1)  # "b" was learned before "a"
    assert sum(weight != 0.0 for weight in weights_of_pairs(model)) == 2
    model.learn_one({"s": "new", "t": "p"}, 1)
    assert sum(weight != 0.0 for weight in weights_of_pairs(model)) == 3
    model.learn_one({"t": "q"}, 1)
    model.learn_one({"t": "newer"}, 1)
    assert sum(weight != 0.0 for weight in weights_of_pairs(model)) == 1


def test_states_without_pairs_are_as_they_were_and_those_of_before_are_read() -> None:
    model = AdditiveClassifier()
    for x, y in stream(1, 50, classes=2, gaps=0.0, categories=3, wild=False):
        model.learn_one(x, y)
    state = model.__getstate__()
    assert set(state) == {"bins", "rate", "categories_max", "_core"}
    restored = AdditiveClassifier.__new__(AdditiveClassifier)
    restored.__setstate__(state)
    assert digest(restored) == digest(model)
    assert restored.clone().decay == 0.999
    other = pickle.loads(pickle.dumps(AdditiveClassifier(decay=0.99)))
    assert (other.decay, other.pairs, other.clone().decay) == (0.99, 0, 0.99)


def test_a_smaller_decay_follows_a_change_sooner() -> None:
    scores = []
    for decay in (0.9999, 0.99):
        model, right = AdditiveClassifier(decay=decay), 0
        rng = random.Random(1)
        for number in range(4_000):
            a = rng.random()
            y = ((a > 0.5) != (number >= 3_000)) != (rng.random() < 0.2)
            right += number >= 3_000 and model.predict_one({"a": a}) == y
            model.learn_one({"a": a}, y)
        scores.append(right)
    assert scores[1] > scores[0] + 20


@pytest.mark.parametrize(
    "params",
    [
        *({"decay": decay} for decay in (0.0, 1.1, float("nan"))),
        *({"pairs": pairs} for pairs in (-1, 10_001)),
        *({"pair_bins": bins} for bins in (1, 65)),
        *({"seed": seed} for seed in (-1, 2**63)),
    ],
)
def test_parameters_out_of_range_are_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(params))):
        AdditiveRegressor(**params)


@needs_extension
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_twins_are_equal_with_any_pairs_over_features_that_appear(data: st.DataObject) -> None:
    params = {
        "pairs": data.draw(st.integers(1, 30)),
        "pair_bins": data.draw(st.integers(2, 7)),
        "seed": data.draw(st.integers(0, 2**63 - 1)),
        "categories_max": data.draw(st.sampled_from([1, 2, 5, 14, 256])),
        "decay": data.draw(st.sampled_from([0.9, 0.999, 1.0])),
        "bins": data.draw(st.integers(2, 9)),
    }
    classes = data.draw(st.integers(0, 4))
    compiled, plain = twins(lambda: (AdditiveClassifier if classes else AdditiveRegressor)(**params))
    seed = data.draw(st.integers(0, 10**6))
    rng = random.Random(seed)
    gaps, categories = data.draw(st.sampled_from([0.0, 0.3])), data.draw(st.integers(1, 20))
    for number, (x, y) in enumerate(stream(seed, 300, classes=classes, gaps=gaps, categories=categories, wild=data.draw(st.booleans()))):
        x[f"new{rng.randrange(1 + number // 20)}"] = rng.choice([rng.random(), rng.choice("uvw"), None])
        assert predict(compiled, x) == predict(plain, x)
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
        if rng.random() < 0.02:
            assert digest(compiled) == digest(plain)
            compiled, plain = exchanged(compiled, plain)
    assert digest(compiled) == digest(plain)

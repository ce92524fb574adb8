"""The nearest neighbors: a plain search finds the same, features are ranked, memory is bounded, a wild value leaves with the window."""

from __future__ import annotations

import math
import pickle
import random
from typing import Any

import numpy
import pytest

from stream_retrain.core.digest import digest
from stream_retrain.models import NearestClassifier, NearestRegressor
from stream_retrain.models.block import Reader
from tests.models import streams
from tests.models.twins import bits, computing, exchanged, needs_extension, predict, twins

f32 = numpy.float32


class Scale:
    """Running mean and deviation of one feature, as they are described."""

    def __init__(self) -> None:
        self.count, self.mean, self.variance = 0, 0.0, 0.0

    def z(self, value: float) -> float:
        scale = 1.0 / math.sqrt(self.variance + 1e-300) if self.count else 0.0
        return max(-8.0, min(8.0, (value - self.mean) * scale))

    def add(self, value: float) -> None:
        self.count += 1
        rate, off = max(1e-3, 1.0 / self.count), value - self.mean
        far = 20.0 * math.sqrt(self.variance) or 10.0 * (abs(self.mean) + 1.0)
        if self.count > 30:
            off = max(-far, min(far, off))
        self.mean += rate * off
        self.variance = (1.0 - rate) * (self.variance + rate * off * off)


def distance(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return f32(0.0 if one is other else 2.0)
    if isinstance(one, numpy.float32):
        return (one - other) * (one - other)
    return f32(0.0 if one == other else 2.0)


def plain_search(rows: streams.Rows, neighbors: int, window: int) -> list[list[tuple[int, float]]]:
    """Before each event: the numbers and weights of the nearest of those before it, in the order of their places."""
    scales: dict[str, Scale] = {}
    names: list[str] = []
    kept: list[tuple[int, dict[str, Any]]] = []
    found = []
    for number, (x, _) in enumerate(rows):
        numbers = {name: value for name, value in x.items() if isinstance(value, float)}
        asked = {name: f32(scales[name].z(x[name])) if name in numbers else x[name] for name in names if name in x}
        summed = []
        for _, held in kept:
            total = f32(0.0)
            for name in names:
                total += distance(asked.get(name), held.get(name))
            summed.append(float(total))
        best = sorted(range(len(kept)), key=summed.__getitem__)[:neighbors]
        unit = max(1e-12, summed[best[-1]]) if best else 0.0
        found.append([(kept[place][0], 1.0 / (summed[place] / unit + 0.1)) for place in best])
        names += sorted(set(x) - set(names))
        for name, value in numbers.items():
            scales.setdefault(name, Scale()).add(value)
        event = (number, {name: f32(scales[name].z(value)) if name in numbers else value for name, value in x.items()})
        if len(kept) < window:
            kept.append(event)
        else:
            kept[number % window] = event
    return found


def events(count: int, *, labels: bool) -> streams.Rows:
    rng, made = random.Random(4), []
    for number in range(count):
        x: dict[str, Any] = {"b": rng.gauss(1e9, 1e3), "a": rng.random(), "s": rng.choice("uvw"), "t": rng.random() < 0.3}
        if number > count // 2:
            x["late"] = float(rng.randrange(4))
        if number == count // 3:
            x["a"] = 1e140
        y = min(x["a"], 1.0) + (x["s"] == "u")
        made.append(({name: value for name, value in x.items() if rng.random() < 0.9}, f"c{int(2 * y) % 3}" if labels else y))
    return made


@pytest.mark.parametrize("where", [pytest.param("compiled", marks=needs_extension), "Python"])
@pytest.mark.parametrize(("neighbors", "window"), [(10, 500), (3, 40), (1, 1), (32, 37), (32, 100)])
def test_a_plain_search_finds_the_same(where: str, neighbors: int, window: int) -> None:
    with computing(where):
        classifier, regressor = NearestClassifier(neighbors, window), NearestRegressor(neighbors, window)
    rows = events(200, labels=True)
    targets = [y for _, y in events(200, labels=False)]
    found = plain_search(rows, neighbors, window)
    for number, (x, y) in enumerate(rows):
        proba: dict[str, float] = {y: 0.0 for _, y in rows[:number]}
        total = summed = 0.0
        for other, weight in found[number]:
            proba[rows[other][1]] += weight
            total += weight
            summed += weight * targets[other]
        if proba:
            prior = 0.1 * total / len(found[number])
            whole = total + prior * len(proba)
            proba = {label: (p + prior) / whole for label, p in proba.items()}
        assert bits(classifier.predict_proba_one(x)) == bits(proba)
        if number:
            assert regressor.predict_one(x) == summed / total
        classifier.learn_one(x, y)
        regressor.learn_one(x, targets[number])


def wide(seed: int, count: int, features: int, classes: int) -> streams.Rows:
    """Only the last two features tell the label: a number and a category."""
    rng, made = random.Random(seed), []
    for _ in range(count):
        x: dict[str, Any] = {f"f{number:03}": rng.choice("xyz") if number % 5 == 0 else rng.gauss(0, 9) for number in range(features - 2)}
        label = rng.randrange(classes)
        x["y"] = label + rng.gauss(0, 0.2)
        x["z"] = f"v{label}"
        made.append((x, label))
    return made


@pytest.mark.parametrize("telling", ["y", "z"])
def test_the_features_that_tell_most_are_kept(telling: str) -> None:
    classifier, regressor, hits, error = NearestClassifier(features_max=8), NearestRegressor(features_max=8), 0, 0.0
    for number, (whole, y) in enumerate(wide(1, 1_500, 60, 2)):
        x = {name: value for name, value in whole.items() if name[0] == "f" or name == telling}
        if number >= 1_000:
            hits += classifier.predict_one(x) == y
            error += abs(regressor.predict_one(x) - y)
        classifier.learn_one(x, y)
        regressor.learn_one(x, y)
    assert hits >= 400
    assert error < 500 * 0.35


@needs_extension
@pytest.mark.parametrize("kind", [NearestClassifier, NearestRegressor])
def test_twins_are_equal_with_many_features_classes_and_categories(kind: Any) -> None:
    compiled, plain = twins(lambda: kind(neighbors=5, window=150, features_max=6))
    rng = random.Random(2)
    for number, (x, y) in enumerate(wide(3, 900, 30, 25)):
        x["user"] = f"u{rng.randrange(90)}"
        items = [item for item in x.items() if rng.random() < 0.9 and (number > 250 or item[0] != "y")]
        rng.shuffle(items)
        if number % 3 == 0:
            assert predict(compiled, dict(items)) == predict(plain, dict(items))
        for model in (compiled, plain):
            model.learn_one(dict(items), y)
        if number % 130 == 0:
            assert digest(compiled) == digest(plain)
            compiled, plain = exchanged(compiled, plain)
    assert digest(compiled) == digest(plain)


@needs_extension
@pytest.mark.parametrize("kind", [NearestClassifier, NearestRegressor])
def test_twins_are_equal_beyond_the_last_feature(kind: Any) -> None:
    compiled, plain = twins(lambda: kind(window=30, features_max=4))
    rng = random.Random(6)
    for number in range(220):
        x = {f"f{rng.randrange(20 + 2 * number)}": rng.random() if rng.random() < 0.7 else rng.random() < 0.5 for _ in range(12)}
        assert predict(compiled, x) == predict(plain, x)
        for model in (compiled, plain):
            model.learn_one(x, number % 3)
    assert digest(compiled) == digest(plain)
    assert len(compiled._core.state()[0]) == 256
    assert predict(*[compiled, x]) == predict(pickle.loads(pickle.dumps(compiled)), x)


def test_a_wild_value_leaves_with_the_window() -> None:
    models = NearestClassifier(), NearestClassifier()
    rng = random.Random(8)
    for number in range(2_400):
        x = {"a": rng.gauss(0, 1), "b": rng.random()}
        if number >= 1_900:
            proba = [model.predict_proba_one(x).get(True, 0.0) for model in models]
            assert abs(proba[0] - proba[1]) < 0.25
        models[0].learn_one(x, x["a"] > 0)
        models[1].learn_one({**x, "a": 1e149} if number == 900 else x, x["a"] > 0)


def test_a_timestamp_loses_no_precision() -> None:
    model, hits = NearestClassifier(), 0
    for number in range(1_000):
        x = {"time": 1.7e18 + 1e9 * number, "a": float(number % 10)}
        hits += number >= 500 and model.predict_one(x) == (number % 10 > 4)
        model.learn_one(x, number % 10 > 4)
    assert hits == 500


@pytest.mark.parametrize("kind", [NearestClassifier, NearestRegressor])
def test_memory_is_bounded(kind: Any) -> None:
    model, sizes = kind(window=50, features_max=4), []
    rng = random.Random(1)
    for number in range(1_200):
        x = {f"f{rng.randrange(2_000)}": float(number) for _ in range(8)} | {"user": f"u{number}", "a": float(number % 7)}
        model.learn_one(x, number % 5)
        if number in (600, 1_199):
            names, categories, _, (counts, floats) = model._core.state()
            assert len(names) == 256
            assert max(map(len, categories)) == 64
            sizes.append((len(counts), len(floats)))
    assert sizes[0] == sizes[1]


def test_a_value_of_the_other_kind_is_missing() -> None:
    for odd in ("text", True):
        model = NearestClassifier(neighbors=1)
        for number in range(40):
            model.learn_one({"a": float(number % 4), "b": 1.0}, number % 4 > 1)
        assert model.predict_proba_one({"a": odd, "b": 1.0}) == model.predict_proba_one({"b": 1.0})
    model = NearestClassifier(neighbors=1)
    for number in range(40):
        model.learn_one({"a": number % 4 > 1, "b": 1.0}, number % 4 > 1)
    assert model.predict_proba_one({"a": 1, "b": 1.0}) == model.predict_proba_one({"b": 1.0})
    assert model.predict_one({"a": True, "b": 1.0}) is True


def test_every_class_has_some_probability() -> None:
    model = NearestClassifier(neighbors=3)
    assert model.predict_proba_one({"a": 1.0}) == {}
    model.learn_one({"a": 1.0}, "x")
    assert model.predict_proba_one({"a": 1.0}) == {"x": 1.0}
    for number in range(20):
        model.learn_one({"a": float(number)}, "y")
    proba = model.predict_proba_one({"a": 15.0})
    assert list(proba) == ["x", "y"]
    assert 0.0 < proba["x"] < 0.1


def test_a_regressor_predicts_means_of_usual_targets() -> None:
    model = NearestRegressor(neighbors=2)
    assert model.predict_one({"a": 1.0}) == 0.0
    for number in range(100):
        model.learn_one({"a": float(number % 10)}, float(number % 10))
    model.learn_one({"a": 3.0}, 1e140)
    assert model.predict_one({"a": 7.0}) == pytest.approx(7.0)
    assert model.predict_one({"a": 3.0}) < 100.0
    with pytest.raises(ValueError, match="not a finite number"):
        model.learn_one({"a": 1.0}, math.nan)


@pytest.mark.parametrize(
    "params", [{"neighbors": 0}, {"neighbors": 33}, {"window": 0}, {"window": 10_001}, {"features_max": 0}, {"features_max": 257}]
)
@pytest.mark.parametrize("kind", [NearestClassifier, NearestRegressor])
def test_parameters_out_of_range_are_refused(kind: Any, params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(params))} is {next(iter(params.values()))}"):
        kind(**params)


@pytest.mark.parametrize("where", [pytest.param("compiled", marks=needs_extension), "Python"])
def test_a_state_that_no_such_model_writes_is_refused(where: str) -> None:
    with computing(where):
        model = NearestClassifier(window=20)
        for number in range(30):
            model.learn_one({"a": float(number), "s": "uv"[number % 2]}, number % 3)
        names, categories, labels, (counts, floats) = model._core.state()
        same = NearestClassifier(window=20)
        same._core.restore((names, categories, labels, (counts, floats)))
        assert digest(same) == digest(model)
        first_value = 4 * (1 + 2 + 2 + 1)
        assert Reader((counts[first_value - 4 :], floats)).count() == 0, "the first column is that of the first feature"
        far, unordered = (counts[:first_value] + f32(value).tobytes() + counts[first_value + 4 :] for value in (9.0, math.inf))
        for bad in [
            (["a", "a"], categories, labels, (counts, floats)),
            (names, [["u"], ["u", "v"]], labels, (counts, floats)),
            (names, [[], ["u", "u"]], labels, (counts, floats)),
            (names, [[], [f"v{number}" for number in range(65)]], labels, (counts, floats)),
            (names, categories, labels[:2], (counts, floats)),
            (names, categories, labels, (far, floats)),
            (names, categories, labels, (unordered, floats)),
            (
                names,
                categories,
                labels,
                (counts[: first_value + 80] + counts[first_value - 4 : first_value] + counts[first_value + 84 :], floats),
            ),
            (names, categories, labels, (counts + counts[-4:], floats)),
        ]:
            with pytest.raises(ValueError, match="damaged"):
                NearestClassifier(window=20)._core.restore(bad)

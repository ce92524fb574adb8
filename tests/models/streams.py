"""Small seeded streams and the models under test, shared by the tests of this folder."""

from __future__ import annotations

import random
from typing import Any

from river import linear_model, preprocessing
from river.datasets import synth

from benchmarks.keyed_quality import stores
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
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
)

__all__ = ["CLASSIFIERS", "REGRESSORS", "Rows", "binary", "delayed", "mixed", "multiclass", "regression", "stores"]

Rows = list[tuple[dict[str, Any], Any]]


def binary(count: int = 1200, *, seed: int = 3) -> Rows:
    """Agrawal, whose concept changes half way."""
    half = count // 2
    first = synth.Agrawal(classification_function=0, seed=seed, perturbation=0.05).take(half)
    second = synth.Agrawal(classification_function=3, seed=seed + 1, perturbation=0.05).take(count - half)
    return [*first, *second]


def multiclass(count: int = 600, *, features: int = 5, classes: int = 4, seed: int = 5) -> Rows:
    """Gaussian features, the label being the largest of as many linear scores; labels are strings."""
    rng = random.Random(seed)
    rows: list[list[float]] = [[rng.gauss(0, 1) for _ in range(features)] for _ in range(classes)]
    made: Rows = []
    for _ in range(count):
        values = [rng.gauss(0, 1) for _ in range(features)]
        scores = [sum(w * v for w, v in zip(row, values, strict=True)) for row in rows]
        made.append(({f"f{number}": value for number, value in enumerate(values)}, f"c{scores.index(max(scores))}"))
    return made


def mixed(count: int = 600, *, seed: int = 7) -> Rows:
    """Numbers, strings and booleans, some of them missing."""
    rng = random.Random(seed)
    made: Rows = []
    for _ in range(count):
        x: dict[str, Any] = {"n": rng.gauss(0, 1), "i": rng.randrange(9), "s": rng.choice("abcde"), "b": rng.random() < 0.5}
        y = (x["n"] > 0) != (x["s"] in "ab")
        made.append(({name: value for name, value in x.items() if rng.random() < 0.9}, y))
    return made


def regression(count: int = 1000, *, seed: int = 9) -> Rows:
    """Friedman's function with drifts."""
    stream = synth.FriedmanDrift(drift_type="gra", position=(count // 3, 2 * count // 3), transition_window=50, seed=seed)
    return [({**x, "key": number * number % 11}, y) for number, (x, y) in enumerate(stream.take(count))]


def delayed(rows: Rows, delay: int) -> list[tuple[str, int]]:
    """The order of predictions and labels when each label comes `delay` events later."""
    order = []
    for number in range(len(rows) + delay):
        if number >= delay:
            order.append(("learn", number - delay))
        if number < len(rows):
            order.append(("predict", number))
    return order


CLASSIFIERS = {
    "additive": AdditiveClassifier,
    "pairs": lambda: AdditiveClassifier(pairs=9),
    "linear": LinearClassifier,
    "quick_tree": QuickTree,
    "nearest": NearestClassifier,
    "forest": RestartingForest,
    "restarting": lambda: Restarting(QuickTree()),
    "restarting_pipeline": lambda: Restarting(preprocessing.StandardScaler() | linear_model.LogisticRegression()),
    "fixed_share": lambda: FixedShareClassifier([QuickTree(), AdditiveClassifier(bins=4)]),
    "adaptive": adaptive_classifier,
    "per_key": lambda: PerKey(AdditiveClassifier(bins=4), by="zipcode", hot_keys_max=3),
}
REGRESSORS = {
    "additive": AdditiveRegressor,
    "pairs": lambda: AdditiveRegressor(pairs=9),
    "linear": LinearRegressor,
    "quick_tree": QuickTreeRegressor,
    "nearest": NearestRegressor,
    "forest": RestartingForestRegressor,
    "restarting": lambda: Restarting(QuickTreeRegressor()),
    "fixed_share": lambda: FixedShareRegressor([QuickTreeRegressor(), AdditiveRegressor(bins=4)]),
    "adaptive": adaptive_regressor,
    "per_key": lambda: PerKey(AdditiveRegressor(bins=4), by="key", hot_keys_max=3),
}

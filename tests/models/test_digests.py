"""Digests of long runs: another machine, Python or implementation that computes one bit otherwise shows here.

The stream is made of `random()` and of plus, minus and times alone, so that it is itself the same everywhere. A digest changes only with a
model; if it does and the checkpoints of before can still be loaded, the version of the arithmetic has to change too.
"""

from __future__ import annotations

import hashlib
import random
import struct
from typing import Any

import pytest

from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    QuickTree,
    QuickTreeRegressor,
    adaptive_classifier,
    adaptive_regressor,
)
from tests.models.twins import computing, needs_extension

EVENTS = 2_000


def events(task: str) -> list[tuple[dict[str, Any], Any]]:
    """Numbers of several scales, categories, booleans, gaps, and a drift half way."""
    rng, made = random.Random(11), []
    for number in range(EVENTS):
        a, b, c = rng.random() - 0.5, rng.random() + rng.random() + rng.random(), rng.random()
        x: dict[str, Any] = {"a": a, "b": 100.0 * b, "c": int(20 * c), "s": "uvwxyz"[int(6 * rng.random())], "t": rng.random() < 0.3}
        turn = 1.0 if number < EVENTS // 2 else -1.0
        score = turn * a + 0.3 * (b - 1.5) + (0.2 if x["s"] in "uv" else 0.0) + 0.1 * (rng.random() - 0.5)
        y = score if task == "regression" else score > 0.0 if task == "binary" else "abc"[int(min(2.0, max(0.0, 3.0 * score + 1.5)))]
        made.append(({name: value for name, value in x.items() if rng.random() < 0.95}, y))
    return made


def run(model: Any, task: str) -> str:
    hashed = hashlib.sha256()
    for x, y in events(task):
        predicted = model.predict_one(x) if task == "regression" else tuple(model.predict_proba_one(x).values())
        values = predicted if isinstance(predicted, tuple) else (predicted,)
        hashed.update(struct.pack(f"<{len(values)}d", *values))
        model.learn_one(x, y)
    return hashed.hexdigest()[:16]


DIGESTS = {
    ("tree", "binary"): "ed8bdface4abce94",
    ("tree", "multiclass"): "39cfb97597cbcf37",
    ("additive", "binary"): "ecd6f1ab205d04e3",
    ("additive", "multiclass"): "5aa6e4f82715890f",
    ("tree", "regression"): "e28fb1bd37f81246",
    ("additive", "regression"): "b8b9f9b2369d8495",
    ("adaptive", "regression"): "39aa361071e6cca6",
    ("adaptive", "binary"): "fb08cb317a24d920",
    ("adaptive", "multiclass"): "ee75dfad0b7aee6d",
}
MODELS: dict[str, Any] = {"tree": QuickTree, "additive": AdditiveClassifier, "adaptive": adaptive_classifier}
REGRESSORS: dict[str, Any] = {"tree": QuickTreeRegressor, "additive": AdditiveRegressor, "adaptive": adaptive_regressor}


@pytest.mark.parametrize("where", ["Python", pytest.param("compiled", marks=needs_extension)])
@pytest.mark.parametrize(("name", "task"), DIGESTS)
def test_a_long_run_has_the_same_predictions_everywhere(name: str, task: str, where: str) -> None:
    with computing(where):
        model = (REGRESSORS if task == "regression" else MODELS)[name]()
        assert run(model, task) == DIGESTS[name, task]

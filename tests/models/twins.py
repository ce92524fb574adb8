"""A model twice, compiled and in Python. Where the extension is not built its tests are skipped aloud, and fail in CI with cargo."""

from __future__ import annotations

import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from river import base

from stream_retrain.core.digest import digest
from stream_retrain.native import NATIVE_SETTING, extension
from tests.models.streams import Rows, delayed

needs_extension = pytest.mark.skipif(
    extension() is None and not (os.environ.get("CI") and shutil.which("cargo")), reason="the compiled models are not built: make native"
)


@contextmanager
def computing(where: str) -> Iterator[None]:
    """Models that are made or restored inside compute there: "compiled" or "Python"."""
    before = os.environ.get(NATIVE_SETTING)
    os.environ[NATIVE_SETTING] = "on" if where == "compiled" else "off"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NATIVE_SETTING]
        else:
            os.environ[NATIVE_SETTING] = before


def twins(make: Callable[[], Any]) -> tuple[Any, Any]:
    """The compiled one, and the one in Python."""
    with computing("compiled"):
        compiled = make()
    with computing("Python"):
        return compiled, make()


def exchanged(compiled: Any, plain: Any) -> tuple[Any, Any]:
    """The same two after each was restored from the other's state."""
    states = pickle.dumps(compiled), pickle.dumps(plain)
    with computing("Python"):
        restored = pickle.loads(states[0])
    with computing("compiled"):
        return pickle.loads(states[1]), restored


def bits(predicted: Any) -> Any:
    """A prediction by its bits, with the order of the labels."""
    if isinstance(predicted, dict):
        return [(label, type(label), bits(p)) for label, p in predicted.items()]
    return struct.pack("<d", predicted) if isinstance(predicted, float) else predicted


def predict(model: Any, x: dict[str, Any]) -> Any:
    return bits(model.predict_proba_one(x) if isinstance(model, base.Classifier) else model.predict_one(x))


def stream(seed: int, count: int, *, classes: int, gaps: float, categories: int, wild: bool) -> Rows:
    """Numbers of several scales, integers, booleans, strings; gaps, any order of the features, new features and values far outside.

    `classes` of 0: the labels are numbers.
    """
    rng, made = random.Random(seed), []
    weights = [rng.gauss(0, 1) for _ in range(6)]
    for number in range(count):
        turn = 1.0 if number < count // 2 else -1.0
        a, b = rng.gauss(0, 1), rng.gauss(5, 1000)
        x: dict[str, Any] = {"a": a, "b": b, "c": rng.randrange(30), "s": f"v{rng.randrange(categories)}", "t": rng.random() < 0.4}
        score = (
            turn * weights[0] * a + weights[1] * b / 1000 + weights[2] * x["c"] / 10 + weights[3] * (x["s"] == "v0") + weights[4] * x["t"]
        )
        if number > count // 3:
            x["late"] = rng.random() + score
        if wild and rng.random() < 0.02:
            x[rng.choice("abc")] = rng.choice([1e300, -1e154, 5e-324, 2**62, 10**400, 0.0, -0.0])
        if wild and rng.random() < 0.02:
            x[rng.choice("abst")] = rng.choice([None, float("nan"), "text", True, 3.5, ("tuple", 1)])
        items = [item for item in x.items() if rng.random() >= gaps]
        if rng.random() < 0.1:
            rng.shuffle(items)
        score += rng.gauss(0, 0.3)
        made.append((dict(items), score if classes == 0 else f"c{int(abs(score) * 2) % classes}"))
    return made


def stay_equal(compiled: Any, plain: Any, rows: Rows, delay: int, exchanges: Callable[[int], bool]) -> None:
    """Twins over rows whose labels come late; `exchanges`: whether their states are exchanged after a step with the row of this number."""
    for step, number in delayed(rows, delay):
        x, y = rows[number]
        if step == "predict":
            assert predict(compiled, x) == predict(plain, x)
        else:
            compiled.learn_one(x, y)
            plain.learn_one(x, y)
        if exchanges(number):
            assert digest(compiled) == digest(plain)
            compiled, plain = exchanged(compiled, plain)
    assert digest(compiled) == digest(plain)


def forests_are_equal(compiled: Any, plain: Any, rows: Rows, delay: int) -> None:
    """Twins over rows whose concept turns: successors begin, end with their warning, and take over; states are exchanged on the way."""
    rng, begun, ended = random.Random(2), 0, 0
    for step, number in delayed(rows, delay):
        x, y = rows[number]
        if step == "predict":
            assert predict(compiled, x) == predict(plain, x)
            continue
        before, replaced = compiled.n_successors, compiled.replaced
        compiled.learn_one(x, y)
        plain.learn_one(x, y)
        begun += compiled.n_successors > before
        ended += compiled.n_successors < before and compiled.replaced == replaced
        if rng.random() < 0.01:
            assert digest(compiled) == digest(plain)
            compiled, plain = exchanged(compiled, plain)
    assert digest(compiled) == digest(plain)
    assert (compiled.replaced, compiled.changes, compiled.n_nodes, compiled.n_leaves, compiled.memory, compiled.n_successors) == (
        *(plain.replaced, plain.changes, plain.n_nodes, plain.n_leaves, plain.memory, plain.n_successors),
    )
    assert compiled.replaced >= 6
    assert begun > 10
    assert ended > 3

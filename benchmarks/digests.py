"""Digests of long runs: another Python, C library, processor or implementation that computes one bit of a model otherwise shows here.

    python -m benchmarks.digests [--events 1000000] [--model NAME ...]          of this interpreter, as JSON
    python -m benchmarks.digests --compare [--python PATH ...] [--fallback]     of several; ends with 1 if any differs

Each model predicts and learns one event after the other. The digest of the predictions has every float of each, and that of the state
every bit of it (`core.digest`). Both are also taken on the way, at the events of `MARKS`.

`--compare` runs this interpreter and those given, each as it is and with the C library's variants for FMA switched off (glibc). With
`--fallback` this interpreter runs a third time, without the compiled models, which takes minutes for each 100,000 events. The digest `libm`
is of the C library's own functions. It says whether the machines compared are different at all, and is not itself compared.

The stream is made of `random()` and of plus, minus and times alone, so that it is itself the same everywhere.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import random
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from river import base

from stream_retrain.core.digest import digest
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    LinearClassifier,
    LinearRegressor,
    NearestClassifier,
    NearestRegressor,
    PerKey,
    QuickTree,
    QuickTreeRegressor,
    RestartingForest,
    RestartingForestRegressor,
    adaptive_classifier,
    adaptive_regressor,
)
from stream_retrain.native import NATIVE_SETTING, in_use

MARKS: Final = (2_000, 20_000, 200_000)
CONCEPT: Final = 1_000
"""Events of the first concept; each has twice as many as the one before."""
MODELS: Final[dict[str, tuple[Callable[[], Any], str]]] = {
    "tree": (QuickTree, "binary"),
    "tree, three classes": (QuickTree, "multiclass"),
    "forest": (RestartingForest, "binary"),
    "forest, three classes": (RestartingForest, "multiclass"),
    "additive": (AdditiveClassifier, "binary"),
    "additive, three classes": (AdditiveClassifier, "multiclass"),
    "pairs": (lambda: AdditiveClassifier(pairs=40), "binary"),
    "pairs, three classes": (lambda: AdditiveClassifier(pairs=6, pair_bins=4, decay=0.99), "multiclass"),
    "linear": (LinearClassifier, "binary"),
    "linear, three classes": (LinearClassifier, "multiclass"),
    "nearest": (NearestClassifier, "binary"),
    "nearest, three classes": (lambda: NearestClassifier(neighbors=3, window=200, features_max=3), "multiclass"),
    "adaptive": (adaptive_classifier, "binary"),
    "adaptive, three classes": (adaptive_classifier, "multiclass"),
    "adaptive, first form": (lambda: adaptive_classifier("first"), "binary"),
    "tree regressor": (QuickTreeRegressor, "regression"),
    "additive regressor": (AdditiveRegressor, "regression"),
    "pairs regressor": (lambda: AdditiveRegressor(pairs=40), "regression"),
    "linear regressor": (LinearRegressor, "regression"),
    "nearest regressor": (NearestRegressor, "regression"),
    "forest regressor": (RestartingForestRegressor, "regression"),
    "adaptive regressor": (adaptive_regressor, "regression"),
    "adaptive regressor, first form": (lambda: adaptive_regressor("first"), "regression"),
    "a tree for each key": (lambda: PerKey(QuickTree(), by="s", hot_keys_max=3), "binary"),
}
WITHOUT_FMA: Final = "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2,-AVX512F"


def stream(task: str, count: int) -> Iterator[tuple[dict[str, Any], Any]]:
    """Numbers of several scales, categories, booleans, gaps, and drifts; the same events however many are asked for."""
    rng = random.Random(11)
    for number in range(count):
        a, b, c = rng.random() - 0.5, rng.random() + rng.random() + rng.random(), rng.random()
        x: dict[str, Any] = {"a": a, "b": 100.0 * b, "c": int(20 * c), "s": "uvwxyz"[int(6 * rng.random())], "t": rng.random() < 0.3}
        turn = 1.0 if (number // CONCEPT + 1).bit_length() % 2 else -1.0
        score = turn * a + 0.3 * (b - 1.5) + (0.2 if x["s"] in "uv" else 0.0) + 0.1 * (rng.random() - 0.5)
        y = score if task == "regression" else score > 0.0 if task == "binary" else "abc"[int(min(2.0, max(0.0, 3.0 * score + 1.5)))]
        yield {name: value for name, value in x.items() if rng.random() < 0.95}, y


def digests(name: str, events: int) -> dict[int, dict[str, str]]:
    """Of predictions and state, after each mark and at the end."""
    make, task = MODELS[name]
    model, hashed, found = make(), hashlib.sha256(), {}
    predict = model.predict_one if isinstance(model, base.Regressor) else model.predict_proba_one
    marks = {*MARKS, events}
    for number, (x, y) in enumerate(stream(task, events), start=1):
        predicted = predict(x)
        values = predicted.values() if isinstance(predicted, dict) else (predicted,)
        hashed.update(struct.pack(f"<{len(values)}d", *values))
        model.learn_one(x, y)
        if number in marks:
            found[number] = {"predictions": hashed.hexdigest()[:16], "state": digest(model)[:16]}
    return found


def libm() -> str:
    """Of the C library's functions."""
    rng, hashed = random.Random(1), hashlib.sha256()
    for _ in range(20_000):
        x = 20.0 * rng.random() - 10.0
        hashed.update(struct.pack("<5d", math.exp(x), math.log(abs(x)), math.tanh(x), math.pow(abs(x), 1.7), math.erf(x)))
    return hashed.hexdigest()[:16]


def here(names: list[str], events: int) -> dict[str, Any]:
    """All of this interpreter."""
    started = time.process_time()
    found = {name: digests(name, events) for name in names}
    seconds = round(time.process_time() - started)
    return {"python": platform.python_version(), "models": in_use(), "libm": libm(), "seconds": seconds, "digests": found}


def of_other(python: str, changed: dict[str, str], names: list[str], events: int) -> dict[str, Any]:
    """All of another interpreter or environment."""
    wanted = [argument for name in names for argument in ("--model", name)]
    command = [python, "-m", "benchmarks.digests", "--events", str(events), *wanted]
    done = subprocess.run(command, env={**os.environ, **changed}, check=True, stdout=subprocess.PIPE, text=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def compare(pythons: list[str], names: list[str], events: int, *, fallback: bool) -> bool:
    """Whether all have equal digests; prints what each has."""
    runs = [(python, changed) for python in pythons for changed in ({}, {"GLIBC_TUNABLES": WITHOUT_FMA})]
    if fallback:
        runs.append((pythons[0], {NATIVE_SETTING: "off"}))
    first, equal = None, True
    for python, changed in runs:
        told = of_other(python, changed, names, events)
        first = first or told["digests"]
        differ = [f"{name} at {mark}" for name, marks in first.items() for mark in marks if told["digests"][name][mark] != marks[mark]]
        equal = equal and not differ
        where = f"Python {told['python']}, {told['models']}, libm {told['libm']}{' (no FMA)' if 'GLIBC_TUNABLES' in changed else ''}"
        print(f"{where}: {'differs: ' + ', '.join(differ) if differ else 'equal'}, {told['seconds']} s", flush=True)
    print(json.dumps(first, indent=1))
    return equal


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--python", action="append", default=[], help="another interpreter with stream_retrain of these sources")
    parser.add_argument("--fallback", action="store_true", help="also without the compiled models")
    given = parser.parse_args()
    names = given.model or list(MODELS)
    if given.compare:
        return 0 if compare([sys.executable, *given.python], names, given.events, fallback=given.fallback) else 1
    print(json.dumps(here(names, given.events), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the models cost: CPU an event (predict, then learn) and checkpoints; in Python, compiled, and River's, in one run.

Compiled models are measured twice: asked and taught event by event, as River's estimators are, and in runs of 500, as a worker has them.

    python -m benchmarks.models [--events 20000] [--json FILE]

All models of a row see the same events, in blocks by turns, so that a machine that slows down slows all of them.
"""

from __future__ import annotations

import argparse
import json
import pickle
import random
import statistics
import time
from pathlib import Path
from typing import Any

from river import base, linear_model, preprocessing, tree
from river.datasets import synth

from stream_retrain.core.serve.predictor import predictor
from stream_retrain.core.serve.step import Looks, step_of
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    LinearClassifier,
    LinearRegressor,
    NearestClassifier,
    NearestRegressor,
    QuickTree,
    QuickTreeRegressor,
    RestartingClassifier,
    RestartingForestRegressor,
    adaptive_classifier,
    adaptive_regressor,
)
from stream_retrain.native import extension
from tests.models.twins import computing

BLOCK = 500
RUNS = "compiled, in runs"
RIVERS_TREE = "River's tree"
CLASSIFIERS: dict[str, Any] = {
    "QuickTree": QuickTree,
    "AdditiveClassifier": AdditiveClassifier,
    "AdditiveClassifier(pairs=40)": lambda: AdditiveClassifier(pairs=40),
    "LinearClassifier": LinearClassifier,
    "NearestClassifier": NearestClassifier,
    "RestartingClassifier(QuickTree)": lambda: RestartingClassifier(QuickTree()),
    "adaptive_classifier": adaptive_classifier,
}
REGRESSORS: dict[str, Any] = {
    "QuickTreeRegressor": QuickTreeRegressor,
    "AdditiveRegressor": AdditiveRegressor,
    "AdditiveRegressor(pairs=40)": lambda: AdditiveRegressor(pairs=40),
    "LinearRegressor": LinearRegressor,
    "NearestRegressor": NearestRegressor,
    "RestartingForestRegressor": RestartingForestRegressor,
    "adaptive_regressor": adaptive_regressor,
}


def agrawal(count: int) -> list[tuple[dict[str, Any], Any]]:
    """9 features, the concept changes half way."""
    half = count // 2
    first = synth.Agrawal(classification_function=0, seed=3, perturbation=0.05).take(half)
    return [*first, *synth.Agrawal(classification_function=3, seed=4, perturbation=0.05).take(count - half)]


def wide(count: int) -> list[tuple[dict[str, Any], Any]]:
    """50 numbers."""
    rng, made = random.Random(3), []
    for _ in range(count):
        x = {f"f{place}": rng.gauss(0, 1) for place in range(50)}
        made.append((x, x["f0"] + x["f1"] * x["f2"] + rng.gauss(0, 0.5) > 0))
    return made


def friedman(count: int) -> list[tuple[dict[str, Any], Any]]:
    """10 features, numbers as labels."""
    return list(synth.FriedmanDrift(drift_type="gra", position=(count // 3, 2 * count // 3), seed=9).take(count))


def contestants(models: dict[str, Any], rivers: dict[str, Any]) -> dict[tuple[str, str], Any]:
    made = {(name, "River"): make() for name, make in rivers.items()}
    for where in ("Python", "compiled", RUNS) if extension() else ("Python",):
        with computing("Python" if where == "Python" else "compiled"):
            made |= {(name, where): make() for name, make in models.items()}
    return made


def one_by_one(model: Any, block: list[tuple[dict[str, Any], Any]]) -> float:
    """CPU seconds of a block."""
    started = time.process_time()
    for x, y in block:
        model.predict_one(x)
        model.learn_one(x, y)
    return time.process_time() - started


def in_runs(model: Any, block: list[tuple[dict[str, Any], Any]]) -> float:
    """The same where the model takes as many events as it can in one call."""
    task = "multiclass" if isinstance(model, base.Classifier) else "regression"
    step = step_of(model, task, predictor(model, task, proba=False), proba=False, threshold=None)
    xs, ys = [x for x, _ in block], [y for _, y in block]
    started, at = time.process_time(), 0
    while at < len(block):
        at += len(step(xs[at:], ys[at:], Looks()).predictions)
    return time.process_time() - started


def measured(stream: str, rows: list[tuple[dict[str, Any], Any]], made: dict[tuple[str, str], Any]) -> list[dict[str, Any]]:
    taken: dict[tuple[str, str], list[float]] = {key: [] for key in made}
    for first in range(0, len(rows), BLOCK):
        block = rows[first : first + BLOCK]
        for key, model in made.items():
            with computing("Python" if key[1] == "Python" else "compiled"):  # a restart makes a new model
                taken[key].append((in_runs if key[1] == RUNS else one_by_one)(model, block) / len(block) * 1e6)
    river = statistics.median(taken[RIVERS_TREE, "River"])
    found = []
    for (name, where), times in taken.items():
        with computing("Python" if where == "Python" else "compiled"):
            size, dumps_us, loads_us = checkpoint(made[name, where])
        us = statistics.median(times)
        costs = {"us": round(us, 2), "of_rivers_tree": round(us / river, 3), "bytes": size, "dumps_us": dumps_us, "loads_us": loads_us}
        found.append({"stream": stream, "model": name, "computes": where, **costs})
    return found


def checkpoint(model: Any) -> tuple[int, int, int]:
    """Bytes, and microseconds of pickling and unpickling, the best of five."""
    dumps, loads = [], []
    for _ in range(5):
        started = time.process_time()
        state = pickle.dumps(model, 5)
        dumps.append(time.process_time() - started)
        started = time.process_time()
        pickle.loads(state)
        loads.append(time.process_time() - started)
    return len(state), round(min(dumps) * 1e6), round(min(loads) * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    trees = {RIVERS_TREE: lambda: tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1)}
    logistic = {"scaler, logistic regression": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression()}
    regression = {RIVERS_TREE: lambda: tree.HoeffdingTreeRegressor(grace_period=50, delta=1e-3, tau=0.2)}
    rows = measured("Agrawal", agrawal(given.events), contestants(CLASSIFIERS, trees | logistic))
    rows += measured("50 numbers", wide(given.events // 4), contestants(CLASSIFIERS, trees | logistic))
    rows += measured("Friedman", friedman(given.events // 4), contestants(REGRESSORS, regression))
    print("| stream | model | computes | us an event | of River's tree | bytes | dumps us | loads us |\n|---|---|---|---|---|---|---|---|")
    for row in rows:
        print("|", " | ".join(f"{value:,}" if isinstance(value, int) else str(value) for value in row.values()), "|")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

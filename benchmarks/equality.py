"""The compiled models and their twins in Python on a million events: predictions, states and digests, with exchanged states in between.

    python -m benchmarks.equality [--events 1000000] [--model NAME]

Ends with 1 at the first difference. It takes minutes: it is for the night (`make nightly`).
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from stream_retrain.core.digest import digest
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    LinearClassifier,
    NearestClassifier,
    NearestRegressor,
    QuickTree,
    QuickTreeRegressor,
    RestartingForest,
    RestartingForestRegressor,
    adaptive_classifier,
    adaptive_regressor,
)
from stream_retrain.native import REMEDY, extension
from tests.models.twins import exchanged, predict, stream, twins

CHUNK = 50_000
MODELS: dict[str, tuple[Any, int]] = {
    "tree": (QuickTree, 3),
    "forest": (RestartingForest, 3),
    "additive": (AdditiveClassifier, 3),
    "additive regressor": (AdditiveRegressor, 0),
    "pairs": (lambda: AdditiveClassifier(pairs=40), 3),
    "pairs regressor": (lambda: AdditiveRegressor(pairs=40), 0),
    "linear": (LinearClassifier, 3),
    "nearest": (NearestClassifier, 3),
    "nearest regressor": (NearestRegressor, 0),
    "forest regressor": (RestartingForestRegressor, 0),
    "adaptive": (adaptive_classifier, 2),
    "tree regressor": (QuickTreeRegressor, 0),
    "adaptive regressor": (adaptive_regressor, 0),
}


def compare(name: str, events: int) -> bool:
    make, classes = MODELS[name]
    compiled, plain = twins(make)
    rng, started = random.Random(1), time.process_time()
    for first in range(0, events, CHUNK):
        count = min(CHUNK, events - first)
        for number, (x, y) in enumerate(stream(first, count, classes=classes, gaps=0.02, categories=9, wild=True), start=first):
            if predict(compiled, x) != predict(plain, x):
                print(f"{name}: event {number} is predicted otherwise: {x}")
                return False
            compiled.learn_one(x, y)
            plain.learn_one(x, y)
            if rng.random() < 1e-4:
                compiled, plain = exchanged(compiled, plain)
        if digest(compiled) != digest(plain):
            print(f"{name}: the states differ after {first + count} events")
            return False
    print(f"{name}: equal over {events:,} events, digest {digest(plain)[:16]}, {time.process_time() - started:.0f} s")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--model", choices=MODELS, action="append")
    given = parser.parse_args()
    if extension() is None:
        print(f"There are no compiled models here: {REMEDY}.")
        return 2
    return 0 if all(compare(name, given.events) for name in given.model or MODELS) else 1


if __name__ == "__main__":
    sys.exit(main())

"""When a model for each key is better than one for all.

    python -m benchmarks.keyed_quality [--events 30000] [--json FILE]

Streams of stores that have linear concepts: `own` is how far each store's is from what all have in common (0: it is the same). Stores
come by Zipf's law. Compared: one model that does not see the store; one untrained model for each store and nothing else; `PerKey`, which
mixes both. The score is the log loss of predictions before they are learned, and accuracy.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from river import linear_model, metrics, preprocessing

from stream_retrain.models import AdditiveClassifier, PerKey, QuickTree
from stream_retrain.models.probabilities import probabilities

__all__ = ["MODELS", "STREAMS", "Rows", "measured", "stores"]

Rows: TypeAlias = list[tuple[dict[str, Any], Any]]
STREAMS: Final = ((20, 1.0), (500, 1.0), (5_000, 1.0), (500, 0.3), (500, 0.0))
MODELS: Final[dict[str, Callable[[], Any]]] = {
    "linear": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "additive": AdditiveClassifier,
    "tree": QuickTree,
}


def stores(count: int, *, stores: int, own: float = 1.0, seed: int = 1, features: int = 6) -> Rows:
    """Linear concepts, one for each of `stores` under the feature "store"; the first store is the busiest."""
    rng = random.Random(seed)
    common = [rng.gauss(0, 1) for _ in range(features)]
    weights = [[w + own * rng.gauss(0, 1) for w in common] for _ in range(stores)]
    made: Rows = []
    for store in rng.choices(range(stores), [1 / (number + 1) for number in range(stores)], k=count):
        values = [rng.gauss(0, 1) for _ in range(features)]
        score = sum(w * v for w, v in zip(weights[store], values, strict=True))
        x: dict[str, Any] = {f"f{number}": value for number, value in enumerate(values)}
        made.append(({**x, "store": f"s{store}"}, rng.random() < 1 / (1 + math.exp(-2 * score))))
    return made


class _Alone:
    """A model for each store, and nothing else."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._models: dict[str, Any] = {}

    def of(self, x: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        store = x["store"]
        if store not in self._models:
            self._models[store] = self._make()
        return self._models[store], {name: value for name, value in x.items() if name != "store"}


def measured(kind: str, rows: Rows) -> Iterator[tuple[str, float, float]]:
    """Name, log loss and accuracy of each way."""
    make = MODELS[kind]
    one, alone, mixed = make(), _Alone(make), PerKey(make(), by="store")
    ways: dict[str, Callable[[dict[str, Any]], tuple[Any, dict[str, Any]]]] = {
        "one": lambda x: (one, {name: value for name, value in x.items() if name != "store"}),
        "alone": alone.of,
        "PerKey": lambda x: (mixed, x),
    }
    for name, of in ways.items():
        loss, accuracy = metrics.LogLoss(), metrics.Accuracy()
        for x, y in rows:
            model, seen = of(x)
            p = probabilities(model, seen).get(True, 0.5)
            loss.update(y, p)
            accuracy.update(y, p > 0.5)
            model.learn_one(seen, y)
        yield name, loss.get(), accuracy.get()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    print("| stores | own | model | one | alone | PerKey |")
    print("| ---: | ---: | --- | ---: | ---: | ---: |")
    for count, own in STREAMS:
        rows = stores(options.events, stores=count, own=own)
        for kind in MODELS:
            told = {name: (round(loss, 3), round(accuracy, 3)) for name, loss, accuracy in measured(kind, rows)}
            found.append({"stores": count, "own": own, "model": kind, **told})
            cells = " | ".join(f"{loss:.3f}, {100 * accuracy:.1f} %" for loss, accuracy in told.values())
            print(f"| {count:,} | {own:g} | {kind} | {cells} |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())

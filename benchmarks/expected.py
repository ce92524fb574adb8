"""Can accuracy be estimated before labels come? The figures of docs/labels.md.

    python -m benchmarks.expected --streams FOLDER [--delay 2000]

The estimate: the mean, over the last 1,000 questions, of the probability of the predicted class, recalibrated by what such probabilities
came to among the last 5,000 labelled predictions (20 bins). Beside it what anybody has without an estimate: the accuracy over the last
1,000 labels. Both are compared with what those 1,000 questions came to when their labels were there. "Before" are the windows in which
nothing has changed for 5,000 questions or nobody knows of a change; "after" those that lie between a change and its first labels.
"""

from __future__ import annotations

import argparse
import collections
import random
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from river import linear_model, preprocessing, tree

from benchmarks.quality_streams import Pair, streams_of

RECENT, CALIBRATED, BINS, EVERY = 1_000, 5_000, 20, 250
MODELS = {
    "LogisticRegression": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "HoeffdingTree": tree.HoeffdingTreeClassifier,
}


def linear(count: int, *, shift_at: int | None = None, turn_at: int | None = None, seed: int = 1) -> list[Pair]:
    """Labels drawn by a logistic curve. `shift_at`: the features move towards the border, the curve stays; `turn_at`: it turns away."""
    rng = random.Random(seed)
    made: list[Pair] = []
    for number in range(count):
        spread = 0.4 if shift_at is not None and number >= shift_at else 1.5
        x = {name: rng.gauss(0, spread) for name in "abc"}
        score = 2 * x["a"] - x["b"] if turn_at is None or number < turn_at else -x["a"] + 2 * x["c"]
        made.append((x, rng.random() < 1 / (1 + 2.718281828 ** (-1.5 * score))))
    return made


class Calibrated:
    """What confidences came to among the last labelled predictions, by bins of confidence."""

    def __init__(self) -> None:
        self._kept: collections.deque[tuple[int, bool]] = collections.deque()
        self._right, self._all = [0] * BINS, [0] * BINS

    def learn(self, confidence: float, right: bool) -> None:
        place = _bin(confidence)
        self._kept.append((place, right))
        self._right[place] += right
        self._all[place] += 1
        if len(self._kept) > CALIBRATED:
            old, was_right = self._kept.popleft()
            self._right[old] -= was_right
            self._all[old] -= 1

    def of(self, confidence: float) -> float:
        place = _bin(confidence)
        return (self._right[place] + 10 * confidence) / (self._all[place] + 10)


def _bin(confidence: float) -> int:
    return min(BINS - 1, max(0, int((confidence - 0.5) * 2 * BINS)))


def errors(pairs: Sequence[Pair], model: Any, delay: int, changes: Sequence[int]) -> Iterator[tuple[str, float, float]]:
    """For a window now and then: where it lies, and by how much the estimate and the last labels err."""
    calibrated, right, confidences = Calibrated(), list[bool](), list[float]()
    for now, (x, y) in enumerate(pairs):
        if now >= delay:
            told, label = pairs[now - delay]
            calibrated.learn(confidences[now - delay], right[now - delay])
            model.learn_one(told, label)
        proba = model.predict_proba_one(x) or {False: 0.5}
        best = max(proba, key=proba.__getitem__)
        confidences.append(proba[best])
        right.append(best == y)
        labelled = now - delay + 1
        if now % EVERY or labelled < CALIBRATED + RECENT:
            continue
        real = statistics.fmean(right[now - RECENT + 1 :])
        known = statistics.fmean(right[labelled - RECENT : labelled])
        estimate = statistics.fmean(map(calibrated.of, confidences[now - RECENT + 1 :]))
        since = [now - RECENT + 1 - change for change in changes if change <= now]
        inside = bool(since) and 0 <= min(since) < delay - RECENT
        if inside or not since or min(since) > 5_000:
            yield ("after" if inside else "before"), abs(estimate - real), abs(known - real)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=Path, required=True)
    parser.add_argument("--delay", type=int, default=2_000)
    parser.add_argument("--events", type=int, default=30_000)
    asked = parser.parse_args()
    files = [(each.name, each.events(0, None)[: asked.events], ()) for each in streams_of(asked.streams)[0] if each.task == "binary"]
    made: list[tuple[str, list[Pair], tuple[int, ...]]] = [
        ("nothing changes", linear(asked.events), ()),
        ("features shift, labels follow the same curve", linear(asked.events, shift_at=asked.events // 2), (asked.events // 2,)),
        ("the concept turns", linear(asked.events, turn_at=asked.events // 2), (asked.events // 2,)),
        *files,
    ]
    print("| stream | model | windows | estimate errs by | last labels err by |\n|---|---|---|---|---|")
    for name, pairs, changes in made:
        for model, begin in MODELS.items():
            found: dict[str, list[tuple[float, float]]] = {"before": [], "after": []}
            for place, estimate, known in errors(pairs, begin(), asked.delay, changes):
                found[place].append((estimate, known))
            for place, rows in found.items():
                if rows:
                    ours, theirs = (statistics.fmean(column) * 100 for column in zip(*rows, strict=True))
                    print(f"| {name} | {model} | {len(rows)} {place} | {ours:.1f} | {theirs:.1f} |")


if __name__ == "__main__":
    main()

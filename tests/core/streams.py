"""Streams and pipelines the core tests share: small, seeded, without a file or a network."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from river import datasets, drift, linear_model, multiclass, preprocessing, tree

from stream_retrain import On, Pipeline, Reset, Schema, Watch
from stream_retrain.facts.values import Event

FEATURES = ("a", "b", "c")


def rows(count: int, *, seed: int = 1, flip_at: int | None = None) -> list[tuple[dict[str, float], bool]]:
    """A noisy linear concept on three features, whose labels are turned around from `flip_at` on."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        x = {name: rng.gauss(0, 1) for name in FEATURES}
        y = (x["a"] + 0.5 * x["b"] > 0) != (rng.random() < 0.05)
        made.append((x, y != (flip_at is not None and number >= flip_at)))
    return made


def events(pairs: list[tuple[dict[str, Any], Any]]) -> list[Event]:
    """Each pair as an event that is answered at once; one event a second."""
    return [Event(number, f"e{number}", float(number), x, y) for number, (x, y) in enumerate(pairs)]


def questions_and_answers(pairs: list[tuple[dict[str, Any], Any]], delay: int) -> Iterator[Event]:
    """The same as a log in which each label comes `delay` questions later."""
    offset = 0
    for number, (x, _) in enumerate(pairs):
        if number >= delay:
            yield Event(offset, f"e{number - delay}", float(number), None, pairs[number - delay][1])
            offset += 1
        yield Event(offset, f"e{number}", float(number), x, None)
        offset += 1
    for number in range(max(0, len(pairs) - delay), len(pairs)):
        yield Event(offset, f"e{number}", float(len(pairs)), None, pairs[number][1])
        offset += 1


def pipeline(**changes: Any) -> Pipeline:
    """A binary pipeline on the linear concept, with ADWIN on the error and a reset; `changes` replace its parts."""
    parts: dict[str, Any] = {
        "name": "test",
        "task": "binary",
        "source": "events",
        "schema": Schema(id="id", label="y", features=dict.fromkeys(FEATURES, float)),
        "model": preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        "watch": [Watch("error", drift.ADWIN())],
        "react": [On.drift("error", Reset())],
        "rolling_events": 50,
    }
    return Pipeline(**{**parts, **changes})


def oracle_cases() -> dict[str, tuple[Pipeline, list[tuple[dict[str, Any], Any]]]]:
    """Task by task, a pipeline without reactions and a real data set River ships."""
    from river import metrics

    phishing = list(datasets.Phishing())
    segments = list(datasets.ImageSegments().take(800))
    trump = list(datasets.TrumpApproval())
    quiet: dict[str, Any] = {"watch": [], "react": []}
    return {
        "binary, linear": (
            pipeline(schema=_schema(phishing), metrics=[metrics.Accuracy(), metrics.ROCAUC(), metrics.LogLoss()], **quiet),
            phishing,
        ),
        "binary, tree": (
            pipeline(schema=_schema(phishing), model=tree.HoeffdingTreeClassifier(grace_period=50), metrics=[metrics.F1()], **quiet),
            phishing,
        ),
        "binary, a model that overrides predict_one": (
            pipeline(schema=_schema(phishing), model=preprocessing.StandardScaler() | linear_model.PAClassifier(), **quiet),
            phishing,
        ),
        "multiclass": (
            pipeline(
                task="multiclass",
                schema=_schema(segments),
                model=preprocessing.StandardScaler() | multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
                metrics=[metrics.Accuracy(), metrics.CohenKappa(), metrics.CrossEntropy()],
                **quiet,
            ),
            segments,
        ),
        "regression": (
            pipeline(
                task="regression",
                schema=_schema(trump),
                model=preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1),
                **quiet,
            ),
            trump,
        ),
    }


def _schema(pairs: list[tuple[dict[str, Any], Any]]) -> Schema:
    return Schema(id="id", label="y", features={str(name): type(value) for name, value in pairs[0][0].items()})

"""Seeded drift streams as records, each with the pipeline that reacts to it: what the golden decision logs are made from.

Nothing here depends on the machine but the models' own arithmetic; the logs are compared with their numbers rounded.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

from river import drift, linear_model, preprocessing, tree

from stream_retrain import (
    Caution,
    Challenge,
    Drift,
    Evidence,
    FineTune,
    Ignore,
    On,
    Pipeline,
    Request,
    Reset,
    Retrain,
    Schema,
    Threshold,
    Watch,
    Window,
)
from stream_retrain.models import adaptive_classifier

Row = dict[str, Any]

FEATURES = {"a": float, "b": float, "c": float}
SCALED = preprocessing.StandardScaler() | linear_model.LogisticRegression()


def _x(rng: random.Random) -> dict[str, float]:
    return {name: rng.gauss(0, 1) for name in FEATURES}


def turning(events: int, seed: int, every: int) -> list[Row]:
    """A noisy linear concept whose labels are turned around every so many events."""
    rng, made = random.Random(seed), []
    for number in range(events):
        x = _x(rng)
        label = ((x["a"] + 0.5 * x["b"] > 0) != (rng.random() < 0.05)) != (number // every % 2 == 1)
        made.append({"id": f"e{number}", "t": float(number), **x, "y": label})
    return made


def delayed(rows: list[Row], delay: int) -> list[Row]:
    """Each label comes so many records later, in a record of its own; some never, some twice, some for a question nobody asked."""
    made: list[Row] = []
    for number, row in enumerate(rows):
        made.append({name: value for name, value in row.items() if name != "y"})
        if number >= delay and number % 13:
            earlier = rows[number - delay]
            made.append({"id": earlier["id"], "t": row["t"], "y": earlier["y"]})
        if number % 97 == 5:
            made.append(made[-1])
        if number % 101 == 7:
            made.append({"id": "nobody", "t": row["t"], "y": True})
        if number % 59 == 11:
            made.append({"id": f"bad{number}", "t": row["t"], "a": "text"})
    return made


def bent(events: int, seed: int, every: int) -> list[Row]:
    """A regression whose slope changes its sign every so many events."""
    rng, made = random.Random(seed), []
    for number in range(events):
        x = _x(rng)
        slope = 5.0 if number // every % 2 == 0 else -5.0
        made.append({"id": f"e{number}", "t": float(number), **x, "y": slope * x["a"] + x["b"] + rng.gauss(0, 0.3)})
    return made


def sectors(events: int, seed: int, every: int) -> list[Row]:
    """Three classes, whose names change places every so many events."""
    rng, made = random.Random(seed), []
    for number in range(events):
        x = _x(rng)
        place = (0 if x["a"] > 0.4 else 1 if x["b"] > 0 else 2) + number // every
        made.append({"id": f"e{number}", "t": float(number), **x, "y": ("red", "green", "blue")[place % 3]})
    return made


def _pipeline(name: str, **parts: Any) -> Pipeline:
    declared: dict[str, Any] = {
        "task": "binary",
        "schema": Schema(id="id", time="t", time_unit="s", label="y", features=FEATURES),
        "model": SCALED,
        "rolling_events": 200,
    }
    return Pipeline(name=name, source=f"{name}.events", **{**declared, **parts})


def reset_late() -> tuple[Pipeline, list[Row]]:
    """A reset on drift, with labels that come late, twice, or for nothing."""
    declared = _pipeline(
        "reset-late",
        watch=[Watch("error", drift.ADWIN()), Watch("feature:a", drift.PageHinkley())],
        react=[On.drift("error", Reset(), cooldown_events=50)],
        pending_rows_max=60,
        pending_age_max_s=90.0,
    )
    return declared, delayed(turning(3_000, 11, 1_000), 20)


def challenge_tree() -> tuple[Pipeline, list[Row]]:
    """Challengers around a tree, with the additive one and rematches."""
    declared = _pipeline(
        "challenge-tree",
        model=tree.HoeffdingTreeClassifier(grace_period=50),
        watch=[Watch("error", drift.ADWIN())],
        react=[On.drift("error", Challenge(evidence=Evidence(events_max=400)), cooldown_events=100)],
    )
    return declared, turning(5_000, 12, 1_200)


def challenge_late() -> tuple[Pipeline, list[Row]]:
    """A duel whose labels come late."""
    declared = _pipeline(
        "challenge-late",
        watch=[Watch("error", drift.binary.HDDMA())],
        react=[On.drift("error", Challenge(evidence=Evidence(events_max=300), challengers=("fresh", "since_change")))],
        pending_rows_max=500,
    )
    return declared, delayed(turning(3_000, 13, 900), 40)


def challenge_regression() -> tuple[Pipeline, list[Row]]:
    """A duel of regressors."""
    declared = _pipeline(
        "challenge-regression",
        task="regression",
        model=preprocessing.StandardScaler() | linear_model.LinearRegression(intercept_lr=0.1),
        watch=[Watch("loss", drift.ADWIN())],
        react=[On.drift("loss", Challenge(evidence=Evidence(events_max=400)))],
    )
    return declared, bent(4_000, 14, 1_300)


def members() -> tuple[Pipeline, list[Row]]:
    """A model that adapts by itself, the recommended one of the first release, on three classes: it stays what it was, to the last bit."""
    schema = Schema(id="id", time="t", time_unit="s", label="y", features=FEATURES, classes=("red", "green", "blue"))
    declared = _pipeline(
        "members", task="multiclass", schema=schema, model=adaptive_classifier("first"), watch=[Watch("error", drift.ADWIN())]
    )
    return declared, sectors(3_000, 15, 800)


def stacked() -> tuple[Pipeline, list[Row]]:
    """The recommended model, which adapts by itself, on the same."""
    declared, rows = members()
    return dataclasses.replace(declared, name="stacked", model=adaptive_classifier()), rows


def rules() -> tuple[Pipeline, list[Row]]:
    """Schedules, thresholds, warnings and combinations."""
    declared = _pipeline(
        "rules",
        watch=[Watch("error", drift.binary.DDM()), Watch("loss", drift.PageHinkley(threshold=30))],
        react=[
            On.warning("error", Ignore(), cooldown_events=100),
            On.below("accuracy", 0.6, do=Reset(), over_events=200, events_min=100, cooldown_events=300),
            On.every(events=700, do=Challenge(challengers=("fresh",), evidence=Evidence(events_max=150))),
            On.every(seconds=900, do=Ignore()),
            On.any_of(Drift("loss"), Request(), do=Ignore(), cooldown_events=50),
            On.all_of(Caution("error"), Threshold(metric="accuracy", below=0.8), within_events=200, do=Reset(), cooldown_events=400),
        ],
    )
    return declared, turning(3_000, 16, 750)


def trainings() -> tuple[Pipeline, list[Row]]:
    """Challengers that the trainer trains."""
    declared = _pipeline(
        "trainings",
        model=tree.HoeffdingTreeClassifier(grace_period=50),
        watch=[Watch("error", drift.ADWIN())],
        react=[
            On.drift("error", Retrain(window=Window(rows=600), passes=2, evidence=Evidence(events_max=300)), cooldown_events=200),
            On.every(events=1_100, do=FineTune(window=Window(seconds=500), evidence=Evidence(events_max=200))),
        ],
    )
    return declared, turning(4_000, 17, 1_000)


STREAMS: dict[str, Callable[[], tuple[Pipeline, list[Row]]]] = {
    each.__name__: each for each in (reset_late, challenge_tree, challenge_late, challenge_regression, members, stacked, rules, trainings)
}


def encoded(rows: list[Row]) -> list[bytes]:
    """The records' values."""
    return [json.dumps(row).encode() for row in rows]

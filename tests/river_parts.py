"""Every part of River a pipeline can declare, in a pipeline of its own: what works, and what is refused at load.

`python -m tests.river_parts` writes the table of refusals into docs/models.md; `tests/test_river_parts.py` compares it.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import pkgutil
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import river
from river import (
    bandit,
    base,
    compose,
    feature_extraction,
    feature_selection,
    imblearn,
    linear_model,
    metrics,
    model_selection,
    naive_bayes,
    preprocessing,
    stats,
)
from river.metrics.base import Metric, RegressionMetric

from stream_retrain import Pipeline, PipelineError, Schema, Watch
from stream_retrain.codec.trial import checkpointable

DOCS = Path(__file__).parent.parent / "docs" / "models.md"
BEGIN, END = "<!-- written by `python -m tests.river_parts` -->", "<!-- end of what is written -->"
KINDS = (base.Classifier, base.Regressor, base.Transformer, base.DriftDetector, base.BinaryDriftDetector, Metric)
EVENTS, MORE = 200, 20
TEXTS = ("win money now", "lunch at noon", "free prize inside", "see you there")


def text_of(x: dict[str, str]) -> str:
    """A function for what reads text itself."""
    return x["t"]


def doubled(x: dict[str, float]) -> dict[str, float]:
    """A function for `FuncTransformer`."""
    return {name: 2 * value for name, value in x.items()}


LOG, LIN = linear_model.LogisticRegression, linear_model.LinearRegression
MADE: dict[type, Callable[[], list[Any]]] = {
    compose.FuncTransformer: lambda: [compose.FuncTransformer(doubled)],
    compose.Grouper: lambda: [compose.Grouper(preprocessing.StandardScaler(), by="c")],
    compose.Renamer: lambda: [compose.Renamer({"a": "b2"})],
    compose.Prefixer: lambda: [compose.Prefixer("x_")],
    compose.Suffixer: lambda: [compose.Suffixer("_x")],
    compose.Select: lambda: [compose.Select("a", "b")],
    compose.Discard: lambda: [compose.Discard("c")],
    compose.TargetTransformRegressor: lambda: [
        compose.TargetTransformRegressor(LIN(), np.log1p, np.expm1),
        compose.TargetTransformRegressor(LIN(), math.log1p, math.expm1),
    ],
    feature_extraction.Agg: lambda: [feature_extraction.Agg("a", "c", stats.Mean())],
    feature_extraction.TargetAgg: lambda: [feature_extraction.TargetAgg("c", stats.Mean())],
    feature_extraction.BagOfWords: lambda: [
        feature_extraction.BagOfWords(on="t"),
        feature_extraction.BagOfWords(on="t", ngram_range=(1, 2)),
    ],
    feature_extraction.TFIDF: lambda: [feature_extraction.TFIDF(on="t")],
    feature_selection.PoissonInclusion: lambda: [feature_selection.PoissonInclusion(p=0.5, seed=1)],
    feature_selection.SelectKBest: lambda: [feature_selection.SelectKBest(stats.PearsonCorr(), k=2)],
    imblearn.RandomUnderSampler: lambda: [imblearn.RandomUnderSampler(LOG(), {False: 0.5, True: 0.5}, seed=1)],
    imblearn.RandomOverSampler: lambda: [imblearn.RandomOverSampler(LOG(), {False: 0.5, True: 0.5}, seed=1)],
    imblearn.RandomSampler: lambda: [imblearn.RandomSampler(LOG(), {False: 0.5, True: 0.5}, seed=1)],
    metrics.base.Metrics: lambda: [metrics.Accuracy() + metrics.ROCAUC()],
    metrics.FBeta: lambda: [metrics.FBeta(beta=2)],
    metrics.MacroFBeta: lambda: [metrics.MacroFBeta(beta=2)],
    metrics.MicroFBeta: lambda: [metrics.MicroFBeta(beta=2)],
    metrics.WeightedFBeta: lambda: [metrics.WeightedFBeta(beta=2)],
    metrics.MultiFBeta: lambda: [metrics.MultiFBeta(betas={False: 1, True: 2}, weights={False: 1, True: 1})],
    metrics.multioutput.MacroAverage: lambda: [metrics.multioutput.MacroAverage(metrics.Accuracy())],
    metrics.multioutput.MicroAverage: lambda: [metrics.multioutput.MicroAverage(metrics.Accuracy())],
    metrics.multioutput.PerOutput: lambda: [metrics.multioutput.PerOutput(metrics.Accuracy())],
    metrics.multioutput.SampleAverage: lambda: [metrics.multioutput.SampleAverage(metrics.Accuracy())],
    preprocessing.TargetStandardScaler: lambda: [preprocessing.TargetStandardScaler(LIN())],
    preprocessing.TargetMinMaxScaler: lambda: [preprocessing.TargetMinMaxScaler(LIN())],
    preprocessing.StatImputer: lambda: [preprocessing.StatImputer(("n", stats.Mean()), ("a", stats.Mean()))],
    model_selection.BanditClassifier: lambda: [
        model_selection.BanditClassifier([LOG(), LOG(l2=0.1)], metrics.Accuracy(), bandit.EpsilonGreedy(0.1, seed=1))
    ],
    model_selection.BanditRegressor: lambda: [
        model_selection.BanditRegressor([LIN(), LIN(l2=0.1)], metrics.MAE(), bandit.EpsilonGreedy(0.1, seed=1))
    ],
    model_selection.SuccessiveHalvingClassifier: lambda: [
        model_selection.SuccessiveHalvingClassifier([LOG(), LOG(l2=0.1)], metrics.Accuracy(), budget=100, seed=1)
    ],
    model_selection.SuccessiveHalvingRegressor: lambda: [
        model_selection.SuccessiveHalvingRegressor([LIN(), LIN(l2=0.1)], metrics.MAE(), budget=100, seed=1)
    ],
}
"""What cannot be made with River's test parameters, or is another thing with them."""
NO_PARTS = frozenset({"BaseTreeClassifier", "BaseTreeRegressor", "ETRegressor", "RegRule", "AdaptiveRegressor", "MeanRegressor"})
"""Inner parts of River's own models, exported by no module."""


class Part(NamedTuple):
    """One part, as it was made."""

    name: str
    """Module and class, as in River's documentation."""
    group: str
    """estimator, transformer, metric or detector."""
    made: Any


def parts() -> Iterator[Part]:
    """Every part that can be made, each as often as it has test parameters."""
    for kind in kinds():
        for made in makings(kind):
            yield Part(f"{kind.__module__.split('.')[1]}.{kind.__name__}", group_of(made), made)


def kinds() -> list[type]:
    """The classes, by name."""
    found: dict[type, None] = {}
    for module in pkgutil.walk_packages(river.__path__, "river."):
        if "test" in module.name or "datasets" in module.name:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                members = vars(importlib.import_module(module.name))
            except ImportError:  # what it wraps is not installed
                continue
        for each in list(members.values()):
            own = inspect.isclass(each) and each.__module__ == module.name and issubclass(each, KINDS) and "river.base." not in module.name
            if own and not inspect.isabstract(each) and not each.__name__.startswith("_") and each.__name__ not in NO_PARTS:
                found[each] = None
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


def makings(kind: Any) -> Iterator[Any]:
    """The objects of a class, seeded where they can be."""
    if kind in MADE:
        yield from MADE[kind]()
        return
    takes_seed = "seed" in inspect.signature(kind).parameters
    for given in kind._unit_test_params():
        try:
            yield kind(**({"seed": 1} if takes_seed else {}) | given)
        except (TypeError, ImportError, RuntimeError):  # abstract in all but name, or of a newer Python
            return


def group_of(made: Any) -> str:
    """What a part is declared as."""
    if isinstance(made, Metric):
        return "metric"
    if isinstance(made, base.DriftDetector | base.BinaryDriftDetector):
        return "detector"
    return "estimator" if isinstance(made, base.Classifier | base.Regressor) else "transformer"


def is_text(made: Any) -> bool:
    """Whether a transformer reads text."""
    return isinstance(made, feature_extraction.BagOfWords | feature_extraction.TFIDF | preprocessing.GapEncoder)


def behind(transformer: Any) -> Any:
    """A transformer, with a model that can read what it makes."""
    if isinstance(transformer, preprocessing.GapEncoder):
        return compose.FuncTransformer(text_of) | transformer | LOG()
    return transformer | (naive_bayes.MultinomialNB() if is_text(transformer) else LOG())


def pipelines(part: Part) -> Iterator[Callable[[], Pipeline]]:
    """The pipelines that a part is tried in: a classifier of several classes on two tasks."""
    made = part.made
    match part.group:
        case "estimator" if isinstance(made, base.Regressor):
            yield lambda: declared("regression", made)
        case "estimator":
            yield lambda: declared("binary", made)
            if made._multiclass and not isinstance(made, imblearn.RandomSampler | imblearn.RandomOverSampler | imblearn.RandomUnderSampler):
                yield lambda: declared("multiclass", made)
        case "transformer":
            yield lambda: declared("binary", behind(made))
        case "metric" if isinstance(made, RegressionMetric):
            yield lambda: declared("regression", LIN(), metrics=[made])
        case "metric":
            yield lambda: declared("binary", LOG(), metrics=[made])
        case _:
            signal = "error" if isinstance(made, base.BinaryDriftDetector) else "feature:a"
            yield lambda: declared("binary", LOG(), watch=[Watch(signal, made)])


def declared(task: str, model: Any, **more: Any) -> Pipeline:
    """A pipeline around a part. Raises `PipelineError`, as a worker's would."""
    text = hasattr(model, "steps") and any(map(is_text, model.steps.values()))
    nulls = hasattr(model, "steps") and any(
        isinstance(step, preprocessing.StatImputer | preprocessing.PreviousImputer) for step in model.steps.values()
    )
    features: dict[str, Any] = {"t": str} if text else {"a": float, "b": float, "c": int}
    if nulls:
        features["n"] = float | None
    schema = Schema(features=features, label="y", classes=("x", "y", "z") if task == "multiclass" else None)
    return checkpointable(Pipeline(name="part", task=task, source="parts", schema=schema, model=model, **more))  # type: ignore[arg-type]


def records(pipeline: Pipeline) -> list[bytes]:
    """A log for it: a label that can be learned, with noise."""
    rng = random.Random(7)
    lines = []
    often, rest = (pipeline.schema.classes or ("x",))[0], (pipeline.schema.classes or "xyz")[1:]
    for number in range(EVENTS + MORE):
        a, b = rng.random() * 2, rng.random()
        high = a + b + 0.2 * rng.random() > 1.5
        label: Any = {"binary": high, "regression": round(a + b, 3)}.get(pipeline.task, often if high else rest[a > b])
        record = {"a": a, "b": b, "c": number % 4 + 1, "t": TEXTS[2 * (number % 2) + high], "n": None if number % 3 else b, "y": label}
        lines.append(json.dumps(record).encode())
    return lines


def refusals() -> tuple[dict[tuple[str, str], str], dict[str, tuple[int, int]]]:
    """By group and name, why a part is refused in every pipeline it is tried in; by group, how many were tried and refused."""
    reasons: dict[tuple[str, str], list[str | None]] = {}
    for part in parts():
        for make in pipelines(part):
            try:
                make()
                reason = None
            except PipelineError as error:
                reason = said(error)
            reasons.setdefault((part.group, part.name), []).append(reason)
    refused = {key: found[0] for key, found in reasons.items() if found[0] is not None and None not in found}
    groups = dict.fromkeys(group for group, _ in reasons)
    counts = {group: (sum(key[0] == group for key in reasons), sum(key[0] == group for key in refused)) for group in groups}
    return refused, counts


def said(error: PipelineError) -> str:
    """The first fault, short enough for a table and without what differs from run to run."""
    fault = error.faults[0].partition(": ")[2]
    fault = re.sub(r"\d{9,}", "(an address)", fault)
    fault = re.sub(r", at \{.*?\}(?=\.|$)", "", re.sub(r"\s+", " ", fault))
    return re.split(r"\. (?=If real|Optional|Use another|The event)", fault)[0].replace("|", "\\|")


def table() -> str:
    """What docs/models.md says."""
    refused, counts = refusals()
    lines = ["| parts | tried | work | refused |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {group}s | {tried} | {tried - no} | {no} |" for group, (tried, no) in sorted(counts.items())]
    lines += ["", "| refused | why |", "| --- | --- |"]
    lines += [f"| `{name}` | {reason} |" for (_, name), reason in sorted(refused.items())]
    return "\n".join(lines)


def written(text: str) -> str:
    """What stands between the marks in docs/models.md."""
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    """Write the table."""
    text = DOCS.read_text()
    before, _, rest = text.partition(BEGIN)
    DOCS.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    sys.exit(main())

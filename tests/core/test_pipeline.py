"""A wrong pipeline is refused at load, with every fault; a right one has a digest of what it is."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from river import active, base, compose, drift, ensemble, feature_extraction, forest, linear_model, metrics, multiclass, preprocessing, tree

from stream_retrain import Challenge, Ignore, On, Pipeline, PipelineError, Reset, Schema, Watch
from stream_retrain.core.pipeline import LATER
from tests.core import streams

SCHEMA: dict[str, Any] = {"id": "id", "label": "y", "features": {"a": float, "b": float, "c": float}}
WITH_TEXT = Schema(**{**SCHEMA, "features": {"a": float, "word": str}})

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"name": "no spaces"}, "name 'no spaces'"),
    ({"source": "a/b"}, "not a topic name"),
    ({"task": "ranking"}, "use one of binary, multiclass, regression"),
    ({"schema": {"a": float}}, "schema must be a Schema"),
    ({"schema": Schema(**{**SCHEMA, "features": {}})}, "features is empty"),
    ({"schema": Schema(**{**SCHEMA, "features": {"a": list}})}, "feature 'a' has type"),
    ({"schema": Schema(**{**SCHEMA, "label": "a"})}, "both label and a feature"),
    ({"schema": Schema(**{**SCHEMA, "label": "id"})}, "must be different fields"),
    ({"schema": Schema(**SCHEMA, time_unit="hours")}, "time_unit is 'hours'"),  # type: ignore[arg-type]
    ({"schema": Schema(**SCHEMA, classes=("x", "y"))}, "classes belong to a multiclass task"),
    ({"model": linear_model.LinearRegression()}, "needs a River classifier"),
    ({"task": "regression"}, "needs a River regressor"),
    ({"task": "multiclass"}, "knows two classes only"),
    ({"model": "a model"}, "not str"),
    ({"model": forest.ARFClassifier()}, "ARFClassifier has no seed"),
    ({"watch": [Watch("eror", drift.ADWIN())]}, "no such signal"),
    ({"watch": [Watch("error", "ADWIN")]}, "not a River drift detector"),
    ({"watch": [Watch("feature:z", drift.ADWIN())]}, "no feature 'z'; it has a, b, c"),
    ({"schema": WITH_TEXT, "watch": [Watch("feature:word", drift.ADWIN())]}, "is a string"),
    ({"watch": [Watch("loss", drift.binary.DDM())]}, "takes 0 and 1 only"),
    ({"watch": [Watch("error", drift.binary.DDM(), direction="both")]}, "one direction only"),
    ({"watch": [Watch("error", drift.ADWIN(), direction="sideways")]}, "direction is 'sideways'"),  # type: ignore[arg-type]
    ({"watch": [Watch("error", drift.KSWIN())]}, "KSWIN has no seed"),
    ({"watch": [Watch("error", drift.ADWIN()), Watch("error", drift.ADWIN(delta=0.5))]}, "two watches with ADWIN"),
    ({"watch": [drift.ADWIN()]}, "is not a Watch"),
    ({"react": [On.drift("loss", Reset())]}, "nothing watches 'loss'"),
    ({"react": [On.drift("error", "reset")]}, "not a reaction"),  # type: ignore[arg-type]
    ({"react": [On.drift("error", Reset(), cooldown_events=-1)]}, "cooldown_events is -1"),
    ({"react": [Reset()]}, "is not a rule"),
    ({"metrics": [metrics.MAE()]}, "MAE does not fit"),
    ({"metrics": [metrics.Accuracy(), metrics.Accuracy()]}, "each metric once"),
    ({"metrics": ["accuracy"]}, "not a River metric"),
    ({"rolling_events": 0}, "rolling_events is 0"),
    ({"carry_headers": "traceparent"}, "use a tuple of at most 20 names of headers"),
    ({"carry_headers": ("sr_reason",)}, "'sr_reason' is no name of a header to carry"),
    ({"window_rows_max": -1}, "window_rows_max is -1"),
    ({"pending_rows_max": 0}, "pending_rows_max is 0"),
    ({"pending_age_max_s": 0}, "pending_age_max_s is 0"),
    ({"schema": WITH_TEXT}, "cannot learn an event of the schema: TypeError"),
]


@pytest.mark.parametrize(("change", "words"), FAULTS, ids=[words for _, words in FAULTS])
def test_a_fault_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PipelineError) as caught:
        streams.pipeline(**{"watch": [], "react": [], **change} if "schema" in change and "watch" not in change else change)
    assert any(words in fault for fault in caught.value.faults), caught.value.faults


def test_every_fault_is_listed_at_once() -> None:
    with pytest.raises(PipelineError) as caught:
        streams.pipeline(name="", source="", watch=[Watch("eror", drift.ADWIN())], metrics=[metrics.MAE()])
    assert len(caught.value.faults) == 5
    assert "pipeline '' has 5 faults:\n  - name" in str(caught.value)


def test_a_model_with_a_lambda_cannot_be_saved() -> None:
    model = compose.FuncTransformer(lambda x: x) | linear_model.LogisticRegression()
    with pytest.raises(PipelineError, match="cannot be saved"):
        streams.pipeline(model=model)


def test_optional_and_text_features_are_no_fault_for_a_model_that_takes_them() -> None:
    schema = Schema(label="y", features={"a": float | None, "word": str})
    streams.pipeline(schema=schema, model=tree.HoeffdingTreeClassifier())


def test_the_declared_model_never_learns() -> None:
    pipeline = streams.pipeline()
    assert pipeline.model["LogisticRegression"].intercept == 0


def test_equal_declarations_have_equal_digests_and_a_changed_one_another() -> None:
    digest = streams.pipeline().digest()
    assert streams.pipeline().digest() == digest
    changes: list[dict[str, Any]] = [
        {"model": preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.1)},
        {"watch": [Watch("error", drift.ADWIN(delta=0.01))]},
        {"react": [On.drift("error", Ignore())]},
        {"rolling_events": 51},
    ]
    assert len({digest, *(streams.pipeline(**change).digest() for change in changes)}) == 5


class Changing(linear_model.LogisticRegression):  # type: ignore[misc]
    """Adds to the event it is given."""

    def predict_proba_one(self, x: dict[str, Any]) -> Any:
        x["more"] = 1.0
        return super().predict_proba_one(x)


class Odd(base.Classifier):  # type: ignore[misc]
    """Predicts whatever it was made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def learn_one(self, x: Any, y: Any) -> None:
        pass

    def predict_one(self, x: Any) -> Any:  # noqa: ARG002 - River's signature
        return self.answer


LR = linear_model.LogisticRegression
SCALED = preprocessing.StandardScaler() | multiclass.OneVsRestClassifier(LR())
THREE: dict[str, Any] = {"task": "multiclass", "model": SCALED, "watch": [], "react": []}
NUMBERS: dict[str, Any] = {"task": "regression", "model": linear_model.LinearRegression(), "watch": [], "react": []}
UNION = (preprocessing.StandardScaler() + feature_extraction.RBFSampler()) | LR()
LAMBDA = compose.FuncTransformer(lambda x: dict(x)) | LR()


def racing(model: Any) -> dict[str, Any]:
    return {"react": [On.every(events=100, do=Challenge(challengers=(model,), rematch=False))]}


TRIED: list[tuple[dict[str, Any], str]] = [
    ({"model": Changing()}, "model: Changing changes the event it is given"),
    ({"model": Odd((True, False))}, "predicts (True, False), a tuple, which is no label"),
    ({"model": Odd(np.zeros(2))}, "a ndarray, which is no label"),
    ({"model": active.EntropySampler(LR(), seed=1)}, "a tuple, which is no label: use another model, or the one inside it"),
    ({"model": UNION}, "model: RBFSampler has no seed"),
    ({"model": Odd({"members": [{"first": forest.AMFClassifier()}]})}, "AMFClassifier has no seed"),
    ({"model": ensemble.VotingClassifier([forest.AMFClassifier(), LR()])}, "AMFClassifier has no seed"),
    ({"model": ensemble.VotingClassifier([LR(), LR()]), "watch": [Watch("loss", drift.ADWIN())], "react": []}, "which watch 'loss' needs"),
    ({**THREE, "model": multiclass.OneVsOneClassifier(LR()), "metrics": [metrics.CrossEntropy()]}, "which metric CrossEntropy needs"),
    (racing(LAMBDA), "challenger 'another': <lambda> | LogisticRegression cannot be saved"),
    (
        {"schema": WITH_TEXT, "model": tree.HoeffdingTreeClassifier(), "watch": [], **racing(LR())},
        "challenger 'another': LogisticRegression cannot",
    ),
    (racing(forest.ARFClassifier()), "challenger 'another': ARFClassifier has no seed"),
    ({**THREE, "metrics": [metrics.F1()]}, "metrics: F1 is of two classes and its positive one, True, is none of this task's"),
    ({**THREE, "metrics": [metrics.LogLoss()]}, "metrics: LogLoss is of two classes"),
    ({**THREE, "metrics": [metrics.ROCAUC(pos_val="a")]}, "metrics: ROCAUC gives"),
    ({**THREE, "metrics": [metrics.RollingROCAUC()]}, "metrics: RollingROCAUC"),
    ({**THREE, "react": [On.below("f1", 0.5, do=Reset())]}, "react below:F1:0.5: F1 is of two classes"),
    ({"metrics": [metrics.F1(pos_val="yes")]}, "has pos_val 'yes'"),
    ({"metrics": [metrics.ConfusionMatrix()]}, "ConfusionMatrix gives no number"),
    ({"metrics": [metrics.ClassificationReport()]}, "ClassificationReport gives no number"),
    ({"react": [On.below(metrics.Accuracy() + metrics.ROCAUC(), 0.5, do=Reset())]}, "are several metrics in one"),
    ({"react": [On.below("fbeta", 0.5, do=Reset())]}, "FBeta needs arguments"),
    ({"react": [On.below("base", 0.5, do=Reset())]}, "nor the name of one"),
    ({**NUMBERS, "model": compose.TargetTransformRegressor(linear_model.LinearRegression(), math.acos, math.cos)}, "math domain error"),
    ({"schema": Schema(label="y", features={"a": float | None}), "model": compose.FuncTransformer(len) | LR()}, "cannot learn an event"),
]


@pytest.mark.parametrize(("change", "words"), TRIED, ids=[words for _, words in TRIED])
def test_what_could_not_work_later_is_refused_at_load(change: dict[str, Any], words: str) -> None:
    with pytest.raises(PipelineError) as caught:
        streams.pipeline(**change)
    assert any(words in fault for fault in caught.value.faults), caught.value.faults


def test_what_works_later_is_not_refused() -> None:
    streams.pipeline(**{**THREE, "metrics": [metrics.MacroF1(), metrics.CohenKappa(), metrics.CrossEntropy()]})
    streams.pipeline(metrics=[metrics.F1(), metrics.ROCAUC(), metrics.MutualInfo()])
    streams.pipeline(model=Odd(np.bool_(True)))
    streams.pipeline(model=compose.SelectType((int, float)) | LR())  # which River cannot write
    both = streams.pipeline(metrics=[metrics.Accuracy() + metrics.ROCAUC(), metrics.F1()])
    assert [type(metric).__name__ for metric in both.scores.metrics] == ["Accuracy", "ROCAUC", "F1"]
    streams.pipeline(**NUMBERS | {"model": compose.TargetTransformRegressor(linear_model.LinearRegression(), np.log1p, np.expm1)})
    streams.pipeline(schema=Schema(label="y", features={"t": str}), model=feature_extraction.TFIDF(on="t") | LR(), watch=[], react=[])


def read_date(x: dict[str, Any]) -> dict[str, Any]:
    return {"month": float(x["sent"].split("-")[1])}


def test_an_example_is_tried_in_place_of_made_up_values() -> None:
    model, features = compose.FuncTransformer(read_date) | LR(), {"sent": str}
    with pytest.raises(PipelineError, match="give one in Schema"):
        streams.pipeline(schema=Schema(label="y", features=features), model=model, watch=[], react=[])
    plain = Schema(label="y", features=features, example={"sent": "2026-01-01"})
    several = Schema(label="y", features=features, example=[{"sent": "2026-01-01", "y": True}, {"sent": "2026-02-01", "y": 0}])
    made = [streams.pipeline(schema=schema, model=model, watch=[], react=[]) for schema in (plain, several)]
    assert len({pipeline.digest() for pipeline in made}) == 1


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("a", "must be a record or a list"),
        (["a"], "must be a record (a dict"),
        ({"a": 1.0}, "feature 'n' is None, which is no int"),
        ({"a": math.nan, "n": 1}, "feature 'a' is nan"),
        ({"a": 1, "n": True}, "feature 'n' is True"),
        ([{"a": 1, "n": 2}, {"a": 1, "n": 2, "y": "yes"}], "example 1: label 'y' is 'yes'"),
    ],
)
def test_an_example_that_does_not_fit_the_schema_is_refused(example: Any, words: str) -> None:
    with pytest.raises(PipelineError) as caught:
        streams.pipeline(schema=Schema(label="y", features={"a": float, "n": int, "o": str | None}, example=example), watch=[], react=[])
    assert any(words in fault for fault in caught.value.faults), caught.value.faults


def test_nulls_are_kept_for_a_model_that_fills_them() -> None:
    features, lin = {"a": float | None, "b": float}, linear_model.LinearRegression()
    plain: dict[str, Any] = {**NUMBERS, "schema": Schema(label="y", features=features)}
    assert streams.pipeline(**plain).schema.keep_null is None
    assert streams.pipeline(**plain | {"model": preprocessing.PreviousImputer() | lin}).schema.keep_null
    never = Schema(label="y", features=features, keep_null=False)
    assert streams.pipeline(**plain | {"schema": never}).schema.keep_null is False
    with pytest.raises(PipelineError, match="The event has nulls because the schema keeps them"):
        streams.pipeline(**plain | {"schema": Schema(label="y", features=features, keep_null=True)})


def test_what_a_pipeline_does_not_say_is_no_part_of_its_digest() -> None:
    """A field that comes later must not give every pipeline another digest: their checkpoints and runs would be of another pipeline."""
    defaults = {field.name: field.default for field in dataclasses.fields(Pipeline)}
    assert all(defaults[name] == value for name, value in LATER.items())
    plain = streams.pipeline()
    assert dataclasses.replace(plain, **LATER).digest() == plain.digest()
    others = {"probabilities": True, "threshold": 0.25, "rejects_share_max": 0.5, "rejects_over_records": 7}
    digests = {plain.digest(), *(dataclasses.replace(plain, **{name: value}).digest() for name, value in others.items())}
    assert len(digests) == len(others) + 1

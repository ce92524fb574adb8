"""A wrong pipeline is refused at load, with every fault; a right one has a digest of what it is."""

from __future__ import annotations

from typing import Any

import pytest
from river import drift, forest, linear_model, metrics, preprocessing, tree

from stream_retrain import Ignore, On, PipelineError, Reset, Schema, Watch
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
    from river import compose

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

"""Every model works as a River estimator: estimator checks, pipelines, progressive validation, clones and pickles."""

from __future__ import annotations

import pickle
import sys
import types
from typing import Any

import pytest
from river import base, compose, evaluate, metrics, preprocessing, stream

from stream_retrain.core.digest import digest
from stream_retrain.models import (
    AdditiveClassifier,
    AdditiveRegressor,
    FixedShareClassifier,
    FixedShareRegressor,
    LinearClassifier,
    LinearRegressor,
    NearestClassifier,
    NearestRegressor,
    PerKeyClassifier,
    PerKeyRegressor,
    QuickTree,
    QuickTreeRegressor,
    RestartingClassifier,
    RestartingForest,
    RestartingForestRegressor,
    RestartingRegressor,
    SoftBins,
)
from tests.models import streams

ALL = [(name, make, streams.binary()) for name, make in streams.CLASSIFIERS.items()] + [
    (name, make, streams.regression()) for name, make in streams.REGRESSORS.items()
]
IDS = [f"{name}-{'classifier' if isinstance(make(), base.Classifier) else 'regressor'}" for name, make, _ in ALL]

CHECKED = [
    AdditiveClassifier,
    AdditiveRegressor,
    FixedShareClassifier,
    FixedShareRegressor,
    LinearClassifier,
    LinearRegressor,
    NearestClassifier,
    NearestRegressor,
    PerKeyClassifier,
    PerKeyRegressor,
    QuickTree,
    QuickTreeRegressor,
    RestartingClassifier,
    RestartingForest,
    RestartingForestRegressor,
    RestartingRegressor,
    SoftBins,
]
SLOW = ("check_bounded_memory_growth",)


def predict(model: Any, x: dict[str, Any]) -> Any:
    return model.predict_proba_one(x) if isinstance(model, base.Classifier) else model.predict_one(x)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHECKED, ids=lambda kind: kind.__name__)
def test_rivers_estimator_checks_pass(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = types.ModuleType("sklearn")
    stub.datasets = types.ModuleType("sklearn.datasets")  # type: ignore[attr-defined]  only multi-output checks read it
    monkeypatch.setitem(sys.modules, "sklearn", stub)
    from river import checks

    for params in kind._unit_test_params():
        model = kind(**params)
        for check in checks.yield_checks(model):
            if check.__name__ not in {*SLOW, *model._unit_test_skips()}:
                check(model.clone())


@pytest.mark.parametrize(("name", "make", "rows"), ALL, ids=IDS)
def test_a_model_pickled_in_mid_stream_continues_as_one_that_never_stopped(name: str, make: Any, rows: streams.Rows) -> None:
    model = make()
    order = streams.delayed(rows[:600], delay=20)
    for step, number in order[:601]:
        model.learn_one(*rows[number]) if step == "learn" else predict(model, rows[number][0])
    restored = pickle.loads(pickle.dumps(model))
    assert digest(restored) == digest(model)
    for step, number in order[601:]:
        if step == "learn":
            model.learn_one(*rows[number])
            restored.learn_one(*rows[number])
        else:
            assert predict(model, rows[number][0]) == predict(restored, dict(rows[number][0]))
    assert digest(restored) == digest(model)


@pytest.mark.parametrize(("name", "make", "rows"), ALL, ids=IDS)
def test_predictions_without_a_label_change_no_later_prediction(name: str, make: Any, rows: streams.Rows) -> None:
    plain, other = make(), make()
    for number, (x, y) in enumerate(rows[:400]):
        other.predict_one(rows[-1 - number % 7][0])
        other.predict_one(x)
        other.predict_one(rows[-1 - number % 5][0])
        assert predict(plain, x) == predict(other, x)
        plain.learn_one(x, y)
        other.learn_one(x, y)


@pytest.mark.parametrize("delay", [None, 30])
@pytest.mark.parametrize(("name", "make", "rows"), ALL, ids=IDS)
def test_progressive_validation_works_and_repeats(name: str, make: Any, rows: streams.Rows, delay: int | None) -> None:
    metric = metrics.Accuracy() if isinstance(make(), base.Classifier) else metrics.MAE()
    scores = [evaluate.progressive_val_score(rows[:500], make(), metric.clone(), delay=delay).get() for _ in range(2)]
    assert scores[0] == scores[1]


def test_with_delay_the_score_is_the_one_of_a_caller_who_keeps_the_dict() -> None:
    rows = streams.binary(800)
    expected = evaluate.progressive_val_score(rows, streams.CLASSIFIERS["adaptive"](), metrics.Accuracy(), delay=25).get()
    model, metric, given = streams.CLASSIFIERS["adaptive"](), metrics.Accuracy(), {}
    for number, x, y, *_ in stream.simulate_qa(rows, None, 25, copy=False):
        if y is None:
            given[number] = model.predict_one(x)
        else:
            if given[number] is not None:
                metric.update(y, given[number])
            model.learn_one(x, y)
    assert metric.get() == expected


@pytest.mark.parametrize(("name", "make", "rows"), ALL, ids=IDS)
def test_it_works_at_the_end_of_a_pipeline_and_a_clone_is_fresh(name: str, make: Any, rows: streams.Rows) -> None:
    pipeline = compose.SelectType(int, float) | preprocessing.StandardScaler() | make()
    fresh = digest(pipeline.clone())
    for x, y in rows[:60]:
        predict(pipeline, x)
        pipeline.learn_one(x, y)
    assert digest(pipeline.clone()) == fresh


@pytest.mark.parametrize(("name", "make", "rows"), ALL, ids=IDS)
def test_infinities_are_refused_by_name_and_leave_the_model_as_it_was(name: str, make: Any, rows: streams.Rows) -> None:
    if name == "per_key":
        pytest.skip("a question is a use of its key, whatever the key's model says of it")
    model = make()
    for x, y in rows[:50]:
        model.learn_one(x, y)
    before = digest(model)
    bad = {**rows[50][0], next(iter(rows[50][0])): float("inf")}
    with pytest.raises(ValueError, match="is infinite"):
        model.predict_one(bad)
    with pytest.raises(ValueError, match="is infinite"):
        model.learn_one(bad, rows[50][1])
    assert digest(model) == before


@pytest.mark.parametrize("name", streams.CLASSIFIERS)
def test_a_feature_may_be_a_string_a_number_or_missing_in_turn(name: str) -> None:
    if name == "restarting_pipeline":
        pytest.skip("that depends on the River model")
    model = streams.CLASSIFIERS[name]()
    kinds = (1.5, "red", None, True, float("nan"), 10**400, 7)
    for number in range(210):
        x = {"a": kinds[number // 30], "b": float(number % 3)}
        model.predict_one(x)
        model.learn_one(x, number % 3 == 0)
    assert set(model.predict_proba_one({"b": 1.0})) == {True, False}


@pytest.mark.parametrize("name", streams.CLASSIFIERS)
def test_ten_events_with_one_label_are_enough_for_a_prediction(name: str) -> None:
    model = streams.CLASSIFIERS[name]()
    assert model.predict_one({"a": 1.0}) in (None, False)
    for number in range(10):
        model.learn_one({"a": float(number), "constant": 4.0}, True)
    assert model.predict_one({"a": 3.0, "constant": 4.0}) is True

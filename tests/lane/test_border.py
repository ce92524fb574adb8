"""Foreign code stays foreign: what a model or a metric answers is looked at once, and fails alone."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import numpy as np
import pytest
from river import active, base, linear_model, metrics, neighbors, preprocessing

from stream_retrain import Challenge, Evidence, Ignore, On, Pipeline, Reset, Schema, Shard
from stream_retrain.core.serve.predictor import FAILED, Unusable, has_failed, predictor
from stream_retrain.core.serve.step import step_of
from stream_retrain.facts.shard import Decided, DriftDetected, LeadChanged, MetricFailed, ModelReset, PredictionFailed, Rejected
from stream_retrain.facts.values import Event
from stream_retrain.lane.encoder import encode_predictions
from tests.core import streams
from tests.lane.support import joined, of, restored

NAN = math.nan


class Answering(base.Classifier):  # type: ignore[misc]
    """Answers what it was told to."""

    _multiclass = True

    def __init__(self, answer: Any = True) -> None:
        self.answer = answer

    def learn_one(self, x: Any, y: Any) -> None:
        pass

    def predict_one(self, _: Any) -> Any:
        return self.answer


class Probable(base.Classifier):  # type: ignore[misc]
    """Answers the probabilities it was told to."""

    _multiclass = True

    def __init__(self, proba: Any = None) -> None:
        self.proba = proba

    def learn_one(self, x: Any, y: Any) -> None:
        pass

    def predict_proba_one(self, _: Any) -> Any:
        return self.proba


class Breaking(linear_model.LogisticRegression):  # type: ignore[misc]
    """A model that answers NaN from the given event on."""

    def __init__(self, breaks_at: int = 300) -> None:
        super().__init__()
        self.breaks_at = breaks_at
        self.learned = 0

    def learn_one(self, x: Any, y: Any) -> None:
        super().learn_one(x, y)
        self.learned += 1

    def predict_proba_one(self, x: Any) -> Any:
        return {False: NAN, True: NAN} if self.learned >= self.breaks_at else super().predict_proba_one(x)


class BreakingRegressor(linear_model.LinearRegression):  # type: ignore[misc]
    """The same for numbers."""

    def __init__(self, breaks_at: int = 300) -> None:
        super().__init__()
        self.breaks_at = breaks_at
        self.learned = 0

    def learn_one(self, x: Any, y: Any, w: float = 1.0) -> None:
        super().learn_one(x, y, w)
        self.learned += 1

    def predict_one(self, x: Any) -> Any:
        return NAN if self.learned >= self.breaks_at else super().predict_one(x)


@pytest.mark.parametrize(
    ("task", "answer", "y_pred"),
    [
        ("binary", np.bool_(True), True),
        ("binary", True, True),
        ("binary", None, None),
        ("multiclass", np.str_("b"), "b"),
        ("multiclass", "b" * 1_000, "b" * 1_000),
        ("multiclass", np.int64(3), 3),
        ("multiclass", 3, 3),
        ("regression", np.float64(1.5), 1.5),
        ("regression", np.float32(1.5), 1.5),
        ("regression", 2, 2),
        ("regression", 10**30, 1e30),
    ],
)
def test_an_answer_that_can_be_used_is_pythons(task: str, answer: Any, y_pred: Any) -> None:
    made, proba = predictor(Answering(answer), task, proba=False)({})
    assert (type(made), made, proba) == (type(y_pred), y_pred, None)


NO_NUMBERS = [NAN, math.inf, -math.inf, "1", b"1", (1.0, True), [1.0, 2.0], {}, 10**400, 1j, np.array([1.5]), object()]
NO_LABELS = [("a", True), ["a"], b"a", {}, NAN, "x" * 1_001, "\udc80", 1 << 63, np.array([1, 2])]
NO_PROBABILITIES = [
    {False: NAN, True: NAN},
    {False: 0.5, True: NAN},
    {False: NAN, True: 0.5},
    {False: math.inf, True: 0.0},
    {"a": 0.1, "b": NAN, "c": 0.2},
    {("a",): 0.5, "b": 0.1},
    [0.5, 0.5],
    (True, False),
    "ab",
    {False: "x", True: 1.0},
]


@pytest.mark.parametrize(
    ("task", "answer"), [*(("regression", value) for value in NO_NUMBERS), *(("multiclass", value) for value in NO_LABELS)]
)
def test_an_answer_that_cannot_be_used_is_a_failed_prediction(task: str, answer: Any) -> None:
    made, why = predictor(Answering(answer), task, proba=False)({})
    assert made is None
    assert isinstance(why, Unusable)
    assert not why
    assert 0 < len(why.detail.encode()) <= 2_000
    assert has_failed((made, why))
    assert has_failed(FAILED)
    assert not has_failed((None, {}))
    assert not has_failed((None, None))


@pytest.mark.parametrize(
    ("proba", "y_pred"),
    [
        ({False: 0.25, True: 0.75}, True),
        ({True: 0.5, False: 0.5}, True),
        ({False: 1, True: 0}, False),
        ({np.bool_(False): np.float64(0.25), np.bool_(True): np.float64(0.75)}, True),
        ({"a": 0.2, "b": 0.5, "c": 0.3}, "b"),
        ({np.str_("a"): 0.25, "b": 0.75}, "b"),
        ({True: 1.0}, True),
        ({}, None),
    ],
)
def test_probabilities_that_can_be_used_are_pythons(proba: Any, y_pred: Any) -> None:
    made, held = predictor(Probable(proba), "multiclass", proba=True)({})
    assert (type(made), made, held) == (type(y_pred), y_pred, proba)
    if any(isinstance(p, np.floating) for p in proba.values()):
        assert {type(label) for label in held} | {type(p) for p in held.values()} == {bool, float}


@pytest.mark.parametrize("proba", NO_PROBABILITIES, ids=str)
def test_probabilities_that_cannot_be_used_are_a_failed_prediction(proba: Any) -> None:
    made, why = predictor(Probable(proba), "multiclass", proba=True)({})
    assert (made, type(why)) == (None, Unusable)


def test_labels_that_a_model_keeps_in_a_set_come_in_one_order() -> None:
    """Of `KNNClassifier`, where neighbours tie; where the order is the model's own, it is left."""
    nearest = neighbors.KNNClassifier(n_neighbors=3, weighted=False, engine=neighbors.LazySearch())
    model = preprocessing.StandardScaler() | nearest
    for a, label in enumerate(("plum", "fig", "kiwi")):
        model.learn_one({"a": float(a)}, label)
    y_pred, proba = predictor(model, "multiclass", proba=False)({"a": 9.0})
    assert (y_pred, list(proba)) == ("fig", ["fig", "kiwi", "plum"])
    assert predictor(Probable({"plum": 0.5, "fig": 0.5}), "multiclass", proba=True)({})[0] == "plum"


def test_a_failed_prediction_goes_out_as_null_is_learned_and_only_the_first_of_a_run_is_told() -> None:
    pipeline = streams.pipeline(model=Breaking(breaks_at=100), watch=[], react=[])
    log = streams.events(streams.rows(110))
    whole, cut = Shard(pipeline), Shard(pipeline)
    outcome = whole.process(log)
    values = [json.loads(value) for value in encode_predictions(outcome.predicted)]
    assert [value["prediction"] is None for value in values[:110]] == [False] * 100 + [True] * 10
    assert all(value["probability"] is None for value in values[100:])
    failed = of(PredictionFailed, outcome.facts)
    assert [(fact.offset, fact.repeated) for fact in failed] == [(100, False)] + [(offset, True) for offset in range(101, 110)]
    assert [row.offset for row in outcome.learned] == list(range(110))
    outcomes = []
    for start in range(0, 110, 7):
        outcomes.append(cut.process(log[start : start + 7]))
        cut = restored(pipeline, cut)
    assert joined(outcomes) == (outcome.predicted, outcome.learned, outcome.facts)
    assert cut.digest() == whole.digest()


REACTIONS = [
    (On.drift("error", Reset()), ModelReset),
    (On.drift("error", Challenge(challengers=("fresh",), evidence=Evidence(events_max=300))), LeadChanged),
]


@pytest.mark.parametrize(("rule", "kind"), REACTIONS, ids=["reset", "challenge"])
@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("delay", [0, 20])
def test_rules_act_on_a_model_that_only_fails(rule: On, kind: Any, task: str, delay: int) -> None:
    pairs: list[Any] = streams.rows(1_200)
    model: Any = Breaking()
    if task == "regression":
        rng = random.Random(1)
        pairs, model = [(x, 3 * x["a"] + x["b"] + rng.gauss(0, 0.1)) for x, _ in pairs], BreakingRegressor()
    pipeline = streams.pipeline(task=task, model=model, react=[rule], metrics=[])
    facts = Shard(pipeline).process(streams.questions_and_answers(pairs, delay) if delay else streams.events(pairs)).facts
    [first, *_] = of(PredictionFailed, facts)
    drifts = of(DriftDetected, facts)
    assert any(first.offset < fact.offset < first.offset + 400 for fact in drifts)
    assert any(fact.offset > first.offset for fact in of(kind, facts))


def test_a_threshold_takes_a_failed_prediction_as_wrong() -> None:
    for metric in ("accuracy", metrics.LogLoss()):
        limit = {"above": 2.0} if isinstance(metric, metrics.LogLoss) else {"below": 0.5}
        rule = (On.above if "above" in limit else On.below)(metric, *limit.values(), do=Ignore(), over_events=100, events_min=50)
        facts = Shard(streams.pipeline(model=Breaking(), watch=[], react=[rule])).process(streams.events(streams.rows(600))).facts
        assert [fact.offset > 300 for fact in of(Decided, facts)][:1] == [True]


class Picky(metrics.MAE):  # type: ignore[misc]
    """A metric that raises on labels above 5, and has a number only where it is asked for one in time."""

    number: Any = None

    def update(self, y_true: Any, y_pred: Any, w: float = 1.0) -> None:
        if y_true > 5:
            raise ValueError("too far")
        super().update(y_true, y_pred, w)


class Numberless(metrics.MAE):  # type: ignore[misc]
    """A metric that has no number any more once a label was above 5."""

    gone = False

    def update(self, y_true: Any, y_pred: Any, w: float = 1.0) -> None:
        self.gone = self.gone or y_true > 5
        super().update(y_true, y_pred, w)

    def get(self) -> Any:
        return {"no": "number"} if self.gone else super().get()


def numbers(labels: list[float]) -> list[Event]:
    return streams.events([({"a": 1.0, "b": 0.0, "c": 0.0}, y) for y in labels])


def test_a_metric_that_raises_fails_alone_and_is_told_once_a_run_whatever_the_batches() -> None:
    pipeline = streams.pipeline(
        task="regression", model=linear_model.LinearRegression(), watch=[], react=[], metrics=[Picky(), metrics.RMSE(), Numberless()]
    )
    log = numbers([1.0, 9.0, 9.0, 1.0, 9.0, 1.0])
    whole = Shard(pipeline)
    facts = whole.process(log).facts
    assert [(fact.offset, fact.metric, fact.repeated) for fact in of(MetricFailed, facts)] == [
        (1, "Picky", False),
        (2, "Picky", True),
        (4, "Picky", False),
    ]
    seen = whole.observe()
    assert set(seen.running) == set(seen.rolling) == {"Picky", "RMSE"}
    for size in (1, 2):
        shard = Shard(pipeline)
        assert joined(shard.process(log[at : at + size]) for at in range(0, len(log), size))[2] == facts
        assert shard.digest() == whole.digest()


def test_the_metric_of_a_threshold_that_raises_ends_nothing() -> None:
    rule = On.above(Picky(), 0.0001, do=Ignore(), over_events=3, events_min=2)
    pipeline = streams.pipeline(task="regression", model=linear_model.LinearRegression(), watch=[], react=[rule], metrics=[])
    facts = Shard(pipeline).process(numbers([1.0, 9.0, 1.0, 9.0])).facts
    assert [(fact.offset, fact.metric) for fact in of(MetricFailed, facts)] == [(1, "Picky"), (3, "Picky")]
    assert [fact.offset for fact in of(Decided, facts)] == [2]


def test_what_river_itself_answers_is_taken() -> None:
    """PARegressor gives NumPy numbers, a sampler of active learning tuples."""
    schema = Schema(label="y", features={"a": float})
    model = preprocessing.StandardScaler() | linear_model.PARegressor()
    pipeline = Pipeline(name="p", task="regression", source="s", schema=schema, model=model)
    outcome = Shard(pipeline).process([Event(n, str(n), float(n), {"a": float(n)}, 2.0 * n) for n in range(20)])
    assert {type(fact.prediction) for fact in outcome.predicted} <= {float, int}
    sampler = active.EntropySampler(preprocessing.StandardScaler() | linear_model.LogisticRegression(), seed=1)
    made, _ = predictor(sampler, "binary", proba=False)({"a": 1.0})
    assert made is None or isinstance(made, bool)


def test_what_a_model_raises_is_cut() -> None:
    class Loud(Answering):
        def predict_one(self, _: Any) -> Any:
            raise ValueError("x" * 1_000_000)

    shard, loud = Shard(streams.pipeline(watch=[], react=[])), Loud()
    shard._reactor.step = step_of(loud, "binary", predictor(loud, "binary", proba=False), proba=False, threshold=None)
    [fact] = of(Rejected, shard.process(streams.events(streams.rows(1))).facts)
    assert len(fact.detail.encode()) < 2_100

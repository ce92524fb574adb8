"""Events that a model takes in one call become what they become one by one."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from river import drift, forest, linear_model, metrics, preprocessing, tree

from stream_retrain import Challenge, Evidence, Ignore, On, Pipeline, Reset, Shard, Watch
from stream_retrain.core.serve.step import _at_once
from stream_retrain.facts.shard import (
    DetectorFailed,
    DriftDetected,
    DuelEnded,
    DuelStarted,
    LeaderChanged,
    LeaderWavered,
    MemberRestarted,
    MemoryReached,
    ModelReset,
    PredictionFailed,
    Rejected,
    ShardFact,
    WarningRaised,
)
from stream_retrain.facts.values import Event
from stream_retrain.lane.reactor import Reactor
from stream_retrain.models import QuickTree, QuickTreeRegressor, RestartingClassifier, adaptive_classifier, adaptive_regressor
from tests.core import streams
from tests.lane.support import Refusing, joined
from tests.models.twins import needs_extension


def taken(pipeline: Pipeline, log: list[Event], monkeypatch: pytest.MonkeyPatch, *, one_by_one: bool, seed: int = 0) -> tuple[Any, Shard]:
    """What becomes of a log, cut somewhere."""
    rng, shard, at, outcomes = random.Random(seed), Shard(pipeline), 0, []
    with monkeypatch.context() as patch:
        if one_by_one:
            patch.setattr(Reactor, "room", lambda *_: 0)
        while at < len(log):
            end = at + rng.choice((1, 2, 40, 500))
            outcomes.append(shard.process(log[at:end]))
            at = end
    return joined(outcomes), shard


def events_of(pairs: list[tuple[dict[str, Any], Any]], *, questions: bool = False) -> list[Event]:
    log = streams.events(pairs)
    if questions:  # some wait for their labels a while
        late = [event._replace(y=None) for event in log[100:140]]
        answers = [event._replace(x=None, offset=event.offset + 40) for event in log[100:140]]
        log = [*log[:100], *late, *answers, *(event._replace(offset=event.offset + 40) for event in log[140:])]
    return log


def binary(**changes: Any) -> Pipeline:
    return streams.pipeline(**{"model": adaptive_classifier(), **changes})


def multiclass(model: Any, **changes: Any) -> Pipeline:
    return streams.pipeline(task="multiclass", model=model, metrics=[metrics.MacroF1()], **changes)


def regression(model: Any, **changes: Any) -> Pipeline:
    given = {"watch": [Watch("error", drift.ADWIN(delta=0.9))], "react": [], **changes}
    return streams.pipeline(task="regression", model=model, metrics=[metrics.MAE()], **given)


class Silent(linear_model.LogisticRegression):  # type: ignore[misc]
    """Its answer is no prediction where `b` is low."""

    def predict_proba_one(self, x: dict[Any, Any]) -> Any:
        proba = super().predict_proba_one(x)
        return {True: math.nan, False: math.nan} if x["b"] < -1.5 else proba


class Broken(drift.PageHinkley):  # type: ignore[misc]
    """It raises now and then."""

    seen = 0

    def update(self, x: float) -> None:
        self.seen += 1
        if self.seen % 400 == 0:
            raise ArithmeticError("no more")
        super().update(x)


BOTH = [metrics.Accuracy(), metrics.F1(), metrics.ROCAUC(), metrics.LogLoss()]
OFTEN = [Watch("error", drift.ADWIN(delta=0.9, clock=1, grace_period=2)), Watch("error", drift.binary.DDM(warm_start=5))]
ALL_SIGNALS = [
    *(Watch(signal, drift.ADWIN(delta=0.5)) for signal in ("error", "loss", "prediction")),
    Watch("rank"),
    Watch("feature:a", drift.PageHinkley(threshold=5)),
]
RESET = On.drift("error", Reset())
TREE = RestartingClassifier(QuickTree(grace_period=20))
RACE = Challenge(evidence=Evidence(events_max=150))
CASES: dict[str, tuple[Pipeline, set[type[ShardFact]]]] = {
    "tree": (binary(model=QuickTree(grace_period=20), react=[RESET]), {DriftDetected}),
    "mixture": (binary(metrics=BOTH, probabilities=True), {LeaderChanged, LeaderWavered, MemberRestarted}),
    "threshold": (binary(threshold=0.3), {LeaderChanged}),
    "calm": (binary(watch=[], react=[]), {LeaderChanged}),
    "often": (binary(watch=OFTEN, react=[RESET, On.warning("error", Ignore())]), {DriftDetected, WarningRaised}),
    "all signals": (
        binary(watch=ALL_SIGNALS, react=[On.drift("loss", Reset(), cooldown_events=50), On.drift("feature:a", Ignore())]),
        {DriftDetected, ModelReset},
    ),
    "challenge": (binary(model=TREE, watch=OFTEN[:1], react=[On.drift("error", RACE)]), {DuelStarted, DuelEnded}),
    "memory": (
        binary(model=tree.HoeffdingTreeClassifier(), react=[On.memory(model_bytes_max=12_000, do=Reset())], watch=[]),
        {MemoryReached, ModelReset},
    ),
    "every event": (binary(react=[On.every(events=70, do=Reset()), On.below("accuracy", 0.9, do=Reset(), events_min=60)]), {ModelReset}),
    "River's": (binary(model=tree.HoeffdingTreeClassifier(grace_period=20), metrics=BOTH, watch=OFTEN), {DriftDetected}),
    "a forest": (binary(model=forest.ARFClassifier(n_models=2, seed=1)), set()),
    "steps of River": (binary(model=preprocessing.StandardScaler() | QuickTree(grace_period=20)), {DriftDetected}),
    "adaptive steps": (binary(model=preprocessing.StandardScaler() | adaptive_classifier(), watch=[], react=[]), {LeaderChanged}),
    "a member of River's": (binary(model=RestartingClassifier(linear_model.LogisticRegression())), {MemberRestarted}),
    "it refuses": (binary(model=Refusing()), {Rejected}),
    "it is silent": (binary(model=Silent(), watch=OFTEN), {PredictionFailed}),
    "a detector raises": (binary(watch=[Watch("error", Broken())]), {DetectorFailed}),
    "detectors raise": (binary(watch=[Watch("error", Broken()), Watch("feature:a", Broken())]), {DetectorFailed}),
    "three classes": (multiclass(adaptive_classifier()), {LeaderChanged}),
    "so many classes": (multiclass(QuickTree(grace_period=20), classes_max=2), {Rejected}),
    "numbers": (regression(adaptive_regressor()), {LeaderChanged}),
    "a tree of numbers": (regression(QuickTreeRegressor(grace_period=20), watch=[]), set()),
}


@pytest.mark.parametrize("name", CASES)
def test_together_or_one_by_one_the_same_comes_of_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, kinds = CASES[name]
    pairs: list[tuple[dict[str, Any], Any]] = [(dict(x), y) for x, y in streams.rows(900, seed=3, flip_at=450)]
    for row, c in ((200, 95.0), (201, -95.0), (640, 95.0)):
        pairs[row][0]["c"] = c
    if pipeline.task == "multiclass":
        pairs = [(x, f"{y}" if x["a"] < 1.0 else "high") for x, y in pairs]
    elif pipeline.task == "regression":
        pairs = [(x, x["a"] * (3.0 if y else -2.0)) for x, y in pairs]
    for seed, questions in ((1, False), (2, True)):
        log = events_of(pairs, questions=questions)
        expected, whole = taken(pipeline, log, monkeypatch, one_by_one=True)
        got, shard = taken(pipeline, log, monkeypatch, one_by_one=False, seed=seed)
        assert got == expected
        assert shard.digest() == whole.digest()
        assert shard.observe() == whole.observe()
    assert kinds <= {type(fact) for fact in expected[2]}


@needs_extension
def test_models_of_ours_take_many_events_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the test above would compare nothing."""
    calls: list[int] = []
    step = _at_once

    def counted(*given: Any) -> Any:
        calls.append(len(given[4]))
        return step(*given)

    monkeypatch.setattr("stream_retrain.core.serve.step._at_once", counted)
    Shard(CASES["tree"][0]).process(streams.events(streams.rows(300)))
    assert len(calls) < 10, calls
    assert sum(calls) >= 300

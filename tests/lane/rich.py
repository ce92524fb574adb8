"""Shards in the middle of everything: questions waiting, a duel, a training, every kind of detector and trigger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from river import drift, metrics, tree
from river.drift import binary

from stream_retrain import Challenge, Drift, Every, Evidence, Ignore, On, Pipeline, Reset, Retrain, Schema, Shard, Threshold, Watch, Window
from stream_retrain.core.contest.inputs import Request, Trained
from stream_retrain.facts.values import Event
from stream_retrain.models import adaptive_classifier
from tests.core import streams
from tests.lane.support import wanted

DRIFT_AT, DELAY, STOP = 600, 20, 1_900
WORDS = ("red", "green", "blue", "grey", "pink")
SCHEMA = Schema(id="id", label="y", features={**dict.fromkeys(streams.FEATURES, float), "word": str, "maybe": float | None})
LONG = Evidence(alpha=0.01, events_max=100_000)
KSWIN = drift.KSWIN(seed=1, alpha=1e-5)


def log(*, numbers: bool = False) -> list[Event]:
    """Labels come 20 questions late; at question 600 the concept turns round. `numbers`: the labels are numbers."""
    pairs: list[tuple[dict[str, Any], Any]] = []
    for number, (x, y) in enumerate(streams.rows(1_200, flip_at=DRIFT_AT)):
        concept = 3 * x["a"] - x["b"]
        label = (-concept if number >= DRIFT_AT else concept) if numbers else y
        pairs.append(({**x, "word": WORDS[number * 7 % 5]}, label))
    return list(streams.questions_and_answers(pairs, DELAY))


CLASSIFIES = streams.pipeline(
    schema=SCHEMA,
    model=adaptive_classifier(),
    watch=[
        Watch("error", drift.ADWIN()),
        Watch("error", binary.DDM()),
        Watch("feature:a", drift.PageHinkley()),
        Watch("feature:b", KSWIN),
        Watch("prediction", KSWIN, every=1),
        Watch("rank"),
        Watch("categories:word", drift.ADWIN()),
        Watch("missing:maybe", binary.HDDMA()),
    ],
    metrics=[metrics.F1()],
    react=[
        On.drift("error", Challenge(window=Window(rows=5_000), evidence=LONG)),
        On.warning("error", Ignore()),
        On.every(seconds=100, do=Ignore()),
        On.below("accuracy", 0.1, do=Reset()),
        On.any_of(Threshold(metric="logloss", above=90.0), Every(events=90), do=Ignore(), cooldown_events=100),
        On.all_of(Drift("feature:a"), Every(events=10), within_events=30, do=Ignore()),
        On.request(Ignore()),
    ],
    pending_rows_max=50,
)
PREDICTS = streams.pipeline(
    task="regression",
    schema=SCHEMA,
    model=tree.HoeffdingTreeRegressor(grace_period=50, leaf_prediction="mean"),
    watch=[Watch("loss", drift.ADWIN()), Watch("categories:word", KSWIN, every=3)],
    react=[
        On(Every(events=300), Retrain(window=Window(rows=5_000)), cooldown_events=100_000),
        On.drift("loss", Challenge(evidence=LONG, challengers=("fresh", "additive"))),
    ],
    pending_age_max_s=100.0,
)


def classifies() -> tuple[Shard, list[Event]]:
    """A classifier that adapts by itself in a duel, which waits for one more challenger and has had a request; and what comes next."""
    events, shard = log(), Shard(CLASSIFIES)
    shard.process(events[:STOP])
    shard.receive(Request(reason="new sensors", token="3"))
    return shard, events[STOP:]


def predicts() -> tuple[Shard, list[Event]]:
    """A regressor in a duel, whose end the challenger of another rule's training waits for; and what comes next."""
    events, shard = log(numbers=True), Shard(PREDICTS)
    shard.process(events[:1_000])
    asked = wanted(shard)
    assert asked is not None
    shard.process(events[1_000:1_500])
    shard.receive(Trained(training=asked.training.number, model=PREDICTS.model.clone(), lessons=0, learned_through=-1))
    shard.process(events[1_500:STOP])
    return shard, events[STOP:]


RICH: dict[str, tuple[Pipeline, Callable[[], tuple[Shard, list[Event]]]]] = {
    "classifies": (CLASSIFIES, classifies),
    "predicts": (PREDICTS, predicts),
}

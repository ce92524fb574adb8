"""A model for each key in a pipeline: what is tried at load, what a shard shows, and that it goes on after a restore."""

from __future__ import annotations

from typing import Any

import pytest
from river import dummy, forest, linear_model, multiclass, naive_bayes, preprocessing, tree

from stream_retrain import Challenge, Evidence, On, Pipeline, PipelineError, Schema, Shard
from stream_retrain.codec.trial import checkpointable
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import DuelEnded, DuelStarted, Rejected
from stream_retrain.models import PerKey, QuickTree, QuickTreeRegressor
from tests.core import streams as core_streams
from tests.lane.support import of, restored
from tests.models import streams

ROWS = streams.stores(600, stores=40)
EVENTS = core_streams.events(ROWS)
FEATURES: dict[str, Any] = {**{f"f{number}": float for number in range(6)}, "store": str | None}
SCALED = preprocessing.StandardScaler


def pipeline(model: Any, **changes: Any) -> Pipeline:
    parts: dict[str, Any] = {
        "name": "keyed",
        "task": "binary",
        "source": "events",
        "schema": Schema(id="id", label="y", features=FEATURES),
        "model": model,
        "rolling_events": 50,
    }
    return Pipeline(**{**parts, **changes})


AWKWARD: dict[str, Any] = {
    "holds bound methods": SCALED() | linear_model.PAClassifier(),
    "holds functions": naive_bayes.GaussianNB(),
    "has a set of labels": tree.HoeffdingAdaptiveTreeClassifier(seed=1, grace_period=30),
    "shares a generator between its members": forest.ARFClassifier(n_models=2, seed=1, grace_period=30),
    "knows two classes only": multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", AWKWARD.values(), ids=list(AWKWARD))
def test_a_model_that_was_put_away_goes_on_after_a_restore_as_if_it_had_never_stopped(model: Any) -> None:
    declared = checkpointable(pipeline(PerKey(model, by="store", hot_keys_max=3)))
    whole = Shard(declared)
    expected = whole.process(EVENTS[:300])
    assert not of(Rejected, expected.facts)
    again = restored(declared, whole)
    assert again.digest() == whole.digest()
    assert digest(again.process(EVENTS[300:400]).predicted) == digest(whole.process(EVENTS[300:400]).predicted)
    assert again.digest() == whole.digest()


class WithAnIterator(dummy.PriorClassifier):  # type: ignore[misc]
    """Keeps what a checkpoint may hold, and no packed model may."""

    def __init__(self) -> None:
        super().__init__()
        self.codes = iter([1, 2, 3])


@pytest.mark.parametrize(
    ("model", "fault"),
    [
        (PerKey(QuickTree(), by="shop"), "it has a model for each 'shop', which is no feature of the schema; add it to features"),
        (PerKey(WithAnIterator(), by="store"), "cannot keep such a model per key: PicklingError: it holds an iterator"),
        (PerKey(QuickTreeRegressor(), by="store"), "needs a River classifier"),
        (PerKey(forest.ARFClassifier(), by="store"), "ARFClassifier has no seed"),
    ],
    ids=["no such feature", "an iterator", "another task", "no seed"],
)
def test_what_cannot_be_is_refused_at_load(model: Any, fault: str) -> None:
    with pytest.raises(PipelineError) as caught:
        checkpointable(pipeline(model))
    assert fault in str(caught.value)


def test_records_without_a_key_are_answered_by_the_shared_model() -> None:
    declared = pipeline(PerKey(QuickTree(), by="store"))
    shard = Shard(declared)
    keyless = [event._replace(x={name: value for name, value in (event.x or {}).items() if name != "store"}) for event in EVENTS[:50]]
    outcome = shard.process(keyless)
    assert len(outcome.predicted) == 50
    keys = shard.observe().keys
    assert keys is not None
    assert (keys.hot, keys.cold, keys.shared_answers) == (0, 0, 50)


def test_a_shard_shows_how_many_keys_it_holds_and_only_where_there_are_some() -> None:
    shard = Shard(pipeline(PerKey(QuickTree(), by="store", hot_keys_max=5)))
    shard.process(EVENTS)
    keys = shard.observe().keys
    assert keys is not None
    assert keys.hot == 5
    assert keys.hot + keys.cold == len({x["store"] for x, _ in ROWS})
    assert keys.put_away > keys.taken_back > 0
    assert Shard(core_streams.pipeline()).observe().keys is None


def test_a_duel_is_of_the_whole_and_every_contestant_has_its_own_models() -> None:
    declared = pipeline(
        PerKey(SCALED() | linear_model.LogisticRegression(), by="store", hot_keys_max=5),
        react=[On.every(events=100, do=Challenge(challengers=("fresh",), evidence=Evidence(events_max=150)))],
    )
    shard = Shard(declared)
    facts = shard.process(EVENTS[:350]).facts
    assert of(DuelStarted, facts)
    assert of(DuelEnded, facts)
    shard.process(EVENTS[350:420])
    again = restored(declared, shard)
    assert again.digest() == shard.digest()
    assert [segment.digest for segment in again.segments()] == [segment.digest for segment in shard.segments()]

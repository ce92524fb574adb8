"""Each trigger fires where it should and nowhere else, whatever the batches, and goes on from a snapshot."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift, metrics, tree
from river.drift import binary

from stream_retrain import Challenge, Ignore, On, PipelineError, Reset, Shard, Watch
from stream_retrain.core.contest.inputs import Request as Asked
from stream_retrain.core.digest import digest
from stream_retrain.core.react.combinations import AllOf, AnyOf
from stream_retrain.core.react.thresholds import Threshold, metric_named
from stream_retrain.core.react.triggers import Caution, Drift, Every, Moment, Request
from stream_retrain.facts.shard import Decided, DriftDetected, Requested, WarningRaised
from tests.core import streams


def decided(rule: On, count: int = 3_000, **changes: Any) -> list[Decided]:
    shard = Shard(streams.pipeline(react=[rule], **changes))
    facts = shard.process(streams.events(streams.rows(count, flip_at=count // 2))).facts
    return [fact for fact in facts if isinstance(fact, Decided)]


def moment(events_seen: int, **changes: Any) -> Moment:
    return Moment(**{"events_seen": events_seen, "time_s": float(events_seen), "generation": 0, **changes})


def test_every_so_many_events() -> None:
    assert [fact.offset for fact in decided(On.every(events=700, do=Ignore()))] == [699, 1_399, 2_099, 2_799]


def test_every_period_of_event_time_from_the_epoch_on() -> None:
    assert [fact.offset for fact in decided(On.every(seconds=1_000, do=Ignore()))] == [1_000, 2_000]


def test_a_period_without_events_is_one_firing() -> None:
    running = Every(seconds=10).build()
    assert [time_s for time_s in (1.0, 9.0, 55.0, 56.0, 61.0) if running.fires(moment(0, time_s=time_s))] == [55.0, 61.0]


def test_below_a_threshold_once_there_are_enough_events() -> None:
    found = decided(On.below("accuracy", 0.7, do=Ignore(), over_events=200, events_min=100), watch=[])
    assert found
    assert 1_500 < found[0].offset < 1_700, "the labels are turned around at 1,500"
    assert found[0].trigger == "below:Accuracy:0.7"
    gaps = [after.offset - before.offset for before, after in itertools.pairwise(found)]
    assert all(gap >= 100 for gap in gaps), "it measures anew after it fired"


def test_above_a_threshold_of_an_error() -> None:
    assert not decided(On.above("logloss", 50.0, do=Ignore()))
    assert decided(On.above(metrics.LogLoss(), 0.9, do=Ignore(), over_events=300, events_min=100))


def test_a_threshold_measures_the_generation_that_serves() -> None:
    running = Threshold(metric="accuracy", below=0.5, over_events=10, events_min=5).build()
    assert not any(running.fires(moment(n, y=True, y_pred=False)) for n in range(4))
    assert not any(running.fires(moment(n, y=True, y_pred=False, generation=1)) for n in range(4))
    assert running.fires(moment(9, y=True, y_pred=False, generation=1))


@pytest.mark.parametrize(
    "detector", [drift.ADWIN(), drift.PageHinkley(threshold=30), binary.DDM(), binary.HDDMA()], ids=lambda each: type(each).__name__
)
def test_a_warning_comes_before_the_drift_or_with_it(detector: Any) -> None:
    rules = [On.warning("error", Ignore()), On.drift("error", Ignore())]
    shard = Shard(streams.pipeline(watch=[Watch("error", detector)], react=rules))
    facts = shard.process(streams.events(streams.rows(4_000, flip_at=2_000))).facts
    drifts = [fact.offset for fact in facts if isinstance(fact, DriftDetected)]
    warnings = [fact.offset for fact in facts if isinstance(fact, WarningRaised) and fact.offset >= 2_000]
    assert warnings
    assert warnings[0] <= drifts[0]
    assert "warning:error" in [fact.trigger for fact in facts if isinstance(fact, Decided)]


def test_nobody_warns_who_was_not_asked() -> None:
    shard = Shard(streams.pipeline())
    assert not [fact for fact in shard.process(streams.events(streams.rows(2_000, flip_at=1_000))).facts if isinstance(fact, WarningRaised)]


def test_any_of_several() -> None:
    found = decided(On.any_of(Drift("error"), Every(events=1_000), do=Ignore()))
    assert {999, 1_999, 2_999} < {fact.offset for fact in found}


def test_all_of_several_within_so_many_events_and_then_anew() -> None:
    running = AllOf((Drift("a"), Drift("b")), within_events=10).build()
    fired = [
        n for n in range(1, 60) if running.fires(moment(n, drifted=frozenset({5: "a", 15: "b", 20: "a", 24: "b", 27: "a"}.get(n, ""))))
    ]
    assert fired == [20, 27], "a at 5 is too old for b at 15, which a at 20 meets; then both must come again"


def test_a_request_is_decided_on_at_the_next_label() -> None:
    shard = Shard(streams.pipeline(react=[On.request(Reset())]))
    log = streams.events(streams.rows(100))
    shard.process(log[:50])
    shard.receive(Asked(reason="new sensors"))
    assert shard.generation == 0
    facts = shard.process(log[50:]).facts
    assert [(type(fact).__name__, fact.offset) for fact in facts] == [("Requested", 50), ("Decided", 50), ("ModelReset", 50)]
    [asked] = [fact for fact in facts if isinstance(fact, Requested)]
    assert asked.reason == "new sensors"
    assert shard.generation == 1


def test_categories_that_change_their_frequencies_are_seen() -> None:
    def log(shift: int) -> list[Any]:
        pairs = streams.rows(6_000)
        for number, (x, _) in enumerate(pairs):
            x["c"] = "ABCD"[number % 4 if number < shift else number % 16 // 13]  # type: ignore[assignment]
        return streams.events(pairs)

    schema = {"a": float, "b": float, "c": str}
    spec = streams.pipeline()
    changes: dict[str, Any] = {
        "schema": type(spec.schema)(id="id", label="y", features=schema),
        "model": tree.HoeffdingTreeClassifier(),
        "watch": [Watch("categories:c", drift.ADWIN())],
        "react": [On.drift("categories:c", Ignore())],
    }
    offsets = {
        shift: [fact.offset for fact in Shard(streams.pipeline(**changes)).process(log(shift)).facts if isinstance(fact, DriftDetected)]
        for shift in (3_000, 6_000)
    }
    assert 3_000 < offsets[3_000][0] < 3_400
    assert not offsets[6_000]


def test_a_sampled_detector_sees_each_nth_value() -> None:
    guard = Watch("feature:a", drift.ADWIN(), every=10).build()
    for value in range(95):
        guard.update(value)
    assert guard.detector.width == 9
    again = Watch("feature:a", drift.ADWIN(), every=10).build(pickle.loads(pickle.dumps(guard.snapshot())))
    for value in range(5):
        again.update(value)
    assert again.detector.width == 10


TRIGGERS: dict[str, Any] = {
    "drift": Drift("a"),
    "warning": Caution("b"),
    "request": Request(),
    "events": Every(events=7),
    "seconds": Every(seconds=5.0),
    "threshold": Threshold(metric="accuracy", below=0.5, over_events=9, events_min=4),
    "any": AnyOf((Drift("a"), Every(seconds=5.0))),
    "all": AllOf((Drift("a"), Caution("b"), Every(seconds=3.0)), within_events=12),
    "all of any": AllOf((AnyOf((Drift("a"), Drift("b"))), Every(events=3)), within_events=5),
}
signals = st.sets(st.sampled_from("ab")).map(frozenset)
moments = st.lists(st.tuples(signals, signals, st.booleans(), st.floats(0, 4), st.booleans(), st.booleans() | st.none(), st.integers(0, 1)))


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIGGERS)
@given(given_=moments)
def test_restored_before_every_event_a_trigger_fires_where_it_would(name: str, given_: list[tuple[Any, ...]]) -> None:
    whole, cut = TRIGGERS[name].build(), TRIGGERS[name].build()
    time_s = 0.0
    for number, (drifted, warned, requested, step_s, y, y_pred, generation) in enumerate(given_, start=1):
        time_s += step_s
        cut = TRIGGERS[name].build(pickle.loads(pickle.dumps(cut.snapshot())))
        now = moment(number, time_s=time_s, drifted=drifted, warned=warned, requested=requested, y=y, y_pred=y_pred, generation=generation)
        assert cut.fires(now) == whole.fires(now)
    assert digest(cut.snapshot()) == digest(whole.snapshot())


RULES = {
    "events": On.every(events=70, do=Reset()),
    "seconds": On.every(seconds=333, do=Reset()),
    "threshold": On.below("accuracy", 0.85, do=Reset(), over_events=100, events_min=30),
    "warning": On.warning("error", Reset(), cooldown_events=50),
    "any": On.any_of(Drift("error"), Every(events=450), do=Challenge()),
    "all": On.all_of(Drift("error"), Every(events=10), within_events=30, do=Reset()),
}


@pytest.mark.parametrize("name", RULES)
def test_batches_and_restores_change_nothing(name: str) -> None:
    pipeline = streams.pipeline(react=[RULES[name]])
    log = streams.events(streams.rows(1_500, flip_at=700))
    whole = Shard(pipeline)
    expected = whole.process(log)
    cut, facts = Shard(pipeline), []
    for start in range(0, len(log), 137):
        facts += cut.process(log[start : start + 137]).facts
        cut = Shard(pipeline, pickle.loads(pickle.dumps(cut.snapshot())))
    assert facts == expected.facts
    assert any(isinstance(fact, Decided) and fact.outcome == "done" for fact in facts)
    assert cut.digest() == whole.digest()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (On.every(do=Reset()), "by events or by seconds"),
        (On.every(events=0, do=Reset()), "events is 0"),
        (On.below("zork", 0.5, do=Reset()), "'zork' is not a River metric"),
        (On.below("mae", 0.5, do=Reset()), "MAE does not fit a binary model"),
        (On.below("accuracy", 0.5, do=Reset(), over_events=10, events_min=20), "events_min is 20"),
        (On.drift("loss", Reset()), "nothing watches 'loss'"),
        (On.any_of(Drift("error"), do=Reset()), "two triggers"),
        (On.all_of(Drift("error"), Drift("prediction"), within_events=5, do=Reset()), "nothing watches 'prediction'"),
    ],
)
def test_faults_are_told(rule: On, said: str) -> None:
    with pytest.raises(PipelineError) as caught:
        streams.pipeline(react=[rule])
    assert any(said in fault for fault in caught.value.faults), caught.value.faults


def test_metrics_are_found_by_name() -> None:
    assert isinstance(metric_named("roc_auc"), metrics.ROCAUC)
    assert isinstance(metric_named("kappa"), metrics.CohenKappa)
    assert metric_named("") is None

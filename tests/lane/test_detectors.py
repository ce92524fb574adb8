"""A detector is foreign code: one that raises is replaced by a fresh one, that is told, and the event counts as learned."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from river import base, drift, dummy, metrics, stats

from stream_retrain import Caution, Drift, Ignore, On, Pipeline, Shard, Watch
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import Decided, DetectorFailed, DriftDetected, WarningRaised
from stream_retrain.facts.values import Event
from tests.core import streams
from tests.lane.support import of, restored, succession


class Brittle(base.DriftDetector):
    """Counts values; raises on one above 50, and detects a drift on each value between 40 and 50."""

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def update(self, x: float) -> None:
        self.values += 1
        if x > 50:
            raise ArithmeticError(f"{x:g} is too much after {self.values} values")
        self._drift_detected = x > 40


def log(count: int = 200, **values: float) -> list[Event]:
    """Events in which feature `c` is as `values` say at some numbers: `e20=99.0`."""
    return [
        event._replace(x={**(event.x or {}), "c": values[event.id]}) if event.id in values else event
        for event in streams.events(streams.rows(count))
    ]


def watching(*watches: Watch, **changes: Any) -> Pipeline:
    return streams.pipeline(**{"watch": watches, "react": [], "metrics": [metrics.Accuracy()], **changes})


def guards(shard: Shard) -> list[Any]:
    return [each["guard"] for each in shard.snapshot()["reactions"]["watches"]["watches"]]


def failed(offset: int, signal: str, detail: str, generation: int = 0) -> DetectorFailed:
    return DetectorFailed(
        offset=offset, time_s=float(offset), signal=signal, detector="Brittle", detail=f"ArithmeticError: {detail}", generation=generation
    )


def test_one_on_a_feature_that_raises_is_replaced_and_that_is_told() -> None:
    shard = Shard(watching(Watch("feature:c", Brittle())))
    outcome = shard.process(log(e20=99.0, e130=77.0))
    assert outcome.facts == [
        failed(20, "feature:c", "99 is too much after 21 values"),
        failed(130, "feature:c", "77 is too much after 110 values"),
    ]
    assert guards(shard)[0]["detector"].values == 200 - 131, "the fresh one has seen what came since"


def test_the_event_counts_as_learned() -> None:
    """All but the detectors is as if nobody had watched."""
    watched, unwatched = Shard(watching(Watch("feature:c", Brittle()))), Shard(watching())
    events = log(e20=99.0, e199=77.0)
    outcome, expected = watched.process(events), unwatched.process(events)
    assert len(of(DetectorFailed, outcome.facts)) == 2
    assert (outcome.predicted, outcome.learned) == (expected.predicted, expected.learned)
    assert [row.offset for row in outcome.learned] == list(range(200))
    assert watched.events_seen == 200
    assert watched.observe().running == unwatched.observe().running
    assert digest(succession(watched)) == digest(succession(unwatched))


def test_one_on_a_signal_of_the_model_too() -> None:
    """Here the signal is a regressor's error, which is large where a label is."""
    events = [event._replace(y=1_000.0 if event.offset == 60 else 0.0) for event in log()]
    spec = streams.pipeline(task="regression", model=dummy.StatisticRegressor(stats.Mean()), watch=[Watch("error", Brittle())], react=[])
    shard = Shard(spec)
    outcome = shard.process(events[:62])
    [fact] = outcome.facts
    assert isinstance(fact, DetectorFailed)
    assert (fact.offset, fact.signal, fact.detector) == (60, "error", "Brittle")
    assert len(outcome.learned) == 62
    assert guards(shard)[0]["detector"].values == 1


def test_the_other_detectors_see_the_event_and_go_on() -> None:
    watches = [
        Watch("feature:a", drift.PageHinkley()),
        Watch("feature:c", Brittle()),
        Watch("feature:c", drift.ADWIN()),
        Watch("error", drift.ADWIN()),
    ]
    shard, alone = Shard(watching(*watches)), Shard(watching(watches[0], *watches[2:]))
    events = log(e20=99.0, e120=60.0)
    facts, expected = shard.process(events).facts, alone.process(events).facts
    assert len(of(DetectorFailed, facts)) == 2
    assert [fact for fact in facts if not isinstance(fact, DetectorFailed)] == expected
    first, _, *others = guards(shard)
    assert digest([first, *others]) == digest(guards(alone))


def test_drifts_are_told_before_and_after_in_order() -> None:
    spec = watching(Watch("feature:c", Brittle()), react=[On.drift("feature:c", Ignore())])
    facts = Shard(spec).process(log(e10=45.0, e20=99.0, e30=45.0)).facts
    kinds = [(type(fact), fact.offset) for fact in facts]
    assert kinds == [(DriftDetected, 10), (Decided, 10), (DetectorFailed, 20), (DriftDetected, 30), (Decided, 30)]


def test_a_failure_is_no_drift_and_no_rule_holds_by_it() -> None:
    rules = [On.drift("feature:c", Ignore()), On.any_of(Caution("feature:c"), Drift("feature:c"), do=Ignore())]
    spec = watching(Watch("feature:c", Brittle(), warning=drift.ADWIN()), react=rules)
    shard = Shard(spec)
    facts = shard.process(log(e20=99.0)).facts
    assert [(type(fact), fact.offset) for fact in facts] == [(DetectorFailed, 20)]
    assert shard.generation == 0


def test_one_that_gives_the_warnings_too() -> None:
    spec = watching(Watch("feature:c", drift.ADWIN(), warning=Brittle()), react=[On.warning("feature:c", Ignore())])
    shard = Shard(spec)
    facts = shard.process(log(e20=99.0, e150=45.0)).facts
    assert [(type(fact), fact.offset) for fact in facts] == [(DetectorFailed, 20), (WarningRaised, 150), (Decided, 150)]
    assert facts[0].detail == "ArithmeticError: 99 is too much after 21 values"  # type: ignore[union-attr]


def test_one_that_raises_on_every_value_stops_nothing() -> None:
    events = log(50, **{f"e{number}": 60.0 + number for number in range(50)})
    outcome = Shard(watching(Watch("feature:c", Brittle()))).process(events)
    assert outcome.facts == [failed(number, "feature:c", f"{60 + number} is too much after 1 values") for number in range(50)]
    assert len(outcome.learned) == len(outcome.predicted) == 50


@pytest.mark.parametrize("every", [1, 4])
def test_batches_and_restores_change_nothing(every: int) -> None:
    spec = watching(Watch("feature:c", Brittle(), every=every), Watch("error", drift.ADWIN()))
    events = log(e19=99.0, e23=98.0, e39=60.0, e100=45.0, e119=51.0)
    whole, cut, facts = Shard(spec), Shard(spec), list[Any]()
    expected = whole.process(events).facts
    for start, end in itertools.pairwise([0, 1, 19, 20, 21, 39, 40, 119, 200]):
        facts += cut.process(events[start:end]).facts
        cut = restored(spec, cut)
    assert len(of(DetectorFailed, expected)) >= 3
    assert facts == expected
    assert cut.digest() == whole.digest()

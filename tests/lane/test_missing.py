"""What is told of a feature that is null or absent: by a watch of that, and beside one on its numbers."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from river import drift, dummy, stats
from river.drift import binary

from stream_retrain import Every, Ignore, On, Pipeline, PipelineError, Reset, Schema, Shard, Watch
from stream_retrain.core.react.rules import On as Rule
from stream_retrain.core.watch.watches import Watches
from stream_retrain.facts.shard import Decided, DriftDetected, ModelReset, PredictionFailed
from stream_retrain.facts.values import Event
from tests.core import streams
from tests.lane.support import of, restored

SCHEMA = Schema(id="id", label="y", features={"a": float | None, "b": float, "kind": str | None})
COUNT, CHANGE = 3_000, 1_500


def watching(*watches: Watch, rules: list[Rule] | None = None) -> Pipeline:
    return streams.pipeline(schema=SCHEMA, model=dummy.PriorClassifier(), watch=watches, react=rules or [])


def questions(feature: str = "a", before: float = 0.1, after: float = 1.0, seed: int = 3) -> list[Event]:
    """Questions without labels, in which a feature is missing with one probability and from the middle on with another."""
    rng = random.Random(seed)
    asked = []
    for number in range(COUNT):
        x: dict[str, Any] = {"a": rng.gauss(5, 1), "b": 1.0, "kind": rng.choice(["one", "two"])}
        if rng.random() < (before if number < CHANGE else after):
            del x[feature]
        asked.append(Event(number, f"e{number}", float(number), x, None))
    return asked


def alarms(spec: Pipeline, events: list[Event]) -> list[DriftDetected]:
    return of(DriftDetected, Shard(spec).process(events).facts)


@pytest.mark.parametrize("detector", [drift.ADWIN(), drift.PageHinkley(threshold=20), binary.HDDMA()])
def test_a_watch_sees_a_feature_go_missing(detector: Any) -> None:
    [first, *_] = alarms(watching(Watch("missing:a", detector)), questions())
    assert (first.signal, first.direction, first.value) == ("missing:a", "up", 1.0)
    assert CHANGE < first.offset < CHANGE + 500


@pytest.mark.parametrize("detector", [drift.ADWIN(), binary.HDDMA()])
def test_it_is_of_any_kind_of_feature_and_by_itself_sees_more_of_it_only(detector: Any) -> None:
    assert alarms(watching(Watch("missing:kind", detector)), questions("kind"))
    assert not alarms(watching(Watch("missing:kind", detector)), questions("kind", before=1.0, after=0.0))
    both = alarms(watching(Watch("missing:kind", drift.ADWIN(), direction="both")), questions("kind", before=1.0, after=0.0))
    assert [fact.direction for fact in both] == ["down"]
    assert both[0].value == 0.0


@pytest.mark.parametrize(("before", "after", "direction"), [(0.1, 1.0, "up"), (0.9, 0.2, "down")])
def test_a_watch_on_the_numbers_sees_it_too(before: float, after: float, direction: str) -> None:
    """Where it is missing its detector is shown nothing, and would be silent for ever."""
    [fact] = alarms(watching(Watch("feature:a", drift.ADWIN())), questions(before=before, after=after))
    assert (fact.signal, fact.direction, fact.value) == ("feature:a", direction, None)
    assert fact.sentence == f"a is missing {'more' if direction == 'up' else 'less'} often than before"
    assert CHANGE < fact.offset < CHANGE + 100


def test_a_rule_on_the_feature_holds_by_it() -> None:
    events = [event._replace(y=event.offset % 2 == 0) for event in questions()]
    facts = Shard(watching(Watch("feature:a", drift.ADWIN()), rules=[On.drift("feature:a", Ignore())])).process(events).facts
    assert [type(fact) for fact in facts] == [DriftDetected, Decided]


def test_with_a_watch_of_its_own_it_is_told_once() -> None:
    facts = alarms(watching(Watch("feature:a", drift.ADWIN()), Watch("missing:a", drift.ADWIN())), questions())
    assert [fact.signal for fact in facts] == ["missing:a"]


def test_of_a_category_no_value_is_one_more() -> None:
    assert "up" in [fact.direction for fact in alarms(watching(Watch("categories:kind", drift.ADWIN())), questions("kind"))]
    assert not alarms(watching(Watch("categories:kind", drift.ADWIN())), questions("kind", before=0.3, after=0.3))


def test_what_is_missing_as_often_as_ever_raises_nothing() -> None:
    watches = [Watch("feature:a", drift.ADWIN()), Watch("missing:a", binary.HDDMA()), Watch("missing:kind", drift.ADWIN())]
    assert not alarms(watching(*watches), questions(before=0.3, after=0.3))


@pytest.mark.parametrize("every", [1, 7])
def test_batches_and_restores_change_nothing(every: int) -> None:
    spec = watching(Watch("feature:a", drift.ADWIN(), every=every), Watch("missing:kind", binary.HDDMA()))
    events = questions(before=0.2, after=0.8)
    whole, cut, facts = Shard(spec), Shard(spec), list[Any]()
    expected = whole.process(events).facts
    for start, end in itertools.pairwise([0, 1, 40, 1_499, 1_510, 1_530, 2_000, COUNT]):
        facts += cut.process(events[start:end]).facts
        cut = restored(spec, cut)
    assert expected
    assert facts == expected
    assert cut.digest() == whole.digest()


def test_a_state_from_before_there_was_such_a_watch_is_taken() -> None:
    spec = watching(Watch("feature:a", drift.ADWIN()))
    saved = Watches(spec).snapshot()
    saved["watches"] = [{**{key: kept for key, kept in each.items() if key != "missing"}, "schema": 1} for each in saved["watches"]]
    watches, told = Watches(spec, saved), list[Any]()
    for event in questions():
        told += watches.notice(event.offset, event.time_s, event.x or {}, (None, None), 0)
    assert [fact.direction for fact in told] == ["up"]


def test_a_feature_that_cannot_be_missing_is_not_watched_for_it() -> None:
    with pytest.raises(PipelineError, match=r"'b' is never missing, because a record without it is refused; declare it `float \| None`"):
        watching(Watch("missing:b", drift.ADWIN()))
    with pytest.raises(PipelineError, match="the schema has no feature 'c'"):
        watching(Watch("missing:c", drift.ADWIN()))


@pytest.mark.parametrize("detector", [drift.ADWIN(), drift.PageHinkley(threshold=20)])
def test_the_share_of_what_is_missing_is_a_signal_of_its_own(detector: Any) -> None:
    [first, *_] = alarms(watching(Watch("missing", detector)), questions())
    assert (first.signal, first.direction) == ("missing", "up")
    assert first.value in (0.0, 0.5), "of two features that may be missing, one is or none"
    assert CHANGE < first.offset < CHANGE + 500
    assert first.sentence == f"{type(detector).__name__} detected that more of the features are missing"
    assert not alarms(watching(Watch("missing", detector)), questions(before=1.0, after=0.0)), "less of it is asked for by a direction"


def test_it_goes_on_where_another_model_serves() -> None:
    spec = watching(Watch("missing", drift.ADWIN()), rules=[On(Every(events=500), Reset())])
    events = [event._replace(y=event.offset % 2 == 0) for event in questions()]
    facts = Shard(spec).process(events).facts
    assert len(of(ModelReset, facts)) == 6
    [found] = of(DriftDetected, facts)
    assert CHANGE < found.offset < CHANGE + 500


def test_a_schema_in_which_nothing_can_be_missing_has_no_such_signal() -> None:
    with pytest.raises(PipelineError, match="no feature of the schema can be missing"):
        streams.pipeline(watch=[Watch("missing", drift.ADWIN())], react=[])


class NoNumber(dummy.StatisticRegressor):  # type: ignore[misc]
    def predict_one(self, x: dict[Any, Any]) -> Any:
        return float("nan") if x["a"] > 2.0 else super().predict_one(x)


class TestPredictions:
    """The signal needs no label: a model that answers otherwise than before is seen while the labels are still to come."""

    def spec(self, **changes: Any) -> Pipeline:
        return streams.pipeline(watch=[Watch("prediction", drift.ADWIN())], react=changes.pop("react", []), **changes)

    def log(self) -> list[Event]:
        """1,000 events with their labels, 1,000 questions like them, and 1,000 in which a feature is another; no label any more."""
        pairs = streams.rows(COUNT)
        shifted = [
            (x if number < 2_000 else {**x, "a": x["a"] + 2.0}, y if number < 1_000 else None) for number, (x, y) in enumerate(pairs)
        ]
        return streams.events(shifted)

    def test_are_watched_when_the_question_is_asked(self) -> None:
        [first, *_] = alarms(self.spec(), self.log())
        assert (first.signal, first.direction) == ("prediction", "up")
        assert 2_000 < first.offset < 2_200
        assert not alarms(self.spec(), self.log()[:2_000])

    def test_rules_are_asked_about_it_at_the_next_label(self) -> None:
        spec, log = self.spec(react=[On.drift("prediction", Ignore())]), self.log()
        outcome = Shard(spec).process([*log, Event(COUNT, "e2999", float(COUNT), None, True)])
        assert [fact.offset for fact in of(Decided, outcome.facts)] == [COUNT]

    def test_batches_and_restores_change_nothing(self) -> None:
        spec, log = self.spec(), self.log()
        whole, cut, facts = Shard(spec), Shard(spec), list[Any]()
        expected = whole.process(log).facts
        for start, end in itertools.pairwise([0, 7, 1_500, 2_031, COUNT]):
            facts += cut.process(log[start:end]).facts
            cut = restored(spec, cut)
        assert facts == expected
        assert cut.digest() == whole.digest()

    def test_failed_ones_are_passed_over(self) -> None:
        spec = streams.pipeline(task="regression", model=NoNumber(stats.Mean()), watch=[Watch("prediction", drift.ADWIN())], react=[])
        outcome = Shard(spec).process([Event(0, "q", 0.0, {"a": 9.0, "b": 0.0, "c": 0.0}, None)])
        assert [type(fact) for fact in outcome.facts] == [PredictionFailed]

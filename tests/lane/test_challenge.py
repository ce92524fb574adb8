"""The reaction `Challenge`, as the shard carries it out: nothing is replaced without evidence, and what is shown to be better serves."""

from __future__ import annotations

from typing import Any

import pytest
from river import base, drift, tree

from stream_retrain import Challenge, Drift, Every, Evidence, On, Pipeline, PipelineError, Reset, Shard, Watch
from stream_retrain.facts.shard import ContestantFailed, Decided, DuelEnded, DuelStarted, LeadChanged, ModelReset
from stream_retrain.facts.values import Event
from tests.core import streams
from tests.lane.support import of

OWN = Challenge(challengers=("fresh", "since_change"))
TREE = tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1)


def challenged(**changes: Any) -> Pipeline:
    return streams.pipeline(**{"model": TREE, "react": [On.drift("error", OWN)], **changes})


def test_after_a_drift_a_better_challenger_serves_and_is_promoted() -> None:
    pairs = streams.rows(8_000, flip_at=4_000)
    shard = Shard(challenged(rolling_events=3_000))
    outcome = shard.process(streams.events(pairs))
    [started], [ended] = of(DuelStarted, outcome.facts), of(DuelEnded, outcome.facts)
    leads = of(LeadChanged, outcome.facts)
    assert started.contestants == ("champion", "fresh", "since_change")
    assert 4_000 <= started.offset < 4_100
    fresh, since_change = started.trained_on[1:]
    assert fresh == 0
    assert abs(since_change - (started.offset - 4_000)) < 15, "trained on the new concept's events, and hardly any other"
    assert of(Decided, outcome.facts)[0].outcome == "done"
    assert leads[0].before == "champion"
    assert leads[0].cause == "evidence"
    assert (ended.result, ended.winner) == ("promoted", leads[-1].now)
    assert shard.generation == len(leads) == ended.generation
    assert outcome.predicted[leads[0].offset].generation == 0
    assert outcome.predicted[leads[0].offset + 1].generation == 1
    without = Shard(challenged(react=[], rolling_events=3_000))
    without.process(streams.events(pairs))
    assert shard.observe().rolling["Accuracy"] > without.observe().rolling["Accuracy"] + 0.02


def test_a_false_alarm_replaces_nothing() -> None:
    """A detector on a feature fires; the concept is as it was, so no challenger can show that it is better."""
    pairs = [({**x, "c": x["c"] + (5.0 if number >= 2_000 else 0.0)}, y) for number, (x, y) in enumerate(streams.rows(5_000))]
    rule = On.drift("feature:c", Challenge(evidence=Evidence(events_max=800)))
    shard = Shard(challenged(watch=[Watch("feature:c", drift.ADWIN())], react=[rule]))
    outcome = shard.process(streams.events(pairs))
    assert of(DuelStarted, outcome.facts)
    assert not of(LeadChanged, outcome.facts)
    assert of(DuelEnded, outcome.facts)[0].result in ("kept", "undecided")
    assert shard.generation == 0


def test_a_drift_during_a_duel_restarts_nothing_and_resets_nothing() -> None:
    watch = [Watch("error", drift.ADWIN()), Watch("feature:a", drift.ADWIN())]
    pairs = [
        ({**x, "a": x["a"] + 4.0 * (number // 200 % 2 if number > 2_000 else 0)}, y)
        for number, (x, y) in enumerate(streams.rows(4_000, flip_at=2_000))
    ]
    rules = [On.drift("error", Challenge()), On.drift("feature:a", Reset())]
    outcome = Shard(challenged(watch=watch, react=rules)).process(streams.events(pairs))
    first = of(DuelStarted, outcome.facts)[0]
    ended = of(DuelEnded, outcome.facts)
    until = ended[0].offset if ended else 4_000
    during = [decision for decision in of(Decided, outcome.facts) if first.offset < decision.offset < until]
    assert during, "the stream must drift during the duel, or nothing is shown"
    assert {decision.outcome for decision in during} == {"in_duel"}
    assert not [reset for reset in of(ModelReset, outcome.facts) if first.offset < reset.offset < until]


def test_with_delayed_labels_votes_of_question_time_are_compared() -> None:
    pairs = streams.rows(6_000, flip_at=3_000)
    shard = Shard(challenged(rolling_events=2_000))
    outcome = shard.process(streams.questions_and_answers(pairs, 40))
    started, lead = of(DuelStarted, outcome.facts)[0], of(LeadChanged, outcome.facts)[0]
    labels_between = sum(1 for row in outcome.learned if started.offset < row.offset <= lead.offset)
    assert lead.events <= labels_between - 39, "labels of questions asked before the duel prove nothing"
    assert of(DuelEnded, outcome.facts)[0].result == "promoted"


def test_other_challengers_can_be_chosen() -> None:
    pairs = streams.rows(3_000, flip_at=2_000)
    for reaction, expected in (
        (Challenge(), ("fresh", "since_change", "additive")),
        (Challenge(challengers=("fresh",)), ("fresh",)),
    ):
        outcome = Shard(challenged(react=[On.drift("error", reaction)])).process(streams.events(pairs))
        assert of(DuelStarted, outcome.facts)[0].contestants == ("champion", *expected)


def test_regression_has_it_too() -> None:
    pairs: list[Any] = [(x, 3.0 * x["a"] + x["b"] + (0 if number < 2_000 else 12.0)) for number, (x, _) in enumerate(streams.rows(5_000))]
    model = tree.HoeffdingTreeRegressor(grace_period=50)
    pipeline = challenged(task="regression", model=model, watch=[Watch("error", drift.ADWIN())])
    outcome = Shard(pipeline).process(streams.events(pairs))
    assert of(LeadChanged, outcome.facts)
    assert of(DuelEnded, outcome.facts)[0].result == "promoted"


class Fragile(base.Classifier):
    """Predicts the last label, and breaks once it is old."""

    def __init__(self) -> None:
        self.last: Any = None
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.learned += 1
        if self.learned > 1_500:
            raise OverflowError(f"worn out by {len(x)} features")
        self.last = y

    def predict_one(self, x: dict[Any, Any], **_: Any) -> Any:
        return bool(x["a"] > 0) if self.learned < 1_000 else self.last


def test_a_champion_that_breaks_in_a_duel_gives_its_place_away() -> None:
    pairs = streams.rows(2_200, flip_at=1_200)
    outcome = Shard(challenged(model=Fragile())).process(streams.events(pairs))
    failed = of(ContestantFailed, outcome.facts)
    assert [fact.name for fact in failed][:1] == ["champion"]
    assert any(lead.cause == "failure" or lead.cause == "evidence" for lead in of(LeadChanged, outcome.facts))


def test_faults_are_listed() -> None:
    with pytest.raises(PipelineError) as caught:
        challenged(react=[On.drift("error", Challenge(challengers=("fresh", "old"), evidence=Evidence(alpha=2.0)))])
    assert any("alpha is 2.0" in fault for fault in caught.value.faults)
    assert any("challengers 'old': use 'fresh'" in fault for fault in caught.value.faults)


def test_an_event_of_a_duel_is_rejected_if_everyone_raises() -> None:
    pairs = streams.rows(2_000, flip_at=1_000)
    log = streams.events(pairs)
    shard = Shard(challenged())
    first = shard.process(log[:1_100])
    assert of(DuelStarted, first.facts)
    broken = Event(1_100, "bad", 1_100.0, {"a": "text", "b": 1.0, "c": 1.0}, True)
    outcome = shard.process([broken, *[event._replace(offset=event.offset + 1) for event in log[1_100:1_200]]])
    assert len(outcome.learned) >= 100


def test_the_cool_down_counts_from_the_end_of_the_duel() -> None:
    def outcomes(cooldown_events: int) -> list[str]:
        rule = On.any_of(
            Every(events=1_000), Drift("error"), do=Challenge(evidence=Evidence(events_max=900)), cooldown_events=cooldown_events
        )
        facts = Shard(challenged(react=[rule])).process(streams.events(streams.rows(3_100))).facts
        return [fact.outcome for fact in of(Decided, facts)]

    assert outcomes(0) == ["done", "done", "done"]
    assert outcomes(150) == ["done", "cooldown", "done"]

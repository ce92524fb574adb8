"""Rare classes as the shard meets them: what the recommended rules do, by which loss a duel goes, and which training replaces which."""

from __future__ import annotations

import random
from typing import Any

import pytest
from river import imblearn, linear_model, metrics, preprocessing, tree

from stream_retrain import Challenge, Challenger, Evidence, On, Pipeline, Reset, Retrain, Shard, Window, watch_and_react
from stream_retrain.core.contest.inputs import Trained
from stream_retrain.facts.shard import ChallengerJoined, ChallengerWaits, Decided, DriftDetected, DuelEnded, DuelStarted, LeadChanged
from stream_retrain.facts.values import Event
from tests.core import streams
from tests.lane.support import of, restored, succession, wanted

SCALED = preprocessing.StandardScaler() | linear_model.LogisticRegression()


def rare(count: int, turns_at: int, *, positives: float = 0.05, seed: int = 1) -> list[tuple[dict[str, float], bool]]:
    """Positives that stand out in one feature, and from `turns_at` on in another."""
    rng = random.Random(seed)
    made = []
    for number in range(count):
        y = rng.random() < positives
        x = {name: rng.gauss(0, 1) for name in streams.FEATURES}
        x["a" if number < turns_at else "b"] += 2.5 if y else 0.0
        made.append((x, y))
    return made


@pytest.mark.slow
def test_the_recommended_rules_find_a_rare_class_again() -> None:
    pairs = rare(14_000, 7_000)
    declared = streams.pipeline(model=tree.HoeffdingTreeClassifier(), metrics=[metrics.ROCAUC()], rolling_events=4_000, **recommended())
    shard, without = Shard(declared), Shard(streams.pipeline(model=tree.HoeffdingTreeClassifier(), metrics=[metrics.ROCAUC()], **QUIET))
    outcome = shard.process(streams.events(pairs))
    without.process(streams.events(pairs))
    [first, *_] = of(DriftDetected, outcome.facts)
    assert (first.signal, first.direction) == ("rank", "down")
    assert 7_000 < first.offset < 8_000
    [lead, *_] = of(LeadChanged, outcome.facts)
    assert lead.loss == "log"
    assert shard.observe().rolling["ROCAUC"] > without.observe().rolling["ROCAUC"] + 0.05


def recommended() -> dict[str, Any]:
    return watch_and_react("binary")


QUIET: dict[str, Any] = {"watch": [], "react": [], "rolling_events": 4_000}


def test_on_a_rare_class_that_does_not_change_nothing_happens() -> None:
    outcome = Shard(streams.pipeline(model=tree.HoeffdingTreeClassifier(), **recommended())).process(streams.events(rare(12_000, 10**9)))
    assert not outcome.facts


def found(costs: Any) -> tuple[float, list[LeadChanged]]:
    """The recall of a champion that was made to find positives, after its duel with one that predicts their probability better."""
    rng = random.Random(5)
    pairs = [({"a": rng.gauss(1.6 if y else 0.0, 1.0), "b": 0.0, "c": 0.0}, y) for y in (rng.random() < 0.03 for _ in range(9_000))]
    champion = preprocessing.StandardScaler() | imblearn.RandomUnderSampler(
        linear_model.LogisticRegression(), desired_dist={False: 0.5, True: 0.5}, seed=1
    )
    reaction = Challenge(challengers=(Challenger(name="plain", model=SCALED),), rematch=False, evidence=Evidence(loss=costs))
    shard = Shard(streams.pipeline(model=champion, watch=[], react=[On.every(events=3_000, do=reaction)]))
    outcome = shard.process(streams.events(pairs))
    said = [bool(each.prediction) for each in outcome.predicted[5_000:] if pairs[each.offset][1]]
    return sum(said) / len(said), of(LeadChanged, outcome.facts)


def test_what_errors_cost_decides_where_the_author_says_so() -> None:
    recall, leads = found({(True, False): 1.0, (False, True): 0.03})
    assert recall > 0.5
    assert not leads
    recall, leads = found("log")
    assert recall < 0.5, "the better probabilities, cut at a half, find fewer of the rare ones: the threshold is the reader's"
    assert leads[0].loss == "log"


RETRAINED = Retrain(window=Window(rows=5_000), evidence=Evidence(events_max=3_000))


def nightly(**changes: Any) -> Pipeline:
    return streams.pipeline(watch=[], **{"react": [On.every(events=900, do=RETRAINED)], **changes})


def log(count: int) -> list[Event]:
    return streams.events(streams.rows(count))


def given(shard: Shard, model: Any) -> Trained:
    asked = wanted(shard)
    assert asked is not None
    return Trained(training=asked.training.number, model=model, lessons=10, learned_through=0)


def hopeless() -> Any:
    """It has learned the opposite, and goes on from there."""
    model = SCALED.clone()
    for x, y in streams.rows(300, flip_at=0):
        model.learn_one(x, y)
    return model


def test_a_new_training_replaces_a_challenger_of_which_nothing_was_shown() -> None:
    events = log(4_000)
    shard = Shard(nightly())
    shard.process(events[:1_000])
    shard.receive(given(shard, hopeless()))
    facts = shard.process(events[1_000:2_000]).facts
    assert [fact.outcome for fact in of(Decided, facts)] == ["done"], "the next night"
    shard = restored(nightly(), shard)
    shard.receive(given(shard, hopeless()))
    facts = shard.process(events[2_000:2_100]).facts
    assert [type(fact) for fact in facts] == [DuelEnded, DuelStarted, ChallengerJoined]
    [ended], [started], [joined] = of(DuelEnded, facts), of(DuelStarted, facts), of(ChallengerJoined, facts)
    assert (ended.duel, ended.winner, started.duel, joined.duel) == (0, "champion", 1, 1)
    assert started.contestants == ("champion", "retrained")
    assert shard.generation == 0
    assert ended.offset == started.offset == 2_000


def test_a_challenger_in_whose_favour_something_was_shown_stays_and_the_rule_says_so() -> None:
    events = streams.events(streams.rows(2_000, flip_at=960))
    shard = Shard(nightly(react=[On.every(events=900, do=Retrain(window=Window(rows=5_000), evidence=Evidence(alpha=1e-60)))]))
    shard.process(events[:950])
    shard.receive(given(shard, hopeless()))
    facts = shard.process(events[950:1_900]).facts
    assert [fact.outcome for fact in of(Decided, facts)] == ["in_duel"]


def test_one_that_comes_when_something_was_shown_waits_and_learns() -> None:
    events = streams.events(streams.rows(3_000, flip_at=1_850))
    shard = Shard(nightly(react=[On.every(events=900, do=Retrain(window=Window(rows=5_000), evidence=Evidence(alpha=1e-60)))]))
    shard.process(events[:1_000])
    shard.receive(given(shard, hopeless()))
    assert [fact.outcome for fact in of(Decided, shard.process(events[1_000:1_840]).facts)] == ["done"]
    shard.process(events[1_840:1_950])
    shard.receive(given(shard, SCALED.clone()))
    facts = shard.process(events[1_950:2_003]).facts
    assert [type(fact) for fact in facts] == [ChallengerWaits, DuelEnded, DuelStarted, ChallengerJoined], (
        "the old duel ends in its time, and the newer enters"
    )
    assert (facts[0].offset, facts[0].training) == (1_950, 1), "it says when it came, though nobody sees it yet"
    assert of(ChallengerJoined, facts)[0].offset == of(DuelEnded, facts)[0].offset == 1_999


def test_a_challenge_with_models_of_its_own_is_not_restarted() -> None:
    rule = On.every(events=900, do=Challenge(evidence=Evidence(events_max=5_000, alpha=1e-9)))
    facts = Shard(nightly(react=[rule])).process(log(4_000)).facts
    assert [fact.outcome for fact in of(Decided, facts)] == ["done", "in_duel", "in_duel", "in_duel"]


def test_the_same_model_again_is_no_challenger() -> None:
    events = log(3_000)
    shard = Shard(nightly())
    shard.process(events[:1_000])
    twin = SCALED.clone()
    for event in events[:1_000]:
        twin.learn_one(event.x, event.y)
    shard.receive(given(shard, twin))
    facts = shard.process(events[1_000:1_200]).facts
    [ended] = of(DuelEnded, facts)
    assert (ended.result, ended.events) == ("kept", 100)
    assert succession(shard)["duel"] is None


@pytest.mark.parametrize("reaction", [Reset(), Challenge()])
def test_with_no_probabilities_the_rank_is_silent_and_nothing_breaks(reaction: Any) -> None:
    from river import ensemble

    voting = ensemble.VotingClassifier([SCALED.clone(), SCALED.clone()], use_probabilities=False)
    declared = streams.pipeline(model=voting, **{**recommended(), "react": [On.drift(signal, reaction) for signal in ("rank", "error")]})
    outcome = Shard(declared).process(streams.events(streams.rows(3_000, flip_at=1_500)))
    assert {fact.signal for fact in of(DriftDetected, outcome.facts)} == {"error"}
    assert {fact.loss for fact in of(DuelStarted, outcome.facts)} <= {"miss"}
    assert len(outcome.predicted) == 3_000

"""Where a model of another family has won, the best of the pipeline's own goes on racing it, and holds nothing up."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from river import base

from stream_retrain import Challenge, Every, Evidence, On, Reset, Retrain, Shard, Window
from stream_retrain.core.contest.inputs import Trained
from stream_retrain.facts.shard import ChallengerJoined, Decided, DuelEnded, DuelStarted, LeadChanged, ModelReset
from stream_retrain.facts.values import Event
from tests.core import streams
from tests.lane.support import of, succession, wanted

NEVER = 100_000
DUEL_EVENTS = 300


class Late(base.Classifier):
    """Knows the concept once it has learned `after` events, and says no until then."""

    def __init__(self, after: int = 2_000) -> None:
        self.after = after
        self.learned = 0

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:  # noqa: ARG002 - River's signature
        self.learned += 1

    def predict_one(self, x: dict[Any, Any], **_: Any) -> Any:
        return self.learned >= self.after and x["a"] > 0


class Rough(base.Classifier):
    """Knows most of it at once, and never learns the rest."""

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        pass

    def predict_one(self, x: dict[Any, Any], **_: Any) -> Any:
        return (x["a"] > 0) != (x["b"] > 0.7)


def log(count: int = 4_000) -> list[Event]:
    return streams.events([(x, x["a"] > 0) for x, _ in streams.rows(count)])


def challenge(**changes: Any) -> Challenge:
    return Challenge(**{"challengers": ["fresh", Rough()], "evidence": Evidence(events_max=DUEL_EVENTS), **changes})


def once(do: Any, at: int = 900) -> On:
    return On(Every(events=at), do, cooldown_events=NEVER)


def shard_with(*rules: On) -> Shard:
    return Shard(streams.pipeline(model=Late(), watch=[], react=rules))


def test_the_own_model_wins_its_place_back_once_it_is_the_better_one() -> None:
    shard = shard_with(once(challenge()))
    facts = shard.process(log()).facts
    first, rematch = of(DuelStarted, facts)
    lost, won = of(DuelEnded, facts)
    assert (lost.result, lost.winner, lost.offset) == ("promoted", "another", first.offset + DUEL_EVENTS)
    assert (rematch.offset, rematch.duel, rematch.contestants, rematch.cause) == (lost.offset, 1, ("champion", "rival"), "rematch")
    back = of(LeadChanged, facts)[1]
    assert (back.now, back.duel) == ("rival", 1)
    assert 2_000 < back.offset < 2_100, "it was the champion, so it knows the concept after 2,000 events"
    assert (won.result, won.winner) == ("promoted", "rival")
    assert won.offset == back.offset + DUEL_EVENTS, "from there it is a duel like any other"
    assert shard.generation == 2
    assert shard.observe().duel is None
    assert isinstance(succession(shard)["champion"], Late)


def test_it_can_be_left_out() -> None:
    facts = shard_with(once(challenge(rematch=False))).process(log()).facts
    assert [ended.winner for ended in of(DuelEnded, facts)] == ["another"]
    assert len(of(DuelStarted, facts)) == 1


def test_between_models_of_one_family_there_is_none() -> None:
    shard = Shard(streams.pipeline(model=Late(after=3_000), watch=[], react=[once(Challenge(challengers=["fresh"]))]))
    facts = shard.process(log()).facts
    assert len(of(DuelStarted, facts)) == 1


def test_a_rematch_gives_way_to_the_next_challenge_which_takes_its_rival_over() -> None:
    shard = shard_with(On.every(events=900, do=challenge()))
    facts = shard.process(log(1_801)).facts
    assert [fact.outcome for fact in of(Decided, facts)] == ["done", "done"]
    assert of(DuelEnded, facts)[1].offset == 1_799
    assert of(DuelStarted, facts)[2].contestants == ("champion", "fresh", "rival")
    assert of(DuelStarted, facts)[2].offset == 1_799
    facts = shard.process(log()[1_801:2_300]).facts
    assert of(LeadChanged, facts)[0].now == "rival"


def test_a_reset_ends_it() -> None:
    shard = shard_with(once(challenge()), On(Every(events=1_500), Reset(), cooldown_events=NEVER))
    facts = shard.process(log(1_600)).facts
    [reset] = of(ModelReset, facts)
    assert reset.offset == of(DuelEnded, facts)[1].offset == 1_499
    assert shard.observe().duel is None
    assert succession(shard)["champion"].learned == 100


def test_what_the_trainer_trained_races_both() -> None:
    shard = shard_with(once(challenge()), once(Retrain(window=Window(rows=5_000)), at=1_000))
    events = log()
    shard.process(events[:1_050])
    assert wanted(shard) is None, "nothing is asked for while a duel lasts"
    shard = shard_with(once(challenge()), once(Retrain(window=Window(rows=5_000)), at=1_300))
    shard.process(events[:1_400])
    assert wanted(shard) is not None
    assert shard.observe().duel.number == 1, "the rematch goes on meanwhile"
    shard.receive(Trained(training=0, model=Late(after=0), lessons=1_000, learned_through=1_399))
    facts = shard.process(events[1_400:1_401]).facts
    assert of(DuelStarted, facts)[0].contestants == ("champion", "retrained", "rival")
    assert of(ChallengerJoined, facts)[0].duel == of(DuelStarted, facts)[0].duel == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "duels"),
    [(once(challenge()), 2), (On.every(events=900, do=challenge()), 3), (On.every(events=900, do=challenge(rematch=False)), 2)],
    ids=["a rematch", "a rematch that gives way", "no rematch"],
)
def test_restores_and_batches_change_nothing(rule: On, duels: int) -> None:
    """It is restored before every event: in the rematch, and before the challenge that leaves out the champion's own family."""
    events = log(2_300)
    whole = shard_with(rule)
    expected = whole.process(events).facts
    cut, facts = shard_with(rule), list[Any]()
    for event in events:
        cut = Shard(cut._pipeline, pickle.loads(pickle.dumps(cut.snapshot())))
        facts += cut.process([event]).facts
    assert facts == expected
    assert len(of(DuelStarted, facts)) == duels
    assert cut.digest() == whole.digest()

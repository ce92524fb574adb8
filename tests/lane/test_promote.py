"""What somebody asks of a shard: another champion at once, whatever goes on, as a function of the log and the recorded inputs."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
from river import linear_model, preprocessing, tree

from stream_retrain import Challenge, Evidence, On, Reset, Retrain, Shard, Window
from stream_retrain.core.contest.inputs import Input, Promote, Refused, Request, Trained
from stream_retrain.core.contest.inputs import Reset as AskedReset
from stream_retrain.core.contest.training import train
from stream_retrain.core.digest import digest
from stream_retrain.facts.shard import (
    ChallengerJoined,
    ChallengerWaits,
    Decided,
    DuelEnded,
    DuelStarted,
    LeadChanged,
    ModelPromoted,
    ModelReset,
    RequestRefused,
    ShardFact,
)
from stream_retrain.facts.values import Event, Learned
from tests.core import streams
from tests.lane.support import of, wanted

RACE = Challenge(evidence=Evidence(events_max=3_000))
TRAIN = Retrain(window=Window(rows=5_000))


def shard_with(*react: On, **changes: Any) -> Shard:
    return Shard(streams.pipeline(**{"watch": [], "react": list(react), **changes}))


def log(count: int = 3_000, flip_at: int | None = None) -> list[Event]:
    return streams.events(streams.rows(count, flip_at=flip_at))


def model_of(events: list[Event]) -> Any:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    train(model, [Learned(event.offset, event.time_s, event.x or {}, event.y or False, None) for event in events])
    return model


def promote(model: Any, token: str = "t", **changes: Any) -> Promote:
    told: dict[str, Any] = {"version": "0-g7", "how": "promote", "family": "", "reason": "it was better", "by": "cli:ann", **changes}
    return Promote(model=model, digest=digest(model), token=token, **told)


RESET = AskedReset(reason="it is odd", token="r", by="http:10.0.0.1")


def test_a_version_serves_from_the_next_event_as_a_new_generation() -> None:
    events = log()
    shard = shard_with()
    shard.process(events[:500])
    model = model_of(events[500:900])
    x = events[500].x or {}
    said = model.predict_proba_one(x)[True]
    shard.receive(promote(model))
    assert (shard.generation, shard.inputs_wait) == (0, True), "nothing happens before the next event"
    outcome = shard.process(events[500:510])
    assert outcome.facts == [
        ModelPromoted(
            offset=500,
            time_s=500.0,
            generation=1,
            version="0-g7",
            how="promote",
            family="",
            digest=digest(model_of(events[500:900])),
            reason="it was better",
            token="t",
            by="cli:ann",
        )
    ]
    assert (outcome.predicted[0].probability, outcome.predicted[0].generation) == (said, 1)
    assert {predicted.generation for predicted in outcome.predicted} == {1}
    assert not shard.inputs_wait


def test_a_reset_begins_afresh_and_says_who_asked() -> None:
    shard = shard_with(On.request(Reset()))
    shard.process(log()[:500])
    shard.receive(RESET)
    outcome = shard.process(log()[500:502])
    told = {"cause": "request", "reason": "it is odd", "by": "http:10.0.0.1", "token": "r"}
    assert outcome.facts == [ModelReset(offset=500, time_s=500.0, generation=1, **told)]
    fresh = shard_with()
    assert outcome.predicted[0].probability == fresh.process(log()[500:501]).predicted[0].probability


def test_what_cannot_be_done_changes_nothing_and_is_told() -> None:
    shard, same = shard_with(), shard_with()
    shard.process(log()[:100])
    same.process(log()[:100])
    shard.receive(Refused(do="promote", detail="there is none", reason="why", token="t", by="cli:ann"))
    told = {"do": "promote", "token": "t", "detail": "there is none", "reason": "why", "by": "cli:ann"}
    one, other = shard.process(log()[100:300]), same.process(log()[100:300])
    assert one.facts == [RequestRefused(offset=100, time_s=100.0, **told)]
    assert one.predicted == other.predicted
    assert list(shard.requests_taken) == ["t"]


@pytest.mark.parametrize("given", [lambda: promote(model_of(log()[:50])), lambda: RESET])
def test_a_token_is_taken_once_also_after_a_restart(given: Any) -> None:
    shard = shard_with()
    shard.process(log()[:100])
    shard.receive(given())
    shard.receive(given())
    shard = Shard(streams.pipeline(watch=[], react=[]), pickle.loads(pickle.dumps(shard.snapshot())))
    shard.receive(given())
    assert len(shard.process(log()[100:200]).facts) == 1
    shard.receive(given())
    assert shard.process(log()[200:300]).facts == []
    assert shard.generation == 1


def test_two_at_once_take_effect_in_the_order_in_which_they_came() -> None:
    shard = shard_with()
    shard.process(log()[:100])
    for given in (promote(model_of(log()[:50]), "a"), RESET, promote(model_of(log()[:60]), "b", version="0-g3", how="rollback")):
        shard.receive(given)
    facts = shard.process(log()[100:200]).facts
    assert [(fact.kind, getattr(fact, "generation", None)) for fact in facts] == [
        ("model.promoted", 1),
        ("model.reset", 2),
        ("model.promoted", 3),
    ]


@pytest.mark.parametrize("given", [lambda: promote(model_of(log()[:400])), lambda: RESET])
def test_a_duel_under_way_is_superseded_and_its_rule_cools_down(given: Any) -> None:
    shard = shard_with(On(On.every(events=300, do=RACE).trigger, RACE, cooldown_events=500))
    shard.process(log()[:400])
    assert shard.duel is not None
    shard.receive(given())
    facts = shard.process(log()[400:1_100]).facts
    [ended] = of(DuelEnded, facts)
    assert (ended.offset, ended.result, ended.winner, ended.held_by) == (400, "superseded", "", None)
    assert facts[0] is ended
    assert facts[1].kind in ("model.promoted", "model.reset")
    assert (ended.generation, facts[1].generation) == (0, 1)  # type: ignore[union-attr]
    assert [fact.outcome for fact in of(Decided, facts) if fact.offset < 899] == ["cooldown"]
    assert of(DuelStarted, facts)[0].contestants[0] == "champion"
    assert [fact.offset for fact in of(DuelStarted, facts)] == [899]


def test_the_promoted_is_the_champion_whoever_led_the_duel() -> None:
    events = log(4_000, flip_at=800)
    quick = tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1)
    race = Challenge(evidence=Evidence(events_max=3_000))
    shard = shard_with(On.every(events=900, do=race), model=quick)
    seen = 0
    while not of(LeadChanged, shard.process(events[seen : seen + 50]).facts):
        seen += 50
    before = shard.generation
    shard.receive(promote(quick.clone()))
    [ended, promoted] = shard.process(events[seen + 50 : seen + 51]).facts
    assert isinstance(ended, DuelEnded)
    assert isinstance(promoted, ModelPromoted)
    assert (ended.result, promoted.generation) == ("superseded", before + 1)
    assert shard.duel is None


def trained(shard: Shard, events: list[Event], through: int) -> Trained:
    asked = wanted(shard)
    assert asked is not None
    return Trained(training=asked.training.number, model=model_of(events[:through]), lessons=through, learned_through=through - 1)


def test_a_training_goes_on_and_its_challenger_races_the_promoted() -> None:
    events = log()
    shard = shard_with(On.every(events=300, do=TRAIN))
    shard.process(events[:400])
    shard.receive(promote(model_of(events[:300])))
    shard.process(events[400:450])
    assert wanted(shard) is not None
    shard.receive(trained(shard, events, 450))
    facts = shard.process(events[450:460]).facts
    assert [fact.generation for fact in of(ChallengerJoined, facts)] == [1]
    assert of(DuelStarted, facts)[0].contestants == ("champion", "retrained")


def test_who_waits_for_the_end_of_a_duel_races_the_promoted() -> None:
    events = log()
    shard = shard_with(On.every(events=300, do=TRAIN), On.every(events=350, do=RACE))
    shard.process(events[:400])
    assert shard.duel is not None
    shard.receive(trained(shard, events, 400))
    assert of(ChallengerWaits, shard.process(events[400:410]).facts)
    shard.receive(promote(model_of(events[:300])))
    facts = shard.process(events[410:411]).facts
    assert [fact.kind for fact in facts] == ["duel.ended", "model.promoted", "duel.started", "training.joined"]
    assert of(DuelStarted, facts)[0].contestants == ("champion", "retrained")


def test_a_version_of_another_family_keeps_it() -> None:
    """A reset, or the pipeline's own rematch, must know that it is not the pipeline's model."""
    shard = shard_with(On.every(events=300, do=RACE))
    shard.process(log()[:100])
    shard.receive(promote(model_of(log()[:90]), family="additive"))
    shard.process(log()[100:200])
    assert shard.snapshot()["reactions"]["succession"]["family"] == "additive"
    shard.receive(RESET)
    shard.process(log()[200:201])
    assert shard.snapshot()["reactions"]["succession"]["family"] == ""


INPUTS: list[tuple[int, Any]] = [
    (250, lambda: promote(model_of(log()[:200]), "a")),
    (520, lambda: RESET),
    (700, lambda: Refused(do="rollback", detail="none", reason="", token="c")),
    (701, lambda: promote(model_of(log()[:600]), "d", how="rollback")),
]


def run(cuts: list[int]) -> tuple[list[ShardFact], str]:
    """The facts and the state, where the log is cut at these places and the shard is saved and restored at each."""
    pipeline = streams.pipeline(watch=[], react=[On.every(events=240, do=RACE)])
    shard, facts = Shard(pipeline), []
    places = sorted({0, *cuts, *(offset for offset, _ in INPUTS), 1_000})
    for first, last in itertools.pairwise(places):
        if first in cuts:
            shard = Shard(pipeline, pickle.loads(pickle.dumps(shard.snapshot())))
        given: list[Input] = [make() for offset, make in INPUTS if offset == first]
        for each in given:
            shard.receive(each)
        if first in cuts:
            shard = Shard(pipeline, pickle.loads(pickle.dumps(shard.snapshot())))
        facts += shard.process(log(flip_at=300)[first:last]).facts
    return facts, shard.digest()


def test_the_state_is_a_function_of_the_log_and_the_inputs_wherever_it_is_cut() -> None:
    whole = run([])
    assert {fact.kind for fact in whole[0]} >= {"model.promoted", "model.reset", "request.refused", "duel.ended"}
    assert run([250, 400, 520, 700, 701, 702]) == whole
    assert run(list(range(0, 1_000, 97))) == whole


def test_a_request_of_an_earlier_release_is_read() -> None:
    old = Request.__new__(Request)
    old.__setstate__(["why", "t"])
    assert old == Request(reason="why", token="t")
    new = Request(reason="why", token="t", by="schedule", rule=3)
    assert pickle.loads(pickle.dumps(new)) == new

"""A warm start takes the model that serves, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from river import linear_model, preprocessing

from stream_retrain import Challenge, On
from stream_retrain.core.digest import digest
from stream_retrain.errors import StateError
from stream_retrain.lane.shard import Shard
from stream_retrain.lane.warm import WarmModel, served_in, state_with
from tests.core import streams

PIPELINE = streams.pipeline()
ROWS = streams.rows(600)


def learned(shard: Shard) -> Shard:
    shard.process(streams.events(ROWS))
    return shard


def test_the_new_shard_answers_as_the_old_one_would_and_has_had_nothing() -> None:
    old, fresh = learned(Shard(PIPELINE)), Shard(PIPELINE)
    before = served_in(old.snapshot())
    new = Shard(PIPELINE, copy.deepcopy(state_with(PIPELINE, before)))
    assert (new.events_seen, new.questions_seen, new.waiting, new.generation) == (0, 0, 0, 0)
    assert digest(served_in(new.snapshot()).model) == digest(before.model)
    question = streams.events(streams.rows(1, seed=9))
    ours, theirs, untrained = (shard.process(question).predicted[0] for shard in (new, old, fresh))
    assert ours.probability == theirs.probability != untrained.probability


def test_everything_but_the_champion_is_that_of_a_fresh_shard() -> None:
    warm = served_in(learned(Shard(PIPELINE)).snapshot())
    state, fresh = state_with(PIPELINE, warm), Shard(PIPELINE).snapshot()
    assert digest({**state, "reactions": None}) == digest({**fresh, "reactions": None})
    ours, theirs = state["reactions"], fresh["reactions"]
    assert {name for name in theirs if digest(ours[name]) != digest(theirs[name])} == {"succession"}
    changed = {name for name, value in theirs["succession"].items() if digest(ours["succession"][name]) != digest(value)}
    assert changed == {"champion"}


def test_in_a_duel_it_is_who_leads() -> None:
    pipeline = streams.pipeline(react=[On.request(Challenge())])
    shard = learned(Shard(pipeline))
    saved: dict[str, Any] = shard.snapshot()
    leader = preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.1)
    duel = {"contestants": [("champion", object(), ""), ("additive", leader, "additive")], "test": {"served": 1}}
    succession = {**saved["reactions"]["succession"], "duel": duel}
    led = {**saved, "reactions": {**saved["reactions"], "succession": succession}}
    assert served_in(led) == WarmModel(leader, "additive")
    assert state_with(pipeline, served_in(led))["reactions"]["succession"]["family"] == "additive"


@pytest.mark.parametrize("saved", [{}, {"reactions": {}}, {"reactions": {"succession": {"duel": {"contestants": []}}}}, {"reactions": 3}])
def test_what_is_no_state_has_no_model(saved: dict[str, Any]) -> None:
    with pytest.raises(StateError, match="no model that serves"):
        served_in(saved)

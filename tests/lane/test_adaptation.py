"""What the members of an adaptive model do is told as facts, once, whatever the batches."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
from river import preprocessing

from stream_retrain import Shard
from stream_retrain.facts.shard import LeaderChanged, LeaderWavered, MemberRestarted
from stream_retrain.models import adaptive_classifier
from tests.core import streams


def test_restarts_and_leaders_are_told() -> None:
    pipeline = streams.pipeline(model=adaptive_classifier(), watch=[], react=[])
    log = streams.events(streams.rows(3_000, flip_at=1_500))
    shard = Shard(pipeline)
    facts = shard.process(log).facts
    restarts = [fact for fact in facts if isinstance(fact, MemberRestarted)]
    leaders = [fact for fact in facts if isinstance(fact, LeaderChanged)]
    assert restarts[0].member == "forest"
    assert any(1_500 <= fact.offset < 1_700 for fact in restarts)
    assert leaders
    assert abs(sum(leaders[0].weights.values()) - 1) < 1e-9
    assert [fact.restarts for fact in restarts] == list(range(1, len(restarts) + 1))
    standing = shard.observe().members
    assert sum(standing.restarts) == len(restarts)
    assert standing.leader == leaders[-1].now


def test_members_that_take_turns_are_told_at_most_every_thousand_events_and_counted_always() -> None:
    pipeline = streams.pipeline(model=adaptive_classifier("first"), watch=[], react=[])
    facts = Shard(pipeline).process(streams.events(streams.rows(6_000, flip_at=3_000))).facts
    told = [fact.offset for fact in facts if isinstance(fact, LeaderChanged)]
    assert all(later - earlier >= 1_000 for earlier, later in itertools.pairwise(told))
    assert sum(isinstance(fact, LeaderWavered) for fact in facts) > len(told) > 1
    named = [fact for fact in facts if isinstance(fact, LeaderChanged)]
    assert [fact.before for fact in named[1:]] == [fact.now for fact in named[:-1]]


@pytest.mark.slow
def test_they_are_found_at_the_end_of_a_river_pipeline_and_told_once() -> None:
    pipeline = streams.pipeline(model=preprocessing.StandardScaler() | adaptive_classifier(), watch=[], react=[])
    log = streams.events(streams.rows(2_500, flip_at=1_200))
    whole, cut = Shard(pipeline), Shard(pipeline)
    expected = whole.process(log).facts
    facts: list[Any] = []
    for start in range(0, len(log), 61):
        facts += cut.process(log[start : start + 61]).facts
        cut = Shard(pipeline, pickle.loads(pickle.dumps(cut.snapshot())))
    assert expected
    assert facts == expected
    assert cut.digest() == whole.digest()


def test_a_plain_model_has_none() -> None:
    assert Shard(streams.pipeline()).observe().members is None

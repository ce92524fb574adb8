"""What a shard remembers of schedules, and what becomes of it where rules move."""

from __future__ import annotations

from stream_retrain import Ignore, On, Reset, Shard
from stream_retrain.core.contest.inputs import Request
from stream_retrain.facts.request import due_in, due_token
from stream_retrain.lane.change import adapted
from stream_retrain.lane.scheduled import last_due, remember
from stream_retrain.lane.shard import REQUESTS_KEPT
from tests.core import streams

NIGHTLY, HOURLY = On.cron("0 3 * * *", do=Reset()), On.cron("0 * * * *", do=Ignore())


def test_a_token_names_rule_and_time() -> None:
    assert due_in(due_token(3, 1_700_000_000)) == (3, 1_700_000_000)
    assert [due_in(token) for token in ("cron:3", "cron:a:1", "xcron:1:1", "cron:1:1:1", "cron:-1:1")] == [None] * 5


def test_the_newest_of_each_rule_is_kept_and_tokens_of_others_are_not_crowded_out() -> None:
    shard = Shard(streams.pipeline(react=[NIGHTLY, HOURLY]))
    shard.receive(Request(reason="", token=due_token(0, 5), rule=0))
    shard.receive(Request(reason="", token="mine"))
    for at_s in range(2 * REQUESTS_KEPT):
        shard.receive(Request(reason="", token=due_token(1, at_s), rule=1))
    assert "mine" in shard.requests_taken
    assert (last_due(shard.requests_taken, 0), last_due(shard.requests_taken, 1)) == (5, 2 * REQUESTS_KEPT - 1)
    for number in range(REQUESTS_KEPT):
        shard.receive(Request(reason="", token=f"other{number}"))
    assert "mine" not in shard.requests_taken
    assert len(shard.requests_taken) == REQUESTS_KEPT
    assert last_due(shard.requests_taken, 0) == 5, "the one from which on something may be missed"
    assert last_due(shard.requests_taken, 2) is None


def test_forgetting_touches_one_rule() -> None:
    taken = dict.fromkeys([due_token(0, 1), "a", *(due_token(1, at_s) for at_s in range(10))])
    remember(taken, "b", 13)
    assert len(taken) == 13, "none is too old"
    remember(taken, due_token(1, 10), 13)
    assert due_token(1, 0) not in taken
    assert due_token(0, 1) in taken
    remember(taken, "c", 13)
    assert "a" not in taken, "the oldest one that is of no schedule"
    assert due_token(0, 1) in taken
    taken = {due_token(0, 1): None}
    remember(taken, due_token(1, 1), 1)
    assert list(taken) == [due_token(1, 1)], "where there is nothing else"


def test_a_rule_that_moves_takes_what_it_was_asked_with_it() -> None:
    before = streams.pipeline(react=[HOURLY, NIGHTLY])
    shard = Shard(before)
    events = streams.events(streams.rows(20, flip_at=0))
    shard.process(events[:10])
    for rule, at_s in ((0, 60), (1, 120)):
        shard.receive(Request(reason="", token=due_token(rule, at_s), rule=rule))
    after = streams.pipeline(react=[NIGHTLY])
    state, change = adapted(shard.snapshot(), before.parts(), after)
    going_on = Shard(after, state)
    assert change.differs == ("rule 0 cron:0 * * * * UTC",)
    assert list(going_on.requests_taken) == [due_token(0, 120)]
    facts = going_on.process(events[10:]).facts
    assert (facts[0].kind, getattr(facts[0], "rule", None)) == ("policy.requested", 0)
    assert [fact.outcome for fact in facts if fact.kind == "policy.decided"] == ["done"]


def test_a_state_of_before_there_were_schedules_goes_on() -> None:
    pipeline = streams.pipeline(react=[NIGHTLY])
    shard = Shard(pipeline)
    state = shard.snapshot()
    reactions = {key: value for key, value in state["reactions"].items() if key != "scheduled"}
    assert Shard(pipeline, {**state, "reactions": {**reactions, "schema": 3}}).digest() == shard.digest()

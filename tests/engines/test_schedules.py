"""Schedules in wall time through a driver: asked once for each time, whoever has the shard; missed ones are told; verify repeats them."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from stream_retrain import Ignore, On, Pipeline, Reset
from stream_retrain.engines.driver import Driver, DriverLimits, Log, window_feed
from stream_retrain.engines.replay.replay import replay
from stream_retrain.facts.request import Asked, due_token
from stream_retrain.facts.scheduled import ScheduleMissed, ScheduleSeen
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Observed, WorkerFact
from stream_retrain.lane.batch import Record, Records
from stream_retrain.requests import RequestError, Requests
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests.engines.past_support import KEYRING, RECORDS, LiveRun, declared, verified

NIGHTLY = declared(react=[On.request(Ignore()), On.cron("0 3 * * *", do=Reset(), missed_within_s=3_600)])
ID = ShardId(NIGHTLY.name, NIGHTLY.source, 0)
DAY_S, THREE_S = 86_400, 3 * 3_600
BEGIN_S = 20_000 * DAY_S
FIRST, SECOND = BEGIN_S + THREE_S, BEGIN_S + DAY_S + THREE_S


class Owner:
    """A worker's driver over a log that is all there, and a wall clock that is set."""

    def __init__(self, stores: Stores, wall_s: float, committed: int | None = None, pipeline: Pipeline = NIGHTLY) -> None:
        self.told: list[WorkerFact] = []
        self.wall_s, self.now_s = wall_s, 0.0
        limits = DriverLimits(checkpoint_events=10**9, checkpoint_interval_s=float("inf"))
        clocks: dict[str, Any] = {"clock_s": lambda: self.now_s, "wall_s": lambda: self.wall_s}
        self.driver = Driver(pipeline, stores, KEYRING, limits, self.told.append, **clocks)
        self.at = self.driver.open(0, Log(committed=committed, low=0, high=len(RECORDS)), 0.0).offset
        self.committed = committed or 0

    def step(self, count: int = 50) -> Owner:
        self.driver.take(0, Records.of(RECORDS[self.at : self.at + count]))
        self.at = self.driver.position(0)
        self.committed = self.driver.unsent().offsets.get(ID, self.committed)
        self.driver.committed(self.driver.unsent().offsets)
        return self.look()

    def look(self, wall_s: float | None = None) -> Owner:
        self.wall_s = self.wall_s if wall_s is None else wall_s
        self.now_s += 1.0
        self.driver.settle(self.now_s)
        self.driver.observe(self.now_s)
        return self

    @property
    def taken(self) -> list[str]:
        return list(self.driver.lanes[0].shard.requests_taken)

    @property
    def missed(self) -> list[tuple[int, float]]:
        return [(fact.count, fact.late_s) for fact in self.told if isinstance(fact, ScheduleMissed)]


def test_it_is_asked_when_it_is_due_and_once_whoever_has_the_shard() -> None:
    stores = connect("memory://", keyring=KEYRING)
    first = Owner(stores, BEGIN_S).step()
    assert first.taken == [], "a new shard is asked nothing of before"
    seen = [fact for fact in first.told if isinstance(fact, Observed)][-1].schedules
    assert seen == (ScheduleSeen(rule=1, schedule="cron:0 3 * * * UTC", at_s=FIRST),)
    first.look(FIRST - 0.1)
    assert first.taken == []
    first.look(FIRST + 0.2)
    assert first.taken == [due_token(1, FIRST)]
    first.look()
    again = Owner(stores, FIRST + 1, first.committed).look()  # the first one died before its event
    assert again.taken == [due_token(1, FIRST)]
    again.step()
    facts = [fact for told in again.told for fact in getattr(told, "facts", ()) if fact.kind in ("policy.requested", "model.reset")]
    assert [(fact.kind, fact.offset) for fact in facts] == [("policy.requested", 50), ("model.reset", 50)]
    assert (facts[0].by, facts[0].rule, facts[0].token) == ("schedule", 1, due_token(1, FIRST))
    assert facts[0].reason == "cron:0 3 * * * UTC, due at 2024-10-04T03:00:00+00:00"
    assert again.look(SECOND).taken == [due_token(1, FIRST), due_token(1, SECOND)]
    assert first.missed == again.missed == []


@pytest.mark.parametrize("chunk_rows", [500, 4])
def test_what_was_due_while_nobody_was_there_is_asked_at_the_start_if_it_is_young(chunk_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_feed, "CHUNK_ROWS", chunk_rows)  # of 4: rows of the replay wait for the window at its end
    stores = connect("memory://", keyring=KEYRING)
    owner = Owner(stores, BEGIN_S).step().look(FIRST).step()
    later = Owner(stores, SECOND + 3_000, owner.committed).step()
    assert later.taken == [due_token(1, FIRST), due_token(1, SECOND)]
    assert later.missed == []


def test_a_shard_that_was_never_asked_knows_from_its_checkpoint_what_it_missed() -> None:
    stores = connect("memory://", keyring=KEYRING)
    owner = Owner(stores, BEGIN_S).step()
    owner.driver.checkpoint(owner.now_s, float("inf"))
    assert Owner(stores, FIRST + 600, owner.committed).look().taken == [due_token(1, FIRST)]


@pytest.mark.parametrize("days", [0, 5])
def test_what_is_too_late_is_missed_and_told_once(days: int) -> None:
    stores = connect("memory://", keyring=KEYRING)
    owner = Owner(stores, BEGIN_S).step().look(FIRST).step()
    late = Owner(stores, SECOND + days * DAY_S + 3_601, owner.committed).look().step().look()
    assert late.taken == [due_token(1, FIRST)]
    assert late.missed == [(days + 1, 3_601.0)]


def test_while_one_waits_for_an_event_those_that_follow_are_no_more_than_one() -> None:
    minutes = declared(react=[On.cron("* * * * *", do=Ignore())])
    owner = Owner(connect("memory://", keyring=KEYRING), BEGIN_S, pipeline=minutes).step()
    for minute in range(1, 6):
        owner.look(BEGIN_S + minute * 60)
    assert owner.taken == [due_token(0, BEGIN_S + 60)]
    assert owner.step().taken == [due_token(0, BEGIN_S + 60), due_token(0, BEGIN_S + 300)]
    assert owner.missed == [(3, 0.0)], "the newest is asked, and three before it were not"


def test_a_long_time_away_is_counted_to_a_limit() -> None:
    seconds = declared(react=[On.cron("* * * * * *", do=Ignore())])
    owner = Owner(connect("memory://", keyring=KEYRING), BEGIN_S, pipeline=seconds).step().look(BEGIN_S + DAY_S)
    assert owner.taken == [due_token(0, BEGIN_S + DAY_S)]
    assert owner.missed == [(999, 0.0)]


def test_nobody_else_can_take_the_token_of_a_schedule_or_ask_a_rule_that_has_none() -> None:
    requests = Requests(pipeline=NIGHTLY, stores=connect("memory://"), group="g", count=lambda: 1)
    with pytest.raises(RequestError, match="are those of schedules"):
        requests.ask(Asked(token=due_token(1, 99_999_999_999)))
    with pytest.raises(RequestError, match="is of no schedule"):
        requests.ask(Asked(token="t", rule=0))
    assert requests.ask(Asked(token="t", rule=1)).reactions == ("Reset",)


def test_verify_repeats_it_from_the_decisions_across_a_crash() -> None:
    minutes = declared(react=[On.cron("* * * * *", do=Reset())])
    ticks, run = itertools.count(BEGIN_S, 30), LiveRun()  # the clock goes with each look at it
    run.work(700, minutes, wall_s=lambda: float(next(ticks)))
    run.work(1_500, minutes, stop=True, wall_s=lambda: float(next(ticks)))
    asked = [each["data"] for each in run.of("policy.requested")]
    tokens = [each["token"] for each in asked]
    assert len(tokens) > 5
    assert len(set(tokens)) == len(tokens)
    assert {(each["by"], each["rule"]) for each in asked} == {("schedule", 0)}
    report = verified(run, pipeline=minutes)
    assert report.tally.wrong == 0
    assert not report.impossible
    assert report.inputs == len(tokens)


def test_a_backtest_goes_by_the_times_at_which_records_were_written() -> None:
    stamped = [Record(r.offset, r.key, r.value, (BEGIN_S + 60 * number) * 1_000, r.headers) for number, r in enumerate(RECORDS[:400])]
    hourly = declared(react=[On.cron("0 * * * *", do=Ignore())])
    asked = [fact for _, step in replay(hourly, stamped) for fact in step.facts if fact.kind == "policy.requested"]
    assert [fact.offset for fact in asked] == [60, 120, 180, 240, 300, 360], "with the first record of each hour"
    gap = [r if number < 100 else r._replace(timestamp_ms=r.timestamp_ms + 5 * DAY_S * 1_000) for number, r in enumerate(stamped)]
    asked = [fact for _, step in replay(hourly, gap) for fact in step.facts if fact.kind == "policy.requested"]
    first, second = BEGIN_S + 3_600, BEGIN_S + 7_200
    assert [fact.token for fact in asked[:2]] == [due_token(0, first), due_token(0, second)]
    assert [fact.offset for fact in asked] == [60, 100, 101, 120, 180, 240, 300, 360], "in a gap one waits, and the newest follows it"

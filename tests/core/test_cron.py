"""Schedules in wall time: what is due when, also where clocks are set forward and back; and where the trigger holds."""

from __future__ import annotations

import datetime
import itertools
import zoneinfo
from typing import Any

import pytest

from stream_retrain import Cron, Drift, Ignore, On, PipelineError, Reset, Shard
from stream_retrain.core.contest.inputs import Request
from stream_retrain.facts.shard import Decided, Requested
from tests.core import streams

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def due(expression: str, after: str, count: int, fold: int = 0) -> list[str]:
    """The next times in Berlin, from a time there on."""
    begin = datetime.datetime.fromisoformat(after).replace(tzinfo=BERLIN, fold=fold)
    found = Cron(expression=expression, timezone="Europe/Berlin").due_after(begin.timestamp())
    return [datetime.datetime.fromtimestamp(at_s, BERLIN).isoformat()[5:] for at_s in itertools.islice(found, count)]


def test_every_night_at_three() -> None:
    assert due("0 3 * * *", "2026-06-01T02:00", 2) == ["06-01T03:00:00+02:00", "06-02T03:00:00+02:00"]
    assert due("0 3 * * *", "2026-06-01T03:00", 1) == ["06-02T03:00:00+02:00"], "what is due now is not due after now"


def test_a_time_that_does_not_exist_is_due_right_after_it() -> None:
    assert due("30 2 * * *", "2026-03-28T00:00", 3) == ["03-28T02:30:00+01:00", "03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]
    assert due("0,30 2 * * *", "2026-03-29T00:00", 2) == ["03-29T03:00:00+02:00", "03-30T02:00:00+02:00"], "both at once are one"


def test_a_time_that_exists_twice_is_due_the_first_time() -> None:
    assert due("30 2 * * *", "2026-10-25T00:00", 2) == ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]
    assert due("30 2 * * *", "2026-10-25T02:45", 1) == ["10-26T02:30:00+01:00"]
    assert due("50 2 * * *", "2026-10-25T02:45", 1, fold=1) == ["10-26T02:50:00+01:00"], "asked in the second hour, it was due before"


def test_one_of_every_hour_goes_by_the_time_that_passes() -> None:
    assert due("0 * * * *", "2026-10-25T01:30", 3) == ["10-25T02:00:00+02:00", "10-25T02:00:00+01:00", "10-25T03:00:00+01:00"]
    assert due("0 * * * *", "2026-03-29T00:30", 2) == ["03-29T01:00:00+01:00", "03-29T03:00:00+02:00"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expression": "bad"}, "'bad' is no cron expression"),
        ({"expression": "0 61 * * *"}, "Bad hour"),
        ({"expression": 3}, "3 is no cron expression"),
        ({"expression": "* * */20 * 1L"}, "is never due in 50 years"),
        ({"timezone": "Mars/Olympus"}, "'Mars/Olympus', which this machine does not know"),
        ({"timezone": "../etc/passwd"}, "which this machine does not know"),
        ({"missed_within_s": -1}, "missed_within_s is -1"),
    ],
)
def test_what_is_wrong_is_said_when_the_pipeline_is_declared(changes: dict[str, Any], words: str) -> None:
    given = {"expression": "0 3 * * *", "do": Ignore(), **changes}
    with pytest.raises(PipelineError, match=words.replace("*", r"\*").replace("..", r"\.\.")):
        streams.pipeline(react=[On.cron(given.pop("expression"), **given)])


def test_two_schedules_are_two_rules() -> None:
    with pytest.raises(PipelineError, match="more than one Cron"):
        streams.pipeline(react=[On.any_of(Cron(expression="0 3 * * *"), Cron(expression="0 4 * * *"), do=Ignore())])


def test_only_the_rule_that_was_asked_holds_and_also_in_a_combination() -> None:
    mixed = On.any_of(Cron(expression="0 4 * * *"), Drift("error"), do=Ignore())
    shard = Shard(streams.pipeline(react=[On.cron("0 3 * * *", do=Reset()), mixed, On.request(Ignore())]))
    events = streams.events(streams.rows(40, flip_at=0))
    shard.process(events[:10])
    shard.receive(Request(reason="", token="cron:1:60", by="schedule", rule=1))
    assert shard.waits_with("cron:1:60")
    going_on = Shard(streams.pipeline(react=[On.cron("0 3 * * *", do=Reset()), mixed, On.request(Ignore())]), shard.snapshot())
    facts = going_on.process(events[10:20]).facts
    assert [(fact.rule, fact.by, fact.token, fact.offset) for fact in facts if isinstance(fact, Requested)] == [
        (1, "schedule", "cron:1:60", 10)
    ]
    assert [fact.trigger for fact in facts if isinstance(fact, Decided)] == ["any(cron:0 4 * * * UTC, drift:error)"]
    going_on.receive(Request(reason="", token="cron:1:60", by="schedule", rule=1))
    assert not going_on.process(events[20:]).facts, "a token is taken once"

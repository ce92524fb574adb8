"""What became of a request, told by the decisions of a real shard, and by tables of those that are rare."""

from __future__ import annotations

import json
from typing import Any

import pytest
from river import linear_model

from stream_retrain import Evidence, Ignore, On, Pipeline, Reset, Retrain, Schema, Shard, Window
from stream_retrain.core.contest.inputs import Input, NotTrained, Promote, Refused, Request
from stream_retrain.core.contest.inputs import Reset as AskedReset
from stream_retrain.core.react.triggers import Request as OnRequest
from stream_retrain.facts.values import Event, ShardId
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.views.request_outcome import SUCCEEDED, RequestFold

SHARD = ShardId("p", "s", 0)
RACE = Retrain(window=Window(rows=50), evidence=Evidence(events_min=4, events_max=20, rarest_min=1))
LONG = Retrain(window=Window(rows=5_000))


def pipeline(*react: On) -> Pipeline:
    schema = Schema(id="id", label="y", features={"a": float})
    return Pipeline(name="p", task="binary", source="s", schema=schema, model=linear_model.LogisticRegression(), react=list(react))


def events(first: int, count: int) -> list[Event]:
    return [Event(at, f"e{at}", float(at), {"a": float(at % 5)}, at % 5 > 2) for at in range(first, first + count)]


def run(of: Pipeline, *steps: int | Input, token: str = "t") -> tuple[RequestFold, list[str]]:
    """Let a shard take so many events, or an input; what its decisions say of the request, and each word on the way."""
    fold, said, shard, offset = RequestFold(token), [], Shard(of), 0
    for step in steps:
        if not isinstance(step, int):
            shard.receive(step)
            continue
        for _, value in encode_decisions(SHARD, shard.process(events(offset, step)).facts):
            event: dict[str, Any] = json.loads(value)
            if fold.take(event["type"].removeprefix("io.streamretrain.").removesuffix(".v1"), event["data"]):
                said.append(fold.detail)
        offset += step
    fold.looked()
    return fold, said


ASK = Request(reason="r", token="t")


def test_a_reset_is_done_at_once() -> None:
    fold, said = run(pipeline(On.request(Reset())), 10, ASK, 5)
    assert (fold.outcome, fold.offset) == ("done", 10)
    assert said == [
        "it was taken; its rules are asked at the next label",
        "Reset has begun",
        "the model was reset; generation 1 serves",
    ]


def test_a_short_training_races_at_once_and_the_duel_decides() -> None:
    fold, said = run(pipeline(On.request(RACE)), 100, ASK, 5)
    assert fold.outcome is None
    assert said[-1] == "its challengers race in duel 0"
    fold, said = run(pipeline(On.request(RACE)), 100, ASK, 400)
    assert fold.outcome in ("promoted", "kept", "undecided")
    assert fold.detail.startswith(f"duel 0 ended, {fold.outcome}: ")


def test_a_training_that_fails_is_a_failure() -> None:
    fold, said = run(pipeline(On.request(LONG)), 100, ASK, 5, NotTrained(training=0, error="no trainer"), 5)
    assert said[-2] == "training 0 of challenger retrained was asked for"
    assert (fold.outcome, fold.detail) == ("failed", "training 0 failed: no trainer")


@pytest.mark.parametrize(
    ("react", "why"),
    [
        ([On.every(events=50, do=LONG), On.request(LONG)], "Retrain: a training is in progress"),
        ([On.every(events=50, do=RACE), On.request(RACE)], "Retrain: a duel is in progress"),
        ([On(OnRequest(), Reset(), 100)], "Reset: its rule is cooling down, or another rule acted at the same event"),
    ],
)
def test_one_that_cannot_be_taken_says_why(react: list[On], why: str) -> None:
    before = [Request(reason="r", token="before"), 3] if "cooling" in why else []
    fold, _ = run(pipeline(*react), 52, *before, ASK, 3)
    assert (fold.outcome, fold.detail) == ("refused", f"it was refused: {why}")


def test_of_two_rules_one_that_acts_is_enough() -> None:
    fold, _ = run(pipeline(On.request(LONG), On.request(Reset()), On.every(events=50, do=LONG)), 52, ASK, 3)
    assert (fold.outcome, fold.detail) == ("done", "the model was reset; generation 1 serves")


def test_a_rule_that_only_says_so_is_done() -> None:
    fold, _ = run(pipeline(On.request(Ignore())), 5, ASK, 3)
    assert (fold.outcome, fold.detail) == ("done", "its rule says only that it was asked")


def test_without_an_event_it_is_not_taken() -> None:
    fold, said = run(pipeline(On.request(Reset())), 10, ASK)
    assert (fold.outcome, said) == (None, [])
    assert fold.detail == "it is not taken yet: a shard takes it with its next event"


def test_requests_of_others_are_passed_over() -> None:
    fold, said = run(pipeline(On.request(Reset())), 10, Request(reason="r", token="another"), 5)
    assert (fold.outcome, said) == (None, [])


@pytest.mark.parametrize("data", [{}, {"offset": "7"}, {"offset": None, "token": "t"}])
def test_what_is_no_decision_says_nothing(data: dict[str, Any]) -> None:
    assert not RequestFold("t").take("policy.requested", data)


def test_a_challenger_that_waits_for_a_duel_is_told() -> None:
    fold = RequestFold("t")
    decisions: list[tuple[str, dict[str, Any]]] = [
        ("policy.requested", {"offset": 1, "token": "t"}),
        ("policy.decided", {"offset": 1, "trigger": "any(request, drift:error)", "reaction": "Retrain", "outcome": "done"}),
        ("training.requested", {"offset": 1, "training": 3, "challenger": "retrained"}),
        ("training.waits", {"offset": 5, "training": 3}),
        ("training.waits", {"offset": 5, "training": 2}),
        ("duel.ended", {"offset": 6, "duel": 1, "result": "promoted", "winner": "fresh"}),
        ("training.joined", {"offset": 7, "training": 3, "duel": 2}),
        ("duel.ended", {"offset": 9, "duel": 2, "result": "kept", "winner": "champion"}),
    ]
    assert [fold.take(kind, data) for kind, data in decisions] == [True, True, True, True, False, False, True, True]
    assert (fold.outcome, fold.detail) == ("kept", "duel 2 ended, kept: champion is the champion")


@pytest.mark.parametrize(
    ("given", "outcome", "detail"),
    [
        (AskedReset(reason="r", token="t"), "done", "the model was reset; generation 1 serves"),
        (
            Promote(version="0-g7", how="promote", model=linear_model.LogisticRegression(), family="", digest="d", reason="", token="t"),
            "done",
            "version 0-g7 serves, as generation 1",
        ),
        (
            Refused(do="promote", detail="there is no such version", reason="", token="t"),
            "refused",
            "it was refused: there is no such version",
        ),
    ],
)
def test_what_is_done_at_once_is_over_at_once_with_a_rule_on_requests_or_without(given: Input, outcome: str, detail: str) -> None:
    for react in ((), (On.request(Reset()),)):
        fold, said = run(pipeline(*react), 10, given, 5)
        assert (fold.outcome, fold.detail, fold.offset) == (outcome, detail, 10)
        assert said == [detail]


def test_a_race_that_somebody_ended_is_superseded_and_no_success() -> None:
    fold, _ = run(pipeline(On.request(RACE)), 100, ASK, 5, AskedReset(reason="r", token="other"), 5)
    assert (fold.outcome, fold.detail) == ("superseded", "duel 0 ended, superseded: somebody asked for another champion")
    assert "superseded" not in SUCCEEDED

"""Where every door ends: what is wrong with a request is said and nothing is asked; what is right is asked once of each shard."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import msgspec
import pytest
from river import linear_model

from stream_retrain import On, Pipeline, Reset, Retrain, Schema, Window
from stream_retrain.errors import RequestError, StateError
from stream_retrain.facts.request import REQUEST_KINDS, Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.requests import Requests, new_token
from stream_retrain.stores import connect
from stream_retrain.stores.worker_status import DuelBrief, ShardBrief, WorkerStatus

GROUP = "g"
PIPELINE = Pipeline(
    name="p",
    task="binary",
    source="s",
    schema=Schema(id="id", label="y", features={"a": float}),
    model=linear_model.LogisticRegression(),
    react=[On.every(events=50, do=Retrain(window=Window(rows=100))), On.request(Reset())],
)


def requests(**changes: Any) -> Requests:
    made = Requests(pipeline=PIPELINE, stores=connect("memory://"), group=GROUP, count=lambda: 3)
    return dataclasses.replace(made, **changes)


def waiting(of: Requests, partition: int) -> list[Asked]:
    return of.stores.requests.look(ShardId("p", "s", partition)).waiting


def brief(partition: int, **changes: Any) -> ShardBrief:
    numbers = dict.fromkeys(("events_seen", "pending", "unmatched", "dead_letters", "drifts", "generation"), 0)
    given = {"state": "live", "offset": 7, "lag_records": 0, "lag_s": 0.0, "rolling": {}, "duel": None, "training": None}
    return ShardBrief(partition=partition, **{**numbers, **given, **changes})


def running(of: Requests, *shards: ShardBrief) -> Requests:
    """One worker that holds these shards."""
    ages = dict.fromkeys(("uptime_s", "commit_age_s", "checkpoint_age_s"), 1.0)
    texts = {"instance": "w", "pipeline": "p", "version": "1", "url": "", "detail": "", "store": "memory"}
    status = WorkerStatus(**texts, pid=1, state="running", ready=True, missing=[], partitions=3, **ages, shards=list(shards))
    of.stores.workers.tell(GROUP, status)
    return of


def test_one_for_all_partitions_waits_for_each_and_the_answer_says_so() -> None:
    of = requests()
    asked = Asked(token="t", reason="r", by="cli:me")
    shown = of.ask(asked).shown()
    assert [waiting(of, number) for number in range(3)] == [[asked]] * 3
    assert msgspec.json.decode(msgspec.json.encode(shown)) == {
        "pipeline": "p",
        "do": "retrain",
        "token": "t",
        "version": "",
        "reason": "r",
        "by": "cli:me",
        "reactions": ["Reset"],
        "requests": {"0": "t", "1": "t", "2": "t"},
        "new": [0, 1, 2],
        "notes": ["no worker of group g runs: the request waits for one, for a week at most"],
    }


def test_the_same_token_again_asks_only_where_it_does_not_wait() -> None:
    of = running(requests(), brief(0), brief(1), brief(2))
    assert of.ask(Asked(token="t"), [1]).new == (1,)
    again = of.ask(Asked(token="t"))
    assert (again.new, again.partitions) == ((0, 2), (0, 1, 2))
    assert again.notes == ("partition 1: a request of this token waits already",)
    assert len(waiting(of, 1)) == 1


@pytest.mark.parametrize(
    ("asked", "partitions", "problem", "words"),
    [
        (Asked(token="t", do="destroy"), None, "invalid", "'destroy' is no request"),  # type: ignore[arg-type]
        (Asked(token="a b"), None, "invalid", "a token has 1 to 100"),
        (Asked(token=""), None, "invalid", "a token has 1 to 100"),
        (Asked(token="t" * 101), None, "invalid", "a token has 1 to 100"),
        (Asked(token="t", reason="ä" * 501), None, "invalid", "reason has more than 1,000 bytes"),
        (Asked(token="t", by="b" * 201), None, "invalid", "by has more than 200 bytes"),
        (Asked(token="t", do="reset", version="0-g1"), None, "invalid", "a reset has no version"),
        (Asked(token="t", do="promote"), None, "invalid", "'' names no version"),
        (Asked(token="t", do="promote", version="0-x1"), None, "invalid", "'0-x1' names no version"),
        (Asked(token="t", do="promote", version="champion"), None, "invalid", "'champion' names no version"),
        (Asked(token="t", do="promote", version="1-g4"), [0, 1], "conflict", "is of partition 1, and cannot serve partition 0"),
        (Asked(token="t", do="promote", version="7-g4"), None, "unknown", "partitions 0 to 2, and not 7"),
        (Asked(token="t"), [3], "unknown", "partitions 0 to 2, and not 3"),
        (Asked(token="t"), [-1], "unknown", "partitions 0 to 2, and not -1"),
        (Asked(token="t", rule=2, by="schedule"), None, "unknown", "has no rule 2"),
    ],
)
def test_what_is_wrong_with_it_is_said_and_nothing_is_asked(asked: Asked, partitions: list[int] | None, problem: str, words: str) -> None:
    of = requests()
    with pytest.raises(RequestError) as raised:
        of.ask(asked, partitions)
    assert raised.value.problem == problem
    assert words in str(raised.value)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.problem, str(again)) == (problem, str(raised.value))
    assert [waiting(of, number) for number in range(3)] == [[], [], []]


def test_a_retrain_needs_a_rule_on_requests_and_nothing_else_does() -> None:
    of = requests(pipeline=dataclasses.replace(PIPELINE, react=[On.every(events=50, do=Reset())]))
    with pytest.raises(RequestError, match=r"add On.request\(Retrain\(...\)\) to react") as raised:
        of.ask(Asked(token="t"))
    assert raised.value.problem == "conflict"
    for do in REQUEST_KINDS[1:]:
        assert of.ask(Asked(token=do, do=do, version="0-t1" if do == "promote" else "")).reactions == ()


def test_a_version_of_a_shard_is_for_that_shard_and_others_for_all() -> None:
    of = requests()
    assert of.ask(Asked(token="a", do="promote", version="2-g14")).partitions == (2,)
    assert of.ask(Asked(token="b", do="promote", version="1-t3"), [1]).partitions == (1,)
    assert of.ask(Asked(token="c", do="promote", version="import-0123456789ab")).partitions == (0, 1, 2)
    assert of.ask(Asked(token="d", do="promote", version="previous"), [0, 0]).partitions == (0,)


def test_a_version_that_is_not_there_is_unknown_before_it_is_asked_for() -> None:
    def known(shard: ShardId, version: str) -> None:
        if shard.partition == 1:
            raise StateError(f"{shard} has no {version} now")

    of = requests(known=known)
    with pytest.raises(RequestError, match="p/s/1 has no previous now; see stream-retrain models list") as raised:
        of.ask(Asked(token="t", do="promote", version="previous"))
    assert raised.value.problem == "unknown"
    assert waiting(of, 0) == []
    assert of.ask(Asked(token="t", do="promote", version="previous"), [0, 2]).new == (0, 2)


def test_what_stands_in_the_way_is_told() -> None:
    duel = DuelBrief(number=4, leader="champion", events=9, e_value=1.0, passes_at=20.0)
    of = running(requests(), brief(0, duel=duel), brief(1, training="2 (retrained), 5 rows"))
    assert of.ask(Asked(token="t")).notes == (
        "partition 0: duel 4 is in progress, and while it lasts a request is refused",
        "partition 1: training 2 (retrained), 5 rows is under way, and until it is over another one is refused",
        "partition 2: no worker has it now; the request waits until one does",
    )
    assert of.ask(Asked(token="u", do="promote", version="0-g0")).notes == (), "a promotion ends a duel"
    rematch = DuelBrief(number=5, leader="champion", events=9, e_value=1.0, passes_at=20.0, rematch=True)
    assert running(of, brief(0, duel=rematch)).ask(Asked(token="w"), [0]).notes == (), "a rematch holds nothing up"
    running(of, brief(0, state="paused"))
    [note] = of.ask(Asked(token="v", do="reset"), [0]).notes
    assert note == "partition 0 is paused: the request is taken once it goes on (stream-retrain resume)"


def test_pausing_and_resuming_hold_at_once_and_say_what_was_so_before() -> None:
    of = running(requests(), brief(0), brief(1, state="paused", offset=25))
    assert of.ask(Asked(token="t", do="pause", reason="broken"), [0]).new == (0,)
    again = of.ask(Asked(token="u", do="pause"), [0, 2])
    assert (again.new, again.notes) == ((2,), ("partition 0 was paused before",))
    resumed = of.ask(Asked(token="v", do="resume"))
    assert resumed.new == (0, 1, 2), "partition 1 is paused for its refused records"
    looked = [of.stores.requests.look(ShardId("p", "s", number)) for number in range(3)]
    assert [(each.paused, each.resumed) for each in looked] == [(None, None), (None, 25), (None, None)]
    running(of, brief(0), brief(1))
    assert of.ask(Asked(token="w", do="resume"), [0]).notes == ("partition 0 was not paused",)


def test_tokens_of_their_own_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert requests().ask(Asked(token=new_token())).new == (0, 1, 2)

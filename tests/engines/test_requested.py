"""What is asked of a shard on its way through a driver: taken once, in order, kept for a replay; and a pause, which is no input."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from river import linear_model

from stream_retrain import Evidence, On, Pipeline, Retrain, Window
from stream_retrain.codec.artifacts import open_promoted, promoted_name, seal_promoted
from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.contest.inputs import Promote
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.engines.driver.promotions import Promotions
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.records import Rejected
from stream_retrain.facts.request import Asked, RequestKind
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Observed, Processed, ShardHeld, StoreLost, StoreRegained, WorkerFact
from stream_retrain.lane.batch import Records
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, Looked, Stores
from tests.core import streams
from tests.engines.past_support import COUNT, KEYRING, PLAIN, RECORDS, SMALL_ARTIFACTS, LiveRun, declared, verified
from tests.versions_support import KnownVersions, at_once

ID = ShardId(PLAIN.name, PLAIN.source, 0)
RACING = declared(react=[On.every(events=400, do=Retrain(window=Window(rows=300), evidence=Evidence(events_max=900)))])


def learned(count: int = 300) -> Any:
    """Another model than any that the pipeline would come to by itself."""
    model = PLAIN.model.clone()
    for x, y in streams.rows(count, flip_at=0):
        model.learn_one(x, not y)
    return model


VERSIONS = KnownVersions.of(v0_g1=learned(), previous=learned(200), import_0123456789ab=learned(100))


class Run:
    """A driver over a log that is all there; a look comes with each step."""

    def __init__(self, pipeline: Pipeline = PLAIN, stores: Stores | None = None, promotions: Promotions | None = None) -> None:
        self.told: list[WorkerFact] = []
        self.stores = stores or connect("memory://", keyring=KEYRING)
        limits = DriverLimits(checkpoint_events=10**9, checkpoint_interval_s=float("inf"))
        self.driver = Driver(
            pipeline, self.stores, KEYRING, limits, self.told.append, lambda: self.now_s, promotions=promotions or at_once(VERSIONS)
        )
        self.now_s, self.committed = 0.0, 0

    def open(self, committed: int | None = None) -> Run:
        self.at = self.driver.open(0, Log(committed=committed, low=0, high=COUNT), self.now_s).offset
        return self

    def step(self, count: int = 50) -> Run:
        self.driver.take(0, Records.of(RECORDS[self.at : self.at + count]))
        self.at = self.driver.position(0)
        self.driver.committed(self.driver.unsent().offsets)
        return self.settle()

    def settle(self, seconds: float = 1.0) -> Run:
        self.now_s += seconds
        self.driver.settle(self.now_s)
        self.driver.observe(self.now_s)
        return self

    def ask(self, token: str, do: RequestKind = "retrain", **changes: Any) -> Run:
        assert self.stores.requests.ask(ID, Asked(token=token, do=do, **changes))
        return self

    @property
    def facts(self) -> list[Any]:
        """But what was refused of the log."""
        live = [fact for fact in self.told if isinstance(fact, Processed) and not fact.replayed]
        return [rare for fact in live for rare in fact.facts if not isinstance(rare, Rejected)]

    def asked_for(self) -> list[tuple[str, int, str]]:
        """What came of requests: kind, offset, token."""
        return [(fact.kind, fact.offset, fact.token) for fact in self.facts if getattr(fact, "token", "")]

    def of(self, kind: type[WorkerFact]) -> list[Any]:
        return [fact for fact in self.told if isinstance(fact, kind)]


def test_each_kind_is_taken_in_order_and_two_promotions_one_after_the_other() -> None:
    run = Run().open().step()
    run.ask("a", "promote", version="0-g1").ask("b", "reset").ask("c", "rollback").ask("d", "reset").step()
    for _ in range(4):
        run.step()
    assert run.asked_for() == [
        ("model.promoted", 100, "a"),
        ("model.reset", 100, "b"),
        ("model.promoted", 150, "c"),
        ("model.reset", 150, "d"),
    ]
    assert [fact.version for fact in run.facts if fact.kind == "model.promoted"] == ["0-g1", "previous"]
    assert run.stores.requests.look(ID).waiting == []
    assert run.driver.lanes[0].shard.generation == 4


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(token="t", do="promote", version="0-g9"), "has no version 0-g9"),
        (Asked(token="t", do="retrain"), "has no rule on requests; add On.request(Retrain(...)) to react"),
        (Asked(token="t", do="pause"), "a pause does not wait"),
        (Asked(token="t", do="resume"), "a resume does not wait"),
    ],
)
def test_what_cannot_be_done_is_refused_once_and_told(asked: Asked, words: str) -> None:
    run = Run().open().step()
    run.stores.requests.ask(ID, asked)
    for _ in range(3):
        run.step()
    [fact] = run.facts
    assert (fact.kind, fact.do, fact.token) == ("request.refused", asked.do, "t")
    assert words in fact.detail
    assert run.stores.requests.look(ID).waiting == []


def test_it_is_refused_by_a_worker_that_keeps_no_versions() -> None:
    run = Run(promotions=Promotions(None)).open().ask("t", "rollback").step().step()
    assert [fact.detail for fact in run.facts] == ["this worker keeps no versions"]


def test_what_serves_already_is_refused() -> None:
    run = Run(promotions=at_once(KnownVersions.of(v0_g0=learned()))).open().ask("t", "promote", version="0-g0").step().step()
    assert [fact.detail for fact in run.facts] == ["version 0-g0 serves already"]


def test_a_request_that_was_saved_and_not_dropped_is_not_taken_again() -> None:
    run = Run().open().ask("a", "promote", version="0-g1").step().step()
    assert run.asked_for() == [("model.promoted", 50, "a")]
    run.driver.checkpoint(run.now_s, float("inf"))
    run.ask("a", "reset")
    again = Run(stores=run.stores).open(100).step().step()
    assert again.asked_for() == []
    assert run.stores.requests.look(ID).waiting == []


def test_a_pause_holds_from_the_next_look_until_it_is_resumed_and_over_restarts() -> None:
    run = Run().open().step()
    who = Asked(token="p", do="pause", reason="the source is broken", by="cli:ann")
    assert run.stores.requests.pause(ID, who)
    run.step()
    assert run.driver.paused == {0}
    assert run.of(ShardHeld) == [ShardHeld(shard=ID, offset=100, asked=who)]
    assert run.step().at == 100, "nothing is taken"
    assert (run.of(Observed)[-1].paused, run.of(Observed)[-1].held) == (True, who)
    run.driver.checkpoint(run.now_s, float("inf"))
    again = Run(stores=run.stores).open(100)
    assert again.of(ShardHeld) == run.of(ShardHeld)
    assert again.step().at == 100, "nothing is taken before the first look either"
    again.stores.requests.resume(ID, Asked(token="r", do="resume"))
    assert again.step().driver.paused == set()
    assert again.of(ShardHeld)[1:] == [ShardHeld(shard=ID, offset=100, asked=None)]
    assert again.step().at == 150
    assert again.facts == [], "it is no input"


def test_a_paused_shard_takes_requests_and_carries_them_out_when_it_goes_on() -> None:
    run = Run().open().step()
    run.stores.requests.pause(ID, Asked(token="p", do="pause"))
    run.step().ask("a", "promote", version="0-g1").step().step()
    assert run.asked_for() == []
    assert run.stores.requests.look(ID).waiting == [], "it is safe in a checkpoint"
    run.stores.requests.resume(ID, Asked(token="r", do="resume"))
    run.settle().step()
    assert run.asked_for() == [("model.promoted", 100, "a")]


def test_a_replay_goes_on_while_it_is_paused_and_is_paused_where_it_is_live() -> None:
    run = Run().open().step().step()
    run.stores.requests.pause(ID, Asked(token="p", do="pause"))
    again = Run(stores=run.stores).open(100)
    again.step(100)
    assert (again.driver.position(0), again.driver.paused) == (100, {0})


def test_while_the_store_cannot_be_read_the_loop_goes_on_and_asks_less_and_less_often() -> None:
    run = Run().open().step()
    real, looks, away = run.stores.requests.look, [0], [True]

    def look(shard: ShardId) -> Looked:
        looks[0] += 1
        if away[0]:
            raise StoreError("the store is away")
        return real(shard)

    run.stores.requests.look = look  # type: ignore[method-assign]
    for _ in range(100):
        run.settle()
    assert len(run.of(StoreLost)) == 1
    assert 10 < looks[0] < 30
    away[0] = False
    for _ in range(11):
        run.settle()
    assert len(run.of(StoreRegained)) == 1
    run.ask("a", "reset").step().step().step()
    assert [kind for kind, *_ in run.asked_for()] == ["model.reset"]


class TestForAReplay:
    asks = (
        (300, Asked(token="a", do="promote", version="0-g1", reason="better", by="cli:ann")),
        (800, Asked(token="b", do="reset", reason="odd")),
        (1_100, Asked(token="c", do="promote", version="0-g8")),
        (1_500, Asked(token="d", do="promote", version="import-0123456789ab")),
        (2_100, Asked(token="e", do="rollback", by="http:10.0.0.1")),
    )

    def run(self, pipeline: Pipeline, **limits: Any) -> LiveRun:
        live = LiveRun()
        for until in (700, 1_800, COUNT):
            asks = [each for each in self.asks if until - 1_200 <= each[0] < until - 90]
            live.work(until, pipeline, asks=asks, versions=VERSIONS, **limits)
        return live

    @pytest.mark.parametrize("pipeline", [PLAIN, RACING])
    def test_the_whole_run_is_repeated_to_every_byte(self, pipeline: Pipeline) -> None:
        live = self.run(pipeline)
        assert [each["data"]["how"] for each in live.of("model.promoted")] == ["promote", "promote", "rollback"]
        assert [each["data"]["token"] for each in live.of("model.reset") if each["data"]["token"]] == ["b"]
        assert len(live.of("request.refused")) == 1
        report = verified(live, pipeline=pipeline)
        assert not report.tally.wrong, report.tally.examples
        assert not report.impossible
        assert report.inputs >= 5

    def test_what_is_not_kept_any_more_is_said(self) -> None:
        live = self.run(PLAIN, artifacts=SMALL_ARTIFACTS)
        [why] = verified(live, pipeline=PLAIN).impossible
        assert "of a version that began to serve here is not kept (any more)" in why.reason
        assert why.from_offset == live.of("model.promoted")[0]["data"]["offset"]

    def test_a_decision_that_was_forged_is_a_difference_or_cannot_be_repeated(self) -> None:
        live = self.run(PLAIN)
        past = live.past()
        at = [at for at, each in enumerate(past.topics["decisions"]) if each.identity.fact == "model.promoted"][1]
        past.change("decisions", at, lambda value: value.replace(b'"version":"import-0123456789ab"', b'"version":"0-g1"'))
        report = verified(live, past, pipeline=PLAIN)
        assert not report.impossible
        past.change("decisions", at, lambda value: value.replace(b'"token":"d"', b'"token":"x"'))
        report = verified(live, past, pipeline=PLAIN)
        assert "is not kept (any more)" in report.impossible[0].reason


class TestArtifacts:
    promote = Promote(version="0-g1", how="promote", model=learned(), family="additive", digest=digest(learned()), reason="", token="t")
    name = promoted_name(digest(learned()), "t")

    def sealed(self, keyring: Keyring = KEYRING, **changes: Any) -> bytes:
        return seal_promoted(dataclasses.replace(self.promote, **changes), PLAIN, ID, keyring, offset=100)

    def test_a_version_comes_back_as_it_was(self) -> None:
        back = open_promoted(self.sealed(), self.name, PLAIN, ID, KEYRING)
        assert (digest(back.model), back.family) == (digest(learned()), "additive")

    def test_another_or_a_changed_one_is_refused(self) -> None:
        with pytest.raises(StateError, match="is kept as artifact"):
            open_promoted(self.sealed(token="u"), self.name, PLAIN, ID, KEYRING)
        with pytest.raises(StateError, match="is kept as artifact"):
            open_promoted(self.sealed(model=linear_model.LogisticRegression()), self.name, PLAIN, ID, KEYRING)
        damaged = bytearray(self.sealed())
        damaged[-9] ^= 1
        with pytest.raises(StateError, match="changed or damaged"):
            open_promoted(bytes(damaged), self.name, PLAIN, ID, KEYRING)
        with pytest.raises(StateError, match="another partition"):
            open_promoted(self.sealed(), self.name, PLAIN, ID._replace(partition=1), KEYRING)

    def test_they_are_bounded_like_all_that_is_kept(self) -> None:
        run = Run().open().ask("a", "promote", version="0-g1").step()
        assert run.stores.artifacts.load(ID, promoted_name(digest(learned()), "a")) is not None
        assert ArtifactLimits().bytes_max > 0

"""A version on its way to a shard: found off the loop, one at a time; what cannot be promoted is refused in words."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from river import linear_model

from stream_retrain import Pipeline
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.state import dump_state
from stream_retrain.codec.versions import seal_version
from stream_retrain.core.contest.inputs import Promote, Refused
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver.promotions import WAIT_S, OfRegistry, Promotions, in_thread
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.request import Asked, RequestKind
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Artifact, Moment, Version
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests.engines.past_support import KEYRING, PLAIN
from tests.versions_support import KnownVersions, at_once

ID = ShardId("p", "s", 0)
PROMOTE = Asked(token="t", do="promote", version="0-g1", reason="r", by="cli:ann")
MODEL = linear_model.LogisticRegression()
SERVING = "0-g2"
WHEN = Moment(offset=1, time_s=1.0, wall_s=1.0)


def raising(error: Exception) -> KnownVersions:
    def known(_: ShardId, __: str) -> Any:
        raise error

    return KnownVersions(known)


def until(come: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        if (came := come()) is not None:
            return came
        time.sleep(0.005)
    raise AssertionError("nothing came")


def test_a_version_comes_with_what_a_replay_needs() -> None:
    came = at_once(KnownVersions.of(v0_g1=MODEL)).come_for(ID, PROMOTE, SERVING)
    assert isinstance(came, Promote)
    told = (came.version, came.how, came.family, came.digest, came.reason, came.token, came.by)
    assert told == ("0-g1", "promote", "", digest(MODEL), "r", "t", "cli:ann")
    assert came.model is not MODEL


def test_a_rollback_asks_for_what_served_before() -> None:
    versions = KnownVersions(lambda _, __: ("0-g1", MODEL), family="additive")
    came = at_once(versions).come_for(ID, Asked(token="t", do="rollback"), SERVING)
    assert isinstance(came, Promote)
    assert (versions.asked, came.version, came.how, came.family) == ([(ID, "previous")], "0-g1", "rollback", "additive")


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        (KnownVersions.of(), "p/s/0 has no version 0-g1"),
        (raising(StateError("version 0-g1 was changed after it was sealed")), "version 0-g1 was changed after it was sealed"),
        (raising(KeyError("foreign")), "opening its model raised KeyError: 'foreign'"),
        (raising(StateError("x" * 9_000)), "xxx"),
        (KnownVersions(lambda _, __: (SERVING, MODEL)), "version 0-g2 serves already"),
        (None, "this worker keeps no versions"),
    ],
)
def test_what_cannot_be_promoted_is_refused_in_words(versions: KnownVersions | None, words: str) -> None:
    came = at_once(versions).come_for(ID, PROMOTE, SERVING)
    assert isinstance(came, Refused)
    assert words in came.detail
    assert len(came.detail) <= 2_000
    assert (came.do, came.token, came.reason, came.by) == ("promote", "t", "r", "cli:ann")


def test_a_store_that_is_away_is_asked_again_and_refused_after_a_time() -> None:
    now_s, tries = 0.0, 0

    def known(_: ShardId, __: str) -> Any:
        nonlocal tries
        tries += 1
        raise StoreError("the object store does not answer")

    promotions = Promotions(KnownVersions(known), lambda work: work(), lambda: now_s)
    for _ in range(3):
        assert promotions.come_for(ID, PROMOTE, SERVING) is None
    now_s = WAIT_S
    came = promotions.come_for(ID, PROMOTE, SERVING)
    assert isinstance(came, Refused)
    assert came.detail == "its model could not be had for 60 s: the object store does not answer; ask again"
    assert tries == 4


def test_a_store_that_comes_back_is_found_again() -> None:
    answers: list[Any] = [StoreError("away"), ("0-g1", MODEL)]

    def known(_: ShardId, __: str) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    promotions = at_once(KnownVersions(known))
    assert promotions.come_for(ID, PROMOTE, SERVING) is None
    assert isinstance(promotions.come_for(ID, PROMOTE, SERVING), Promote)


def test_the_loop_does_not_wait_and_one_is_on_its_way_at_a_time() -> None:
    go = threading.Event()

    def known(_: ShardId, wanted: str) -> Any:
        assert go.wait(30)
        return wanted, MODEL

    versions = KnownVersions(known)
    promotions = Promotions(versions, in_thread)
    started_s = time.monotonic()
    assert [promotions.come_for(ID, PROMOTE, SERVING) for _ in range(5)] == [None] * 5
    assert time.monotonic() - started_s < 5
    assert len(versions.asked) <= 1
    go.set()
    assert isinstance(until(lambda: promotions.come_for(ID, PROMOTE, SERVING)), Promote)
    assert len(versions.asked) == 1


def test_one_that_hangs_is_refused_and_what_comes_of_it_later_is_nobodys() -> None:
    go, now_s = threading.Event(), 0.0

    def known(_: ShardId, wanted: str) -> Any:
        assert go.wait(30)
        return wanted, MODEL

    promotions = Promotions(KnownVersions(known), in_thread, lambda: now_s)
    assert promotions.come_for(ID, PROMOTE, SERVING) is None
    now_s = WAIT_S + 1
    assert isinstance(promotions.come_for(ID, PROMOTE, SERVING), Refused)
    other = Asked(token="u", do="promote", version="0-t1")
    assert promotions.come_for(ID, other, SERVING) is None
    go.set()
    came = until(lambda: promotions.come_for(ID, other, SERVING))
    assert isinstance(came, Promote)
    assert (came.token, came.version) == ("u", "0-t1")


def test_a_shard_that_goes_elsewhere_leaves_nothing_behind() -> None:
    go = threading.Event()
    versions = KnownVersions(lambda _, wanted: (go.wait(30), (wanted, MODEL))[1])
    promotions = Promotions(versions)
    assert promotions.come_for(ID, PROMOTE, SERVING) is None
    promotions.forget(ID)
    promotions.forget(ID)
    go.set()
    assert isinstance(until(lambda: promotions.come_for(ID, PROMOTE, SERVING)), Promote)


class TestOfTheRegistry:
    """A version on its way from the stores, where it lies as sealed bytes."""

    shard = ShardId(PLAIN.name, PLAIN.source, 0)

    def kept(self, sealed: bytes) -> Stores:
        stores = connect("memory://", keyring=KEYRING)
        epoch = stores.checkpoints.claim(self.shard)
        stores.models.keep(self.shard, epoch, "copy", sealed)
        place = {"pipeline": self.shard.pipeline, "topic": self.shard.topic, "partition": 0}
        artifact = Artifact(name="copy", bytes=len(sealed), state="kept")
        old = Version(id="0-g0", **place, came="new", generation=0, began=WHEN, ended=WHEN, artifact=artifact)
        new = Version(id="0-g1", **place, came="reset", generation=1, began=WHEN, replaced="0-g0")
        stores.versions.put(self.shard, epoch, [old, new])
        return stores

    def sealed(self, keyring: Keyring = KEYRING, version: str = "0-g0", pipeline: Pipeline = PLAIN) -> bytes:
        return seal_version(dump_state(PLAIN.model), version, pipeline, self.shard, keyring, learned_through=5, family="additive")

    def come(self, sealed: bytes, do: RequestKind = "rollback", version: str = "") -> Promote | Refused | None:
        promotions = at_once(OfRegistry(self.kept(sealed), PLAIN, KEYRING))
        return promotions.come_for(self.shard, Asked(token="t", do=do, version=version), "0-g1")

    def test_what_served_before_comes_back(self) -> None:
        came = self.come(self.sealed())
        assert isinstance(came, Promote)
        assert (came.version, came.how, came.family, came.digest) == ("0-g0", "rollback", "additive", digest(PLAIN.model))

    @pytest.mark.parametrize(
        ("made", "words"),
        [
            (lambda self: self.sealed()[:-1] + b"x", "changed or damaged"),
            (lambda self: self.sealed(Keyring(keys=(Key(id="other", secret=b"fedcba9876543210"),))), "other"),
            (lambda self: self.sealed(Keyring.unsigned()), "unsigned"),
            (lambda self: self.sealed(version="0-g5"), "what is kept of it is 0-g5"),
            (lambda self: self.sealed(pipeline=dataclasses.replace(PLAIN, model=MODEL)), "the pipeline has another model since"),
        ],
    )
    def test_a_copy_that_is_forged_or_does_not_fit_is_refused(self, made: Callable[[Any], bytes], words: str) -> None:
        came = self.come(made(self))
        assert isinstance(came, Refused)
        assert words in came.detail

    @pytest.mark.parametrize(
        ("version", "words"),
        [
            ("0-g7", "has no version 0-g7; there are 0-g0, 0-g1"),
            ("1-g0", "is of partition 1, and this is partition 0"),
            ("challenger", "has no challenger now"),
            ("0-g1", "cannot be had"),
        ],
    )
    def test_one_that_is_not_there_is_refused(self, version: str, words: str) -> None:
        came = self.come(self.sealed(), "promote", version)
        assert isinstance(came, Refused)
        assert words in came.detail

"""Copies of models go to the object store beside the loop: nothing waits for it, nothing is lost while it is full, away or slow."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.limits import VersionLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.driver.uploads import QUEUE_MAX, Upload, Uploads
from stream_retrain.errors import StateError, StoreError
from stream_retrain.facts.kept import CopiesWait, CopyKept
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Version
from stream_retrain.lane.batch import Records
from stream_retrain.stores import connect
from stream_retrain.stores.objects import object_store
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.registry import Registry
from stream_retrain.stores.version_ports import ModelStore
from tests.engines.past_support import COUNT, KEYRING, RECORDS
from tests.engines.test_keeper import RACING, shard_of

SHARD = shard_of(RACING)
WITHIN_S = 20.0


def wait_for(condition: Callable[[], Any], turn: Callable[[], Any] = lambda: None) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        turn()
        time.sleep(0.005)


class Objects:
    """A store of models on files that can be made to fail, or to take its time."""

    def __init__(self, folder: Path) -> None:
        self.kept = object_store(f"file://{folder}")
        self.error = ""
        self.open = threading.Event()
        self.open.set()
        self.attempts = 0

    def keep(self, shard: ShardId, epoch: int, name: str, sealed: bytes) -> None:
        self.attempts += 1
        self.open.wait(WITHIN_S)
        if self.error:
            raise StoreError(self.error)
        self.kept.keep(shard, epoch, name, sealed)

    def load(self, shard: ShardId, name: str) -> bytes | None:
        return self.kept.load(shard, name)

    def names(self, shard: ShardId) -> list[str]:
        return self.kept.names(shard)

    def drop(self, shard: ShardId, epoch: int, names: Iterable[str]) -> None:
        self.kept.drop(shard, epoch, names)


class Worker:
    """A driver over stores that outlive it."""

    def __init__(self, stores: Stores, committed: int | None = None, models_max: int = 100) -> None:
        self.facts: list[Any] = []
        limits = DriverLimits(checkpoint_events=400, versions=VersionLimits(models_max=models_max))
        self.driver = Driver(RACING, stores, KEYRING, limits, self.facts.append)
        self.at = self.driver.open(0, Log(committed, 0, COUNT), 0.0).offset
        self.stores, self.now_s = stores, 0.0

    def work(self, until: int) -> None:
        while self.at < until:
            end = min(self.at + 90, until)
            self.driver.take(0, Records.of(RECORDS[self.at : end]))
            self.driver.committed(self.driver.unsent().offsets)
            self.at = end
            self.turn()

    def turn(self) -> None:
        self.now_s += 0.5
        self.driver.settle(self.now_s)

    def known(self) -> list[Version]:
        return self.stores.versions.all(SHARD)

    def states(self) -> set[str]:
        return {version.artifact.state for version in self.known() if version.artifact.name}

    def of(self, kind: type) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects(tmp_path / "models")


@pytest.fixture
def stores(objects: Objects) -> Stores:
    return dataclasses.replace(connect("memory://", keyring=KEYRING), objects=objects)


def test_they_arrive_and_nothing_waits_behind(stores: Stores, objects: Objects) -> None:
    worker = Worker(stores)
    worker.work(COUNT)
    wait_for(lambda: worker.states() == {"kept"}, worker.turn)
    held = {version.artifact.name for version in worker.known() if version.artifact.state == "kept"}
    wait_for(lambda: set(objects.names(SHARD)) == held and not stores.models.names(SHARD), worker.turn)
    assert {version.artifact.place for version in worker.known() if version.artifact.name} == {"objects"}
    assert len(worker.of(CopyKept)) >= len(held)
    assert worker.of(CopiesWait)[-1] == CopiesWait(shard=SHARD, waiting=0)
    assert Registry(stores, RACING, KEYRING).find(SHARD, "previous").sealed == objects.load(SHARD, worker.known()[-2].artifact.name)


def test_a_store_that_is_full_stops_nothing_and_gets_them_later(stores: Stores, objects: Objects) -> None:
    worker, objects.error = Worker(stores), "Could not keep a model: it is full: free some space"
    worker.work(COUNT)
    wait_for(lambda: any(fact.error for fact in worker.of(CopiesWait)), worker.turn)
    assert "pending" in worker.states()
    assert worker.driver.position(0) == COUNT
    assert Registry(stores, RACING, KEYRING).find(SHARD, "previous").version.artifact.state == "pending", "it can be had all the same"
    [failed, *_] = [fact for fact in worker.of(CopiesWait) if fact.error]
    assert (failed.error, failed.waiting > 0) == (objects.error, True)
    assert objects.attempts < 10, "it is not asked again and again"
    objects.error = ""
    wait_for(lambda: worker.states() == {"kept"} and not stores.models.names(SHARD), worker.turn)


def test_a_slow_store_blocks_nothing_and_what_waits_is_bounded(stores: Stores, objects: Objects) -> None:
    objects.open.clear()
    worker, began_s = Worker(stores), time.monotonic()
    worker.work(COUNT)
    assert time.monotonic() - began_s < WITHIN_S / 2
    assert "pending" in worker.states()
    objects.open.set()
    wait_for(lambda: worker.states() == {"kept"}, worker.turn)


def test_who_takes_the_shard_over_brings_them_on(stores: Stores, objects: Objects) -> None:
    objects.error = "away"
    Worker(stores).work(COUNT)
    objects.error = ""
    after = Worker(stores, committed=COUNT)
    wait_for(lambda: after.states() == {"kept"} and not stores.models.names(SHARD), after.turn)
    after.driver.close()
    after.turn()


def test_one_that_is_lost_while_it_waits_is_told(stores: Stores, objects: Objects) -> None:
    objects.error = "away"
    worker = Worker(stores)
    worker.work(COUNT)
    epoch = stores.checkpoints.claim(SHARD)
    stores.models.drop(SHARD, epoch, stores.models.names(SHARD))
    objects.error = ""
    after = Worker(stores, committed=COUNT)
    wait_for(lambda: "pending" not in after.states(), after.turn)
    assert "failed" in after.states()
    with pytest.raises(StateError, match="its copy is lost: it was lost while it waited"):
        Registry(stores, RACING, KEYRING).find(SHARD, "previous")


def test_copies_beyond_the_limit_are_deleted_there_too(stores: Stores, objects: Objects) -> None:
    worker = Worker(stores, models_max=1)
    for until in (1_300, 2_100, COUNT):
        worker.work(until)
        wait_for(lambda: "pending" not in worker.states(), worker.turn)
    held = {version.artifact.name for version in worker.known() if version.artifact.state == "kept"}
    assert len(held) == 1
    wait_for(lambda: set(objects.names(SHARD)) == held, worker.turn)


def test_the_queue_is_bounded_and_what_does_not_fit_is_offered_again(objects: Objects) -> None:
    waiting: ModelStore = connect("memory://").models
    names = [f"0-g{number}-a" for number in range(QUEUE_MAX + 4)]
    for name in names:
        waiting.keep(SHARD, 1, name, b"sealed")
    objects.open.clear()
    uploads = Uploads(waiting, objects, time.monotonic)
    assert uploads.offer(Upload(SHARD, "0-g0", names[0]))
    wait_for(lambda: objects.attempts == 1)
    offered = [uploads.offer(Upload(SHARD, "", name)) for name in names]
    assert offered == [True] * (QUEUE_MAX + 1) + [False] * 3
    objects.open.set()
    came: list[Upload] = []
    wait_for(lambda: len(came) == QUEUE_MAX + 1, lambda: came.extend(uploads.came()))
    assert [upload.error for upload in came] == [""] * len(came)
    assert all(uploads.offer(Upload(SHARD, "", name)) for name in names[QUEUE_MAX + 1 :])


def test_a_store_that_raises_what_nobody_thought_of_is_one_that_failed(objects: Objects) -> None:
    waiting = connect("memory://").models
    waiting.keep(SHARD, 1, "a", b"sealed")
    objects.drop = lambda *_: {}["gone"]  # type: ignore[method-assign]
    uploads, came = Uploads(waiting, objects, time.monotonic), list[Upload]()
    uploads.offer(Upload(SHARD, "", "a", delete=True))
    wait_for(lambda: came, lambda: came.extend(uploads.came()))
    assert came[0].error == "'gone'"

"""Checkpoints that a forked child pickles while the loop goes on: real forks, and whatever becomes of them."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stream_retrain.codec.seal import unseal
from stream_retrain.codec.state import load_state
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver import apart, save
from stream_retrain.engines.driver.apart import Pickled, Pickling, PicklingError
from stream_retrain.errors import StaleEpochError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Checkpointed, CheckpointFailed
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests.conftest import Services
from tests.engines.test_driver import KEYRING, NOW, PIPELINE, SHARD, Bench
from tests.exactly_once.histories import history

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a fork is made on Linux only")


def wait_for(holds: Callable[[], Any], seconds: float = 30.0) -> Any:
    until_s = time.monotonic() + seconds
    while (found := holds()) is None or found is False:
        assert time.monotonic() < until_s, "in vain"
        time.sleep(0.002)
    return found


def begun(dump: Callable[[], bytes], **given: Any) -> Pickling:
    pickling = Pickling.begin(dump, **given)
    assert pickling is not None
    return pickling


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def endless() -> bytes:
    while True:
        time.sleep(1)


def test_the_bytes_are_those_of_the_moment_of_the_fork() -> None:
    state, before = {"learned": list(range(300_000))}, open_files()
    pickling = begun(lambda: pickle.dumps(state))
    state["learned"].clear()
    found: Pickled = wait_for(pickling.ended)
    assert pickle.loads(found.payload) == {"learned": list(range(300_000))}
    assert 0 < found.seconds < 30
    assert is_gone(pickling.pid)
    assert open_files() == before


@pytest.mark.parametrize(
    ("dump", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was ended by SIGKILL"),
        (lambda: pickle.dumps(lambda: None), "ended with exit code 2"),
        (lambda: os._exit(0), "left 0 bytes"),
        (lambda: 1 / 0, "ended with exit code 1"),
    ],
)
def test_a_child_that_ends_otherwise_is_an_error(dump: Callable[[], Any], said: str) -> None:
    before, pickling = open_files(), begun(dump)
    with pytest.raises(PicklingError, match=said):
        wait_for(pickling.ended)
    pickling.drop()
    assert open_files() == before


def test_damaged_bytes_are_an_error() -> None:
    def other() -> bytes:
        apart._MAGIC = b"pickled0"  # type: ignore[misc] - in the child
        return b"bytes"

    with pytest.raises(PicklingError, match="left 29 bytes where it says 5"):
        wait_for(begun(other).ended)


def test_a_child_that_takes_too_long_is_killed() -> None:
    now_s = [0.0]
    pickling = begun(endless, clock_s=lambda: now_s[0])
    assert pickling.ended() is None
    now_s[0] = apart.LIMIT_S
    with pytest.raises(PicklingError, match="killed after 60 s"):
        pickling.ended()
    assert is_gone(pickling.pid)


def test_where_no_process_can_be_started_it_is_pickled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refused)
    before = open_files()
    assert Pickling.begin(lambda: b"") is None
    assert open_files() == before
    monkeypatch.setattr(save, "APART_FROM_S", 0.0)
    monkeypatch.setattr(save, "FORKS_MIN", 0.0)
    bench = Bench(connect("memory://"), limits={"checkpoint_events": 500})
    bench.run(700)
    bench.driver.settle(NOW)
    assert [fact.offset for fact in bench.told if isinstance(fact, Checkpointed)] == [700]


class Apart(Bench):
    """A driver that pickles everything beside its loop."""

    def run(self, until: int, **given: Any) -> None:
        super().run(until, **given)
        self.driver.settle(NOW)

    @property
    def child(self) -> int | None:
        under_way = self.driver._saver._apart
        return None if under_way is None else under_way.pickling.pid

    def saved(self) -> list[int]:
        return [fact.offset for fact in self.told if isinstance(fact, Checkpointed)]

    def failed(self) -> list[str]:
        return [fact.error for fact in self.told if isinstance(fact, CheckpointFailed)]

    def finished(self) -> None:
        def none() -> bool:
            self.driver._saver.turn()
            return self.child is None

        wait_for(none)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.setattr(save, "APART_FROM_S", 0.0)
    monkeypatch.setattr(save, "FORKS_MIN", 0.0)
    return connect("memory://")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Children do not end by themselves."""
    with monkeypatch.context() as patched:
        patched.setattr(save, "_whole", lambda _: endless())
        yield


def stored(stores: Stores) -> tuple[int, str]:
    header, payload = unseal(stores.checkpoints.load(SHARD)[0], KEYRING)
    return header.offset, digest(load_state(payload))


def test_a_checkpoint_is_that_of_its_offset_though_the_loop_has_gone_on(stores: Stores) -> None:
    bench = Apart(stores, limits={"checkpoint_events": 500})
    bench.run(770)
    assert bench.child is not None
    assert bench.saved() == []
    super(Apart, bench).run(840)
    bench.finished()
    assert bench.saved() == [770]
    other = Bench(connect("memory://"))
    other.run(770)
    assert stored(stores) == (770, digest(other.driver.lanes[0].snapshot()))


def test_there_is_one_child_at_a_time_and_the_next_checkpoint_comes_when_it_is_due(stores: Stores) -> None:
    bench = Apart(stores, limits={"checkpoint_events": 100})
    bench.run(210)
    first = bench.child
    super(Apart, bench).run(420)
    bench.driver._checkpoint_one(NOW)
    assert bench.child == first is not None
    bench.finished()
    bench.driver.settle(NOW)
    bench.finished()
    assert bench.saved() == [210, 420]


def test_a_killed_child_is_told_and_the_next_checkpoint_is_pickled_here(stores: Stores) -> None:
    bench = Apart(stores, limits={"checkpoint_events": 500})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(save, "_whole", lambda _: endless())
        bench.run(770)
    os.kill(bench.child or 0, signal.SIGKILL)
    bench.finished()
    assert bench.saved() == []
    assert bench.failed() == ["the process that pickles was ended by SIGKILL"]
    save.APART_FROM_S = 0.0001  # the fixture puts it back
    bench.driver.settle(NOW)
    assert (bench.saved(), bench.child) == ([770], None)


def test_a_checkpoint_at_the_end_takes_the_place_of_one_that_is_pickled(stores: Stores, slow: None) -> None:
    bench = Apart(stores, limits={"checkpoint_events": 500})
    bench.run(770)
    child = bench.child
    super(Apart, bench).run(840)
    bench.driver.checkpoint(NOW, float("inf"))
    assert bench.saved() == [840]
    assert bench.child is None
    assert is_gone(child or 0)


def test_a_partition_that_goes_takes_its_child_with_it(stores: Stores, slow: None) -> None:
    bench = Apart(stores, limits={"checkpoint_events": 500})
    bench.run(770)
    child = bench.child
    bench.driver.close()
    assert bench.child is None
    assert is_gone(child or 0)
    assert bench.saved() == []


def test_what_a_zombie_has_pickled_is_not_saved(stores: Stores) -> None:
    zombie = Apart(stores, limits={"checkpoint_events": 500})
    zombie.run(770)
    assert zombie.child is not None
    Bench(stores, committed=770)  # the new owner has the next epoch
    with pytest.raises(StaleEpochError):
        zombie.finished()
    assert zombie.saved() == []


@pytest.mark.slow
def test_histories_are_exactly_once_with_children_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(save, "APART_FROM_S", 0.0)
    monkeypatch.setattr(save, "FORKS_MIN", 0.0)
    crashes = 0
    for seed in range(12):
        world = history(seed, point="checkpoint.sealed" if seed % 2 else "checkpoint.due", fences="generation")
        verdict = world.judge()
        assert verdict.holds, (seed, verdict)
        crashes += world.crashes
    assert crashes


@pytest.mark.services
def test_on_a_real_store_a_killed_child_leaves_the_last_checkpoint_and_the_next_one_follows(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(save, "APART_FROM_S", 0.0)
    monkeypatch.setattr(save, "FORKS_MIN", 0.0)
    kept = connect(services.redis_url)
    bench = Apart(kept, limits={"checkpoint_events": 500}, pipeline=dataclasses.replace(PIPELINE, name=services.name("apart")))
    shard = ShardId(bench.opened.id.pipeline, PIPELINE.source, 0)

    def offsets() -> list[int]:
        return [unseal(sealed, KEYRING)[0].offset for sealed in kept.checkpoints.load(shard)]

    bench.run(770)
    bench.finished()
    assert offsets() == [770]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(save, "_whole", lambda _: endless())
        bench.run(1_400)
    os.kill(bench.child or 0, signal.SIGKILL)
    bench.finished()
    assert offsets() == [770], "nothing of what a child did not finish is there"
    bench.driver.settle(NOW)
    bench.finished()
    assert offsets() == [1_400, 770]
    again = Bench(kept, committed=1_400, pipeline=dataclasses.replace(PIPELINE, name=shard.pipeline))
    assert again.offset == 1_400
    assert again.digest == bench.digest

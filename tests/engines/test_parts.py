"""Checkpoints of many keyed models: what does not change is written once, and what comes back is the state that was saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from river import linear_model, preprocessing

from stream_retrain import Pipeline, Schema
from stream_retrain.codec.checkpoint import open_payload
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.seal import unseal
from stream_retrain.codec.state import dump_state, load_state
from stream_retrain.codec.versions import open_version
from stream_retrain.core.digest import digest
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.limits import VersionLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.driver.parts import KeptParts
from stream_retrain.engines.driver.warm import begin_warm, old_model
from stream_retrain.errors import StaleEpochError, StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Checkpointed, CheckpointFailed, WorkerFact
from stream_retrain.lane.batch import Record, Records
from stream_retrain.models import PerKey
from stream_retrain.models.segments import Segment, Segments
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, Stores
from stream_retrain.stores.registry import Registry
from tests.models import streams

FEATURES: dict[str, Any] = {**{f"f{number}": float for number in range(6)}, "store": str}
PIPELINE = Pipeline(
    name="keyed",
    task="binary",
    source="events",
    schema=Schema(id="id", label="y", features=FEATURES),
    model=PerKey(preprocessing.StandardScaler() | linear_model.LogisticRegression(), by="store", hot_keys_max=20, keys_max=900),
)
SHARD = ShardId(PIPELINE.name, PIPELINE.source, 0)
KEYRING = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))
RECORDS = [
    Record(number, None, json.dumps({"id": f"e{number}", **x, "y": y}).encode(), number * 1_000)
    for number, (x, y) in enumerate(streams.stores(3_000, stores=1_500))
]


class Bench:
    """A driver over stores that outlive it."""

    def __init__(self, stores: Stores, committed: int | None = None, **limits: Any) -> None:
        self.stores = stores
        self.told: list[WorkerFact] = []
        self.driver = Driver(PIPELINE, stores, KEYRING, DriverLimits(keeps_window=False, **limits), self.told.append)
        self.offset = self.driver.open(0, Log(committed, 0, len(RECORDS)), 0.0).offset

    def run(self, until: int, *, settle: bool = True) -> Bench:
        while self.offset < until:
            end = min(self.offset + 150, until)
            self.driver.take(0, Records.of(RECORDS[self.offset : end]))
            self.driver.committed(self.driver.unsent().offsets)
            self.offset = end
            if settle:
                self.driver.settle(0.0)
        return self

    def checkpoint(self) -> Checkpointed:
        self.driver.checkpoint(0.0, float("inf"))
        return next(fact for fact in reversed(self.told) if isinstance(fact, Checkpointed))

    @property
    def digest(self) -> str:
        return self.driver.lanes[0].digest()


@pytest.fixture
def stores() -> Stores:
    return connect("memory://")


@pytest.fixture(scope="module")
def whole() -> str:
    return Bench(connect("memory://")).run(len(RECORDS)).digest


def test_a_shard_that_died_anywhere_goes_on_as_one_that_never_did(stores: Stores, whole: str) -> None:
    Bench(stores).run(1_000).checkpoint()
    bench = Bench(stores, committed=1_000)
    bench.run(1_900).checkpoint()
    bench.run(2_500)  # and dies without a checkpoint, with parts written ahead
    bench = Bench(stores, committed=2_500)
    assert bench.offset == 1_900
    bench.run(len(RECORDS))
    assert bench.digest == whole


def test_what_did_not_change_is_written_once(stores: Stores) -> None:
    bench = Bench(stores).run(2_000, settle=False)
    first = bench.checkpoint()
    state = len(dump_state(bench.driver.lanes[0].snapshot()))
    assert first.bytes == pytest.approx(state, rel=0.1)
    bench.run(2_100)
    assert bench.checkpoint().bytes < state / 2.5
    [newest, *_] = stores.checkpoints.load(SHARD)
    assert len(newest) < state / 2.5


def test_parts_are_written_between_batches_before_a_checkpoint_is_due(stores: Stores) -> None:
    bench = Bench(stores, checkpoint_events=1_000_000).run(1_500)
    assert stores.checkpoints.load(SHARD) == []
    held = {segment.digest for segment in bench.driver.lanes[0].shard.segments()}
    assert held
    assert held <= stores.parts.load(SHARD).keys()


def test_only_what_the_last_two_checkpoints_need_is_kept(stores: Stores) -> None:
    bench = Bench(stores)
    needed: list[set[str]] = []
    for until in range(400, 2_801, 400):
        bench.run(until).checkpoint()
        [header, _] = unseal(stores.checkpoints.load(SHARD)[0], KEYRING)
        listed = stores.parts.load(SHARD)[header.list_of_parts].decode().split()
        needed.append({header.list_of_parts, *listed})
        assert stores.parts.load(SHARD).keys() == set.union(*needed[-2:])
    stores.parts.keep(SHARD, stores.checkpoints.claim(SHARD), {"an orphan": b"of a crash"})
    bench = Bench(stores, committed=2_800)
    bench.run(2_900).checkpoint()
    assert "an orphan" not in stores.parts.load(SHARD)
    assert needed[-1] <= stores.parts.load(SHARD).keys()


def test_the_model_that_serves_is_found_with_its_parts_for_a_promotion_and_a_warm_start(stores: Stores) -> None:
    bench = Bench(stores, versions=VersionLimits()).run(1_500)
    bench.checkpoint()
    serves = digest(bench.driver.lanes[0].shard.snapshot()["reactions"]["succession"]["champion"])
    found = Registry(stores, PIPELINE, KEYRING).find(SHARD, "champion")
    assert found.learned_through == 1_499
    assert digest(open_version(found.sealed, found.version.id, PIPELINE, SHARD, KEYRING)[1]) == serves
    old = old_model(PIPELINE, SHARD, stores, KEYRING)
    assert (old.offset, digest(old.warm.model)) == (1_500, serves)
    new = SHARD._replace(partition=1)
    begin_warm(PIPELINE, new, 0, "", old, stores, KEYRING, ArtifactLimits())
    assert digest(old_model(PIPELINE, new, stores, KEYRING).warm.model) == serves


def test_where_the_store_has_lost_a_part_the_checkpoint_before_is_used(stores: Stores, whole: str) -> None:
    bench = Bench(stores).run(1_000)
    bench.checkpoint()
    before = set(stores.parts.load(SHARD))
    bench.run(2_000).checkpoint()
    newest = sorted(set(stores.parts.load(SHARD)) - before)
    stores.parts.drop(SHARD, stores.checkpoints.claim(SHARD), newest[:1])
    bench = Bench(stores, committed=2_000)
    assert bench.offset == 1_000
    assert any(isinstance(fact, CheckpointFailed) and "lost parts" in fact.error for fact in bench.told)
    bench.run(len(RECORDS))
    assert bench.digest == whole


def test_where_the_store_has_lost_all_parts_it_refuses_and_a_rebuild_gets_past_it(stores: Stores, whole: str) -> None:
    Bench(stores).run(1_000).checkpoint()
    stores.parts.drop(SHARD, stores.checkpoints.claim(SHARD), list(stores.parts.load(SHARD)))
    with pytest.raises(StateError, match="the store has lost parts of it"):
        Bench(stores, committed=1_000)
    bench = Bench(stores, committed=1_000, checkpoint_unfit="rebuild")
    assert bench.offset == 0
    bench.run(len(RECORDS)).checkpoint()
    assert bench.digest == whole
    assert Bench(stores, committed=len(RECORDS)).digest == whole


def test_a_store_that_was_emptied_meanwhile_is_given_all_parts_again(stores: Stores, whole: str) -> None:
    bench = Bench(stores).run(2_000)
    bench.checkpoint()
    stores.parts._shards._kept[SHARD].parts.clear()  # type: ignore[attr-defined]
    bench.run(len(RECORDS)).checkpoint()
    assert Bench(stores, committed=len(RECORDS)).digest == whole


def test_a_part_that_was_changed_is_not_opened(stores: Stores) -> None:
    bench = Bench(stores).run(1_000)
    bench.checkpoint()
    [sealed] = stores.checkpoints.load(SHARD)
    header, payload = unseal(sealed, KEYRING)
    parts = stores.parts.load(SHARD)
    one = next(name for name in parts if name != header.list_of_parts)
    with pytest.raises(StateError, match="changed or damaged"):
        open_payload(payload, PIPELINE, "it", {**parts, one: parts[one] + b"x"})
    with pytest.raises(StateError, match="has lost a part"):
        open_payload(payload, PIPELINE, "it")
    with pytest.raises(StateError, match="part"):
        open_payload(payload, PIPELINE, "it", {name: part for name, part in parts.items() if name != one})
    assert digest(open_payload(payload, PIPELINE, "it", parts)) == digest(bench.driver.lanes[0].snapshot())


def test_a_zombie_writes_and_drops_no_part(stores: Stores) -> None:
    zombie = Bench(stores).run(1_000)
    zombie.checkpoint()
    Bench(stores, committed=1_000)
    before = stores.parts.load(SHARD)
    with pytest.raises(StaleEpochError):
        zombie.run(1_600)
    with pytest.raises(StaleEpochError):
        KeptParts(SHARD, 1, stores.parts, before, ()).saved(())
    assert stores.parts.load(SHARD) == before


def test_a_state_without_such_models_has_no_parts(stores: Stores) -> None:
    parts: dict[str, Segment] = {}
    assert load_state(dump_state({"a": Segments()}, parts))["a"].bytes == 0
    assert parts == {}
    kept = KeptParts(SHARD, 1, stores.parts, (), ())
    kept.ahead([])
    assert kept.keep({}) == 0
    kept.saved(())
    assert stores.parts.load(SHARD) == {}

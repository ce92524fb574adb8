"""Finding a version: by id or alias, verified before anything of it is unpickled, and a clear sentence for each that cannot be had."""

from __future__ import annotations

import dataclasses
import pickle
from typing import Any

import msgspec
import pytest
from river import linear_model, preprocessing

from stream_retrain.codec.checkpoint import STATE_SCHEMA, checkpoint_header
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.seal import seal, unseal
from stream_retrain.codec.state import dump_state
from stream_retrain.codec.versions import copy_name, digest_of, open_version, seal_version, software
from stream_retrain.core.digest import digest
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.schema import Schema
from stream_retrain.errors import StateError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.version import Artifact, Moment, Version, aliases_of, import_id, imports_of
from stream_retrain.lane.shard import Shard
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.registry import Registry

KEYS = Keyring(keys=(Key(id="k1", secret=b"a secret of versions"),))


def declared(**changes: Any) -> Pipeline:
    schema = Schema(id="id", time="time", label="late", features={"delay": float})
    given: dict[str, Any] = {"name": "flights", "task": "binary", "source": "flights.events", "schema": schema}
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    return Pipeline(**{**given, "model": model, **changes})


PIPELINE = declared()
SHARD = ShardId("flights", "flights.events", 2)


def trained(rows: int = 5) -> Any:
    model = PIPELINE.model.clone()
    for row in range(rows):
        model.learn_one({"delay": float(row)}, row % 2 == 0)
    return model


def version(id_: str, **changes: Any) -> Version:
    partition, _, rest = id_.partition("-")
    number = {"generation" if rest[0] == "g" else "training": int(rest[1:])} if partition.isdecimal() else {}
    of = int(partition) if partition.isdecimal() else None
    at = Moment(offset=next(iter(number.values()), 0), time_s=0.0, wall_s=1.0)
    given: dict[str, Any] = {"came": "lead" if of is not None else "imported", "began": at, **number, **changes}
    return Version(id=id_, pipeline="flights", topic=SHARD.topic, partition=of, **given)


def copied(model: Any, id_: str, shard: ShardId = SHARD, keys: Keyring = KEYS, pipeline: Pipeline = PIPELINE) -> bytes:
    return seal_version(dump_state(model), id_, pipeline, shard, keys, learned_through=4, family="additive")


class Kept:
    """A shard with three generations, of which the last serves, and a training that races."""

    def __init__(self) -> None:
        self.stores = connect("memory://")
        self.epoch = self.stores.checkpoints.claim(SHARD)
        self.registry = Registry(self.stores, PIPELINE, KEYS)
        ended = Moment(offset=9, time_s=1.0, wall_s=2.0)
        for rows, id_, changes in (
            (3, "2-g0", {"came": "new", "ended": ended}),
            (5, "2-g1", {"ended": ended}),
            (7, "2-g2", {"replaced": "2-g1", "parent": "2-t4"}),
            (9, "2-t4", {"came": "trained", "duel": 3}),
        ):
            self.put(id_, copied(trained(rows), id_), **changes)

    def put(self, id_: str, sealed: bytes | None, **changes: Any) -> str:
        name = copy_name(id_, sealed or b"")
        state = Artifact(name=name, bytes=len(sealed or b""), state="kept")
        self.stores.versions.put(SHARD, self.epoch, [dataclasses.replace(version(id_, **changes), artifact=changes.get("artifact", state))])
        if sealed is not None:
            self.stores.models.keep(SHARD, self.epoch, name, sealed)
        return name


@pytest.fixture
def kept() -> Kept:
    return Kept()


class TestFind:
    @pytest.mark.parametrize(
        ("wanted", "id_", "rows"),
        [("2-g0", "2-g0", 3), ("previous", "2-g1", 5), ("champion", "2-g2", 7), ("challenger", "2-t4", 9), ("2-t4", "2-t4", 9)],
    )
    def test_by_id_and_by_alias(self, kept: Kept, wanted: str, id_: str, rows: int) -> None:
        found = kept.registry.find(SHARD, wanted)
        header, model = open_version(found.sealed, found.version.id, PIPELINE, SHARD, KEYS)
        assert (found.version.id, found.family, found.learned_through) == (id_, "additive", 4)
        assert (header.partition, digest(model)) == (2, digest(trained(rows)))

    def test_what_serves_now_is_found_as_its_newest_checkpoint_has_it(self, kept: Kept) -> None:
        state = Shard(PIPELINE).snapshot()
        succession = {**state["reactions"]["succession"], "champion": trained(70), "generation": 2}
        state = {**state, "reactions": {**state["reactions"], "succession": succession}}
        header = checkpoint_header(PIPELINE, SHARD, 71, 2)
        kept.stores.checkpoints.save(SHARD, kept.epoch, 71, seal(header, dump_state(state), KEYS))
        found = kept.registry.find(SHARD, "champion")
        assert (found.learned_through, found.family) == (70, "")
        assert digest(open_version(found.sealed, "2-g2", PIPELINE, SHARD, KEYS)[1]) == digest(trained(70))
        assert kept.registry.find(SHARD, "previous").learned_through == 4

    def test_what_was_brought_in_can_serve_any_shard(self, kept: Kept) -> None:
        payload, of = dump_state(trained(11)), imports_of("flights")
        id_ = import_id(digest_of(payload))
        sealed = seal_version(payload, id_, PIPELINE, of, KEYS, learned_through=-1)
        kept.stores.models.keep(of, 0, copy_name(id_, sealed), sealed)
        kept.stores.versions.put(of, 0, [dataclasses.replace(version(id_), artifact=Artifact(name=copy_name(id_, sealed), state="kept"))])
        for partition in (2, 5):
            found = kept.registry.find(SHARD._replace(partition=partition), id_)
            assert digest(open_version(found.sealed, id_, PIPELINE, SHARD, KEYS)[1]) == digest(trained(11))

    def test_a_copy_in_the_object_store_is_found(self, kept: Kept) -> None:
        name = kept.put("2-g0", None, came="new", ended=Moment(offset=9, time_s=1.0, wall_s=2.0))
        other = connect("memory://")
        sealed = copied(trained(3), "2-g0")
        other.models.keep(SHARD, 1, name, sealed)
        found = Registry(dataclasses.replace(kept.stores, objects=other.models), PIPELINE, KEYS).find(SHARD, "2-g0")
        assert found.sealed == sealed

    def test_a_pipeline_whose_rules_and_metrics_changed_still_finds_it(self, kept: Kept) -> None:
        changed = declared(threshold=0.25)
        assert changed.digest() != PIPELINE.digest()
        assert Registry(kept.stores, changed, KEYS).find(SHARD, "2-g1").version.id == "2-g1"


class Bomb:
    def __reduce__(self) -> Any:
        return pytest.fail, ("it was unpickled",)


class TestRefused:
    @pytest.mark.parametrize(
        ("wanted", "said"),
        [
            ("2-g9", r"flights/flights.events/2 has no version 2-g9; there are 2-g0, 2-g1, 2-g2, 2-t4"),
            ("3-g1", r"version 3-g1 is of partition 3, and this is partition 2: a model serves its own shard"),
            ("the good one", r"'the good one' is no version: write one as in 2-g3, 2-t2, or an alias"),
            ("import-0123456789ab", "has no version import-0123456789ab"),
        ],
    )
    def test_an_unknown_version(self, kept: Kept, wanted: str, said: str) -> None:
        with pytest.raises(StateError, match=said):
            kept.registry.find(SHARD, wanted)

    def test_an_alias_that_names_nothing_now(self) -> None:
        stores = connect("memory://")
        with pytest.raises(StateError, match=r"has no previous now; there are no versions yet"):
            Registry(stores, PIPELINE, KEYS).find(SHARD, "previous")

    @pytest.mark.parametrize(
        ("artifact", "said"),
        [
            (Artifact(), "no copy of it was kept, because it began untrained"),
            (Artifact(name="2-g0-gone", state="dropped"), r"its copy was dropped, because it was beyond a limit \(versions_models_max"),
            (Artifact(name="2-g0-gone", state="kept"), "its copy is not where it belongs: see that artifacts_url"),
            (Artifact(name="2-g0-gone", state="failed"), "its copy is lost: see the log of its worker"),
        ],
    )
    def test_one_whose_copy_is_not_there(self, kept: Kept, artifact: Artifact, said: str) -> None:
        kept.put("2-g0", None, artifact=artifact, ended=Moment(offset=9, time_s=1.0, wall_s=2.0))
        with pytest.raises(StateError, match=said):
            kept.registry.find(SHARD, "2-g0")

    @pytest.mark.parametrize(
        ("other", "said"),
        [
            (copied(trained(), "2-g0"), "what is kept of it is 2-g0"),
            (copied(trained(), "2-g1", SHARD._replace(partition=3)), "it is of another partition: 3"),
            (copied(trained(), "2-g1", SHARD._replace(pipeline="other")), "it is of another pipeline: 'other'"),
            (copied(trained(), "2-g1", keys=Keyring(keys=(Key(id="k2", secret=b"a secret of nobody"),))), "signed with the key 'k2'"),
            (copied(trained(), "2-g1", keys=Keyring.unsigned()), "is not signed"),
            (copied(trained(), "2-g1", pipeline=declared(model=linear_model.Perceptron())), "the pipeline has another model since"),
        ],
    )
    def test_one_that_is_another(self, kept: Kept, other: bytes, said: str) -> None:
        kept.put("2-g1", other, ended=Moment(offset=9, time_s=1.0, wall_s=2.0))
        with pytest.raises(StateError, match=said):
            kept.registry.find(SHARD, "2-g1")

    def test_one_of_another_river_or_state_schema(self, kept: Kept) -> None:
        header, payload = unseal(copied(trained(), "2-g1"), KEYS)
        old, replace = header.versions, msgspec.structs.replace
        for header_of_old, said in (
            (replace(header, versions=replace(old, river="0.1")), "written by River 0.1"),
            (replace(header, versions=replace(old, python="2.7.1")), "on Python 2.7.1"),
            (replace(header, schema=0), "in state schema 0"),
        ):
            kept.put("2-g1", seal(header_of_old, payload, KEYS), ended=Moment(offset=9, time_s=1.0, wall_s=2.0))
            with pytest.raises(StateError, match=said):
                kept.registry.find(SHARD, "2-g1")

    def test_any_flipped_byte_is_found_and_nothing_is_unpickled(self, kept: Kept) -> None:
        sealed = seal_version(pickle.dumps(Bomb()), "2-g1", PIPELINE, SHARD, KEYS, learned_through=4)
        for at in range(0, len(sealed), 7):
            tampered = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
            name = kept.put("2-g1", tampered, ended=Moment(offset=9, time_s=1.0, wall_s=2.0))
            with pytest.raises(StateError):
                kept.registry.find(SHARD, "2-g1")
            kept.stores.models.drop(SHARD, kept.epoch, [name])


class TestAliases:
    def test_of_several_that_were_never_ended_the_newest_serves(self) -> None:
        assert aliases_of([version("2-g3"), version("2-g8")]) == {"champion": "2-g8"}

    def test_nothing_serves_and_nothing_races(self) -> None:
        over = Moment(offset=1, time_s=1.0, wall_s=1.0)
        assert aliases_of([version("2-g3", ended=over), version("2-t1", duel=1, ended=over), version("2-t2")]) == {}


def test_it_says_by_what_it_was_made() -> None:
    made = software()
    assert (made.river[:3], made.state_schema) == ("0.2", STATE_SCHEMA)


def test_stores_say_where_copies_belong() -> None:
    stores: Stores = connect("memory://")
    assert stores.objects is None

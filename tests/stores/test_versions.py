"""What every store of versions promises, on the memory twin, a real Valkey and a real Redis; and every store of models, on files too."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import redis

from stream_retrain.errors import SettingsError, StaleEpochError, StoreError
from stream_retrain.facts.duel import ContestantStanding
from stream_retrain.facts.version import Artifact, Moment, Quality, Software, TrainedOn, Version, imports_of
from stream_retrain.stores import connect
from stream_retrain.stores.objects import object_store
from stream_retrain.stores.ports import Stores
from stream_retrain.stores.version_ports import VERSION_BYTES_MAX, ModelStore
from stream_retrain.stores.version_text import written_version
from tests.stores.support import SHARD


def version(generation: int, **changes: Any) -> Version:
    same = {"pipeline": SHARD.pipeline, "topic": SHARD.topic, "partition": SHARD.partition, "came": "lead"}
    at = Moment(offset=100 * generation, time_s=float(generation), wall_s=1e9 + generation)
    return Version(**{"id": f"0-g{generation}", "generation": generation, "began": at, **same, **changes})


def standing(name: str, loss_mean: float, events: int, e_value: float, e_value_against: float) -> ContestantStanding:
    return ContestantStanding(name=name, loss_mean=loss_mean, events=events, e_value=e_value, e_value_against=e_value_against)


FULL = version(
    7,
    family="additive",
    ended=Moment(offset=900, time_s=None, wall_s=None),
    ended_by="rolled_back",
    standings=(standing("fresh", 0.25, 90, 21.5, 0.1),),
    trained_on=TrainedOn(window="the last 500 rows", lessons=500, learned_through=650, gap=True),
    quality=Quality(before={"Accuracy": 0.5}, since={"Accuracy": 0.75, "F1": None}, events=200),
    software=Software(river="0.26.1", state_schema=1),
    artifact=Artifact(name="0-g7-abc", bytes=12, state="pending", learned_through=699),
    cause="drift in error",
)


class TestIndex:
    def test_it_gives_back_what_was_written_the_oldest_first(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        assert stores.versions.all(SHARD) == []
        stores.versions.put(SHARD, epoch, [FULL, version(11)])
        stores.versions.put(SHARD, epoch, [version(2)])
        assert stores.versions.all(SHARD) == [version(2), FULL, version(11)]

    def test_writing_again_replaces_and_forgetting_is_part_of_it(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.versions.put(SHARD, epoch, [version(1), version(2), version(3)])
        changed = version(3, cause="asked")
        stores.versions.put(SHARD, epoch, [changed], forget=["0-g1", "0-g9"])
        stores.versions.put(SHARD, epoch, [changed], forget=["0-g1", "0-g9"])
        assert stores.versions.all(SHARD) == [version(2), changed]

    def test_an_older_owner_changes_nothing(self, stores: Stores) -> None:
        older, newer = stores.checkpoints.claim(SHARD), stores.checkpoints.claim(SHARD)
        stores.versions.put(SHARD, newer, [version(1)])
        with pytest.raises(StaleEpochError):
            stores.versions.put(SHARD, older, [version(2)], forget=["0-g1"])
        assert stores.versions.all(SHARD) == [version(1)]

    def test_it_says_of_which_partitions_something_is_known(self, stores: Stores) -> None:
        for shard in (
            SHARD._replace(partition=11),
            SHARD._replace(partition=2),
            SHARD._replace(topic="other"),
            SHARD._replace(pipeline="x"),
        ):
            stores.versions.put(shard, stores.checkpoints.claim(shard), [version(1, partition=shard.partition)])
        stores.versions.put(imports_of(SHARD.pipeline), 0, [version(1)])
        assert stores.versions.partitions(SHARD.pipeline, SHARD.topic) == [2, 11]
        assert stores.versions.partitions("nobody", SHARD.topic) == []

    def test_what_is_of_no_shard_has_no_owner(self, stores: Stores) -> None:
        given = Version(id="import-0123456789ab", pipeline=SHARD.pipeline, topic="", partition=None, came="imported")
        stores.versions.put(imports_of(SHARD.pipeline), 0, [given])
        stores.versions.put(imports_of(SHARD.pipeline), 0, [given])
        assert stores.versions.all(imports_of(SHARD.pipeline)) == [given]
        assert stores.versions.all(SHARD) == []

    def test_numbers_that_json_has_not_and_long_texts_are_cut(self, stores: Stores) -> None:
        epoch, endless = stores.checkpoints.claim(SHARD), standing("x" * 100, float("nan"), 1, float("inf"), 0.0)
        stores.versions.put(SHARD, epoch, [version(1, error="no " * 9_000, standings=(endless,) * 2)])
        stores.versions.put(SHARD, epoch, [version(2, standings=(endless,) * 2_000)])
        first, second = stores.versions.all(SHARD)
        assert (len(first.error), first.standings[0].loss_mean) == (4_000, 0.0)
        assert first.standings[0].e_value > 1e300
        assert second.standings == ()

    @pytest.mark.parametrize(
        "text",
        [
            *(b"", b"{}", b"\xff", b"[" * 5_000, b'{"id":"0-g1"}', b" " * (VERSION_BYTES_MAX + 1)),
            *map(written_version, (version(2), version(1, pipeline="another"), version(1, came="magic"))),
        ],
    )
    @pytest.mark.services
    def test_an_entry_that_is_rubbish_is_left_out_and_told(self, real_url: str, text: bytes, caplog: pytest.LogCaptureFixture) -> None:
        stores, client = connect(real_url), redis.Redis.from_url(real_url)
        stores.versions.put(SHARD, stores.checkpoints.claim(SHARD), [version(5)])
        client.hset(f"sr:{{{SHARD}}}:versions", "0-g1", text)
        assert stores.versions.all(SHARD) == [version(5)]
        assert "a version is left out: what is stored as version '0-g1' of flights/flights.events/0" in caplog.text

    @pytest.mark.services
    @pytest.mark.parametrize("key", ["versions", "models"])
    def test_a_key_of_another_type_gives_way(self, real_url: str, key: str, caplog: pytest.LogCaptureFixture) -> None:
        stores, client = connect(real_url), redis.Redis.from_url(real_url)
        client.set(f"sr:{{{SHARD}}}:{key}", "somebody's")
        assert (stores.versions.all(SHARD), stores.models.names(SHARD), stores.models.load(SHARD, "a")) == ([], [], None)
        epoch = stores.checkpoints.claim(SHARD)
        stores.versions.put(SHARD, epoch, [version(1)])
        stores.models.keep(SHARD, epoch, "a", b"x")
        assert (len(stores.versions.all(SHARD)), stores.models.names(SHARD)) == (1, ["a"])
        assert "none of this program's" in caplog.text


@pytest.fixture(params=["twin", "file", "object", *(pytest.param(kind, marks=pytest.mark.services) for kind in ("valkey", "redis"))])
def models(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    """Empty stores of models of each kind; a file's and an object's are fsspec's."""
    match request.param:
        case "twin":
            return connect("memory://").models
        case "file":
            return object_store(f"file://{tmp_path}/models")
        case "object":
            fsspec.filesystem("memory").store.clear()
            return object_store("memory://models")
        case kind:
            return connect(request.getfixturevalue("shared_server")(kind)).models


class TestModels:
    def test_it_gives_back_what_was_kept(self, models: ModelStore) -> None:
        sealed = random.Random(1).randbytes(100_000)
        assert (models.load(SHARD, "0-g3-f00d"), models.names(SHARD)) == (None, [])
        models.keep(SHARD, 5, "0-g3-f00d", sealed)
        models.keep(SHARD, 5, "0-g3-f00d", sealed)
        models.keep(SHARD, 5, "0-g4-f00d", b"")
        assert models.load(SHARD, "0-g3-f00d") == sealed
        assert models.names(SHARD) == ["0-g3-f00d", "0-g4-f00d"]
        assert models.load(SHARD._replace(partition=1), "0-g3-f00d") is None

    def test_what_is_dropped_is_gone_and_dropping_again_does_nothing(self, models: ModelStore) -> None:
        for name in "abc":
            models.keep(SHARD, 5, name, name.encode())
        models.drop(SHARD, 5, ["a", "c", "nobody"])
        models.drop(SHARD, 5, ["a"])
        models.drop(SHARD, 5, [])
        assert models.names(SHARD) == ["b"]


def test_an_older_owner_keeps_no_model(stores: Stores) -> None:
    older, newer = stores.checkpoints.claim(SHARD), stores.checkpoints.claim(SHARD)
    stores.models.keep(SHARD, newer, "a", b"x")
    for attempt in (lambda: stores.models.keep(SHARD, older, "b", b"x"), lambda: stores.models.drop(SHARD, older, ["a"])):
        with pytest.raises(StaleEpochError):
            attempt()
    assert stores.models.names(SHARD) == ["a"]


class TestObjects:
    def test_a_copy_that_cannot_be_finished_is_not_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        models = object_store(f"file://{tmp_path}")
        models.keep(SHARD, 0, "a", b"x")
        local = type(models._files)  # type: ignore[attr-defined]

        def full(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(local, "mv", full)
        with pytest.raises(StoreError, match=r"Could not keep a model of 5 bytes.*it is full: free some space.*No space left"):
            models.keep(SHARD, 0, "b", b"bytes")
        assert models.names(SHARD) == ["a"]
        assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a.model"], "what was begun is cleared away"

    @pytest.mark.parametrize(
        ("prepare", "said"),
        [
            (lambda root: root.joinpath("flights").write_text("a file"), "Could not keep a model"),
            (lambda root: root.joinpath("flights").symlink_to("/proc/nobody"), "Could not keep a model"),
        ],
    )
    def test_what_the_store_raises_is_a_store_error(self, tmp_path: Path, prepare: Callable[[Path], Any], said: str) -> None:
        prepare(tmp_path)
        with pytest.raises(StoreError, match=said):
            object_store(f"file://{tmp_path}").keep(SHARD, 0, "a", b"x")

    def test_a_kind_that_is_not_installed_says_what_to_install(self) -> None:
        with pytest.raises(SettingsError, match=r"artifacts_url begins with s3://: pip install s3fs$"):
            object_store("s3://bucket/models")

    def test_a_kind_that_there_is_not_is_a_fault(self) -> None:
        with pytest.raises(SettingsError, match="artifacts_url 'floppy://a' is none that can be used"):
            object_store("floppy://a")

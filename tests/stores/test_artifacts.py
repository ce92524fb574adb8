"""What every artifact store promises, on the memory twin, a real Valkey and a real Redis."""

from __future__ import annotations

import random
import time

import pytest
import redis

from stream_retrain.errors import StaleEpochError
from stream_retrain.stores import connect
from stream_retrain.stores.ports import ArtifactLimits, Evicted, Stores
from tests.stores.support import SHARD

ROOMY = ArtifactLimits(bytes_max=1_000_000)


def kept(stores: Stores, names: str) -> str:
    """Those of these names that are there."""
    return "".join(name for name in names if stores.artifacts.load(SHARD, name) is not None)


class TestArtifacts:
    def test_it_gives_back_what_was_kept(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        sealed = random.Random(1).randbytes(100_000)
        assert stores.artifacts.keep(SHARD, epoch, "3-f00d", sealed, ROOMY) == Evicted(0, 0)
        assert stores.artifacts.load(SHARD, "3-f00d") == sealed
        assert stores.artifacts.load(SHARD, "3-f00e") is None

    def test_nothing_is_there_at_first(self, stores: Stores) -> None:
        assert stores.artifacts.load(SHARD, "a") is None

    def test_one_of_the_same_name_is_replaced_and_counts_once(self, stores: Stores) -> None:
        epoch, limits = stores.checkpoints.claim(SHARD), ArtifactLimits(bytes_max=25)
        stores.artifacts.keep(SHARD, epoch, "a", b"x" * 10, limits)
        stores.artifacts.keep(SHARD, epoch, "b", b"x" * 10, limits)
        assert stores.artifacts.keep(SHARD, epoch, "a", b"y" * 10, limits) == Evicted()
        assert stores.artifacts.load(SHARD, "a") == b"y" * 10
        assert stores.artifacts.keep(SHARD, epoch, "c", b"x" * 10, limits) == Evicted(1, 10)
        assert kept(stores, "abc") == "ac", "it is as old as the last time it was kept"

    def test_the_oldest_go_when_there_are_too_many_bytes(self, stores: Stores) -> None:
        epoch, limits = stores.checkpoints.claim(SHARD), ArtifactLimits(bytes_max=100)
        for name in "abcd":
            assert stores.artifacts.keep(SHARD, epoch, name, b"x" * 25, limits) == Evicted()
        assert stores.artifacts.keep(SHARD, epoch, "e", b"x" * 30, limits) == Evicted(2, 50)
        assert kept(stores, "abcde") == "cde"
        assert stores.artifacts.keep(SHARD, epoch, "f", b"x" * 20, limits) == Evicted()

    def test_the_one_just_kept_stays_however_large(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.artifacts.keep(SHARD, epoch, "a", b"x" * 10, ROOMY)
        assert stores.artifacts.keep(SHARD, epoch, "b", b"x" * 1_000, ArtifactLimits(bytes_max=0)) == Evicted(1, 10)
        assert kept(stores, "ab") == "b"

    def test_those_that_are_too_old_go_with_the_next(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.artifacts.keep(SHARD, epoch, "a", b"x", ROOMY)
        stores.artifacts.keep(SHARD, epoch, "b", b"x", ROOMY)
        time.sleep(0.25)
        limits = ArtifactLimits(bytes_max=1_000, age_max_s=0.2)
        assert stores.artifacts.keep(SHARD, epoch, "c", b"x", limits) == Evicted(2, 2)
        assert stores.artifacts.keep(SHARD, epoch, "d", b"x", ArtifactLimits(age_max_s=60.0)) == Evicted()
        assert kept(stores, "abcd") == "cd"

    def test_an_older_owner_can_keep_nothing_and_evict_nothing(self, stores: Stores) -> None:
        older = stores.checkpoints.claim(SHARD)
        newer = stores.checkpoints.claim(SHARD)
        stores.artifacts.keep(SHARD, newer, "a", b"x", ROOMY)
        with pytest.raises(StaleEpochError):
            stores.artifacts.keep(SHARD, older, "b", b"x" * 100, ArtifactLimits(bytes_max=1))
        assert kept(stores, "ab") == "a"

    def test_shards_do_not_affect_each_other(self, stores: Stores) -> None:
        other = SHARD._replace(partition=1)
        stores.artifacts.keep(SHARD, stores.checkpoints.claim(SHARD), "a", b"here", ROOMY)
        stores.artifacts.keep(other, stores.checkpoints.claim(other), "a", b"there", ArtifactLimits(bytes_max=1))
        assert (stores.artifacts.load(SHARD, "a"), stores.artifacts.load(other, "a")) == (b"here", b"there")

    def test_deleting_checkpoints_leaves_artifacts(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.artifacts.keep(SHARD, epoch, "a", b"x", ROOMY)
        stores.checkpoints.save(SHARD, epoch, 5, b"sealed")
        stores.checkpoints.delete(SHARD, epoch)
        assert kept(stores, "a") == "a"

    @pytest.mark.parametrize("seed", range(3))
    def test_the_limits_hold_whatever_comes(self, stores: Stores, seed: int) -> None:
        rng, epoch, model = random.Random(seed), stores.checkpoints.claim(SHARD), dict[str, int]()
        for _ in range(60):
            name, size, bytes_max = rng.choice("abcdefgh"), rng.randint(0, 40), rng.choice([0, 30, 90, 200])
            model.pop(name, None)
            model[name] = size
            gone = []
            while len(model) > 1 and sum(model.values()) > bytes_max:
                gone.append(model.pop(next(iter(model))))
            evicted = stores.artifacts.keep(SHARD, epoch, name, b"x" * size, ArtifactLimits(bytes_max=bytes_max))
            assert evicted == Evicted(len(gone), sum(gone))
            assert kept(stores, "abcdefgh") == "".join(sorted(model))


@pytest.mark.services
class TestInRedis:
    @pytest.mark.parametrize("key", ["artifacts", "artifact_times"])
    def test_a_key_of_another_type_gives_way(self, real_url: str, key: str) -> None:
        stores, client = connect(real_url), redis.Redis.from_url(real_url)
        client.set(f"sr:{{{SHARD}}}:{key}", "somebody's")
        assert stores.artifacts.load(SHARD, "a") is None
        stores.artifacts.keep(SHARD, stores.checkpoints.claim(SHARD), "a", b"x", ROOMY)
        assert stores.artifacts.load(SHARD, "a") == b"x"

    def test_a_time_that_is_none_of_ours_does_not_stop_it(self, real_url: str) -> None:
        stores, client = connect(real_url), redis.Redis.from_url(real_url)
        epoch = stores.checkpoints.claim(SHARD)
        client.zadd(f"sr:{{{SHARD}}}:artifact_times", {"ghost": float("inf"), "older": -1e300})
        for name in "ab":
            stores.artifacts.keep(SHARD, epoch, name, b"x", ArtifactLimits(bytes_max=1_000, age_max_s=60.0))
        assert kept(stores, "ab") == "ab"

    def test_their_keys_are_on_the_permanent_list_and_nowhere_else(self, real_url: str) -> None:
        stores, client = connect(real_url), redis.Redis.from_url(real_url)
        stores.artifacts.keep(SHARD, stores.checkpoints.claim(SHARD), "a", b"x", ROOMY)
        keys = {key.decode().rpartition(":")[2] for key in client.keys("*")}
        assert keys == {"epoch", "artifacts", "artifact_times"}

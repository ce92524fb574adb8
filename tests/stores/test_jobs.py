"""What every job store promises, on the memory twin, a real Valkey and a real Redis."""

from __future__ import annotations

import time

import pytest
import redis

from stream_retrain.errors import StaleEpochError
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Ending, JobState, JobTaken, Stores
from tests.stores.support import SHARD

BASE = b"\x00sealed\xff"


def asked(stores: Stores, expire_s: float = 60.0) -> int:
    epoch = stores.checkpoints.claim(SHARD)
    stores.jobs.ask(SHARD, epoch, "a", expire_s, base=BASE)
    return epoch


def found(stores: Stores) -> JobState:
    state = stores.jobs.look(SHARD)
    assert state
    return state


class TestJobs:
    def test_one_is_asked_for_taken_reported_ended_and_dropped(self, stores: Stores) -> None:
        assert stores.jobs.look(SHARD) is None
        asked(stores)
        assert (found(stores).status, found(stores).rows, found(stores).rows_total, found(stores).ending) == ("waiting", 0, None, None)
        assert stores.jobs.take(SHARD, "a") == JobTaken(base=BASE)
        assert found(stores).status == "running"
        assert stores.jobs.heartbeat(SHARD, "a", 200, 1_000)
        assert (found(stores).rows, found(stores).rows_total) == (200, 1_000)
        assert stores.jobs.heartbeat(SHARD, "a", 300, None)
        assert (found(stores).rows, found(stores).rows_total) == (300, None)
        assert stores.jobs.end(SHARD, "a", Ending(sealed=b"\x00model\xff"))
        assert (found(stores).status, found(stores).ending) == ("ended", Ending(sealed=b"\x00model\xff"))
        stores.jobs.drop(SHARD, "a")
        assert stores.jobs.look(SHARD) is None

    @pytest.mark.parametrize("ending", [Ending(error="no"), Ending(error="away, \xfc", again=True), Ending(sealed=b"")])
    def test_only_the_first_ending_counts(self, stores: Stores, ending: Ending) -> None:
        asked(stores)
        stores.jobs.take(SHARD, "a")
        assert stores.jobs.end(SHARD, "a", ending)
        assert not stores.jobs.end(SHARD, "a", Ending(sealed=b"late"))
        assert not stores.jobs.heartbeat(SHARD, "a", 1, None)
        assert stores.jobs.take(SHARD, "a") is None
        assert found(stores).ending == ending

    def test_a_newer_job_replaces_the_older(self, stores: Stores) -> None:
        epoch = asked(stores)
        stores.jobs.take(SHARD, "a")
        stores.jobs.heartbeat(SHARD, "a", 5, 9)
        stores.jobs.ask(SHARD, epoch, "b", 60.0)
        assert not stores.jobs.heartbeat(SHARD, "a", 6, 9)
        assert not stores.jobs.end(SHARD, "a", Ending(error="late"))
        stores.jobs.drop(SHARD, "a")
        state = found(stores)
        assert (state.token, state.status, state.rows, state.rows_total) == ("b", "waiting", 0, None)
        assert stores.jobs.take(SHARD, "b") == JobTaken(base=None)

    def test_an_older_owner_can_neither_ask_nor_replace(self, stores: Stores) -> None:
        older = stores.checkpoints.claim(SHARD)
        asked(stores)
        with pytest.raises(StaleEpochError):
            stores.jobs.ask(SHARD, older, "z", 60.0)
        assert found(stores).token == "a"

    def test_shards_do_not_affect_each_other(self, stores: Stores) -> None:
        asked(stores)
        assert stores.jobs.take(SHARD._replace(partition=1), "a") is None
        assert stores.jobs.look(SHARD._replace(partition=1)) is None

    def test_the_age_is_counted_from_the_last_step_or_heartbeat(self, stores: Stores) -> None:
        asked(stores)
        time.sleep(0.12)
        assert 0.1 <= found(stores).heartbeat_age_s < 5
        stores.jobs.take(SHARD, "a")
        assert found(stores).heartbeat_age_s < 0.1
        time.sleep(0.12)
        assert found(stores).heartbeat_age_s >= 0.1
        stores.jobs.heartbeat(SHARD, "a", 1, None)
        assert found(stores).heartbeat_age_s < 0.1

    def test_a_job_expires_and_a_heartbeat_renews_it(self, stores: Stores) -> None:
        asked(stores, expire_s=0.3)
        stores.jobs.take(SHARD, "a")
        for _ in range(4):
            time.sleep(0.1)
            assert stores.jobs.heartbeat(SHARD, "a", 1, None)
        time.sleep(0.4)
        assert stores.jobs.look(SHARD) is None
        assert not stores.jobs.end(SHARD, "a", Ending(error="late"))

    def test_one_that_is_given_back_is_nobodys_until_it_is_asked_for_again(self, stores: Stores) -> None:
        epoch = asked(stores)
        assert not stores.jobs.end(SHARD, "a", None), "nobody has it yet"
        stores.jobs.take(SHARD, "a")
        assert stores.jobs.end(SHARD, "a", None)
        assert (found(stores).status, found(stores).ending) == ("given_back", None)
        assert stores.jobs.take(SHARD, "a") is None
        assert not stores.jobs.heartbeat(SHARD, "a", 1, None)
        stores.jobs.ask(SHARD, epoch, "b", 60.0, base=BASE)
        assert stores.jobs.take(SHARD, "b") == JobTaken(base=BASE)

    def test_only_one_trainer_can_take_it(self, stores: Stores) -> None:
        asked(stores)
        assert [stores.jobs.take(SHARD, "a") for _ in range(3)] == [JobTaken(base=BASE), None, None]
        assert stores.jobs.take(SHARD, "another token") is None

    @pytest.mark.services
    def test_in_redis_it_expires_at_every_step(self, real_url: str) -> None:
        stores, client = connect(real_url), redis.Redis.from_url(real_url)
        asked(stores)
        key = f"sr:{{{SHARD}}}:job"
        for step in (
            lambda: None,
            lambda: stores.jobs.take(SHARD, "a"),
            lambda: stores.jobs.heartbeat(SHARD, "a", 1, None),
            lambda: stores.jobs.end(SHARD, "a", Ending(sealed=b"model")),
        ):
            client.pexpire(key, 1_000)
            step()
            assert client.pttl(key) > 0
        assert client.pttl(key) > 50_000
        assert client.hget(key, "base") is None, "the base model is not kept after the training"

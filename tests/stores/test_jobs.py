"""What every job store and the ordered reading of windows promise, on the memory twin, a real Valkey and a real Redis."""

from __future__ import annotations

import random
import time

import pytest
import redis

from stream_retrain.core.messages import Learned, ShardId
from stream_retrain.errors import StaleEpochError
from stream_retrain.stores import connect
from stream_retrain.stores.base import Stores, WindowLimits
from stream_retrain.stores.jobs import Ending, JobState, Ticket
from stream_retrain.stores.window import WindowChunk

SHARD = ShardId("flights", "flights.events", 0)
TICKET = Ticket(token="a", text=b'{"training": 1}', base=b"\x00sealed\xff")


def asked(stores: Stores, ticket: Ticket = TICKET, expire_s: float = 60.0) -> int:
    epoch = stores.checkpoints.claim(SHARD)
    stores.jobs.ask(SHARD, epoch, ticket, expire_s)
    return epoch


def found(stores: Stores) -> JobState:
    state = stores.jobs.look(SHARD)
    assert state
    return state


class TestJobs:
    def test_one_is_asked_taken_beaten_ended_and_dropped(self, stores: Stores) -> None:
        assert stores.jobs.look(SHARD) is None
        asked(stores)
        assert (found(stores).status, found(stores).rows, found(stores).rows_total, found(stores).ending) == ("waiting", 0, None, None)
        assert stores.jobs.take(SHARD, "a") == TICKET
        assert found(stores).status == "running"
        assert stores.jobs.beat(SHARD, "a", 200, 1_000)
        assert (found(stores).rows, found(stores).rows_total) == (200, 1_000)
        assert stores.jobs.beat(SHARD, "a", 300, None)
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
        assert not stores.jobs.beat(SHARD, "a", 1, None)
        assert stores.jobs.take(SHARD, "a") is None
        assert found(stores).ending == ending

    def test_a_newer_job_shuts_the_older_out(self, stores: Stores) -> None:
        epoch = asked(stores)
        stores.jobs.take(SHARD, "a")
        stores.jobs.beat(SHARD, "a", 5, 9)
        stores.jobs.ask(SHARD, epoch, Ticket(token="b", text=b"{}"), 60.0)
        assert not stores.jobs.beat(SHARD, "a", 6, 9)
        assert not stores.jobs.end(SHARD, "a", Ending(error="late"))
        stores.jobs.drop(SHARD, "a")
        state = found(stores)
        assert (state.token, state.status, state.rows, state.rows_total) == ("b", "waiting", 0, None)
        assert stores.jobs.take(SHARD, "b") == Ticket(token="b", text=b"{}", base=None)

    def test_an_older_owner_can_neither_ask_nor_replace(self, stores: Stores) -> None:
        older = stores.checkpoints.claim(SHARD)
        asked(stores)
        with pytest.raises(StaleEpochError):
            stores.jobs.ask(SHARD, older, Ticket(token="z", text=b"{}"), 60.0)
        assert found(stores).token == "a"

    def test_shards_do_not_touch_each_other(self, stores: Stores) -> None:
        asked(stores)
        assert stores.jobs.take(SHARD._replace(partition=1), "a") is None
        assert stores.jobs.look(SHARD._replace(partition=1)) is None

    def test_silence_is_counted_from_the_last_sign_of_life(self, stores: Stores) -> None:
        asked(stores)
        time.sleep(0.12)
        assert 0.1 <= found(stores).silent_s < 5
        stores.jobs.take(SHARD, "a")
        assert found(stores).silent_s < 0.1
        time.sleep(0.12)
        assert found(stores).silent_s >= 0.1
        stores.jobs.beat(SHARD, "a", 1, None)
        assert found(stores).silent_s < 0.1

    def test_what_nobody_touches_is_gone_and_a_touch_keeps_it(self, stores: Stores) -> None:
        asked(stores, expire_s=0.3)
        for _ in range(4):
            time.sleep(0.1)
            assert stores.jobs.beat(SHARD, "a", 1, None)
        time.sleep(0.4)
        assert stores.jobs.look(SHARD) is None
        assert not stores.jobs.end(SHARD, "a", Ending(error="late"))

    @pytest.mark.services
    def test_in_redis_it_expires_at_every_step(self, real_url: str) -> None:
        stores, client = connect(real_url), redis.Redis.from_url(real_url)
        asked(stores)
        key = f"sr:{{{SHARD}}}:job"
        for step in (
            lambda: None,
            lambda: stores.jobs.take(SHARD, "a"),
            lambda: stores.jobs.beat(SHARD, "a", 1, None),
            lambda: stores.jobs.end(SHARD, "a", Ending(sealed=b"model")),
        ):
            client.pexpire(key, 1_000)
            step()
            assert client.pttl(key) > 0
        assert client.pttl(key) > 50_000
        assert client.hget(key, "base") is None, "what was needed for the training only is not kept"


def rows(first: int, last: int) -> list[Learned]:
    return [Learned(offset, float(offset), {"delay": offset / 3}, offset % 3 == 0, None) for offset in range(first, last + 1)]


class TestAfter:
    @pytest.mark.parametrize(
        ("offset", "rows_max", "expected"),
        [
            (-1, 1_000, range(200)),
            (-5, 3, range(3)),
            (9, 5, range(10, 15)),
            (10, 5, range(11, 16)),
            (150, 1_000, range(151, 200)),
            (198, 5, range(199, 200)),
            (199, 5, range(0)),
            (500, 5, range(0)),
            (10, 0, range(0)),
        ],
    )
    def test_rows_beyond_an_offset_come_oldest_first(self, stores: Stores, offset: int, rows_max: int, expected: range) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        for first in range(0, 200, 4):
            stores.window.append(SHARD, epoch, WindowChunk.of(rows(first, first + 3)), WindowLimits(rows_max=1_000))
        assert [row.offset for row in stores.window.after(SHARD, offset, rows_max)] == list(expected)

    def test_of_an_empty_window_there_are_none(self, stores: Stores) -> None:
        assert stores.window.after(SHARD, -1, 10) == []

    def test_what_was_trimmed_is_not_among_them(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        for first in range(0, 100, 10):
            stores.window.append(SHARD, epoch, WindowChunk.of(rows(first, first + 9)), WindowLimits(rows_max=20))
        assert stores.window.after(SHARD, 5, 1_000) == rows(80, 99)

    def test_in_steps_it_gives_every_row_once_however_the_log_was_cut(self, stores: Stores) -> None:
        chance = random.Random(1)
        epoch = stores.checkpoints.claim(SHARD)
        log = [row for row in rows(0, 999) if chance.random() < 0.4]
        first = 0
        while first < len(log):
            cut = log[first : first + chance.randrange(1, 30)]
            stores.window.append(SHARD, epoch, WindowChunk.of(cut), WindowLimits(rows_max=10_000))
            first += len(cut)
        read: list[Learned] = []
        while page := stores.window.after(SHARD, read[-1].offset if read else -1, chance.randrange(1, 40)):
            read += page
        assert read == log

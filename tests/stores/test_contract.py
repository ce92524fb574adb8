"""What every window, checkpoint and request store promises, on the memory twin, a real Valkey and a real Redis."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.errors import RequestsFullError, StaleEpochError, StoreError, WindowGapError
from stream_retrain.facts.request import BY_BYTES_MAX, REASON_BYTES_MAX, Asked
from stream_retrain.facts.values import Learned, ShardId
from stream_retrain.stores import connect
from stream_retrain.stores.ports import PAUSE_TOKENS_MAX, REQUESTS_MAX, Looked, Stores, WindowLimits, WindowSpan
from stream_retrain.stores.window import WindowChunk
from tests.stores.support import ROOMY, SHARD, chunk, offsets, rows


class TestWindow:
    def test_it_gives_back_what_was_appended(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        assert stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY) == 5
        assert stores.window.append(SHARD, epoch, chunk(5, 5), ROOMY) == 1
        assert stores.window.last(SHARD, 100) == rows(0, 5)

    def test_it_is_empty_at_first(self, stores: Stores) -> None:
        assert stores.window.last(SHARD, 10) == []
        assert stores.window.span(SHARD) is None

    def test_rows_already_there_are_skipped(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(0, 9), ROOMY)
        assert stores.window.append(SHARD, epoch, chunk(0, 9), ROOMY) == 0
        assert stores.window.append(SHARD, epoch, chunk(3, 7), ROOMY) == 0
        assert stores.window.append(SHARD, epoch, chunk(5, 12), ROOMY) == 3
        assert stores.window.last(SHARD, 100) == rows(0, 12)

    def test_a_window_that_lost_rows_says_so_and_takes_nothing(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        with pytest.raises(WindowGapError, match="is empty"):
            stores.window.append(SHARD, epoch, chunk(5, 9), ROOMY, after=4)
        assert stores.window.span(SHARD) is None
        stores.window.append(SHARD, epoch, chunk(0, 3), ROOMY)
        with pytest.raises(WindowGapError, match="ends at offset 3"):
            stores.window.append(SHARD, epoch, chunk(5, 9), ROOMY, after=4)
        assert stores.window.append(SHARD, epoch, chunk(2, 9), ROOMY, after=3) == 6
        assert offsets(stores.window.last(SHARD, 100)) == list(range(10))

    def test_it_can_be_cleared_and_begins_anew_with_lower_offsets(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        assert not stores.window.clear(SHARD, epoch)
        stores.window.append(SHARD, epoch, chunk(50, 59), ROOMY)
        assert stores.window.clear(SHARD, epoch)
        assert (stores.window.span(SHARD), stores.window.last(SHARD, 100)) == (None, [])
        assert stores.window.append(SHARD, epoch, chunk(3, 7), ROOMY) == 5
        assert offsets(stores.window.last(SHARD, 100)) == [3, 4, 5, 6, 7]

    def test_only_its_owner_clears_it(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(0, 3), ROOMY)
        stores.checkpoints.claim(SHARD)
        with pytest.raises(StaleEpochError):
            stores.window.clear(SHARD, epoch)
        assert offsets(stores.window.last(SHARD, 100)) == [0, 1, 2, 3]

    def test_shards_do_not_affect_each_other(self, stores: Stores) -> None:
        other = SHARD._replace(partition=1)
        stores.window.append(SHARD, stores.checkpoints.claim(SHARD), chunk(0, 3), ROOMY)
        stores.window.append(other, stores.checkpoints.claim(other), chunk(7, 8), ROOMY)
        assert offsets(stores.window.last(SHARD, 10)) == [0, 1, 2, 3]
        assert offsets(stores.window.last(other, 10)) == [7, 8]

    def test_span_tells_offsets_and_times_even_where_times_are_out_of_order(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        late = [row._replace(time_s=0.125) for row in rows(7, 7)]
        stores.window.append(SHARD, epoch, chunk(1, 6, step_s=0.5), ROOMY)
        stores.window.append(SHARD, epoch, WindowChunk.of(late), ROOMY)
        assert stores.window.span(SHARD) == WindowSpan(rows=7, first_offset=1, last_offset=7, oldest_time_s=0.125, newest_time_s=3.0)

    def test_span_holds_over_many_chunks(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        for offset in range(100):
            stores.window.append(SHARD, epoch, chunk(offset, offset), ROOMY)
        assert stores.window.span(SHARD) == WindowSpan(rows=100, first_offset=0, last_offset=99, oldest_time_s=0.0, newest_time_s=99.0)

    def test_a_chunk_goes_when_enough_rows_remain_without_it(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        limits = WindowLimits(rows_max=20)
        for first in (0, 10, 20):
            stores.window.append(SHARD, epoch, chunk(first, first + 9), limits)
        assert offsets(stores.window.last(SHARD, 100)) == list(range(10, 30))
        stores.window.append(SHARD, epoch, chunk(30, 34), limits)
        assert offsets(stores.window.last(SHARD, 100)) == list(range(10, 35))

    def test_a_lower_limit_takes_several_chunks_at_once(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        for offset in range(50):
            stores.window.append(SHARD, epoch, chunk(offset, offset), ROOMY)
        stores.window.append(SHARD, epoch, chunk(50, 50), WindowLimits(rows_max=5))
        assert offsets(stores.window.last(SHARD, 100)) == [46, 47, 48, 49, 50]

    def test_the_chunk_just_appended_stays_whole(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY)
        stores.window.append(SHARD, epoch, chunk(5, 29), WindowLimits(rows_max=3))
        assert offsets(stores.window.last(SHARD, 100)) == list(range(5, 30))

    def test_a_chunk_goes_when_its_newest_row_is_too_old(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        limits = WindowLimits(rows_max=1_000, age_max_s=10.0)
        for first in (0, 5, 10):
            stores.window.append(SHARD, epoch, chunk(first, first + 4), limits)
        assert stores.window.last(SHARD, 100) == rows(0, 14)
        stores.window.append(SHARD, epoch, chunk(15, 15), limits)
        assert stores.window.last(SHARD, 100) == rows(5, 15)

    def test_a_row_exactly_as_old_as_the_limit_stays(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        limits = WindowLimits(rows_max=1_000, age_max_s=0.2)
        stores.window.append(SHARD, epoch, chunk(1, 1, step_s=0.1), limits)
        stores.window.append(SHARD, epoch, chunk(3, 3, step_s=0.1), limits)
        kept = offsets(stores.window.last(SHARD, 100))
        assert kept == ([3] if 0.1 < 3 * 0.1 - 0.2 else [1, 3])

    @pytest.mark.parametrize(
        ("rows_max", "since_time_s", "through_offset", "expected"),
        [
            (3, None, None, [37, 38, 39]),
            (0, None, None, []),
            (1_000, None, None, list(range(40))),
            (1_000, 35.0, None, [35, 36, 37, 38, 39]),
            (2, 35.0, None, [38, 39]),
            (3, None, 20, [18, 19, 20]),
            (1_000, 18.5, 20, [19, 20]),
            (1_000, 50.0, None, []),
            (5, None, -1, []),
        ],
    )
    def test_last_keeps_to_its_limits(
        self, stores: Stores, rows_max: int, since_time_s: float | None, through_offset: int | None, expected: list[int]
    ) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        for first in range(0, 40, 4):
            stores.window.append(SHARD, epoch, chunk(first, first + 3), ROOMY)
        found = stores.window.last(SHARD, rows_max, since_time_s=since_time_s, through_offset=through_offset)
        assert offsets(found) == expected

    def test_last_finds_rows_behind_a_late_one(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, epoch, chunk(90, 95), ROOMY)
        stores.window.append(SHARD, epoch, WindowChunk.of([row._replace(time_s=1.0) for row in rows(96, 97)]), ROOMY)
        stores.window.append(SHARD, epoch, chunk(98, 98), ROOMY)
        assert offsets(stores.window.last(SHARD, 10, since_time_s=94.0)) == [94, 95, 98]

    def test_offsets_may_have_gaps_and_be_large(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        far = [row for row in rows(2**52, 2**52 + 9) if row.offset % 3]
        stores.window.append(SHARD, epoch, WindowChunk.of(far[:2]), ROOMY)
        assert stores.window.append(SHARD, epoch, WindowChunk.of(far), ROOMY) == len(far) - 2
        assert stores.window.last(SHARD, 100) == far


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


class TestRebatching:
    @given(cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 15)), max_size=30), rows_max=st.integers(1, 40))
    def test_however_a_log_is_cut_and_repeated_its_last_rows_are_the_window(self, cuts: list[tuple[int, int]], rows_max: int) -> None:
        _append_and_compare(connect("memory://"), cuts, rows_max)

    def test_the_same_on_every_store(self, stores: Stores) -> None:
        for seed in range(20):
            chance = random.Random(seed)
            cuts = [(chance.randrange(13), chance.randrange(1, 16)) for _ in range(30)]
            _append_and_compare(stores, cuts, chance.randrange(1, 41), SHARD._replace(partition=seed))


def _append_and_compare(stores: Stores, cuts: list[tuple[int, int]], rows_max: int, shard: ShardId = SHARD) -> None:
    """Append stretches of a log; each begins some rows before the end of what was appended, as after a restart."""
    epoch = stores.checkpoints.claim(shard)
    end = 0
    for back, size in cuts:
        first = max(0, end - back)
        new = stores.window.append(shard, epoch, chunk(first, first + size - 1), WindowLimits(rows_max=rows_max))
        assert new == max(0, first + size - end)
        end = max(end, first + size)
    log = rows(0, end - 1)
    assert stores.window.last(shard, rows_max) == log[-rows_max:]


class TestEpochs:
    def test_every_claim_is_greater(self, stores: Stores) -> None:
        claims = [stores.checkpoints.claim(SHARD) for _ in range(50)]
        assert claims == sorted(set(claims))

    @pytest.mark.parametrize(
        "write",
        [
            lambda stores, epoch: stores.window.append(SHARD, epoch, chunk(5, 9), ROOMY),
            lambda stores, epoch: stores.window.append(SHARD, epoch, chunk(0, 1), ROOMY),
            lambda stores, epoch: stores.checkpoints.save(SHARD, epoch, 20, b"zombie"),
            lambda stores, epoch: stores.checkpoints.save(SHARD, epoch, 1, b"zombie"),
            lambda stores, epoch: stores.checkpoints.delete(SHARD, epoch),
        ],
        ids=["append", "append what is there", "save", "save below", "delete"],
    )
    def test_a_write_under_an_older_epoch_changes_nothing(self, stores: Stores, write: Callable[[Stores, int], Any]) -> None:
        zombie = stores.checkpoints.claim(SHARD)
        owner = stores.checkpoints.claim(SHARD)
        stores.window.append(SHARD, owner, chunk(0, 4), ROOMY)
        stores.checkpoints.save(SHARD, owner, 4, b"owner")
        with pytest.raises(StaleEpochError, match=rf"flights/flights.events/0 .* epoch {owner}, so epoch {zombie} "):
            write(stores, zombie)
        assert stores.window.last(SHARD, 100) == rows(0, 4)
        assert stores.checkpoints.load(SHARD) == [b"owner"]

    def test_another_shards_claim_is_no_matter(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.checkpoints.claim(SHARD._replace(partition=1))
        assert stores.window.append(SHARD, epoch, chunk(0, 4), ROOMY) == 5

    @pytest.mark.services
    def test_a_zombie_is_refused_even_after_everything_was_lost(self, real_url: str) -> None:
        stores = connect(real_url)
        zombie = stores.checkpoints.claim(SHARD)
        owner = stores.checkpoints.claim(SHARD)
        redis.Redis.from_url(real_url).flushall()
        stores.window.append(SHARD, owner, chunk(0, 4), ROOMY)
        with pytest.raises(StaleEpochError):
            stores.window.append(SHARD, zombie, chunk(5, 9), ROOMY)
        redis.Redis.from_url(real_url).flushall()
        assert stores.checkpoints.claim(SHARD) > owner


class TestParts:
    def test_they_are_kept_beside_each_other_until_they_are_dropped(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        assert stores.parts.load(SHARD) == {}
        assert stores.parts.keep(SHARD, epoch, {"one": b"1", "two": b"\x00\xff"}) == 2
        assert stores.parts.keep(SHARD, epoch, {"two": b"\x00\xff", "three": b""}) == 3
        assert stores.parts.keep(SHARD, epoch, {}) == 3
        stores.parts.drop(SHARD, epoch, ["one", "never there"])
        stores.parts.drop(SHARD, epoch, [])
        assert stores.parts.load(SHARD) == {"two": b"\x00\xff", "three": b""}
        assert stores.parts.load(SHARD._replace(partition=1)) == {}

    def test_many_come_back_whole(self, stores: Stores) -> None:
        many = {f"part {number}": random.Random(number).randbytes(1_000 * number) for number in range(150)}
        assert stores.parts.keep(SHARD, stores.checkpoints.claim(SHARD), many) == 150
        assert stores.parts.load(SHARD) == many

    @pytest.mark.parametrize(
        "write", [lambda parts, epoch: parts.keep(SHARD, epoch, {"b": b""}), lambda parts, epoch: parts.drop(SHARD, epoch, "a")]
    )
    def test_an_older_owner_changes_nothing(self, stores: Stores, write: Callable[[Any, int], Any]) -> None:
        zombie, owner = stores.checkpoints.claim(SHARD), stores.checkpoints.claim(SHARD)
        stores.parts.keep(SHARD, owner, {"a": b"1"})
        with pytest.raises(StaleEpochError):
            write(stores.parts, zombie)
        assert stores.parts.load(SHARD) == {"a": b"1"}

    @pytest.mark.services
    def test_a_key_of_another_type_counts_as_none_and_is_replaced(self, real_url: str) -> None:
        stores = connect(real_url)
        redis.Redis.from_url(real_url).set(f"sr:{{{SHARD}}}:parts", "not a hash")
        epoch = stores.checkpoints.claim(SHARD)
        assert stores.parts.load(SHARD) == {}
        stores.parts.drop(SHARD, epoch, ["a"])
        assert stores.parts.keep(SHARD, epoch, {"a": b"1"}) == 1
        assert stores.parts.load(SHARD) == {"a": b"1"}


class TestCheckpoints:
    def test_there_is_none_at_first(self, stores: Stores) -> None:
        assert stores.checkpoints.load(SHARD) == []

    def test_the_last_two_are_kept_newest_first(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        for offset in (0, 10, 20):
            stores.checkpoints.save(SHARD, epoch, offset, b"at %d" % offset)
        assert stores.checkpoints.load(SHARD) == [b"at 20", b"at 10"]

    def test_the_same_offset_replaces_the_newest_only(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.checkpoints.save(SHARD, epoch, 10, b"at 10")
        stores.checkpoints.save(SHARD, epoch, 20, b"at 20")
        stores.checkpoints.save(SHARD, epoch, 20, b"at 20 again")
        assert stores.checkpoints.load(SHARD) == [b"at 20 again", b"at 10"]

    def test_a_lower_offset_is_refused(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.checkpoints.save(SHARD, epoch, 10, b"at 10")
        with pytest.raises(StoreError, match="at offset 9 was not saved: there is one at offset 10,") as caught:
            stores.checkpoints.save(SHARD, epoch, 9, b"at 9")
        assert not isinstance(caught.value, StaleEpochError)
        assert stores.checkpoints.load(SHARD) == [b"at 10"]

    def test_deleting_forgets_them_and_the_offset(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        stores.checkpoints.save(SHARD, epoch, 10, b"at 10")
        stores.checkpoints.save(SHARD, epoch, 20, b"at 20")
        stores.checkpoints.delete(SHARD, epoch)
        assert stores.checkpoints.load(SHARD) == []
        stores.checkpoints.save(SHARD, epoch, 5, b"at 5")
        assert stores.checkpoints.load(SHARD) == [b"at 5"]

    def test_deleting_does_not_free_the_epoch(self, stores: Stores) -> None:
        zombie = stores.checkpoints.claim(SHARD)
        stores.checkpoints.delete(SHARD, stores.checkpoints.claim(SHARD))
        with pytest.raises(StaleEpochError):
            stores.checkpoints.save(SHARD, zombie, 1, b"zombie")

    def test_they_may_be_large_and_hold_any_byte(self, stores: Stores) -> None:
        epoch = stores.checkpoints.claim(SHARD)
        large = [random.Random(seed).randbytes(20_000_000) for seed in (1, 2)]
        for offset, sealed in enumerate(large):
            stores.checkpoints.save(SHARD, epoch, offset, sealed)
        assert stores.checkpoints.load(SHARD) == large[::-1]


class TestRequests:
    def test_they_wait_in_order_until_they_are_dropped(self, stores: Stores) -> None:
        first = Asked(token="z.1", do="promote", reason="drifted, they say", version="0-g3", by="cli:me")
        second = Asked(token="a:2", do="retrain", reason="again: später", rule=1)
        assert [stores.requests.ask(SHARD, asked) for asked in (first, second)] == [True, True]
        assert stores.requests.look(SHARD).waiting == [first, second]
        stores.requests.drop(SHARD, [first])
        assert stores.requests.look(SHARD).waiting == [second]
        stores.requests.drop(SHARD, [first, second])
        assert stores.requests.look(SHARD).waiting == []
        stores.requests.drop(SHARD, [])

    def test_a_token_that_waits_is_asked_once_and_again_after_it_was_dropped(self, stores: Stores) -> None:
        once, again = Asked(token="t", reason="one"), Asked(token="t", do="reset", reason="other")
        assert [stores.requests.ask(SHARD, asked) for asked in (once, again, Asked(token="t.2"))] == [True, False, True]
        assert [asked.reason for asked in stores.requests.look(SHARD).waiting] == ["one", ""]
        stores.requests.drop(SHARD, [again])
        assert [asked.token for asked in stores.requests.look(SHARD).waiting] == ["t.2"], "it is dropped by its token, and no other is"
        assert stores.requests.ask(SHARD, again)

    def test_a_long_reason_is_cut_and_the_request_can_be_dropped(self, stores: Stores) -> None:
        for token, reason in (("a", "ä" * REASON_BYTES_MAX), ("b", "\x00" * REASON_BYTES_MAX * 2)):
            stores.requests.ask(SHARD, Asked(token=token, reason=reason, by="b" * 999))
        waiting = stores.requests.look(SHARD).waiting
        assert [asked.reason for asked in waiting] == ["ä" * (REASON_BYTES_MAX // 2), "\x00" * REASON_BYTES_MAX]
        assert {len(asked.by) for asked in waiting} == {BY_BYTES_MAX}
        stores.requests.drop(SHARD, waiting)
        assert stores.requests.look(SHARD).waiting == []

    def test_a_pause_lasts_until_it_is_resumed(self, stores: Stores) -> None:
        assert stores.requests.look(SHARD).paused is None
        who = Asked(token="t", do="pause", reason="the source is broken", by="cli:me")
        assert stores.requests.pause(SHARD, who)
        assert not stores.requests.pause(SHARD, Asked(token="u", do="pause")), "who paused it first is kept"
        assert stores.requests.look(SHARD) == Looked([], who, None)
        assert stores.requests.look(SHARD._replace(partition=1)).paused is None
        assert [stores.requests.resume(SHARD, Asked(token=token, do="resume")) for token in "vw"] == [True, False]
        assert stores.requests.look(SHARD) == Looked([], None, None)

    def test_a_pause_and_a_resume_that_come_again_do_nothing(self, stores: Stores) -> None:
        pause, resume = Asked(token="p", do="pause"), Asked(token="r", do="resume")
        assert stores.requests.pause(SHARD, pause)
        assert stores.requests.resume(SHARD, resume)
        assert not stores.requests.pause(SHARD, pause)
        assert stores.requests.look(SHARD).paused is None
        later = Asked(token="q", do="pause")
        assert stores.requests.pause(SHARD, later)
        assert not stores.requests.resume(SHARD, resume, 7)
        assert stores.requests.look(SHARD) == Looked([], later, None)
        for number in range(PAUSE_TOKENS_MAX):
            stores.requests.resume(SHARD, Asked(token=f"t{number}", do="resume"))
        assert stores.requests.pause(SHARD, pause), "so many are remembered"

    def test_where_a_paused_shard_may_go_on_is_kept_until_the_next_time(self, stores: Stores) -> None:
        assert stores.requests.look(SHARD).resumed is None
        for offset in (7, 0, 1_234_567):
            assert stores.requests.resume(SHARD, Asked(token=f"t{offset}", do="resume"), offset)
            assert stores.requests.look(SHARD).resumed == offset
        assert stores.requests.look(SHARD._replace(partition=99)).resumed is None

    def test_more_than_may_wait_are_refused(self, stores: Stores) -> None:
        for number in range(REQUESTS_MAX):
            stores.requests.ask(SHARD, Asked(token=str(number)))
        with pytest.raises(RequestsFullError, match="100 requests wait for shard"):
            stores.requests.ask(SHARD, Asked(token="more"))
        assert not stores.requests.ask(SHARD, Asked(token="7")), "it waits already"
        assert [asked.token for asked in stores.requests.look(SHARD).waiting] == list(map(str, range(REQUESTS_MAX))), "in order"

    def test_shards_have_their_own(self, stores: Stores) -> None:
        stores.requests.ask(SHARD, Asked(token="a"))
        assert stores.requests.look(SHARD._replace(partition=1)).waiting == []

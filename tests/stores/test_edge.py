"""What others can write to Redis: each is a value, an error of ours, or left out and told."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import redis

from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.errors import SettingsError, StaleEpochError, StateError, StoreError, WindowGapError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import ShardId
from stream_retrain.stores import connect
from stream_retrain.stores.ports import JobTaken, Stores, WindowSpan
from stream_retrain.stores.redis import errors
from stream_retrain.stores.redis.errors import store_error
from stream_retrain.stores.redis.parse import NUMBER_MAX
from tests.stores.support import ROOMY, SHARD, chunk, offsets

RING = Keyring(keys=(Key(id="k1", secret=b"a secret of the window"),))
OTHER = Keyring(keys=(Key(id="k2", secret=b"another secret of it"), *RING.keys))
KEY = f"sr:{{{SHARD}}}:"


@pytest.fixture
def raw(own_valkey: str) -> Any:
    client = redis.Redis.from_url(own_valkey)
    yield client
    client.close()


@pytest.fixture
def kept(own_valkey: str) -> Stores:
    """Stores that hold three chunks, 0 to 4, 5 to 9 and 10 to 14."""
    stores = connect(own_valkey, keyring=RING)
    epoch = stores.checkpoints.claim(SHARD)
    for first in (0, 5, 10):
        stores.window.append(SHARD, epoch, chunk(first, first + 4), ROOMY)
    return stores


def rewritten(raw: Any, at: int, changes: dict[bytes, bytes]) -> None:
    entries = raw.xrange(f"{KEY}window")
    raw.delete(f"{KEY}window")
    for number, (entry_id, fields) in enumerate(entries):
        raw.xadd(f"{KEY}window", {**fields, **(changes if number == at else {})}, id=entry_id)


@pytest.mark.services
class TestWindow:
    @pytest.mark.parametrize(
        "changes",
        [{b"chunk": b"?"}, {b"chunk": b""}, {b"seal": b""}, {b"seal": b":" + bytes(32)}, {b"seal": b"k9:" + bytes(32)}]
        + [{name: value} for name in (b"first_offset", b"rows") for value in (b"-1", b"x", b"9007199254740993", b"6")]
        + [{b"oldest_time_s": value} for value in (b"nan", b"inf", b"", b"1e999", b"0x1")],
    )
    def test_a_damaged_entry_is_left_out_and_told(
        self, kept: Stores, raw: Any, changes: dict[bytes, bytes], caplog: pytest.LogCaptureFixture
    ) -> None:
        rewritten(raw, 1, changes)
        with caplog.at_level(logging.WARNING):
            assert offsets(kept.window.last(SHARD, 100)) == [*range(5), *range(10, 15)]
            assert offsets(kept.window.after(SHARD, 3, 100)) == [4, *range(10, 15)]
        assert len([line for line in caplog.messages if "is left out" in line]) == 1, "told once"
        assert kept.window.span(SHARD)

    @pytest.mark.parametrize("value", [b"154.", b".5", b"1.5.3", b"1e", b"1e+", b"1e1000", b"--1", b"+1", b"1,5", b" 1", b"1e9999"])
    def test_a_time_that_only_lua_would_read_is_none(self, kept: Stores, raw: Any, value: bytes) -> None:
        rewritten(raw, 1, {b"newest_time_s": value})
        assert kept.window.span(SHARD) == WindowSpan(rows=10, first_offset=0, last_offset=14, oldest_time_s=0.0, newest_time_s=14.0)

    @pytest.mark.parametrize("value", [b"7", b"-2.5", b"1e0", b"2.5E+00", b"12e-1", b"1.5e300"])
    def test_a_time_of_any_other_form_is_one(self, kept: Stores, raw: Any, value: bytes) -> None:
        rewritten(raw, 1, {b"oldest_time_s": value})
        span = kept.window.span(SHARD)
        assert span is not None
        assert (span.rows, span.oldest_time_s) == (15, min(0.0, float(value)))

    def test_rows_that_nobody_could_count_are_no_error(self, kept: Stores, raw: Any) -> None:
        for at in (0, 1):
            rewritten(raw, at, {b"rows": b"9007199254740991"})
        span = kept.window.span(SHARD)
        assert span is not None
        assert span.rows == NUMBER_MAX

    def test_a_chunk_of_another_place_or_shard_is_left_out(self, kept: Stores, raw: Any) -> None:
        (_, first), *_ = raw.xrange(f"{KEY}window")
        rewritten(raw, 1, first)
        assert offsets(kept.window.last(SHARD, 100)) == [*range(5), *range(10, 15)]
        other = ShardId(SHARD.pipeline, SHARD.topic, 1)
        raw.xadd(f"sr:{{{other}}}:window", first, id="5-0")
        assert kept.window.last(other, 100) == []

    def test_unsigned_rows_are_not_believed_by_who_signs(self, own_valkey: str) -> None:
        unsigned, signed = connect(own_valkey), connect(own_valkey, keyring=RING)
        unsigned.window.append(SHARD, unsigned.checkpoints.claim(SHARD), chunk(0, 4), ROOMY)
        assert offsets(unsigned.window.last(SHARD, 9)) == [*range(5)]
        assert signed.window.last(SHARD, 9) == []

    @pytest.mark.usefixtures("kept")
    def test_a_key_that_was_rotated_still_verifies(self, own_valkey: str) -> None:
        assert len(connect(own_valkey, keyring=OTHER).window.last(SHARD, 100)) == 15

    @pytest.mark.parametrize("changes", [{b"last_offset": b"9007199254740990"}, {b"chunk": b"?"}, {b"rows_through": b"many"}])
    def test_where_the_end_is_damaged_the_window_begins_anew_and_a_gap_is_told(
        self, kept: Stores, raw: Any, changes: dict[bytes, bytes]
    ) -> None:
        rewritten(raw, 2, changes)
        epoch = kept.checkpoints.claim(SHARD)
        with pytest.raises(WindowGapError, match="is empty"):
            kept.window.append(SHARD, epoch, chunk(12, 16), ROOMY, after=14)
        assert kept.window.append(SHARD, epoch, chunk(12, 16), ROOMY) == 5

    @pytest.mark.parametrize("entry", ["9007199254740991-0", "99999999999999-7"])
    def test_an_entry_beyond_every_offset_does_not_close_the_window(self, kept: Stores, raw: Any, entry: str) -> None:
        raw.xadd(f"{KEY}window", {"a": "b"}, id=entry)
        epoch = kept.checkpoints.claim(SHARD)
        assert kept.window.append(SHARD, epoch, chunk(15, 19), ROOMY) == 5
        raw.xdel(f"{KEY}window", "20-0")
        raw.xadd(f"{KEY}window", {"a": "b"}, id=entry)
        raw.xdel(f"{KEY}window", entry)
        assert kept.window.append(SHARD, epoch, chunk(20, 24), ROOMY) == 5

    def test_a_key_of_another_type_is_an_empty_window(self, kept: Stores, raw: Any) -> None:
        raw.delete(f"{KEY}window")
        raw.set(f"{KEY}window", "text")
        assert kept.window.last(SHARD, 9) == []
        assert kept.window.span(SHARD) is None
        assert kept.window.append(SHARD, kept.checkpoints.claim(SHARD), chunk(15, 19), ROOMY) == 5


@pytest.mark.services
class TestEpochs:
    @pytest.mark.parametrize("value", ["", "x", "-1", "nan", "inf", "1e30", "9007199254740993", "4503599627370496", "0x10", "9" * 40])
    def test_a_value_that_is_no_epoch_is_nobodys(self, own_valkey: str, raw: Any, value: str) -> None:
        stores = connect(own_valkey)
        raw.set(f"{KEY}epoch", value)
        first, second = stores.checkpoints.claim(SHARD), stores.checkpoints.claim(SHARD)
        assert first < second < 2**52
        with pytest.raises(StaleEpochError):
            stores.checkpoints.save(SHARD, first, 1, b"one")

    def test_the_last_epoch_has_no_second_owner(self, own_valkey: str, raw: Any) -> None:
        stores = connect(own_valkey)
        raw.set(f"{KEY}epoch", str(2**52 - 1))
        last = stores.checkpoints.claim(SHARD)
        with pytest.raises(StaleEpochError):
            stores.checkpoints.save(SHARD, last, 1, b"one")
        assert stores.checkpoints.claim(SHARD) < last


@pytest.mark.services
class TestCheckpoints:
    @pytest.mark.parametrize("changes", [{"offset": "9007199254740990"}, {"offset": "nan"}, {"seal": ""}])
    def test_an_offset_that_anybody_wrote_keeps_nothing_out(self, own_valkey: str, raw: Any, changes: dict[str, str]) -> None:
        stores = connect(own_valkey, keyring=RING)
        epoch = stores.checkpoints.claim(SHARD)
        stores.checkpoints.save(SHARD, epoch, 9, b"nine")
        raw.hset(f"{KEY}checkpoint", mapping=changes)
        stores.checkpoints.save(SHARD, epoch, 10, b"ten")
        assert stores.checkpoints.load(SHARD)[0] == b"ten"
        with pytest.raises(StoreError, match="at offset 9 was not saved"):
            stores.checkpoints.save(SHARD, epoch, 9, b"nine")

    def test_a_key_without_a_checkpoint_in_it_is_told_as_a_damaged_one(self, own_valkey: str, raw: Any) -> None:
        stores = connect(own_valkey)
        raw.hset(f"{KEY}checkpoint", "offset", "3")
        raw.set(f"{KEY}checkpoint_previous", "text")
        assert stores.checkpoints.load(SHARD) == [b"", b""]
        stores.checkpoints.save(SHARD, stores.checkpoints.claim(SHARD), 4, b"four")
        assert stores.checkpoints.load(SHARD)[0] == b"four"


@pytest.mark.services
class TestJobs:
    @pytest.mark.parametrize(
        "changes", [{"status": "odd"}, {"rows": "-1"}, {"rows": "1e9"}, {"heartbeat_ms": ""}, {"token": b"\xff"}, {"rows_total": "nan"}]
    )
    def test_a_job_that_cannot_be_read_is_a_state_error(self, own_valkey: str, raw: Any, changes: dict[str, Any]) -> None:
        stores = connect(own_valkey)
        stores.jobs.ask(SHARD, stores.checkpoints.claim(SHARD), "t", 60)
        raw.hset(f"{KEY}job", mapping=changes)
        with pytest.raises(StateError, match="the training of shard flights"):
            stores.jobs.look(SHARD)

    def test_a_job_whose_fields_are_odd_stops_nobody(self, own_valkey: str, raw: Any) -> None:
        stores = connect(own_valkey)
        stores.jobs.ask(SHARD, stores.checkpoints.claim(SHARD), "t", 60)
        raw.hset(f"{KEY}job", "expire_ms", "soon")
        for heartbeat_ms in ("soon", "9" * 40, "-1"):
            raw.hset(f"{KEY}job", mapping={"status": "waiting", "heartbeat_ms": heartbeat_ms})
            assert stores.jobs.take(SHARD, "t") == JobTaken()
            assert stores.jobs.heartbeat(SHARD, "t", 1, None)
            assert stores.jobs.end(SHARD, "t", None)
        assert raw.pttl(f"{KEY}job") > 0
        raw.delete(f"{KEY}job")
        raw.set(f"{KEY}job", "text")
        with pytest.raises(StateError, match="another type"):
            stores.jobs.look(SHARD)
        assert stores.jobs.take(SHARD, "t") is None
        stores.jobs.drop(SHARD, "t")
        assert stores.jobs.look(SHARD) is None


@pytest.mark.services
@pytest.mark.parametrize(
    "member",
    [
        *(b"", b" no token", b"nospace", b"notatoken! x", b"token \xff\xfe", b"token " + b"A" * 2_000_000, b"\x00"),
        *(b"{", b"{}", b'{"token":"b d"}', b'{"token":"t","do":"destroy"}', b'{"reason":"r","token":"t"}', b'{"token":"t","rule":"x"}'),
        b"{" * 5_000,
    ],
)
def test_a_request_that_cannot_be_read_is_dropped(own_valkey: str, raw: Any, member: bytes) -> None:
    stores = connect(own_valkey)
    stores.requests.ask(SHARD, Asked(token="t1", reason="a real one"))
    raw.zadd(f"{KEY}requests", {member: 1e30})
    assert [asked.reason for asked in stores.requests.look(SHARD).waiting] == ["a real one"]
    assert raw.zcard(f"{KEY}requests") == 1
    raw.zadd(f"{KEY}requests", {member: 1e30})
    assert stores.requests.ask(SHARD, Asked(token="t2"))
    assert [asked.token for asked in stores.requests.look(SHARD).waiting] == ["t1", "t2"]


@pytest.mark.services
def test_requests_of_an_earlier_release_are_read_and_dropped(own_valkey: str, raw: Any) -> None:
    store = connect(own_valkey).requests
    raw.zadd(f"{KEY}requests", {b"0a1b drifted, they say": 1.0})
    assert store.look(SHARD).waiting == [Asked(token="0a1b", reason="drifted, they say")]
    assert not store.ask(SHARD, Asked(token="0a1b"))
    store.drop(SHARD, [Asked(token="0a1b")])
    assert store.look(SHARD).waiting == []


@pytest.mark.services
def test_a_shard_is_paused_also_where_it_cannot_be_read_by_whom(own_valkey: str, raw: Any) -> None:
    store = connect(own_valkey).requests
    for value in (b"rubbish", b"\xff", b"{}"):
        raw.set(f"{KEY}pause", value)
        paused = store.look(SHARD).paused
        assert paused is not None
        assert paused.reason == "what is stored of it cannot be read"
        assert store.resume(SHARD, Asked(token=value.hex(), do="resume"))
    raw.hset(f"{KEY}pause", "a", "b")
    assert store.look(SHARD).paused is None
    raw.delete(f"{KEY}pause_tokens")
    raw.hset(f"{KEY}pause_tokens", "a", "b")
    assert store.pause(SHARD, Asked(token="t", do="pause"))
    assert raw.lrange(f"{KEY}pause_tokens", 0, -1) == [b"t"]


def test_another_group_is_refused_with_the_reason_and_the_remedy() -> None:
    _two_groups("memory://")


@pytest.mark.services
def test_another_group_is_refused_in_redis_too(own_valkey: str) -> None:
    _two_groups(own_valkey)


def _two_groups(url: str) -> None:
    first = connect(url, group="one")
    epoch = first.checkpoints.claim(SHARD)
    second = connect(url, group="two") if url != "memory://" else first
    if second is first:
        second.checkpoints._group = "two"  # type: ignore[attr-defined]  # each memory:// is a store of its own
    with pytest.raises(StateError, match=r"belongs to the consumer group 'one', and this worker is of 'two'.*delete"):
        second.checkpoints.claim(SHARD)
    first.checkpoints.save(SHARD, epoch, 1, b"one")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (redis.exceptions.MovedError("1 127.0.0.1:7001"), "part of a cluster"),
        (redis.exceptions.ClusterDownError("Hash slot not served"), "part of a cluster"),
        (redis.ResponseError("user_script:9: -NOPERM No permissions to access a key"), "may not do this"),
        (redis.ResponseError("ACL failure in script: User worker has no permissions to run the 'set' command"), "may not do this"),
        (redis.ConnectionError("Error 1 connecting: [SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS on that port"),
        (redis.ResponseError("DB index is out of range"), "no database of that number"),
        (redis.exceptions.InvalidResponse("Protocol Error: b'HTTP/1.1 400'"), "does not speak Redis's protocol"),
        (redis.ConnectionError("Connection closed by server."), "9092 is Kafka's"),
        (redis.exceptions.OutOfMemoryError("command not allowed"), "out of memory"),
        (redis.exceptions.TimeoutError("Timeout reading"), "did not answer in time"),
        (OSError("no route"), "cannot be reached"),
    ],
)
def test_a_cause_is_known_by_its_class_or_its_words(error: Exception, words: str) -> None:
    assert words in str(store_error("do it", "redis://h", error))


@pytest.mark.services
def test_a_real_servers_answers_have_their_hints(own_valkey: str) -> None:
    for url, words in (
        (own_valkey.replace("/0", "/99"), "no database of that number"),
        (own_valkey.replace("redis://", "rediss://"), "no TLS on that port"),
        (own_valkey.replace("redis://", "redis://nobody:x@"), "refused the credentials"),
    ):
        with pytest.raises(StoreError, match=words):
            connect(url).ping()


def test_an_unknown_option_of_a_url_is_named() -> None:
    with pytest.raises(SettingsError, match="no option 'socket_timeot'; did you mean 'socket_timeout'"):
        connect("redis://host:1/0?socket_timeot=3")
    assert errors.unknown_options("redis://host?socket_timeout=3&ssl_ca_certs=/ca") is None

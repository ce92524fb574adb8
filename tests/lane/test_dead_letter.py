"""A dead letter says what came, from where and why; what was written is read again; the marks of a replay are carried on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain import Pipeline, Schema, Shard
from stream_retrain.engines.driver.open_lane import stub_of
from stream_retrain.facts.records import Rejected
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.dead_letter import HEADERS_BYTES_MAX, HEADERS_MAX, OWN_HEADERS, dead_letter, read_letter
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.lane.lane import Lane
from tests.lane.support import Refusing

SHARD = ShardId("flights", "flights.events", 3)
REFUSED = Rejected(offset=7, reason="schema", detail="Expected `float`", field="a")


def record(headers: Any = None, **changed: Any) -> Record:
    return Record(**{"offset": 7, "key": b"k", "value": b"value", "timestamp_ms": 1_500, "headers": headers} | changed)


def test_the_headers_of_the_record_come_first_and_as_they_were() -> None:
    given = [("traceparent", b"00-ab-cd-01"), ("none", None), ("twice", b"1"), ("twice", b"2")]
    letter = dead_letter(SHARD, record(given), REFUSED)
    assert letter.headers[:4] == given
    assert [name for name, _ in letter.headers[4:]] == [name for name in OWN_HEADERS if name != "sr_replayed"]
    assert (letter.key, letter.value) == (b"k", b"value")


def test_what_is_written_is_read_again() -> None:
    given = (("traceparent", b"00-ab-cd-01"), ("none", None))
    found = read_letter(dead_letter(SHARD, record(given), Rejected(offset=7, reason="model", detail="d", time_s=1.25)).headers)
    assert found is not None
    assert found._asdict() == {
        "reason": "model",
        "detail": "d",
        "field": "",
        "topic": "flights.events",
        "partition": 3,
        "offset": 7,
        "timestamp_ms": 1_500,
        "time_s": 1.25,
        "value_bytes": 5,
        "replays": 0,
        "replayed": "",
        "headers": given,
        "stub": False,
    }


def test_a_letter_that_was_sent_back_says_so_and_how_often() -> None:
    given = [("sr_replayed", b"flights.dead_letters/3/99"), ("sr_replays", b"2"), ("a", b"b")]
    found = read_letter(dead_letter(SHARD, record(given), REFUSED).headers)
    assert found is not None
    assert (found.replays, found.replayed, found.headers) == (2, "flights.dead_letters/3/99", (("a", b"b"),))


@pytest.mark.parametrize(
    "given",
    [
        [("sr_replayed", b"x" * 5_000), ("sr_replays", b"9" * 5_000)],
        [("sr_replayed", None), ("sr_replays", None)],
        [("sr_replayed", b"\xff/1/2"), ("sr_replays", b"-1")],
    ],
)
def test_marks_that_are_none_are_not_carried_on(given: Any) -> None:
    letter = dead_letter(SHARD, record(given), REFUSED)
    found = read_letter(letter.headers)
    assert found is not None
    assert (found.replays, found.replayed) == (0, "")
    assert "sr_replayed" not in dict(letter.headers)


def test_headers_that_would_be_taken_for_ours_are_left_out_and_counted() -> None:
    letter = dead_letter(SHARD, record([("sr_reason", b"because"), ("sr_refused", b"x")]), REFUSED)
    assert [name for name, _ in letter.headers].count("sr_reason") == 1
    assert dict(letter.headers)["sr_headers_left_out"] == b"2"
    found = read_letter(letter.headers)
    assert found is not None
    assert not found.stub


@given(st.lists(st.tuples(st.text(max_size=200), st.one_of(st.none(), st.binary(max_size=900))), max_size=80))
def test_headers_are_bounded_and_what_is_left_out_is_counted(given_: list[tuple[str, bytes | None]]) -> None:
    letter = dead_letter(SHARD, record(given_), REFUSED)
    kept = [(name, value) for name, value in letter.headers if not name.startswith("sr_")]
    assert len(kept) <= HEADERS_MAX
    assert sum(len(name.encode("utf-8", "replace")) + len(value or b"") for name, value in kept) <= HEADERS_BYTES_MAX
    own = [name for name, _ in given_ if name in ("sr_replayed", "sr_replays")]
    assert len(kept) + int(dict(letter.headers)["sr_headers_left_out"] or b"") + len(own) == len(given_)
    remaining = iter(given_)
    assert all(each in remaining for each in kept), "in order"


def test_a_letter_never_adds_more_than_is_allowed() -> None:
    given = [(f"h{number}", b"x" * 78) for number in range(100)]
    fact = Rejected(offset=1 << 62, reason="schema", detail="é" * 5_000, field="é" * 5_000, time_s=-1.7976931348623157e308)
    letter = dead_letter(ShardId("p" * 100, "t" * 249, 1 << 30), record(given, timestamp_ms=1 << 62), fact)
    assert sum(len(name) + len(value or b"") for name, value in letter.headers) <= 10_000


def test_a_large_key_of_a_record_that_was_too_large_is_left_out() -> None:
    large = Rejected(offset=7, reason="too_large", detail="")
    assert dead_letter(SHARD, record(key=b"k" * 1_001), large).key is None
    assert dead_letter(SHARD, record(key=b"k" * 1_000), large).key == b"k" * 1_000
    assert dead_letter(SHARD, record(key=b"k" * 1_001), REFUSED).key == b"k" * 1_001


@pytest.mark.parametrize(
    "damaged",
    [{"sr_reason": b"because"}, {"sr_offset": b"x"}, {"sr_partition": b""}, {"sr_topic": b""}, {"sr_bytes": b"1" * 30}],
)
def test_what_no_worker_wrote_is_no_letter(damaged: dict[str, bytes]) -> None:
    headers = dict(dead_letter(SHARD, record(), REFUSED).headers) | damaged
    assert read_letter(headers.items()) is None
    assert read_letter([]) is None


def test_a_stub_of_a_letter_is_known_as_one() -> None:
    letter = dead_letter(SHARD, record([("a", b"x" * 2_000)]), REFUSED)
    found = read_letter(stub_of(("dead_letters", 3, letter.key, letter.value, letter.headers))[4] or ())
    assert found is not None
    assert (found.stub, found.offset) == (True, 7)


def test_the_event_time_is_there_where_the_record_could_be_read() -> None:
    schema = Schema(id="id", time="t", time_unit="s", label="y", features={"c": float})
    pipeline = Pipeline(name="p", task="binary", source="s", schema=schema, model=Refusing())
    lane = Lane(ShardId("p", "s", 0), Shard(pipeline), EventDecoder.of(pipeline, record_bytes_max=1_000))
    values = [b"{", b'{"id":"a","t":5.5,"c":95,"y":true}', b'{"id":"b","t":6,"c":1}', b'{"id":"b","t":7,"c":1}']
    step = lane.take(Records.of(Record(at, None, value, 10_000, [("h", b"%d" % at)]) for at, value in enumerate(values)))
    letters = [read_letter(headers or ()) for kind, _, _, _, headers in (step.outputs if step else []) if kind == "dead_letters"]
    assert [(each.reason, each.time_s, each.timestamp_ms, each.headers) for each in letters if each] == [
        ("decode", None, 10_000, (("h", b"0"),)),
        ("model", 5.5, 10_000, (("h", b"1"),)),
        ("duplicate", 7.0, 10_000, (("h", b"3"),)),
    ]

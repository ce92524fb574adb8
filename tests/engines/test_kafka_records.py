"""Messages of the client as columns, and what a poll of many partitions is parted into."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.engines.kafka.records import records_of
from stream_retrain.lane.batch import Batch, Record, Records
from tests.core import streams


def message(offset: int, *, value: bytes | None = b"{}", key: bytes | None = b"k", headers: Any = None) -> Message:
    return Message(topic="t", partition=0, offset=offset, key=key, value=value, headers=headers, timestamp=(1, 1_000 + offset))


def test_every_column_is_in_the_order_of_the_messages() -> None:
    found = records_of([message(3), message(5, value=None, key=None), message(9, headers=[("trace", b"1")])])
    assert found.offsets == [3, 5, 9]
    assert found.keys == [b"k", None, b"k"]
    assert found.values == [b"{}", None, b"{}"]
    assert found.timestamps_ms == [1_003, 1_005, 1_009]
    assert [list(each or ()) for each in found.headers] == [[], [], [("trace", b"1")]]
    assert len(found) == 3


RECORDS = [Record(offset, b"%d" % offset, b"v%d" % offset, offset * 10, None) for offset in (2, 3, 7, 11)]


def test_columns_of_records_give_the_records_back() -> None:
    found = Records.of(RECORDS)
    assert [found.at(record.offset) for record in RECORDS] == RECORDS


@pytest.mark.parametrize(("offset", "left"), [(0, 4), (2, 4), (3, 3), (4, 2), (7, 2), (8, 1), (12, 0)])
def test_records_since_an_offset_and_before_it_are_all_of_them(offset: int, left: int) -> None:
    found = Records.of(RECORDS)
    since, before = found.since(offset), found.before(offset)
    assert (len(since), len(before)) == (left, 4 - left)
    assert [*before.offsets, *since.offsets] == [record.offset for record in RECORDS]
    assert all(each >= offset for each in since.offsets)


def test_records_since_the_first_are_the_same_object() -> None:
    found = Records.of(RECORDS)
    assert found.since(2) is found


def test_no_records_are_no_columns() -> None:
    assert len(Records.of([])) == 0
    assert len(records_of([])) == 0


def test_a_batch_of_events_that_were_no_records_has_their_offsets_and_nothing_else() -> None:
    events = streams.events(streams.rows(3))
    batch = Batch.of_events(events)
    assert batch.events is events
    assert (list(batch.records.offsets), list(batch.records.keys), batch.rejected) == ([0, 1, 2], [None] * 3, [])
    assert list(batch.records.timestamps_ms) == [0, 1_000, 2_000]


@given(st.lists(st.integers(0, 200), unique=True, max_size=30), st.integers(0, 200))
def test_any_cut_of_any_log_with_holes_keeps_every_record_once(offsets: list[int], cut: int) -> None:
    """Transactions and compaction leave holes; a cut may fall into one."""
    records = [Record(offset, None, b"%d" % offset, offset) for offset in sorted(offsets)]
    whole = Records.of(records)
    parts = whole.before(cut), whole.since(cut)
    assert [value for part in parts for value in part.values] == [record.value for record in records]
    assert all(part.at(offset).value == b"%d" % offset for part in parts for offset in part.offsets)


def test_headers_stay_with_their_record_through_a_cut() -> None:
    whole = records_of([message(number, headers=[("n", b"%d" % number)]) for number in range(5)])
    assert whole.since(3).at(4).headers == [("n", b"4")]
    assert whole.before(3).at(0).headers == [("n", b"0")]

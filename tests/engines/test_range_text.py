"""A range of a topic as text: what it says, and every fault of it."""

from __future__ import annotations

import pytest

from stream_retrain.engines.kafka.range_text import AtOffset, AtTime, RangeText, parse_range
from stream_retrain.errors import SettingsError

NEW_YEAR_MS = 1_767_225_600_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kafka://shop.orders", RangeText("shop.orders")),
        ("kafka://t?from=2026-01-01T00:00Z", RangeText("t", AtTime(NEW_YEAR_MS))),
        ("kafka://t?from=2026-01-01T01:00:00+01:00&to=1767225600001ms", RangeText("t", AtTime(NEW_YEAR_MS), AtTime(NEW_YEAR_MS + 1))),
        ("kafka://t?from=2026-01-01T01:00:00%2B01:00", RangeText("t", AtTime(NEW_YEAR_MS))),
        ("kafka://t?to=2026-01-01T00:00:00.0001Z", RangeText("t", None, AtTime(NEW_YEAR_MS + 1))),
        ("kafka://t?from=1767225600s&to=offset:9", RangeText("t", AtTime(NEW_YEAR_MS), AtOffset(9))),
        ("kafka://t?from=offset:120&to=offset:121", RangeText("t", AtOffset(120), AtOffset(121))),
        ("kafka://t?from=0:120,1:95&to=1:96", RangeText("t", AtOffset(each={0: 120, 1: 95}), AtOffset(each={1: 96}))),
        ("kafka://t?partitions=2,0,2", RangeText("t", partitions=(0, 2))),
    ],
)
def test_a_range_is_read(text: str, said: RangeText) -> None:
    assert parse_range(text) == said


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("kafka://", ["'' is not a topic name"]),
        ("kafka://a/b", ["'a/b' is not a topic name"]),
        ("kafka://t?form=1s", ["there is no option 'form'; did you mean from?"]),
        ("kafka://t?from=&to", ["from has no value", "to has no value"]),
        ("kafka://t?from=1s&from=2s", ["from is there twice"]),
        ("kafka://t?from=1767225600", ["is that a time or an offset? write 1767225600s, 1767225600ms or offset:1767225600"]),
        ("kafka://t?from=2026-01-01T00:00", ["from=2026-01-01T00:00: say the zone, as in 2026-01-01T00:00Z"]),
        ("kafka://t?from=2026-01-01", ["say the zone, as in 2026-01-01T00:00Z"]),
        ("kafka://t?to=tomorrow", ["to=tomorrow: use 2026-01-01T00:00Z, 1767225600s, 1767225600000ms, offset:120 or 0:120,1:95"]),
        ("kafka://t?to=offset:-1", ["to=offset:-1: use"]),
        ("kafka://t?from=0:1,0:2", ["a partition is there twice"]),
        ("kafka://t?partitions=0-3&from=x", ["partitions=0-3: use numbers with commas between", "from=x: use"]),
        ("kafka://t?from=2s&to=1s", ["from is after to"]),
        ("kafka://t?from=2026-01-01T00:00Z&to=1767225600s", ["from and to are the same time, and to does not belong to the range"]),
        ("kafka://t?from=offset:5&to=offset:5", ["from is not before to"]),
        ("kafka://t?from=0:1,1:7&to=1:7", ["from is not before to in partition 1"]),
        ("kafka://t?from=offset:7&to=1:6", ["from is not before to in partition 1"]),
    ],
)
def test_every_fault_of_a_range_is_named(text: str, faults: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_range(text)
    assert str(caught.value).startswith(f"{text}: ")
    assert all(fault in str(caught.value) for fault in faults), str(caught.value)

"""Keys go where Kafka's producers send them; `tests/engines/test_topic_source.py` asks a real producer."""

from __future__ import annotations

import zlib

import pytest

from stream_retrain.errors import SettingsError
from stream_retrain.lane.formats.partitioner import Partitioner

MANY = 2**31 - 1


@pytest.mark.parametrize(
    ("key", "hashed"),  # as the Java client's own tests have them
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_murmur2_is_that_of_java(key: str, hashed: int) -> None:
    for name in ("murmur2", "murmur2_random"):
        assert Partitioner(MANY, name)(key.encode()) == (hashed & 0x7FFFFFFF) % MANY
        assert Partitioner(7, name)(key.encode()) == (hashed & 0x7FFFFFFF) % 7


def test_without_a_setting_it_is_that_of_librdkafka() -> None:
    deal = Partitioner(5)
    assert [deal(key) for key in (b"north", b"south", b"north")] == [zlib.crc32(key) % 5 for key in (b"north", b"south", b"north")]


@pytest.mark.parametrize(
    ("name", "keys", "partitions"),
    [
        ("consistent_random", [None, b"", None, None], [0, 1, 2, 0]),
        ("consistent", [None, b"", None], [0, 0, 0]),
        ("murmur2_random", [None, None, None, None], [0, 1, 2, 0]),
        ("murmur2", [None, None], [Partitioner(3, "murmur2")(b"")] * 2),
    ],
)
def test_records_without_a_key_are_dealt_in_turn_where_kafka_deals_at_random(
    name: str, keys: list[bytes | None], partitions: list[int]
) -> None:
    deal = Partitioner(3, name)
    found = []
    for key in keys:
        deal(b"between")
        found.append(deal(key))
    assert found == partitions


def test_what_cannot_be_repeated_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"kafka.partitioner is 'random': keys can be dealt by consistent_random, consistent, murmur2"):
        Partitioner(2, "random")

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.codec.chunks import decode_chunk, encode_chunk
from stream_retrain.errors import StateError
from stream_retrain.facts.values import Label, Learned

values: st.SearchStrategy[Label] = st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
features: st.SearchStrategy[Label | None] = st.none() | values
names = st.text(max_size=3)
int64 = st.integers(-(2**63), 2**63 - 1)


def learned(xs: st.SearchStrategy[dict[str, Label | None]]) -> st.SearchStrategy[Learned]:
    return st.builds(Learned, offset=int64, time_s=st.floats(), x=xs, y=values, y_pred=st.none() | values)


uniform = st.lists(names, unique=True, max_size=4).flatmap(
    lambda keys: st.lists(learned(st.fixed_dictionaries(dict.fromkeys(keys, features))), max_size=6)
)
ragged = st.lists(learned(st.dictionaries(names, features, max_size=4)), max_size=6)


def exact(value: Any) -> object:
    """What tells apart 1, 1.0 and True, 0.0 and -0.0, one order of features and another, and takes NaN for itself."""
    match value:
        case dict():
            return [(name, exact(item)) for name, item in value.items()]
        case list() | tuple():
            return type(value), [exact(item) for item in value]
        case float():
            return struct.pack(">d", value)
    return type(value), value


@given(uniform | ragged)
def test_rows_come_back_as_they_were(rows: list[Learned]) -> None:
    assert exact(decode_chunk(encode_chunk(rows))) == exact(rows)


@pytest.mark.parametrize(
    "value",
    [True, 1, 1.0, "1", 0.0, -0.0, math.inf, math.nan, 5e-324, 2**53 + 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**5_000, ""],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) else hex(value)[:20],
)
def test_a_value_keeps_its_type_and_its_bits_wherever_it_stands(value: Label) -> None:
    rows = [Learned(7, 0.5, {"a": value}, value, value), Learned(8, 0.5, {"b": value, "a": 1}, value, None)]
    assert exact(decode_chunk(encode_chunk(rows))) == exact(rows)
    assert exact(decode_chunk(encode_chunk(rows[:1]))) == exact(rows[:1])


def test_features_keep_the_order_of_their_row() -> None:
    rows = [Learned(n, 0.0, dict.fromkeys(order, n), n, n) for n, order in enumerate(["abc", "cab", "ba", "abc", "", "bd"])]
    assert [list(row.x) for row in decode_chunk(encode_chunk(rows))] == [list(row.x) for row in rows]


def test_a_missing_feature_is_nil_in_its_column() -> None:
    body = msgspec.msgpack.decode(encode_chunk([Learned(1, 0.0, {"a": 1.5}, True, None), Learned(2, 0.0, {"b": "x"}, False, True)])[5:])
    assert body[2:4] == [["a", "b"], [[1.5, None], [None, "x"]]]


def test_a_numpy_scalar_comes_back_as_the_number_it_equals() -> None:
    rows = [Learned(1, 0.0, {"a": np.float64(0.1)}, np.int64(3), np.bool_(True))]  # type: ignore[arg-type]
    assert exact(decode_chunk(encode_chunk(rows))) == exact([Learned(1, 0.0, {"a": 0.1}, 3, True)])


def test_what_is_no_feature_is_named() -> None:
    with pytest.raises(TypeError, match="is complex; a window holds bool, int, float and text"):
        encode_chunk([Learned(1, 0.0, {"a": 1j}, 1, 1)])  # type: ignore[dict-item]


CHUNK = encode_chunk([Learned(n, n / 2, {"delay": n / 3, "carrier": "AA"}, n % 2 == 0, None) for n in range(20)])


@given(at=st.integers(0, len(CHUNK) - 1), flip=st.integers(1, 255))
def test_any_changed_byte_is_noticed(at: int, flip: int) -> None:
    with pytest.raises(StateError, match="delete the window"):
        decode_chunk(CHUNK[:at] + bytes([CHUNK[at] ^ flip]) + CHUNK[at + 1 :])


@given(st.integers(0, len(CHUNK) - 1))
def test_any_cut_is_noticed(size: int) -> None:
    with pytest.raises(StateError):
        decode_chunk(CHUNK[:size])


@given(st.binary(max_size=40))
def test_no_bytes_are_anything_but_rows_or_a_state_error(body: bytes) -> None:
    for data in (body, framed(body)):
        try:
            decode_chunk(data)
        except StateError:
            continue


def test_another_version_is_named() -> None:
    with pytest.raises(StateError, match="has format 2, this release reads 1: use the release that wrote it"):
        decode_chunk(b"\x02" + CHUNK[1:])


@pytest.mark.parametrize(
    "columns",
    [
        [[1], [0.5], ["a"], [[1, 2]], [True], [None]],
        [[1], [0.5], ["a"], [], [True], [None]],
        [[1, 2], [0.5, 0.5], [], [], [True], [None]],
        [[1], [0.5], ["a"], [[[1]]], [True], [None]],
        [[1], [0.5], ["a"], [[1]], [True], [None], [[3]], [0]],
        [[1], [0.5], ["a"], [[1]], [True], [None], [[0]], [0, 0]],
        [["1"], [0.5], ["a"], [[1]], [True], [None]],
        {},
        [],
    ],
)
def test_columns_that_do_not_fit_each_other_are_damage(columns: object) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        decode_chunk(framed(msgspec.msgpack.encode(columns)))


def test_nesting_without_end_is_damage() -> None:
    with pytest.raises(StateError, match="cannot be read"):
        decode_chunk(framed(b"\x9a" + b"\x90" * 6 + b"\x90" * 2 + b"\xc2" + b"\x91" * 60_000 + b"\x90"))


def framed(body: bytes) -> bytes:
    """Bytes that somebody wrote on purpose: with the right checksum."""
    return struct.pack(">BI", 1, zlib.crc32(body)) + body

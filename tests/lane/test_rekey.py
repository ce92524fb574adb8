"""The new key of a record is a field of its value, and a record that has none is never given one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.errors import SettingsError
from stream_retrain.lane.formats.rekey import NO_KEY, Rekey
from stream_retrain.lane.formats.rows import encode_row, key_text


@pytest.mark.parametrize(
    ("by", "value", "key"),
    [
        ("carrier", b'{"carrier": "AA", "other": [1, {"a": 2}]}', b"AA"),
        ("carrier", '{"carrier": "\u00e9"}'.encode(), "\u00e9".encode()),
        ("carrier", b'{"carrier": ""}', b""),
        ("n", b'{"n": 12}', b"12"),
        ("n", b'{"n": 1.50}', b"1.5"),
        ("n", b'{"n": false}', b"false"),
        ("customer.id", b'{"id": "x", "customer": {"id": "c7", "name": "n"}}', b"c7"),
        ("a.b.c", b'{"a": {"b": {"c": 0}}}', b"0"),
        (".key", b'{"key": "of the value"}', b"of the value"),
        ("a-b c", b'{"a-b c": "odd"}', b"odd"),
    ],
)
def test_a_field_becomes_the_key(by: str, value: bytes, key: bytes) -> None:
    assert Rekey(by)(b"old", value) == key


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "tombstone"),
        (b"", "tombstone"),
        (b"{", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"carrier": "\xff"}', "malformed"),
        (b'{"carrier": ' + b"[" * 100_000, "malformed"),
        (b'{"carrier": "\\ud800"}', "malformed"),
        (b"null", "no_field"),
        (b"[1]", "no_field"),
        (b'"carrier"', "no_field"),
        (b"{}", "no_field"),
        (b'{"carrier": null}', "no_field"),
        (b'{"carrier": {"name": "AA"}}', "no_field"),
        (b'{"carrier": ["AA"]}', "no_field"),
    ],
)
def test_a_record_without_the_field_is_told_and_given_no_key(value: bytes | None, why: str) -> None:
    assert Rekey("carrier")(b"old", value) == why
    assert why in NO_KEY


@pytest.mark.parametrize("value", [b'{"customer": null}', b'{"customer": "c7"}', b'{"customer": []}', b'{"customer": {}}', b"{}"])
def test_what_is_on_the_way_to_the_field_must_be_an_object(value: bytes) -> None:
    assert Rekey("customer.id")(None, value) == "no_field"


def test_the_key_itself_stays_as_it_is_whatever_the_value_is() -> None:
    by_key = Rekey("key")
    assert by_key(b"\xff", b"not JSON") == b"\xff"
    assert by_key(b"k", None) == b"k"
    assert by_key(b"", b"{}") == b""
    assert by_key(None, b'{"key": "of the value"}') == "no_key"


@pytest.mark.parametrize("by", ["", ".", "a.", "a..b", ".a.", ".".join("a" * 33)])
def test_a_path_that_names_nothing_is_refused(by: str) -> None:
    with pytest.raises(SettingsError, match="name a field of the value"):
        Rekey(by)


@given(st.text() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_the_key_is_what_publish_gives_to_the_same_row(value: Any) -> None:
    """Unless the text cannot be written at all: a lone half of a pair."""
    row = {"before": 1, "field": value}
    try:
        encoded = encode_row(row)
    except UnicodeEncodeError:
        return
    assert Rekey("field")(None, encoded) == (key_text(value) or "").encode()
    assert Rekey("field")(None, json.dumps(row).encode()) == (key_text(value) or "").encode()

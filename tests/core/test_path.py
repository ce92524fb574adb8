"""Where a value stands in a record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.core.path import found, is_plain, path_of, text_of_path

RECORD: dict[str, Any] = {"txn": {"amount": 5, "a.b": 6}, "items": [{"price": 7}, 8], "0": 9, "text": "abc"}


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("txn.amount", ("txn", "amount"), 5),
        (r"txn.a\.b", ("txn", "a.b"), 6),
        ("items.0.price", ("items", 0, "price"), 7),
        ("items.1", ("items", 1), 8),
        ("items.2", ("items", 2), None),
        (r"items.\0", ("items", "0"), None),
        ("0", ("0",), 9),
        ("text.0", ("text", 0), None),
        ("txn.amount.more", ("txn", "amount", "more"), None),
        ("nowhere.at.all", ("nowhere", "at", "all"), None),
    ],
)
def test_a_path_leads_to_a_value_or_to_none(text: str, path: tuple[str | int, ...], value: Any) -> None:
    assert path_of(text) == path
    assert found(RECORD, path) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "part of it is empty"),
        ("a..b", "part of it is empty"),
        ("a.", "part of it is empty"),
        ("a\\", "backslash"),
        ("a.1000", "below 1000"),
        (".".join("abcdefghijklmnopqrstu"), "more than 20 parts"),
    ],
)
def test_what_is_no_path_is_refused_with_the_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        path_of(text)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=5))
def test_any_names_can_be_written_as_a_path(names: list[str]) -> None:
    written = ".".join("".join(f"\\{character}" for character in name) for name in names)
    assert path_of(written) == tuple(names)


def test_a_plain_path_is_a_name_as_it_stands() -> None:
    assert [is_plain(text) for text in ("amount", "a.b", r"a\.b", "0", "a b")] == [True, False, False, True, True]
    assert text_of_path(("items", 0, "price")) == "items.0.price"

"""Rows as the records that a producer of ours makes of them: `publish` and a backtest of a file send the same bytes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["encode_row", "encode_row_as", "key_text"]


def _plain(value: Any) -> Any:
    """What msgspec does not know: scalars of NumPy, and the missing values of pandas."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, dt.datetime):  # a timestamp of pandas is of a class of its own
        return value.isoformat()
    try:
        return value.astype("datetime64[us]").item() if type(value).__name__ == "datetime64" else value.item()
    except (AttributeError, ValueError):
        raise TypeError(f"a {type(value).__name__} is no value of JSON") from None


encode_row: Final = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number").encode
"""A row as JSON; NaN and infinity, which JSON does not have, are null. Raises `TypeError` for a value of another kind."""

_encode_msgpack: Final = msgspec.msgpack.Encoder(enc_hook=_plain).encode


def encode_row_as(format_: object, row: Mapping[str, Any]) -> bytes:
    """A row in a format that needs no Schema Registry. Raises as `encode_row` does."""
    return _encode_msgpack(row) if format_ == "msgpack" else encode_row(row)


def key_text(value: Any) -> str | None:
    """The key of a record: text as it is, anything else as JSON writes it; null is no key."""
    return value if value is None or isinstance(value, str) else encode_row(value).decode()

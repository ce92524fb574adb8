"""What Redis answers, as values. Others can write there, so nothing is believed: each helper raises `StateError` for what is none."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from stream_retrain.errors import StateError

__all__ = ["NUMBER_MAX", "number", "text", "whole"]

NUMBER_MAX: Final = 2**53 - 1
"""Lua, in which the scripts compare, has no larger integers."""
_DIGITS: Final = re.compile(rb"[0-9]{1,16}")
_DECIMAL: Final = re.compile(rb"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")


def whole(value: Any, what: str) -> int:
    """An integer from 0 to `NUMBER_MAX`, in decimal digits."""
    digits = str(value).encode() if isinstance(value, int) else value
    if not isinstance(digits, bytes) or not _DIGITS.fullmatch(digits) or int(digits) > NUMBER_MAX:
        raise StateError(f"{what} is no number from 0 to 2**53: {_shown(value)}")
    return int(digits)


def number(value: Any, what: str) -> float:
    """A finite number."""
    if not isinstance(value, bytes) or not _DECIMAL.fullmatch(value) or not math.isfinite(found := float(value)):
        raise StateError(f"{what} is no number: {_shown(value)}")
    return found


def text(value: Any, what: str, bytes_max: int) -> str:
    """UTF-8 text of at most `bytes_max` bytes."""
    try:
        if isinstance(value, bytes) and len(value) <= bytes_max:
            return value.decode()
    except UnicodeDecodeError:
        pass
    raise StateError(f"{what} is no text of at most {bytes_max:,} bytes: {_shown(value)}")


def _shown(value: Any) -> str:
    return repr(value[:40] if isinstance(value, bytes) else value)[:80]

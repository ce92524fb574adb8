"""Records of a topic for a person and for a program: bytes as text where they are text, times as RFC 3339."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Any, Final

import typer

__all__ = ["FromOption", "PartitionOption", "ToOption", "headers_shown", "short", "text_of", "time_shown", "value_shown"]

FORMS: Final = "a time with its zone, 1767225600s, offset:120, or 0:120,1:95"
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="WHERE", help=f"The first record of the topic: {FORMS}.", show_default=False)
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="WHERE", help="The first record behind the last one.", show_default=False)]
PartitionOption = Annotated[
    list[int] | None, typer.Option("--partition", help="This partition only; give it again for others.", show_default=False)
]


def value_shown(value: bytes | None) -> Any:
    """Bytes for JSON: text where they are UTF-8, else `{"base64": ...}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def headers_shown(headers: Iterable[tuple[str, bytes | None]] | None) -> list[list[Any]]:
    """Headers for JSON, as pairs: a name may be there twice."""
    return [[name, value_shown(value)] for name, value in headers or ()]


def text_of(value: bytes | None) -> str:
    """Bytes for a line; a dash for none."""
    return "-" if value is None else value.decode("utf-8", "backslashreplace")


def short(text: str, most: int) -> str:
    """A text that fits."""
    return text if len(text) <= most else text[: most - 1] + "…"


def time_shown(ms: int | None) -> str | None:
    """A timestamp in milliseconds as RFC 3339; None where there is none, or no calendar has it."""
    if ms is None or ms < 0:
        return None
    try:
        return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return None

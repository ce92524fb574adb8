"""A dead letter: a record that was refused, as it came, with its origin and the reason in the headers; made, and read again.

Its headers are those of the record, and after them ours, whose names begin with `sr_` (`OWN_HEADERS` says what each means). A header of
the record whose name begins so is left out, but for the marks of a replay: a letter that was sent back to the source and was refused
again says which one it was, and how often it has been sent back. What does not fit `HEADERS_BYTES_MAX` is left out and counted.

The value of a record that was too large is left out: the headers say where it stands. No clock is in a letter, so that two runs over one
log make equal ones: its times are those of the record.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from stream_retrain.facts.records import Rejected, RejectReason
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Headers, Record

__all__ = ["HEADERS_BYTES_MAX", "HEADERS_MAX", "OWN_HEADERS", "REPLAYED", "REPLAYS", "DeadLetter", "Letter", "dead_letter", "read_letter"]

HEADERS_BYTES_MAX: Final = 4_000
"""Of the record's own headers, names and values."""
HEADERS_MAX: Final = 50
KEY_BYTES_MAX: Final = 1_000
"""Of the key of a record that was too large."""
OWN: Final = "sr_"
REPLAYED: Final = "sr_replayed"
REPLAYS: Final = "sr_replays"
REPLAYS_MAX: Final = 1_000_000
OWN_HEADERS: Final = {
    "sr_reason": "why it was refused: one of a closed set",
    "sr_detail": "the reason in words; up to 2,000 bytes",
    "sr_field": "the field at fault; empty where it is none",
    "sr_pipeline": "the pipeline that refused it",
    "sr_topic": "the topic it came from",
    "sr_partition": "its partition there",
    "sr_offset": "its offset there",
    "sr_timestamp_ms": "its timestamp there, in milliseconds since the epoch; empty where it has none",
    "sr_time_s": "its event time, in seconds since the epoch; empty where it could not be read",
    "sr_bytes": "how many bytes its value has",
    "sr_headers_left_out": "how many of its headers are not here",
    REPLAYS: "how often it had been sent back to the source before",
    REPLAYED: "the dead letter that was sent back last, as topic/partition/offset; only where one was",
}
"""What each header of ours means, in the order in which they stand."""
_NUMBER: Final = re.compile(rb"\d{1,18}")
_PLACE: Final = re.compile(r"([a-zA-Z0-9._-]{1,249})/(\d{1,9})/(\d{1,18})")


class DeadLetter(NamedTuple):
    """A dead letter, ready to be produced."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, str | bytes | None]]


class Letter(NamedTuple):
    """What a dead letter says, read from its topic."""

    reason: RejectReason
    detail: str
    field: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    time_s: float | None
    value_bytes: int
    replays: int
    replayed: str
    """The letter that was sent back last; empty: none was."""
    headers: tuple[tuple[str, bytes | None], ...]
    """The record's own."""
    stub: bool
    """It went out without its value, because its topic does not take one of that size."""


def dead_letter(shard: ShardId, record: Record, rejected: Rejected) -> DeadLetter:
    """The dead letter of a rejected record."""
    kept, left_out = _kept(record.headers)
    given = {name: value or b"" for name, value in record.headers or () if name in (REPLAYED, REPLAYS)}
    own: dict[str, str | bytes] = {
        "sr_reason": rejected.reason,
        "sr_detail": rejected.detail,
        "sr_field": rejected.field or "",
        "sr_pipeline": shard.pipeline,
        "sr_topic": shard.topic,
        "sr_partition": str(shard.partition),
        "sr_offset": str(rejected.offset),
        "sr_timestamp_ms": str(record.timestamp_ms) if record.timestamp_ms >= 0 else "",
        "sr_time_s": "" if rejected.time_s is None else repr(rejected.time_s),
        "sr_bytes": str(len(record.value or b"")),
        "sr_headers_left_out": str(left_out),
        REPLAYS: str(_replays(given.get(REPLAYS, b""))),
    }
    if _PLACE.fullmatch(mark := given.get(REPLAYED, b"").decode("utf-8", "replace")):
        own[REPLAYED] = mark
    large = rejected.reason == "too_large"
    key = None if large and len(record.key or b"") > KEY_BYTES_MAX else record.key
    headers = [*kept, *((name, cut(str(text)).encode()) for name, text in own.items())]
    return DeadLetter(key, None if large else record.value, headers)


def read_letter(headers: Iterable[tuple[str, Any]]) -> Letter | None:
    """What the headers of a dead letter say; None where no worker wrote it, or they are damaged."""
    listed = [(name, value.encode() if isinstance(value, str) else value) for name, value in headers]
    own = {name: value or b"" for name, value in listed if name.startswith(OWN)}
    text = {name: value.decode("utf-8", "replace") for name, value in own.items()}
    numbers = [_number(own.get(name, b"")) for name in ("sr_partition", "sr_offset", "sr_bytes")]
    reason, topic = text.get("sr_reason", ""), text.get("sr_topic", "")
    if reason not in typing.get_args(RejectReason) or None in numbers or not topic:
        return None
    partition, offset, size = (number or 0 for number in numbers)
    return Letter(
        reason=typing.cast(RejectReason, reason),
        detail=text.get("sr_detail", ""),
        field=text.get("sr_field", ""),
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp_ms=_number(own.get("sr_timestamp_ms", b"")),
        time_s=_float(text.get("sr_time_s", "")),
        value_bytes=size,
        replays=_replays(own.get(REPLAYS, b"")),
        replayed=mark if _PLACE.fullmatch(mark := text.get(REPLAYED, "")) else "",
        headers=tuple((name, value) for name, value in listed if not name.startswith(OWN)),
        stub="sr_refused" in own,
    )


def _kept(headers: Headers) -> tuple[list[tuple[str, str | bytes | None]], int]:
    """Of a record's headers those that fit, in order, and how many do not."""
    kept: list[tuple[str, str | bytes | None]] = []
    left, left_out = HEADERS_BYTES_MAX, 0
    for name, value in headers or ():
        if name in (REPLAYED, REPLAYS):
            continue
        size = len(name.encode("utf-8", "replace")) + len(value or b"")
        if name.startswith(OWN) or size > left or len(kept) >= HEADERS_MAX:
            left_out += 1
            continue
        kept.append((name, value))
        left -= size
    return kept, left_out


def _replays(text: bytes) -> int:
    return min(_number(text) or 0, REPLAYS_MAX)


def _number(text: bytes) -> int | None:
    return int(text) if _NUMBER.fullmatch(text) else None


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None

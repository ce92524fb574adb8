"""An output as it stands in its topic, and where it comes from: what the encoder wrote, read again.

An output is known by its kind, the offset of the record that caused it, and, of a decision, its number among those of that offset and the
kind of its fact. What cannot be read has the offset -1: a stub, which went out in place of an output that its topic refused for its
size, or something that no worker wrote.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from stream_retrain.lane.step import DEAD_LETTERS, PREDICTIONS, Output, OutputKind

__all__ = ["Found", "Identity", "Put", "identity_of", "put_of", "refused_bytes"]

_PREDICTION_OFFSET: Final = re.compile(rb'"offset":(\d{1,19})[,}]')
_DECISION_ID: Final = re.compile(rb'"id":"(?:[^"\\]|\\.)*/\d+/(\d{1,19})/(\d{1,9})/([^"/]*)"')
_DIGITS: Final = re.compile(rb"\d{1,19}")
UNKNOWN: Final = -1


class Put(NamedTuple):
    """An output as it stands in its topic."""

    kind: OutputKind
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Identity(NamedTuple):
    """Where an output comes from."""

    kind: OutputKind
    offset: int
    number: int = 0
    fact: str = ""


class Found(NamedTuple):
    """An output that was found, at this offset of its topic."""

    at: int
    identity: Identity
    put: Put

    @classmethod
    def of(cls, at: int, put: Put) -> Found:
        """As it was read."""
        return cls(at, identity_of(put), put)


def put_of(output: Output) -> Put:
    """An output as it will stand in its topic."""
    kind, _, key, value, headers = output
    return Put(kind, key, value, tuple((name, text if isinstance(text, bytes) else (text or "").encode()) for name, text in headers or ()))


def identity_of(put: Put) -> Identity:
    """Where an output comes from, by what stands in it."""
    value = put.value or b""
    if put.kind == DEAD_LETTERS:
        offset = dict(put.headers).get("sr_offset", b"")
        return Identity(put.kind, int(offset) if _DIGITS.fullmatch(offset) else UNKNOWN)
    if put.kind == PREDICTIONS:
        found = _PREDICTION_OFFSET.search(value)
        return Identity(put.kind, int(found[1]) if found else UNKNOWN)
    found = _DECISION_ID.search(value)
    return Identity(put.kind, int(found[1]), int(found[2]), found[3].decode("utf-8", "replace")) if found else Identity(put.kind, UNKNOWN)


def refused_bytes(put: Put) -> int | None:
    """Of a stub, how many bytes the value had in whose place it stands; None: it is no stub."""
    headers = dict(put.headers)
    size = headers.get("sr_refused_bytes", b"")
    return int(size) if put.value is None and "sr_refused" in headers and _DIGITS.fullmatch(size) else None

"""The format of a pipeline that decodes its records itself: `Schema(decode=...)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from stream_retrain.errors import EventError
from stream_retrain.facts.telling import raised
from stream_retrain.facts.values import Record
from stream_retrain.lane.formats.format import PASSED

__all__ = ["HookFormat", "sound"]

_encode = msgspec.json.Encoder(enc_hook=repr).encode


class HookFormat:
    """A function of the record."""

    def __init__(self, decode: Callable[[Record], Mapping[str, Any] | None]) -> None:
        self._decode = decode

    def object_of(self, record: Record) -> Any:
        """What the function makes of a record."""
        try:
            made = self._decode(record)
        except Exception as error:  # noqa: BLE001 - the function is foreign code: what it raises is of this one record
            raise EventError("decode", f"decode raised {raised(error)}") from None
        if made is None:
            return PASSED
        if not isinstance(made, Mapping):
            raise EventError("decode", f"decode gave a {type(made).__name__}, and one record is one dict or None")
        return sound(dict(made))


def sound(made: Any) -> Any:
    """The same object, if all of it can be written again. Raises `EventError`: text that is no UTF-8, or objects without an end."""
    try:
        _encode(made)
    except (ValueError, TypeError, RecursionError) as error:
        raise EventError("decode", f"its fields cannot be written again: {raised(error)}") from None
    return made

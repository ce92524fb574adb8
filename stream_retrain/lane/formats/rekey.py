"""Another key for a record: a field of its JSON value as text, or the key that it has.

    --by customer.id      the field `id` of the object `customer`
    --by key              the key as it is
    --by .key             a field that is called key

Text is a key as it is, numbers and booleans as JSON writes them, so that the key is what `stream-retrain publish --key` gives to
the same row. A record that has no such key is told from the others by one of `NO_KEY`; it is never given a key that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias

import msgspec

from stream_retrain.errors import SettingsError
from stream_retrain.lane.formats.rows import key_text

__all__ = ["NO_KEY", "NoKey", "Rekey"]

NoKey: TypeAlias = Literal["tombstone", "malformed", "no_field", "no_key"]
NO_KEY: Final[dict[NoKey, str]] = {
    "tombstone": "the record has no value",
    "malformed": "the value is not JSON",
    "no_field": "the value is no object with such a field, or the field is null, an object or a list",
    "no_key": "the record has no key",
}
"""Why a record has no new key, in words."""
PATH_DEPTH_MAX: Final = 32


class Rekey:
    """The new key of a record: `Rekey("customer.id")(key, value)`."""

    def __init__(self, by: str) -> None:
        """Raises `SettingsError` where `by` names nothing."""
        self.by = by
        self._find: Callable[[bytes], Any] | None = None
        if by == "key":
            return
        names = by.removeprefix(".").split(".")
        if not all(names) or len(names) > PATH_DEPTH_MAX:
            raise SettingsError(f"--by {by!r}: name a field of the value, with dots between an object and its field, or key")
        self._find = msgspec.json.Decoder(_holder(names)).decode
        self._depth = len(names)

    def __call__(self, key: bytes | None, value: bytes | None) -> bytes | NoKey:
        """The new key in bytes, or why there is none."""
        if self._find is None:
            return "no_key" if key is None else key
        if not value:
            return "tombstone"
        try:
            found = self._find(value)
        except msgspec.ValidationError:  # what is not an object has no fields
            return "no_field"
        except (ValueError, RecursionError):
            return "malformed"
        for _ in range(self._depth):
            if found is None:
                break
            found = found.held
        if found is None or isinstance(found, dict | list):
            return "no_field"
        try:
            return (key_text(found) or "").encode()
        except UnicodeEncodeError:
            return "malformed"


def _holder(names: list[str]) -> Any:
    """A type that parses to the field at a path and passes everything else over."""
    held: Any = Any
    for name in reversed(names):
        held = msgspec.defstruct("Holder", [("held", held | None if held is not Any else Any, None)], rename={"held": name})
    return held

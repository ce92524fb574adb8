"""CloudEvents 1.0 over Kafka, in structured mode (one JSON object) and in binary mode (attributes in the headers, data in the value).

The fields of the data stand in the record as its own, and the attributes in the object `ce`: `ce.id`, `ce.time`, `ce.type`, `ce.source`.
Data must be JSON. A batch of events in one record is refused: one record is one event.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stream_retrain.errors import EventError
from stream_retrain.facts.telling import cut
from stream_retrain.facts.values import Record

__all__ = ["ATTRIBUTES", "CloudEventsFormat"]

ATTRIBUTES: Final = "ce"
_PREFIX: Final = "ce_"
_REQUIRED: Final = ("id", "source", "specversion", "type")
_MEDIA: Final = "application/cloudevents"
_parse: Final = msgspec.json.Decoder(dict[str, Any]).decode


class CloudEventsFormat:
    """Both modes, told apart record by record by their headers."""

    def object_of(self, record: Record) -> Any:
        """The data of an event, with its attributes."""
        headers = {name.lower(): _text(name, value) for name, value in record.headers or () if value is not None and _is_ours(name)}
        media = headers.get("content-type", "")
        if media.startswith(f"{_MEDIA}-batch"):
            raise EventError("decode", "a batch of CloudEvents is no event: one record is one event")
        if "ce_specversion" in headers and not media.startswith(_MEDIA):
            attributes = {name.removeprefix(_PREFIX): value for name, value in headers.items() if name.startswith(_PREFIX)}
            if media:
                attributes["datacontenttype"] = media
            data: Any = _json(record.value or b"", "the data")
        else:
            attributes = _json(record.value or b"", "the event")
            data = attributes.pop("data", None)
            if "data_base64" in attributes:
                data = _json(_decoded(attributes.pop("data_base64")), "the data")
        if missing := [name for name in _REQUIRED if not isinstance(attributes.get(name), str)]:
            raise EventError("decode", f"no CloudEvent: it has no {', '.join(missing)}")
        if not isinstance(data, Mapping):
            raise EventError("decode", f"the data of a CloudEvent must be an object, not {type(data).__name__}")
        return {**data, ATTRIBUTES: attributes}


def _is_ours(name: str) -> bool:
    return name.lower().startswith(_PREFIX) or name.lower() == "content-type"


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise EventError("decode", f"the header {cut(name, 100)!r} is no UTF-8") from None


def _json(value: bytes, what: str) -> dict[str, Any]:
    try:
        return _parse(value)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise EventError("decode", f"{what} is no JSON object: {error}") from None


def _decoded(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise EventError("decode", f"data_base64 cannot be read: {error}") from None

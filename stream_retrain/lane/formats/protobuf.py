"""Protobuf records of a Schema Registry, by the message class of the pipeline: Protobuf's own rules let older and newer ones be read.

The registry is not asked. What stands before the payload says which message of the .proto file a record holds; another one than the
pipeline's is refused. Fields have the names of the .proto file. A field that knows whether it was set is None where it was not; others
have their default. Enumerations are their names, maps objects, and timestamps datetimes (declare `time_unit="iso"`).
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from stream_retrain.core.wire import Protobuf
from stream_retrain.errors import EventError
from stream_retrain.facts.telling import raised
from stream_retrain.facts.values import Record
from stream_retrain.lane.formats.framed import framed, missing_package

__all__ = ["ProtobufFormat"]

PLACES_MAX: Final = 100
_WRAPPED: Final = tuple(
    f"google.protobuf.{kind}Value" for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


class ProtobufFormat:
    """Messages of one class."""

    def __init__(self, declared: Protobuf) -> None:
        """Raises `SettingsError` where a package is missing."""
        try:
            from google.protobuf import message
        except ImportError as error:
            missing_package("Protobuf", "protobuf", error)
        self._decode_error: Any = message.DecodeError
        self._message: Any = declared.message
        self._place = _place_of(declared.message.DESCRIPTOR)

    def object_of(self, record: Record) -> Any:
        """The object of a record."""
        number, payload = framed(record)
        place, at = _place(payload)
        if place != self._place:
            name = self._message.DESCRIPTOR.full_name
            raise EventError("decode", f"it is message {place} of schema {number}, and {name} is message {self._place}")
        made = self._message()
        try:
            made.ParseFromString(payload[at:])
        except (self._decode_error, ValueError) as error:
            raise EventError("decode", f"not a {self._message.DESCRIPTOR.full_name}: {raised(error)}") from None
        return _object(made)


def _place_of(descriptor: Any) -> list[int]:
    """Where a message stands in its file, from the outermost in."""
    around = descriptor.containing_type
    beside = descriptor.file.message_types_by_name.values() if around is None else around.nested_types
    index = [each.full_name for each in beside].index(descriptor.full_name)
    return [index] if around is None else [*_place_of(around), index]


def _place(payload: bytes) -> tuple[list[int], int]:
    """The place of the message that a payload begins with, and where the message itself does; one zero is the file's first message."""
    count, at = _varint(payload, 0)
    if count == 0:
        return [0], at
    if not 0 < count <= PLACES_MAX:
        raise EventError("decode", "it does not say which message it is")
    place = []
    for _ in range(count):
        index, at = _varint(payload, at)
        place.append(index)
    return place, at


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """A number in zigzag form, and where the next byte is."""
    number = shift = 0
    while at < len(payload) and shift < 64:
        byte = payload[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise EventError("decode", "it does not say which message it is")


def _object(message: Any) -> Any:
    """A message as an object of plain values."""
    kind = message.DESCRIPTOR.full_name
    if kind == "google.protobuf.Timestamp":
        return _datetime(message)
    if kind in _WRAPPED:
        return message.value
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields}


def _value(message: Any, field: Any) -> Any:
    held = getattr(message, field.name)
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        of = inner.fields_by_name["value"]
        return {str(key): _plain(held[key], of) for key in held}
    if _is_repeated(field):
        return [_plain(each, field) for each in held]
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain(held, field)


def _is_repeated(field: Any) -> bool:
    """Releases of the package name it differently."""
    return bool(field.is_repeated) if hasattr(field, "is_repeated") else bool(field.label == field.LABEL_REPEATED)


def _plain(value: Any, field: Any) -> Any:
    if field.message_type is not None:
        return _object(value)
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return value if named is None else named.name
    return value


def _datetime(stamp: Any) -> dt.datetime:
    try:
        return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError:
        raise EventError("schema", f"'{stamp.seconds}' s since the epoch is no date of the years 1 to 9999") from None

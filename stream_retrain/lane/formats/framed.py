"""Records of a Schema Registry: a zero byte, the number of the schema in four bytes, and the payload."""

from __future__ import annotations

from typing import NoReturn

from stream_retrain.core.wire import Registered, Schemas
from stream_retrain.errors import EventError, FormatUnavailableError, SettingsError
from stream_retrain.facts.values import Record

__all__ = ["framed", "missing_package", "registered"]

HEAD_BYTES = 5


def framed(record: Record) -> tuple[int, bytes]:
    """The number of the schema of a record, and its payload. Raises `EventError`."""
    value = record.value or b""
    if len(value) < HEAD_BYTES or value[0] != 0:
        raise EventError("decode", "it does not begin with the number of a schema, as records of a Schema Registry do")
    return int.from_bytes(value[1:HEAD_BYTES], "big"), value[HEAD_BYTES:]


def registered(schemas: Schemas | None, number: int) -> Registered:
    """The schema of a number. Raises `EventError` and `FormatUnavailableError`."""
    if schemas is None:
        raise FormatUnavailableError("no Schema Registry is attached: set schema_registry_url")
    return schemas.schema_of(number)


def missing_package(kind: str, extra: str, error: ImportError) -> NoReturn:
    """Raises `SettingsError` with what to install."""
    raise SettingsError(f"records in {kind} need packages that are not there ({error}): pip install 'stream-retrain[{extra}]'") from None

"""Avro records of a Schema Registry, by the schema each was written by; or as a reader's schema says, by Avro's own rules.

Logical types are what Python has for them: timestamps are datetimes (declare `time_unit="iso"`), decimals are numbers.
"""

from __future__ import annotations

import functools
import io
import json
from typing import Any

from stream_retrain.core.wire import Avro
from stream_retrain.errors import EventError
from stream_retrain.facts.telling import raised
from stream_retrain.facts.values import Record
from stream_retrain.lane.formats.framed import framed, missing_package, registered

__all__ = ["AvroFormat"]

SCHEMAS_MAX = 1_000


class AvroFormat:
    """Schemas are parsed once."""

    def __init__(self, declared: Avro) -> None:
        """Raises `SettingsError` where a package is missing."""
        try:
            import fastavro
        except ImportError as error:
            missing_package("Avro", "avro", error)
        self._avro: Any = fastavro
        self._schemas = declared.schemas
        self._reader = None if declared.reader is None else fastavro.parse_schema(json.loads(declared.reader))
        self._writer = functools.lru_cache(SCHEMAS_MAX)(self._parsed)

    def object_of(self, record: Record) -> Any:
        """The object of a record."""
        number, payload = framed(record)
        writer = self._writer(number)
        stream = io.BytesIO(payload)
        try:
            made = self._avro.schemaless_reader(stream, writer, self._reader)
        except Exception as error:  # noqa: BLE001 - damaged bytes raise whatever the reader met
            raise EventError("decode", f"not Avro of schema {number}: {raised(error)}") from None
        if stream.tell() != len(payload):
            raise EventError("decode", f"not Avro of schema {number}: {len(payload) - stream.tell()} bytes are left over")
        return made

    def _parsed(self, number: int) -> Any:
        found = registered(self._schemas, number)
        names: dict[str, Any] = {}
        try:
            for _, text in found.references:
                self._avro.parse_schema(json.loads(text), named_schemas=names)
            return self._avro.parse_schema(json.loads(found.text), named_schemas=names)
        except Exception as error:  # noqa: BLE001 - a schema of another kind raises whatever the parser met
            raise EventError("decode", f"schema {number} is none of Avro: {raised(error)}") from None

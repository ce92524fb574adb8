"""JSON records of a Schema Registry, checked by the schema each was written by."""

from __future__ import annotations

import functools
import json
from typing import Any, Final

import msgspec

from stream_retrain.core.wire import JsonSchema
from stream_retrain.errors import EventError
from stream_retrain.facts.telling import cut, raised
from stream_retrain.facts.values import Record
from stream_retrain.lane.formats.framed import framed, missing_package, registered

__all__ = ["JsonSchemaFormat"]

SCHEMAS_MAX: Final = 1_000
_parse: Final = msgspec.json.Decoder().decode


class JsonSchemaFormat:
    """Validators are made once; references are those of the registry, and nothing is fetched elsewhere."""

    def __init__(self, declared: JsonSchema) -> None:
        """Raises `SettingsError` where a package is missing."""
        self._schemas, self._validates = declared.schemas, declared.validate
        self._validator = functools.lru_cache(SCHEMAS_MAX)(self._made)
        if not declared.validate:
            return
        try:
            import jsonschema
            import referencing
        except ImportError as error:
            missing_package("JSON Schema", "jsonschema", error)
        self._jsonschema: Any = jsonschema
        self._referencing: Any = referencing

    def object_of(self, record: Record) -> Any:
        """The object of a record."""
        number, payload = framed(record)
        try:
            made = _parse(payload)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise EventError("decode", f"not JSON: {error}") from None
        if self._validates:
            self._check(self._validator(number), made, number)
        return made

    def _check(self, validator: Any, made: Any, number: int) -> None:
        try:
            fault = next(validator.iter_errors(made), None)
        except Exception as error:  # noqa: BLE001 - a reference that cannot be followed, or a pattern of another dialect
            raise EventError("decode", f"schema {number} cannot check it: {raised(error)}") from None
        if fault is not None:
            field = ".".join(map(str, fault.absolute_path))
            raise EventError("schema", f"schema {number} does not allow it: {cut(fault.message)}", field or None)

    def _made(self, number: int) -> Any:
        found = registered(self._schemas, number)
        try:
            schema, resource = json.loads(found.text), self._referencing.Resource.from_contents
            default = self._jsonschema.Draft7Validator
            dialect = self._referencing.jsonschema.DRAFT7
            named = [(name, resource(json.loads(text), default_specification=dialect)) for name, text in found.references]
            kind = self._jsonschema.validators.validator_for(schema, default=default)
            kind.check_schema(schema)
            return kind(schema, registry=self._referencing.Registry().with_resources(named))
        except Exception as error:  # noqa: BLE001 - a schema of another kind raises whatever the parser met
            raise EventError("decode", f"schema {number} is none of JSON: {raised(error)}") from None

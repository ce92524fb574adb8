"""The Schema Registry: schemas by number, each asked for once.

A schema never changes, so what a record is read as is a function of the log. A registry that does not answer raises
`FormatUnavailableError`, as a broker that is away does: the worker backs off and reads the same records again. A number that the registry
does not have is a fault of the record: a producer registers a schema before it writes by it.
"""

from __future__ import annotations

import time
from typing import Any, Final

from stream_retrain.codec.private_file import private_text
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.core.wire import Avro, JsonSchema, Registered
from stream_retrain.errors import EventError, FormatUnavailableError, SettingsError
from stream_retrain.lane.formats.framed import missing_package
from stream_retrain.redaction import url_redacted
from stream_retrain.settings import Settings

__all__ = ["Registry", "registry_for", "registry_of", "with_registry"]

SCHEMAS_MAX: Final = 10_000
UNKNOWN_FOR_S: Final = 10.0
"""A number that is not there is asked for again after so long."""
NOT_THERE: Final = 404
REFERENCES_MAX: Final = 100


class Registry:
    """A client of one registry. It can be sent to another process, which connects itself."""

    def __init__(self, config: dict[str, Any]) -> None:
        """`config`: that of confluent-kafka's client."""
        self._config = config
        self._known: dict[int, Registered] = {}
        self._unknown: dict[int, float] = {}

    def __reduce__(self) -> tuple[type[Registry], tuple[dict[str, Any]]]:
        return type(self), (self._config,)

    def schema_of(self, number: int) -> Registered:
        """A schema with those it refers to. Raises `EventError` and `FormatUnavailableError`."""
        if (known := self._known.get(number)) is not None:
            return known
        if time.monotonic() < self._unknown.get(number, 0.0):
            raise _unknown(number)
        found = self._asked(number)
        for cache in (self._known, self._unknown):
            if len(cache) >= SCHEMAS_MAX:
                cache.clear()
        if found is None:
            self._unknown[number] = time.monotonic() + UNKNOWN_FOR_S
            raise _unknown(number)
        self._known[number] = found
        return found

    def _asked(self, number: int) -> Registered | None:
        from confluent_kafka.schema_registry import SchemaRegistryClient
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            with SchemaRegistryClient(self._config) as client:  # asked so rarely that nothing is kept open
                schema = client.get_schema(number)
                references: dict[str, str] = {}
                _follow(client, schema.references or [], references)
        except SchemaRegistryError as error:
            if error.http_status_code == NOT_THERE:
                return None
            raise self._unavailable(number, error) from None
        except Exception as error:  # noqa: BLE001 - errors of the HTTP client come as they are, and it differs between releases
            raise self._unavailable(number, error) from None
        return Registered(schema.schema_str, tuple(references.items()))

    def _unavailable(self, number: int, error: Exception) -> FormatUnavailableError:
        url = url_redacted(self._config["url"])
        return FormatUnavailableError(f"the Schema Registry at {url} does not give schema {number}: {type(error).__name__}: {error}")


def registry_of(settings: Settings) -> Registry:
    """The registry of the settings. Raises `SettingsError` where there is none, or its packages are missing."""
    if settings.schema_registry_url is None:
        raise SettingsError("the pipeline's records are of a Schema Registry: set schema_registry_url")
    try:
        import confluent_kafka.schema_registry  # noqa: F401 - it needs packages that the client of Kafka does not
    except ImportError as error:
        missing_package("a Schema Registry", "avro", error)
    config: dict[str, Any] = {"url": settings.schema_registry_url, "timeout": settings.schema_registry_timeout_s, "max.retries": 1}
    if settings.schema_registry_auth_file is not None:
        config["basic.auth.user.info"] = private_text(settings.schema_registry_auth_file, "Schema Registry").strip()
    if settings.schema_registry_ca_file is not None:
        config["ssl.ca.location"] = str(settings.schema_registry_ca_file)
    return Registry(config)


def registry_for(pipeline: Pipeline, settings: Settings) -> Registry | None:
    """The registry that a pipeline's format asks, if it asks one. Raises `SettingsError`."""
    wire = pipeline.schema.format
    return registry_of(settings) if isinstance(wire, Avro) or (isinstance(wire, JsonSchema) and wire.validate) else None


def with_registry(pipeline: Pipeline, settings: Settings) -> Pipeline:
    """The pipeline with that registry attached. Raises `SettingsError`."""
    registry = registry_for(pipeline, settings)
    return pipeline if registry is None else pipeline.with_schemas(registry)


def _follow(client: Any, wanted: list[Any], found: dict[str, str]) -> None:
    """Add what is referred to, the innermost first."""
    for each in wanted:
        if each.name not in found and len(found) < REFERENCES_MAX:
            schema = client.get_version(each.subject, each.version).schema
            _follow(client, schema.references or [], found)
            found[each.name] = schema.schema_str


def _unknown(number: int) -> EventError:
    return EventError("decode", f"the Schema Registry has no schema {number}")

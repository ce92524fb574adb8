"""The format of a schema, ready to read."""

from __future__ import annotations

from stream_retrain.core.schema import Schema
from stream_retrain.core.wire import Avro, JsonSchema, Protobuf
from stream_retrain.lane.formats.cloudevents import CloudEventsFormat
from stream_retrain.lane.formats.format import Format
from stream_retrain.lane.formats.hook import HookFormat

__all__ = ["format_of"]


def format_of(schema: Schema) -> Format | None:
    """What makes objects of its records; None for JSON and MessagePack, which are parsed straight into the declared fields.

    Raises `SettingsError` where the packages that a format needs are not installed.
    """
    if schema.decode is not None:
        return HookFormat(schema.decode)
    match schema.format:
        case "cloudevents":
            return CloudEventsFormat()
        case Avro() as avro:
            from stream_retrain.lane.formats.avro import AvroFormat

            return AvroFormat(avro)
        case Protobuf() as protobuf:
            from stream_retrain.lane.formats.protobuf import ProtobufFormat

            return ProtobufFormat(protobuf)
        case JsonSchema() as json_schema:
            from stream_retrain.lane.formats.json_schema import JsonSchemaFormat

            return JsonSchemaFormat(json_schema)
        case _:
            return None

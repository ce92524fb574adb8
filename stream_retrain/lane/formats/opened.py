"""The format of a schema, ready to read."""

from __future__ import annotations

from stream_retrain.core.schema import Schema
from stream_retrain.lane.formats.cloudevents import CloudEventsFormat
from stream_retrain.lane.formats.format import Format
from stream_retrain.lane.formats.hook import HookFormat

__all__ = ["format_of"]


def format_of(schema: Schema) -> Format | None:
    """What makes objects of its records; None for JSON and MessagePack, which are parsed straight into the declared fields."""
    if schema.decode is not None:
        return HookFormat(schema.decode)
    return CloudEventsFormat() if schema.format == "cloudevents" else None

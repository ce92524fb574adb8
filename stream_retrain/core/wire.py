"""What the bytes of records are written in, where it is not JSON: declared here, decoded by `lane.formats`.

`"json"`, `"msgpack"` and `"cloudevents"` are names. The others come with a Schema Registry: each record begins with the number of the
schema it was written by.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

__all__ = ["NAMED", "Avro", "JsonSchema", "Protobuf", "Registered", "Schemas", "Wire", "wire_faults"]

NAMED: Final = ("json", "msgpack", "cloudevents")


class Registered(NamedTuple):
    """A schema of a registry: its text, and the texts it refers to by name, those first that others of them refer to."""

    text: str
    references: tuple[tuple[str, str], ...] = ()


class Schemas(Protocol):
    """The schemas of a registry by number, which never change."""

    def schema_of(self, number: int) -> Registered:
        """Raises `EventError` for a number that it has not got, and `FormatUnavailableError` where it does not answer."""
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Avro:
    """Avro with a Schema Registry.

    reader
        A schema as JSON text. Records are read as it says, by the rules of Avro: renamed fields by their aliases, new ones by their
        defaults. None: as each was written.
    """

    reader: str | None = None
    schemas: Schemas | None = dataclasses.field(default=None, repr=False, compare=False, kw_only=True)
    """What a running process attaches; it is no part of what is declared."""


@dataclasses.dataclass(frozen=True, slots=True)
class Protobuf:
    """Protobuf with a Schema Registry: `message` is the class that protoc generated. Field names are those of the .proto file."""

    message: Any


@dataclasses.dataclass(frozen=True, slots=True)
class JsonSchema:
    """JSON with a Schema Registry; `validate`: a record that its schema does not allow is refused."""

    validate: bool = True
    schemas: Schemas | None = dataclasses.field(default=None, repr=False, compare=False, kw_only=True)
    """What a running process attaches; it is no part of what is declared."""


Wire: TypeAlias = str | Avro | Protobuf | JsonSchema


def wire_faults(wire: object) -> Iterator[str]:
    """Every fault of a declared format, as sentences."""
    match wire:
        case str() if wire in NAMED:
            return
        case Avro(reader=None) | JsonSchema(validate=True | False):
            return
        case Avro(reader=str() as reader):
            try:
                json.loads(reader)
            except ValueError as error:
                yield f"schema: the reader's schema of Avro is no JSON: {error}"
        case Protobuf():
            if not isinstance(wire.message, type) or not hasattr(wire.message, "DESCRIPTOR"):
                yield f"schema: Protobuf needs the class of a message, as protoc generates it, not {wire.message!r}"
        case _:
            yield f"schema: format is {wire!r}; use {', '.join(map(repr, NAMED))}, Avro(), Protobuf(Message) or JsonSchema()"

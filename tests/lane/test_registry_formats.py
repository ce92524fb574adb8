"""Avro, Protobuf and JSON Schema as producers with a Schema Registry write them, while their schemas change."""

from __future__ import annotations

import io
import json
import math
from typing import Any, ClassVar

import fastavro
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain import Avro, JsonSchema, Protobuf, Schema
from stream_retrain.core.digest import digest
from stream_retrain.core.schema_faults import schema_faults
from stream_retrain.core.wire import Registered
from stream_retrain.errors import EventError, FormatUnavailableError
from stream_retrain.facts.records import Rejected
from stream_retrain.facts.values import Event, Record
from stream_retrain.lane.batch import Records
from stream_retrain.lane.formats.decoder import EventDecoder

AT_MS = 1_782_864_000_000
FIELDS: dict[str, Any] = {"id": "id", "label": "y", "features": {"txn.amount": float, "kind": str}}


class Held(dict[int, Registered]):
    """A registry in memory."""

    def schema_of(self, number: int) -> Registered:
        if number not in self:
            raise EventError("decode", f"no schema {number}")
        return self[number]


class Away:
    def schema_of(self, number: int) -> Registered:
        raise FormatUnavailableError(f"it is away: {number}")


def decoder(wire: Any, schemas: Any = None, **changes: Any) -> EventDecoder:
    return EventDecoder(Schema(**{**FIELDS, "format": wire, **changes}).with_schemas(schemas), "binary", record_bytes_max=100_000)


def decoded(by: EventDecoder, value: bytes) -> Event | Rejected:
    batch = by.decode_batch(Records.of([Record(0, None, value, AT_MS)]))
    [made] = [*batch.events, *batch.rejected]
    return made


def framed(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4, "big") + payload


def avro(*fields: dict[str, Any]) -> str:
    inner = {"type": "record", "name": "Txn", "fields": [{"name": "amount", "type": "double"}]}
    rest = [{"name": "txn", "type": inner}, {"name": "y", "type": ["null", "boolean"], "default": None}, *fields]
    return json.dumps({"type": "record", "name": "Sale", "fields": [{"name": "id", "type": "long"}, *rest]})


def written(number: int, text: str, **row: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(text)), {"id": 5, "txn": {"amount": 1.5}, "y": True, **row})
    return framed(number, stream.getvalue())


KIND = {"name": "kind", "type": "string", "default": "none"}


class TestAvro:
    FIRST = avro(KIND)
    COMPATIBLE = avro({"name": "shop", "type": ["null", "string"], "default": None}, KIND)
    OTHER = avro({"name": "kind", "type": "long"})
    LATER = avro(KIND, {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}})
    SPLIT = json.dumps(
        {"type": "record", "name": "Sale", "fields": [{"name": "txn", "type": "shop.Txn"}, {"name": "kind", "type": "string"}]}
    )
    PART = json.dumps({"type": "record", "name": "shop.Txn", "fields": [{"name": "amount", "type": "float"}]})
    SCHEMAS = Held(
        {1: Registered(FIRST), 2: Registered(COMPATIBLE), 3: Registered(OTHER), 4: Registered("{"), 5: Registered(LATER)}
        | {6: Registered(SPLIT, (("shop.Txn", PART),))}
    )
    MADE = Event(0, 5, AT_MS / 1000, {"txn.amount": 1.5, "kind": "a"}, True)

    def test_records_are_read_by_the_schema_each_was_written_by(self) -> None:
        by = decoder(Avro(), self.SCHEMAS)
        assert decoded(by, written(1, self.FIRST, kind="a")) == self.MADE
        assert decoded(by, written(2, self.COMPATIBLE, shop="s", kind="a")) == self.MADE
        refused = decoded(by, written(3, self.OTHER, kind=7))
        assert isinstance(refused, Rejected)
        assert (refused.reason, refused.field) == ("schema", "kind")
        assert decoded(by, written(1, self.FIRST, kind="a")) == self.MADE

    def test_a_readers_schema_is_followed(self) -> None:
        renamed = avro({"name": "kind", "type": "string", "aliases": ["sort"]})
        old = avro({"name": "sort", "type": "string"})
        by = decoder(Avro(reader=renamed), Held({1: Registered(old), 3: Registered(self.OTHER)}))
        assert decoded(by, written(1, old, sort="a")) == self.MADE
        refused = decoded(by, written(3, self.OTHER, kind=7))
        assert isinstance(refused, Rejected)
        assert refused.reason == "decode"

    def test_a_timestamp_is_a_time_and_a_reference_is_followed(self) -> None:
        import datetime as dt

        at = dt.datetime(2026, 7, 1, tzinfo=dt.UTC)
        made = decoded(decoder(Avro(), self.SCHEMAS, time="at"), written(5, self.LATER, kind="a", at=at))
        assert isinstance(made, Event)
        assert made.time_s == at.timestamp()
        by = decoder(Avro(), self.SCHEMAS, id=None)
        stream = io.BytesIO()
        names: dict[str, Any] = {}
        fastavro.parse_schema(json.loads(self.PART), named_schemas=names)
        row = {"txn": {"amount": 2.0}, "kind": "b"}
        fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(self.SPLIT), named_schemas=names), row)
        assert decoded(by, framed(6, stream.getvalue())) == Event(0, "0", AT_MS / 1000, {"txn.amount": 2.0, "kind": "b"}, None)

    @pytest.mark.parametrize("value", [b"{}", b"\0\0\0", framed(9, b""), framed(4, b"x"), framed(1, b"\x05"), framed(1, b"\x00" * 40)])
    def test_what_is_none_is_a_dead_letter(self, value: bytes) -> None:
        made = decoded(decoder(Avro(), self.SCHEMAS), value)
        assert isinstance(made, Rejected)
        assert made.reason == "decode"

    def test_numbers_that_are_not_finite_are_refused(self) -> None:
        made = decoded(decoder(Avro(), self.SCHEMAS), written(1, self.FIRST, kind="a", txn={"amount": math.nan}))
        assert isinstance(made, Rejected)
        assert (made.reason, made.field) == ("schema", "txn.amount")

    def test_a_registry_that_is_away_is_no_fault_of_the_record(self) -> None:
        for schemas in (Away(), None):
            with pytest.raises(FormatUnavailableError):
                decoded(decoder(Avro(), schemas), written(1, self.FIRST, kind="a"))

    @given(st.binary(max_size=60))
    def test_no_bytes_raise_anything_else(self, payload: bytes) -> None:
        assert isinstance(decoded(decoder(Avro(), self.SCHEMAS), framed(1, payload)), Event | Rejected)


def messages(*more: tuple[str, int, Any]) -> Any:
    """The class of a message, as protoc would generate it."""
    of = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="sale.proto", package="shop", syntax="proto3", dependency=["google/protobuf/timestamp.proto"]
    )
    file.message_type.add(name="Other").field.add(name="a", number=1, type=of.TYPE_STRING, label=of.LABEL_OPTIONAL)
    sale = file.message_type.add(name="Sale")
    txn = sale.nested_type.add(name="Txn")
    txn.field.add(name="amount", number=1, type=of.TYPE_DOUBLE, label=of.LABEL_OPTIONAL)
    sale.enum_type.add(name="Kind").value.add(name="a", number=0)
    sale.enum_type[0].value.add(name="b", number=1)
    sale.field.add(name="id", number=1, type=of.TYPE_INT64, label=of.LABEL_OPTIONAL)
    sale.field.add(name="txn", number=2, type=of.TYPE_MESSAGE, type_name=".shop.Sale.Txn", label=of.LABEL_OPTIONAL)
    sale.field.add(name="kind", number=3, type=of.TYPE_ENUM, type_name=".shop.Sale.Kind", label=of.LABEL_OPTIONAL)
    sale.oneof_decl.add(name="_y")
    sale.field.add(name="y", number=4, type=of.TYPE_BOOL, label=of.LABEL_OPTIONAL, proto3_optional=True, oneof_index=0)
    sale.field.add(name="at", number=5, type=of.TYPE_MESSAGE, type_name=".google.protobuf.Timestamp", label=of.LABEL_OPTIONAL)
    sale.field.add(name="items", number=6, type=of.TYPE_MESSAGE, type_name=".shop.Sale.Txn", label=of.LABEL_REPEATED)
    for name, number, kind in more:
        sale.field.add(name=name, number=number, type=kind, label=of.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Sale"))


Sale = messages()
Newer = messages(("shop", 9, descriptor_pb2.FieldDescriptorProto.TYPE_STRING))


class TestProtobuf:
    BY = decoder(Protobuf(Sale))
    SECOND = b"\x02\x02"
    """One index, which is 1: the second message of the file."""

    def sale(self, of: Any = Sale, **changes: Any) -> bytes:
        return framed(7, self.SECOND + of(**{"id": 5, "txn": {"amount": 1.5}, "kind": 0, "y": True, **changes}).SerializeToString())

    def test_a_message_is_read_by_the_names_of_its_file(self) -> None:
        assert decoded(self.BY, self.sale()) == TestAvro.MADE
        assert decoded(self.BY, self.sale(Newer, shop="s")) == TestAvro.MADE
        made = decoded(decoder(Protobuf(Sale), time="at"), self.sale(y=None, at={"seconds": 1_782_864_000, "nanos": 500_000_000}))
        assert isinstance(made, Event)
        assert (made.y, made.time_s) == (None, AT_MS / 1000 + 0.5)
        listed = decoded(decoder(Protobuf(Sale), features={"items.1.amount": float}), self.sale(items=[{"amount": 1}, {"amount": 2}]))
        assert isinstance(listed, Event)
        assert listed.x == {"items.1.amount": 2.0}

    def test_a_message_that_was_not_set_is_missing(self) -> None:
        made = decoded(self.BY, self.sale(txn=None))
        assert isinstance(made, Rejected)
        assert (made.reason, made.field) == ("schema", "txn.amount")

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            framed(1, b""),
            framed(1, b"\x00\x08\x05"),
            framed(1, b"\x02\x04"),
            framed(1, b"\x02\x02\xff"),
            framed(1, b"\xff" * 12),
            b"{}",
        ],
    )
    def test_what_is_none_is_a_dead_letter(self, value: bytes) -> None:
        made = decoded(self.BY, value)
        assert isinstance(made, Rejected)
        assert made.reason in ("decode", "empty")

    @given(st.binary(max_size=40))
    def test_no_bytes_raise_anything_else(self, payload: bytes) -> None:
        assert isinstance(decoded(self.BY, framed(1, self.SECOND + payload)), Event | Rejected)


class TestJsonSchema:
    SCHEMA: ClassVar[dict[str, Any]] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "txn": {"$ref": "txn.json"}},
        "required": ["id"],
    }
    PART: ClassVar[dict[str, Any]] = {"type": "object", "properties": {"amount": {"type": "number", "minimum": 0}}}
    SCHEMAS = Held(
        {1: Registered(json.dumps(SCHEMA), (("txn.json", json.dumps(PART)),)), 2: Registered('{"$ref": "http://else.where/x.json"}')}
    )
    GOOD: ClassVar[dict[str, Any]] = {"id": 5, "txn": {"amount": 1.5}, "kind": "a", "y": True}

    def test_a_record_that_its_schema_allows_is_an_event(self) -> None:
        assert decoded(decoder(JsonSchema(), self.SCHEMAS), framed(1, json.dumps(self.GOOD).encode())) == TestAvro.MADE

    @pytest.mark.parametrize(
        ("number", "value", "reason", "field"),
        [
            (1, {**GOOD, "kind": "c"}, "schema", "kind"),
            (1, {**GOOD, "txn": {"amount": -1}}, "schema", "txn.amount"),
            (1, {"kind": "a"}, "schema", None),
            (2, GOOD, "decode", None),
            (3, GOOD, "decode", None),
        ],
    )
    def test_what_it_does_not_allow_is_refused(self, number: int, value: Any, reason: str, field: str | None) -> None:
        made = decoded(decoder(JsonSchema(), self.SCHEMAS), framed(number, json.dumps(value).encode()))
        assert isinstance(made, Rejected)
        assert (made.reason, made.field) == (reason, field)

    def test_without_validation_the_registry_is_not_asked(self) -> None:
        by = decoder(JsonSchema(validate=False))
        assert decoded(by, framed(9, json.dumps(self.GOOD).encode())) == TestAvro.MADE
        assert isinstance(decoded(by, framed(9, b"{")), Rejected)


def test_a_registry_is_no_part_of_what_is_declared() -> None:
    plain = Schema(**FIELDS, format=Avro())
    attached = plain.with_schemas(Held())
    assert attached == plain
    assert digest(attached.without_example()) == digest(plain)
    assert digest(Schema(**FIELDS, format=Avro(reader=TestAvro.FIRST))) != digest(plain)


@pytest.mark.parametrize(("wire", "words"), [(Avro(reader="{"), "is no JSON"), (Protobuf("Sale"), "needs the class of a message")])
def test_a_wrong_declaration_is_named(wire: Any, words: str) -> None:
    [fault] = schema_faults(Schema(**FIELDS, format=wire), "binary")
    assert words in fault

"""Records through a real Schema Registry, while schemas change and while it is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema as Registered
from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from stream_retrain import Avro, JsonSchema, Protobuf, Schema, backtest
from stream_retrain.engines.kafka.registry import Registry, registry_of
from stream_retrain.errors import BrokerError, EventError, FormatUnavailableError, SettingsError
from stream_retrain.facts.records import Rejected
from stream_retrain.facts.values import Event, Record
from stream_retrain.lane.batch import Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.live import create_topic
from tests.engines.registry_server import RegistryServer, registry_server
from tests.engines.support import read_topic, worker
from tests.lane.test_registry_formats import AT_MS, FIELDS, Newer, Sale, avro

pytestmark = [pytest.mark.services, pytest.mark.slow]

KIND = {"name": "kind", "type": "string"}
FIRST = avro(KIND)
COMPATIBLE = avro({"name": "shop", "type": ["null", "string"], "default": None}, KIND)
INCOMPATIBLE = avro({"name": "kind", "type": "long"})
PIPELINE = """
from river import compose, linear_model
from stream_retrain import Avro, Pipeline, Schema
pipeline = Pipeline(name="{name}", task="binary", source="{source}",
                    model=compose.Select("txn.amount") | linear_model.LogisticRegression(),
                    schema=Schema(id="id", label="y", features={{"txn.amount": float, "kind": str}}, format=Avro()))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with registry_server(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def client(server: RegistryServer) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": server.url, "timeout": 10}) as made:
        yield made


def registry(server: RegistryServer, **settings: Any) -> Registry:
    return registry_of(load_settings(None, {}, {"schema_registry_url": server.url, **settings}))


def decoded(by: EventDecoder, value: bytes | None) -> Event | Rejected:
    batch = by.decode_batch(Records.of([Record(0, None, value, AT_MS)]))
    [made] = [*batch.events, *batch.rejected]
    return made


def decoder(wire: Any, server: RegistryServer) -> EventDecoder:
    return EventDecoder(Schema(**FIELDS, format=wire).with_schemas(registry(server)), "binary", record_bytes_max=100_000)


def sale(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": number, "txn": {"amount": float(number % 7)}, "kind": "a", "y": number % 7 > 3, **changes}


def event(number: int) -> Event:
    return Event(0, number, AT_MS / 1000, {"txn.amount": float(number % 7), "kind": "a"}, number % 7 > 3)


def serialised(serialise: Any, topic: str, value: Any) -> Any:
    return serialise(value, SerializationContext(topic, MessageField.VALUE))


def avro_serialiser(client: SchemaRegistryClient, text: str) -> AvroSerializer:
    return AvroSerializer(client, text, conf={"subject.name.strategy": topic_subject_name_strategy})


def test_avro_whose_schema_changes(server: RegistryServer, client: SchemaRegistryClient) -> None:
    by, topic = decoder(Avro(), server), "sales"
    assert decoded(by, serialised(avro_serialiser(client, FIRST), topic, sale(5))) == event(5)
    assert decoded(by, serialised(avro_serialiser(client, COMPATIBLE), topic, sale(6, shop="s"))) == event(6)
    client.set_compatibility(f"{topic}-value", "NONE")
    refused = decoded(by, serialised(avro_serialiser(client, INCOMPATIBLE), topic, sale(7, kind=3)))
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.field) == ("schema", "kind")
    reading = decoder(Avro(reader=FIRST), server)
    assert decoded(reading, serialised(avro_serialiser(client, COMPATIBLE), topic, sale(6, shop="s"))) == event(6)
    refused = decoded(reading, serialised(avro_serialiser(client, INCOMPATIBLE), topic, sale(7, kind=3)))
    assert isinstance(refused, Rejected)
    assert refused.reason == "decode"


def test_protobuf_whose_message_grows(server: RegistryServer, client: SchemaRegistryClient) -> None:
    by = decoder(Protobuf(Sale), server)
    for of, changes in ((Sale, {}), (Newer, {"shop": "s"})):
        message = of(**{**sale(5), "kind": 0, **changes})
        serialise = ProtobufSerializer(of, client, {"use.deprecated.format": False})
        assert decoded(by, serialised(serialise, f"protobuf-{of is Newer}", message)) == event(5)


def test_json_schema_that_changes(server: RegistryServer, client: SchemaRegistryClient) -> None:
    by, topic = decoder(JsonSchema(), server), "json-sales"
    text: dict[str, Any] = {"title": "Sale", "type": "object", "properties": {"id": {"type": "integer"}}}
    first = JSONSerializer(json.dumps(text), client)
    assert decoded(by, serialised(first, topic, sale(5))) == event(5)
    client.set_compatibility(f"{topic}-value", "NONE")
    stricter = {**text, "properties": {**text["properties"], "shop": {"type": "string"}}}
    assert decoded(by, serialised(JSONSerializer(json.dumps(stricter), client), topic, sale(6, shop="s"))) == event(6)
    other = {**text, "properties": {"id": {"type": "integer"}, "kind": {"type": "integer"}}}
    refused = decoded(by, serialised(JSONSerializer(json.dumps(other), client), topic, sale(7, kind=3)))
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.field) == ("schema", "kind")
    number = client.get_latest_version(f"{topic}-value").schema_id
    refused = decoded(by, b"\0" + number.to_bytes(4, "big") + json.dumps(sale(8)).encode())
    assert isinstance(refused, Rejected)
    assert (refused.field, "does not allow it" in refused.detail) == ("kind", True)


def test_an_unknown_number_is_a_fault_of_the_record_and_silence_is_none(server: RegistryServer, client: SchemaRegistryClient) -> None:
    asked = registry(server, schema_registry_timeout_s=0.3)
    with pytest.raises(EventError, match="has no schema 99999"):
        asked.schema_of(99_999)
    number = client.register_schema("silent-value", Registered(FIRST, "AVRO"))
    with server.away(), pytest.raises(FormatUnavailableError, match=rf"at http://127.0.0.1:\d+/\S+ does not give schema {number}"):
        asked.schema_of(number)
    assert json.loads(asked.schema_of(number).text) == json.loads(FIRST)
    with server.away():
        assert asked.schema_of(number), "it is known"
        with pytest.raises(EventError):
            asked.schema_of(99_999)
    with pytest.raises(SettingsError, match="set schema_registry_url"):
        registry_of(load_settings(None, {}, {}))


def test_a_worker_waits_for_the_registry_and_no_record_is_lost(
    server: RegistryServer, client: SchemaRegistryClient, services: Services, tmp_path: Path
) -> None:
    file = tmp_path / "pipeline.py"
    file.write_text(PIPELINE.format(name=services.name("avro"), source=services.name("sales")))
    pipeline = load_pipeline(str(file))
    topic = pipeline.source
    create_topic(load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), topic, 1, {})
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True})
    first = [serialised(avro_serialiser(client, FIRST), topic, sale(number)) for number in range(100)]
    then = [serialised(avro_serialiser(client, COMPATIBLE), topic, sale(number, shop="s")) for number in range(100, 200)]
    client.set_compatibility(f"{topic}-value", "NONE")
    then += [serialised(avro_serialiser(client, INCOMPATIBLE), topic, sale(number, kind=3)) for number in range(200, 220)]
    then += [serialised(avro_serialiser(client, FIRST), topic, sale(number)) for number in range(220, 250)]

    def send(values: list[bytes]) -> None:
        for value in values:
            producer.produce(topic, value)
        assert producer.flush(20) == 0

    def predicted() -> list[int]:
        try:
            found = read_topic(services, f"{pipeline.name}.predictions")
        except BrokerError:  # the worker makes the topic
            return []
        return [json.loads(each.value or b"")["id"] for each in found.get(0, [])]

    send(first)
    settings = {"trainer": "off", "schema_registry_url": server.url, "schema_registry_timeout_s": 0.5}
    with worker(services, file, **settings) as running:
        running.wait_for(lambda: predicted() == list(range(100)))
        with server.away():
            send(then)
            running.wait_for(lambda: running.log.count("does not give schema") >= 2)
            assert running.status()["state"] == "degraded"
            assert not running.status()["ready"]
        running.wait_for(lambda: len(predicted()) == 230)
        running.stop()
    assert predicted() == [*range(200), *range(220, 250)]
    letters = read_topic(services, f"{pipeline.name}.dead_letters")[0]
    assert [(int(each.headers["sr_offset"]), each.headers["sr_field"]) for each in letters] == [
        (number, b"kind") for number in range(200, 220)
    ]
    assert "Traceback" not in running.log
    where = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "schema_registry_url": server.url})
    replayed = backtest(pipeline, f"kafka://{topic}", variants=[], settings=where, progress=False, processes=1)
    assert (replayed.summary.events, replayed.summary.rejected) == (230, 20)

"""What others read of a pipeline: the page says it as it is, and every message fits the schema that is published of it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
import subprocess
import sys
import tarfile
import typing
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from river import linear_model, naive_bayes

import stream_retrain
from docs import messages as page
from stream_retrain import Labels, Pipeline, Schema
from stream_retrain.cli import main
from stream_retrain.engines.kafka.relay.label import LabelReader
from stream_retrain.errors import EventError
from stream_retrain.facts.records import RejectReason
from stream_retrain.facts.sent import Sent
from stream_retrain.facts.values import Predicted
from stream_retrain.lane.asyncapi import asyncapi_document
from stream_retrain.lane.batch import Record
from stream_retrain.lane.encoder import encode_decisions
from stream_retrain.lane.messages import ENVELOPE, FIELDS, OF_KIND, OF_PREDICTION, PUBLISHED, field_of
from tests.conftest import Services
from tests.facts.examples import EXAMPLES

SPECS = "@asyncapi/specs@6.11.1"
"""The specification's own JSON Schemas, as its authors publish them."""


FEATURES: dict[str, dict[str, Any]] = {
    "binary": {"price": float, "items": int, "weight": float | None},
    "multiclass": {"price": float},
    "regression": {"price": float},
}
MODELS = {
    "binary": linear_model.LogisticRegression(),
    "multiclass": naive_bayes.GaussianNB(),
    "regression": linear_model.LinearRegression(),
}


def pipeline(task: Any, **fields: Any) -> Pipeline:
    schema = Schema(id="order_id", time="placed_at", label="y", features=FEATURES[task])
    return Pipeline(name="orders", task=task, source="shop.orders", schema=schema, model=MODELS[task], **fields)


def document(of: Pipeline) -> dict[str, Any]:
    return asyncapi_document(of, stream_retrain.__version__, {"kafka": {"host": "127.0.0.1:9092", "protocol": "kafka"}})


def opened(record: Record) -> Any:
    """A decode of a pipeline's own."""
    return json.loads(record.value or b"")


def check(value: Any, schema: dict[str, Any], of: dict[str, Any]) -> None:
    """Raises `ValidationError` where the value does not fit; references are those of the document."""
    jsonschema.Draft7Validator(schema | {"components": of["components"]}, format_checker=jsonschema.FormatChecker()).validate(value)


PIPELINES = {
    "binary": pipeline("binary"),
    "threshold": pipeline("binary", probabilities=True, threshold=0.2),
    "multiclass": pipeline("multiclass", probabilities=True),
    "regression": pipeline("regression"),
    "labels": pipeline("binary", labels=Labels(topic="shop.returns", id="order.id", label="returned", route="key", key="customer")),
}
LABELS = {"labels": True, "binary": True, "threshold": True, "multiclass": "red", "regression": 1.5}
each = pytest.mark.parametrize("name", PIPELINES)


def test_the_page_is_as_the_encoder_makes_it() -> None:
    assert page.PAGE.read_text() == page.page(), "run `make docs`"


def test_every_field_is_explained_and_no_other() -> None:
    assert list(OF_PREDICTION) == list(Predicted.__struct_fields__)
    of_kinds = {field.name for kind in PUBLISHED for field in dataclasses.fields(kind)}
    assert set(FIELDS) == of_kinds
    assert all(name in {field.name for field in dataclasses.fields(kind)} for kind in PUBLISHED for at, name in OF_KIND if at == kind.kind)
    assert {at for at, _ in OF_KIND} <= {kind.kind for kind in PUBLISHED}
    assert all(field_of(kind, field.name) for kind in PUBLISHED for field in dataclasses.fields(kind))
    [(_, value)] = encode_decisions(page.SHARD, [EXAMPLES[PUBLISHED[0]]])
    assert list(ENVELOPE) == list(json.loads(value))
    assert set(page.REASONS) == set(typing.get_args(RejectReason))


@each
def test_every_prediction_fits_its_schema(name: str) -> None:
    of = PIPELINES[name]
    schema, label = document(of), LABELS[name]
    rows = [{"order_id": f"o{at}", "placed_at": "2026-01-05T10:00:00Z", "price": 1.5, "items": 2, "y": label} for at in range(3)]
    made = page.outputs(of, [Record(at, b"k", json.dumps(row).encode(), 1_767_607_200_000) for at, row in enumerate(rows)])
    values = [json.loads(value or b"") for kind, _, _, value, _ in made if kind == "predictions"]
    assert len(values) == 3
    for value in values:
        check(value, schema["components"]["schemas"]["Prediction"], schema)
        with pytest.raises(jsonschema.ValidationError):
            check(value | {"prediction": [1]}, schema["components"]["schemas"]["Prediction"], schema)
    for row in rows:
        check(row, schema["components"]["schemas"]["Event"], schema)
    assert ("probabilities" in values[0]) is of.probabilities


def test_what_the_decoder_refuses_does_not_fit_the_schema_of_an_event() -> None:
    schema = document(PIPELINES["binary"])
    for wrong in ({"price": "free"}, {"items": 1.5}, {"y": "yes"}, {"placed_at": 5}, {"order_id": None}, {"price": None}):
        with pytest.raises(jsonschema.ValidationError):
            check({"order_id": "a", "price": 1.0, "items": 2} | wrong, schema["components"]["schemas"]["Event"], schema)
    check({"order_id": 7, "y": 1, "other": []}, schema["components"]["schemas"]["Event"], schema)


def test_the_schema_of_a_label_takes_what_the_relay_takes() -> None:
    schema, reader = document(PIPELINES["labels"]), LabelReader(PIPELINES["labels"], record_bytes_max=1_000)
    assert "Label" not in document(PIPELINES["binary"])["components"]["schemas"]
    good: dict[str, Any] = {"order": {"id": "a"}, "returned": True, "customer": 5, "placed_at": "2026-01-05T10:00:00Z", "other": []}
    for wrong in (None, {"returned": "yes"}, {"order": {"id": []}}, {"placed_at": True}):
        row = good | (wrong or {})
        with contextlib.nullcontext() if wrong is None else pytest.raises(jsonschema.ValidationError):
            check(row, schema["components"]["schemas"]["Label"], schema)
        with contextlib.nullcontext() if wrong is None else pytest.raises(EventError):
            reader.read(Record(0, b"k", json.dumps(row).encode(), 1_767_607_200_000), 1_767_607_200_000)


@pytest.mark.parametrize("kind", PUBLISHED, ids=lambda kind: kind.kind)
def test_every_decision_fits_its_schema_and_no_other(kind: Any) -> None:
    schema = document(PIPELINES["binary"])
    held = schema["components"]["messages"]
    [(_, value)] = encode_decisions(page.SHARD, [EXAMPLES[kind]])
    fits = []
    for name in (other.__name__ for other in PUBLISHED):
        try:
            check(json.loads(value), held[name]["payload"], schema)
            fits.append(name)
        except jsonschema.ValidationError:
            pass
    assert fits == [kind.__name__]


def test_the_headers_of_a_dead_letter_fit_their_schema() -> None:
    schema = document(PIPELINES["binary"])
    [letter] = page.outputs(page.orders(), [Record(5, b"k", b"{", 7, [("trace", b"1")])])
    headers = {name: (text or b"").decode() if not isinstance(text, str) else text for name, text in letter[4] or ()}
    check(headers, schema["components"]["messages"]["deadLetter"]["headers"], schema)
    del headers["sr_reason"]
    with pytest.raises(jsonschema.ValidationError):
        check(headers, schema["components"]["messages"]["deadLetter"]["headers"], schema)


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A validator by the specification's own schema."""
    if (npm := shutil.which("npm")) is None:
        pytest.skip("no npm, by which the specification's schema comes")
    folder = tmp_path_factory.mktemp("specs")
    command = [npm, "pack", SPECS, "--silent", "--prefer-offline", "--fetch-retries", "0", "--pack-destination", str(folder)]
    try:
        packed = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm does not answer, by which the specification's schema comes")
    if packed.returncode != 0:
        pytest.skip(f"the specification's schema cannot be had by npm: {packed.stderr[-200:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        held = archive.extractfile("package/schemas/3.0.0.json")
        assert held is not None
        schema = json.load(held)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.slow
@each
def test_the_document_is_asyncapi(name: str, official: Any) -> None:
    made = document(PIPELINES[name])
    official.validate(made)
    for wrong in ({"asyncapi": "2.0.0"}, {"channels": {"source": {"address": 5}}}, {"operations": {"x": {"action": "publish"}}}):
        with pytest.raises(jsonschema.ValidationError):
            official.validate(made | wrong)


@pytest.mark.parametrize(
    ("fields", "content"),
    [
        ({}, "application/json"),
        ({"format": "msgpack"}, "application/msgpack"),
        ({"format": "cloudevents"}, "application/cloudevents+json"),
        ({"decode": opened}, "application/octet-stream"),
    ],
)
def test_the_document_says_what_the_bytes_of_an_event_are(fields: dict[str, Any], content: str) -> None:
    of = PIPELINES["regression"]
    example = {"example": Record(0, None, b'{"price":1.5}', 0)} if "decode" in fields else {}
    changed = dataclasses.replace(of, schema=dataclasses.replace(of.schema, **fields, **example))
    assert document(changed)["components"]["messages"]["event"]["contentType"] == content


def test_every_reference_of_the_document_leads_somewhere() -> None:
    made = document(PIPELINES["multiclass"])
    for ref in re.findall(r'"\$ref": "([^"]+)"', json.dumps(made)):
        held: Any = made
        for part in ref.removeprefix("#/").split("/"):
            held = held[part]
        assert held
    assert {channel["address"] for channel in made["channels"].values()} == {
        "shop.orders",
        "orders.predictions",
        "orders.decisions",
        "orders.dead_letters",
        "orders.requests",
    }


def test_a_request_as_the_command_line_writes_it_fits_its_schema_and_another_does_not() -> None:
    made = document(PIPELINES["binary"])
    schema = made["components"]["schemas"]["Request"]
    sent = json.loads(msgspec.json.encode(Sent(pipeline="orders", do="promote", version="0-g1", token="t", at=5.0, partitions=[0])))
    check(sent, schema, made)
    for wrong in ({"verson": "0-g1"}, {"partitions": []}, {"at": "now"}):
        with pytest.raises(jsonschema.ValidationError):
            check(sent | wrong, schema, made)
    assert "request-signature" in made["components"]["messages"]["request"]["headers"]["properties"]


def test_the_command_prints_the_document_with_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("KAFKA", "REDIS"):
        monkeypatch.delenv(f"STREAM_RETRAIN_TEST_{name}", raising=False)
    monkeypatch.setenv("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", "a:1, b:2")
    monkeypatch.setenv("STREAM_RETRAIN_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    file = tmp_path / "shop.py"
    file.write_text(
        "from river import linear_model\nfrom stream_retrain import Pipeline, Schema\n"
        "p = Pipeline(name='orders', task='binary', source='s', model=linear_model.LogisticRegression(),"
        " schema=Schema(label='y', features={'a': float}))\n"
    )
    with pytest.raises(SystemExit) as ended:
        main(["asyncapi", str(file)])
    assert ended.value.code == 0
    made = json.loads(capsys.readouterr().out)
    assert made["servers"] == {
        "kafka": {"host": "a:1", "protocol": "kafka-secure"},
        "kafka1": {"host": "b:2", "protocol": "kafka-secure"},
    }
    with pytest.raises(SystemExit):
        main(["asyncapi", str(file), "--out", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == made


def test_the_commands_of_the_page_are_understood() -> None:
    commands = re.findall(r"^stream-retrain (\w+ ?\w*) (.*?)(?: +#.*)?$", page.PAGE.read_text(), re.MULTILINE)
    assert {name.split()[0] for name, _ in commands} == {"topics", "asyncapi"}
    for name, rest in commands:
        words = name.split() if name.startswith("topics") else name.split()[:1]
        shown = subprocess.run(
            [sys.executable, "-m", "stream_retrain", *words, "--help"], capture_output=True, text=True, env={"COLUMNS": "200"}
        ).stdout
        assert all(option in shown for option in re.findall(r"--[a-z-]+", rest)), (name, rest)


@pytest.mark.services
@pytest.mark.slow
def test_the_consumer_of_the_page_reads_what_is_committed(services: Services, tmp_path: Path) -> None:
    from confluent_kafka import Producer

    from stream_retrain.engines.kafka.publish import create_topic
    from stream_retrain.settings import load_settings

    topic = services.name("orders.predictions")
    [code] = re.findall(r"```python\n(.*?)```", page.PAGE.read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) == 10
    create_topic(load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers}), topic, 1)
    value = page.outputs(page.orders(), [page._question(7)])[0][3]
    producer = Producer({"bootstrap.servers": services.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(20)
    for committed in (False, True):
        producer.begin_transaction()
        producer.produce(topic, value if committed else b"aborted")
        producer.flush(20)
        producer.commit_transaction(20) if committed else producer.abort_transaction(20)
    code = code.replace("127.0.0.1:9092", services.bootstrap_servers).replace("orders.predictions", topic)
    code = code.replace("readers-of-orders", topic)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "o7 False 0.5\n"
        process.kill()

"""Records looked at before anything is learned: what fits, what does not, and a schema for those without one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from river import tree
from typer.testing import CliRunner

from stream_retrain import Pipeline, Schema, Sparse
from stream_retrain.backtesting.proposal import propose
from stream_retrain.backtesting.sample import Sample, read_sample, take_sample
from stream_retrain.cli import app
from stream_retrain.errors import SettingsError
from stream_retrain.facts.values import Record
from stream_retrain.lane.batch import Records
from stream_retrain.lane.formats.decoder import EventDecoder
from stream_retrain.settings import Settings
from tests.conftest import Services

AT_MS = 1_782_864_000_000


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "meta": {"order_id": number, "created_at": AT_MS + 1000 * number},
        "txn": {"amount": 10 + number, "fee": f"{number}.50", "note": None if number % 3 else 0.5},
        "items": [{"sku": "a"}, {"sku": "b"}],
        "a.b": number % 2 == 0,
        "returned": "yes" if number % 4 == 0 else "no",
        **changes,
    }


def records(*rows: Any) -> list[Record]:
    return [Record(at, None, each if isinstance(each, bytes) else json.dumps(each).encode(), AT_MS) for at, each in enumerate(rows)]


def pipeline(**schema: Any) -> Pipeline:
    declared = {"id": "meta.order_id", "label": "returned", "positive": "yes", "features": Sparse("txn")} | schema
    return Pipeline(name="orders", task="binary", source="orders", schema=Schema(**declared), model=tree.HoeffdingTreeClassifier())


def looked_at(given: list[Record], by: Pipeline | None = None) -> Sample:
    return take_sample(iter(given), by, 1_000_000)


def test_fields_are_told_by_path() -> None:
    fields = looked_at(records(*(row(number) for number in range(30)))).described()["fields"]
    assert fields["txn.amount"] == {"type": "int", "present": 30, "null": 0, "missing": 0, "min": 10, "max": 39} | {
        "distinct": 30,
        "values": [10, 11, 12, 13, 14],
    }
    assert (fields["txn.note"]["null"], fields["txn.note"]["type"], fields["txn.fee"]["number_texts"]) == (20, "float", 30)
    assert {"items.0.sku", "items.1.sku", r"a\.b", "meta.created_at"} <= fields.keys()


def test_what_does_not_fit_is_told_with_the_field() -> None:
    by = pipeline(features={"txn.amount": float, "a.b": bool | None, "txn.total": float | None, "sku": str | None})
    given = [row(number) for number in range(10)]
    given += [row(3), row(11, txn={"amount": "12"}), row(12, txn={}), {"meta": {"order_id": 99}, "returned": "no"}]
    sample = looked_at([*records(*given), Record(50, None, b"no json", AT_MS), Record(51, None, b"", AT_MS)], by)
    assert (sample.events, sample.questions, sample.answers, sample.unreadable) == (13, 11, 2, 2)
    assert {key[:2]: count for key, count in sample.rejected.items()} == {
        ("schema", "txn.amount"): 1,
        ("decode", None): 1,
        ("empty", None): 1,
    }
    assert sample.warnings == [
        "feature 'a.b' never occurs: no record has 'a.b'; there is a field with a dot in its name: write 'a\\\\.b'",
        "feature 'txn.total' never occurs: no record has 'txn.total'",
        "feature 'sku' never occurs: no record has 'sku'; did you mean 'items.0.sku'?",
        "the id 'meta.order_id' is not unique: 1 of 11 questions have one that was asked before",
        "2 of 2 answers have no question before them in the sample",
    ]


def test_a_label_that_never_comes_and_times_that_are_far_off_are_told() -> None:
    given = records(*(row(number, returned=None) for number in range(5)))
    sample = looked_at(given, pipeline(features={"txn.amount": float}, time="meta.created_at", time_unit="us"))
    assert [warning.partition(":")[0] for warning in sample.warnings] == [
        "no record has a label",
        "event times are far from the records' own",
    ]
    assert looked_at(given, pipeline(features={"txn.amount": float}, time="meta.created_at", time_unit="ms")).warnings[1:] == []


def test_a_proposed_schema_takes_every_record_of_the_sample() -> None:
    given = records(*(row(number) for number in range(40)))
    text = propose(looked_at(given)).text
    assert "id='meta.order_id'," in text
    assert "time='meta.created_at', time_unit='ms'," in text
    assert "label='returned', positive='yes',  # task='binary': it is no, yes" in text
    assert "'txn.fee': Field(float, text=True)," in text
    assert "'txn.note': float | None," in text
    made: dict[str, Any] = {}
    exec(text, made)
    batch = EventDecoder(made["schema"], "binary", record_bytes_max=10_000).decode_batch(Records.of(given))
    assert batch.rejected == []
    assert batch.events[4].x == {"txn.amount": 14.0, "txn.fee": 4.5, "items.0.sku": "a", "items.1.sku": "b", r"a\.b": True}
    assert (batch.events[4].id, batch.events[4].y) == (4, True)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (Record(0, None, msgspec.msgpack.encode({"id": 1, "a": 2.5}), AT_MS), "    format='msgpack',"),
        (Record(0, None, b"\0\0\0\0\x05payload", AT_MS), "    format=...,  # records of a Schema Registry"),
        (Record(0, None, b'{"a": 1}', AT_MS, [("ce_specversion", b"1.0")]), "    format='cloudevents',"),
    ],
)
def test_a_format_is_guessed(given: Record, line: str) -> None:
    assert line in propose(looked_at([given])).text


def test_a_sample_without_records_is_an_error() -> None:
    with pytest.raises(SettingsError, match="has no records"):
        looked_at([])


class TestCommand:
    PIPELINE = """
from river import tree
from stream_retrain import Pipeline, Schema
pipeline = Pipeline(name="orders", task="binary", source="orders", model=tree.HoeffdingTreeClassifier(),
                    schema=Schema(id="meta.order_id", label="returned", positive="yes",
                                  features={"txn.amount": float, "gone": float | None}))
"""

    def run(self, *arguments: str) -> str:
        result = CliRunner().invoke(app(["check"]), ["check", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "orders.jsonl"
        file.write_text("".join(json.dumps(row(number)) + "\n" for number in range(20)))
        return file

    def test_a_file_with_a_pipeline(self, file: Path, tmp_path: Path) -> None:
        declared = tmp_path / "pipeline.py"
        declared.write_text(self.PIPELINE)
        found = json.loads(self.run(str(declared), "--sample", str(file), "-n", "10", "--json"))
        assert (found["records"], found["events"], found["rejected"]) == (10, 10, [])
        assert found["warnings"] == ["feature 'gone' never occurs: no record has 'gone'"]
        told = self.run(str(declared), "--sample", str(file))
        assert "20 events (20 with features, 0 answers), 0 passed over, 0 dead letters" in told
        assert "warning: feature 'gone' never occurs" in told

    def test_a_file_without_a_pipeline(self, file: Path) -> None:
        assert json.loads(self.run("--sample", str(file), "--json"))["proposal"] in self.run("--sample", str(file))

    def test_nothing_to_look_at_is_an_error(self) -> None:
        assert isinstance(CliRunner().invoke(app(["check"]), ["check"]).exception, SettingsError)

    @pytest.mark.services
    def test_a_topic(self, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        from stream_retrain.engines.kafka.publish import publish_rows

        topic, settings = services.name("orders"), Settings(kafka_bootstrap_servers=services.bootstrap_servers)
        publish_rows([row(number) for number in range(50)], settings, topic=topic, partitions=1)
        monkeypatch.setenv("STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS", services.bootstrap_servers)
        found = json.loads(self.run("--sample", f"{topic}?from=offset:10", "-n", "5", "--json"))
        assert [found["fields"]["meta.order_id"][name] for name in ("min", "max")] == [10, 14]


def test_a_row_that_is_no_record_is_told(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 1}\nno row\n')
    assert looked_at(list(read_sample(str(file), 10, Settings(), None))).unreadable == 1

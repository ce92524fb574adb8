"""`stream-retrain topics` at a real Kafka: what is missing is made, what differs is said, and only what was committed is shown."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from stream_retrain.cli import main
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.facts.records import Rejected
from stream_retrain.facts.values import ShardId
from stream_retrain.lane.batch import Record
from stream_retrain.lane.dead_letter import dead_letter
from stream_retrain.settings import Settings, load_settings
from tests import warm
from tests.conftest import Services
from tests.engines.live import FILE

pytestmark = [pytest.mark.services, pytest.mark.slow]


class Run:
    """The command in this process; what it printed."""

    def __init__(self, services: Services, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.services, self.capsys = services, capsys
        self.name, self.source, self.file = services.name("topics"), services.name("events"), folder / "pipeline.py"
        self.file.write_text(FILE.format(name=self.name, source=self.source))
        self.settings: Settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
        self.producer = Producer({"bootstrap.servers": services.bootstrap_servers})

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["topics", *arguments])
        told = self.capsys.readouterr()
        return int(str(ended.value.code)), told.out, told.err

    def made(self, *options: str) -> dict[str, Any]:
        code, out, err = self("create", str(self.file), "--json", *options)
        assert code == 0, err
        return {each["role"]: each for each in json.loads(out)["topics"]}

    def put(self, topic: str, *values: bytes | None, partition: int = 0, committed: bool = True, headers: Any = None) -> None:
        """In a transaction."""
        producer = Producer({"bootstrap.servers": self.services.bootstrap_servers, "transactional.id": topic})
        producer.init_transactions(20)
        producer.begin_transaction()
        for value in values:
            producer.produce(topic, value, b"k", partition=partition, headers=headers)
        producer.flush(20)
        producer.commit_transaction(20) if committed else producer.abort_transaction(20)


@pytest.fixture
def run(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    services.given_here(monkeypatch)
    return Run(services, tmp_path, capsys)


def test_what_is_missing_is_made_and_what_differs_is_said(run: Run) -> None:
    made = run.made("--partitions", "3", "--retention-ms", "-1")
    assert {role: (each["state"], each["partitions"], each["differs"]) for role, each in made.items()} == {
        role: ("made", 3, []) for role in ("source", "predictions", "decisions", "dead_letters")
    }
    assert made["source"]["retention_ms"] == -1
    assert made["predictions"]["retention_ms"] == run.settings.predictions_retention_ms
    again = run.made("--partitions", "5", "--retention-ms", "1000000")
    assert {each["state"] for each in again.values()} == {"there"}
    assert again["source"]["differs"] == [
        "it has 3 partitions, and 5 were asked for",
        "its records are kept -1 ms, and 1000000 ms are asked for",
    ]
    code, out, _ = run("create", str(run.file))
    assert code == 0
    assert f"{run.name}.dead_letters" in out
    assert "for ever" in out


def test_outputs_grow_with_the_source_and_what_is_wider_is_named(run: Run) -> None:
    create_topic(run.settings, f"{run.name}.predictions", 1)
    create_topic(run.settings, f"{run.name}.decisions", 4)
    made = run.made("--partitions", "2")
    assert (made["predictions"]["state"], made["predictions"]["partitions"]) == ("grown", 2)
    assert made["decisions"]["differs"][0] == "it has 4 partitions, and the source 2"


def test_the_topic_of_requests_is_made_where_it_is_read_and_has_one_partition(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAM_RETRAIN_REQUESTS_UNSIGNED", "true")
    made = run.made("--partitions", "2")["requests"]
    assert (made["topic"], made["state"], made["partitions"], made["differs"]) == (f"{run.name}.requests", "made", 1, [])
    run.source = f"{run.source}-wide"
    create_topic(run.settings, f"{run.name}-wide.requests", 3)
    run.file.write_text(FILE.format(name=f"{run.name}-wide", source=run.source))
    assert run.made("--partitions", "2")["requests"]["differs"][0] == "it has 3 partitions, and needs one"


def test_the_last_committed_records_are_shown_and_nothing_is_joined(run: Run) -> None:
    run.made("--partitions", "2")
    topic = f"{run.name}.predictions"
    run.put(topic, *(b'{"id":"e%d"}' % number for number in range(6)))
    run.put(topic, b'{"id":"aborted"}', committed=False)
    for number in range(30):
        run.put(topic, b'{"id":"late%d"}' % number, partition=1)
    code, out, _ = run("peek", str(run.file), "-n", "32", "--json")
    shown = [json.loads(line) for line in out.splitlines()]
    assert (code, len(shown)) == (0, 32)
    assert [each["value"]["id"] for each in shown[2:]] == [f"late{number}" for number in range(30)]
    assert [each["value"]["id"] for each in shown[:2]] == ["e4", "e5"]
    code, out, _ = run("peek", topic, "--from", "offset:1", "-n", "2", "--partition", "0")
    assert [line.split("  ")[0] for line in out.splitlines()] == ["0/1", "0/2"]
    assert out.splitlines()[0].endswith('  k  {"id":"e1"}')
    groups = [each.id for each in AdminClient({"bootstrap.servers": run.services.bootstrap_servers}).list_groups()]
    assert "stream_retrain.reader" not in groups


def test_each_kind_is_decoded(run: Run) -> None:
    run.made()
    letter = dead_letter(
        ShardId(run.name, run.source, 0), Record(7, b"k", b"{\x1b[2J", 5), Rejected(offset=7, reason="decode", detail="not JSON")
    )
    run.put(f"{run.name}.dead_letters", letter.value, headers=letter.headers)
    run.put(f"{run.name}.decisions", b'{"type":"io.streamretrain.model.reset.v1","data":{"offset":7}}')
    run.put(run.source, b"\xff", None)
    _, out, _ = run("peek", f"{run.file}:pipeline", "--kind", "dead_letters")
    assert f"decode at {run.source}/0/7: not JSON" in out
    assert "\x1b" not in out
    _, out, _ = run("peek", str(run.file), "--kind", "decisions")
    assert out.rstrip().endswith('io.streamretrain.model.reset.v1  {"offset": 7}')
    _, out, _ = run("peek", str(run.file), "--kind", "source", "--json")
    assert [json.loads(line)["value"] for line in out.splitlines()] == [{"base64": "/w=="}, None]


def test_it_follows_what_comes_until_it_is_interrupted(run: Run) -> None:
    run.made()
    topic = f"{run.name}.predictions"
    run.put(topic, b'{"id":"before"}')
    with warm.start(["topics", "peek", topic, "--follow", "-n", "1", "--json"], run.services.environment) as process:
        assert json.loads(process.stdout.readline())["value"] == {"id": "before"}
        run.put(topic, b'{"id":"after"}')
        assert json.loads(process.stdout.readline())["value"] == {"id": "after"}
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("peek", "FILE", "--kind", "answers"), 2, "'answers' is none of predictions, decisions, dead_letters or source"),
        (("peek", "some.topic", "--kind", "decisions"), 2, "--kind says which topic of a PIPELINE is meant"),
        (("peek", "some.topic", "--follow", "--to", "offset:3"), 2, "--follow goes on without an end"),
        (("peek", "no-such-topic"), 1, "no-such-topic"),
    ],
)
def test_what_makes_no_sense_is_said_so(run: Run, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended, out, err = run(*(str(run.file) if each == "FILE" else each for each in arguments))
    assert (ended, out) == (code, "")
    assert words in err
    assert "Traceback" not in err

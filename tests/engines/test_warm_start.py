"""Rewritten into more partitions and begun warm, on a real Kafka: nothing lost or answered twice, as good as before, and verified."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Producer

from stream_retrain.cli import main
from stream_retrain.engines.kafka.clients import admin_client
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.warm_start import counted_moves
from stream_retrain.lane.formats.partitioner import Partitioner
from stream_retrain.lane.formats.rekey import Rekey
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import read_topic, worker

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.timeout(600)]

BEFORE, AFTER, OLD, NEW, SHOPS = 6_000, 6_000, 2, 6, 40
PIPELINE = """
from river import linear_model, optim, preprocessing
from stream_retrain import Pipeline, Schema
pipeline = Pipeline(name="{name}", task="binary", source="{source}",
                    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.SGD(0.005)),
                    schema=Schema(id="id", label="y", features={{"a": float, "b": float}}))
"""


class Stage:
    """An old pipeline that has stopped, what was published since, and a pipeline for the topic that it is rewritten to."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.old, self.new, self.cold = (services.name(name) for name in ("old", "new", "cold"))
        self.settings = load_settings(
            None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url, "allow_unsigned": True}
        )
        self.files = {name: folder / f"{name.replace('-', '_')}.py" for name in (self.old, self.new, self.cold)}
        for name, source in ((self.old, self.old), (self.new, self.new), (self.cold, self.new)):
            self.files[name].write_text(PIPELINE.format(name=name, source=f"{source}.events"))
        create_topic(self.settings, f"{self.old}.events", OLD, {"retention.ms": "-1"})
        self._rng, self._sent = random.Random(5), 0

    @property
    def source(self) -> str:
        return f"{self.old}.events"

    @property
    def target(self) -> str:
        return f"{self.new}.events"

    def publish(self, count: int) -> None:
        """Features of unequal scale, so that an untrained scaler and model need some thousand events; the label is 10 % noise."""
        producer = Producer({"bootstrap.servers": self.services.bootstrap_servers, "enable.idempotence": True})
        for number in range(self._sent, self._sent + count):
            a, b, shop = self._rng.gauss(50, 20), self._rng.gauss(-3, 0.1), self._rng.randrange(SHOPS)
            y = ((a - 50) / 20 + (b + 3) / 0.1 > 0) != (self._rng.random() < 0.1)
            row = {"id": f"e{number}", "shop": f"s{shop}", "a": a, "b": b, "y": y}
            producer.produce(self.source, json.dumps(row).encode(), partition=shop % OLD)
        assert producer.flush(60) == 0
        self._sent += count

    def work(self, name: str, count: int) -> None:
        """Run the pipeline until it has answered so many, and stop it."""
        with worker(self.services, self.files[name], trainer="off", static_membership=False) as running:
            running.wait_for(lambda: running.records() >= count)
            running.stop()
            assert running.process.returncode == 0, running.log

    def asked(self, *arguments: str) -> list[str]:
        return ["warm-start", str(self.files[self.new]), "--from", f"{self.old}/{self.source}", "--by", "shop", *arguments]

    def answers(self, name: str) -> dict[int, list[dict[str, Any]]]:
        found = read_topic(self.services, f"{name}.predictions")
        return {partition: [json.loads(each.value or b"") for each in records] for partition, records in found.items()}

    def log_loss(self, name: str, events: int) -> float:
        """Of the first predictions of each shard: the share of labels that the probability was on the wrong side of, in nats."""
        labels = {}
        for records in read_topic(self.services, self.source).values():
            for each in records:
                row = json.loads(each.value or b"")
                labels[row["id"]] = row["y"]
        told = [each for answers in self.answers(name).values() for each in answers[:events]]
        return -sum(math.log(max(1e-9, p if labels[e["id"]] else 1 - p)) for e in told if (p := e["probability"]) is not None) / len(told)


class Said(NamedTuple):
    code: int
    out: dict[str, Any]
    error: str


@pytest.fixture(scope="module")
def stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The old pipeline has answered all that came before, and its workers have stopped."""
    made = Stage(services, tmp_path_factory.mktemp("warm"))
    made.publish(BEFORE)
    made.work(made.old, BEFORE)
    made.publish(AFTER)
    return made


@pytest.fixture
def run(stage: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command here, with the settings of the stage."""
    for name, value in stage.services.environment.items():
        if name.startswith("STREAM_RETRAIN_"):
            monkeypatch.setenv(name, value)

    def command(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--json"])
        captured = capsys.readouterr()
        return Said(int(ended.value.code or 0), json.loads(captured.out) if captured.out else {}, captured.err)

    return command


def test_where_the_keys_go_is_counted_in_the_old_topic(stage: Stage) -> None:
    moves = counted_moves(stage.settings, stage.source, list(range(OLD)), Rekey("shop"), Partitioner(NEW, "murmur2_random"), 1_000)
    assert 1_900 <= sum(counts.total() for counts in moves.values()) <= 2_000
    deal = Partitioner(NEW, "murmur2_random")
    expected = {(deal(f"s{shop}".encode()), shop % OLD) for shop in range(SHOPS)}
    assert {(new, old) for new, counts in moves.items() for old in counts} == expected


def test_what_the_old_pipeline_had_learned_is_refused(stage: Stage, run: Any, services: Services, tmp_path: Path) -> None:
    whole = services.name("whole")
    assert run("repartition", stage.source, whole, "--by", "shop", "--partitions", "3").out["read"] == BEFORE + AFTER
    file = tmp_path / "whole.py"
    file.write_text(PIPELINE.format(name=whole, source=whole))
    said = run("warm-start", str(file), "--from", f"{stage.old}/{stage.source}", "--by", "shop")
    assert said.code == 1
    assert "which the old shard had learned" in said.error
    assert "repartition --after" in said.error


def test_nothing_is_lost_the_first_thousand_are_as_good_as_before_and_it_verifies(stage: Stage, run: Any) -> None:
    arguments = ["repartition", stage.source, stage.target, "--by", "shop", "--partitions", str(NEW)]
    copied = run(*arguments, "--after", stage.settings.group_of(stage.old))
    assert copied.out["written"] == AFTER
    warmed = run(*stage.asked())
    assert warmed.code == 0, warmed.error
    shards = warmed.out["shards"]
    assert [each["partition"] for each in shards] == list(range(NEW))
    assert {each["from_partition"] for each in shards} <= set(range(OLD))
    assert all(0.5 <= each["share"] <= 1 and each["begins_at"] == 0 and each["model"].startswith("warm-") for each in shards)
    again = run(*stage.asked())
    assert (again.code, "it has begun" in again.error) == (1, True)
    stage.work(stage.new, AFTER)
    stage.work(stage.cold, AFTER)
    ids = [answer["id"] for answers in stage.answers(stage.new).values() for answer in answers]
    assert sorted(ids) == sorted(f"e{number}" for number in range(BEFORE, BEFORE + AFTER))
    before = stage.log_loss(stage.old, BEFORE)
    warm, cold = stage.log_loss(stage.new, 1_000), stage.log_loss(stage.cold, 1_000)
    assert warm < before < cold
    assert cold - warm > 0.02
    told = [json.loads(each.value or b"") for records in read_topic(stage.services, f"{stage.new}.decisions").values() for each in records]
    assert [each["data"]["how"] for each in told if each["type"].endswith("shard.restored.v1")] == ["warm"] * NEW
    verified = run("verify", str(stage.files[stage.new]), "--predictions")
    report = verified.out
    assert (verified.code, report["verdict"], report["compared"]["predictions"]) == (0, "equal", AFTER), verified
    assert all(each["began"] == ["with the model of a warm start at offset 0"] for each in report["partitions"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--map", "9=0"], "has the partitions 0 to 5"),
        (["--map", "0=7"], "has the partitions 0 to 1, and not 7"),
        (["--map", "0-1"], "write NEW=OLD"),
        (["--map", "0=1", "--map", "0=0"], "is there twice"),
        (["--from", "nothing"], "name the old pipeline and its source"),
        (["--by", "no_such_field"], "no record of"),
    ],
)
def test_what_is_asked_wrongly_is_said(stage: Stage, run: Any, arguments: list[str], said: str) -> None:
    create_topic(stage.settings, stage.target, NEW)
    assert admin_client(stage.settings).list_topics(timeout=10).topics[stage.target]
    found = run(*stage.asked(*arguments))
    assert found.code == 2
    assert said in found.error


def test_a_shard_of_a_pipeline_that_never_ran_has_no_model(stage: Stage, run: Any) -> None:
    found = run(*[argument.replace(f"{stage.old}/", "nobody/") for argument in stage.asked()])
    assert found.code == 1
    assert "no checkpoint of it is stored" in found.error or "it has begun" in found.error

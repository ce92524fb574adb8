"""The relay on a real Kafka: labels of another topic, under other keys, come into the partitions of their questions once."""

from __future__ import annotations

import collections
import contextlib
import json
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.cimpl import NewPartitions
from river import evaluate

from stream_retrain import Pipeline
from stream_retrain.engines.failpoints import FailPoint, arm, disarm
from stream_retrain.engines.kafka.letters import Selection
from stream_retrain.engines.kafka.letters_replay import replay_letters
from stream_retrain.engines.kafka.past import KafkaPast
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.relay.relay import Relay
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import BrokerError
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.step import DEAD_LETTERS
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.engines.support import Worker, read_topic, uninterrupted, worker

pytestmark = pytest.mark.services

FILE = """
from river import linear_model, preprocessing
from stream_retrain import Labels, Pipeline, Schema
pipeline = Pipeline(name="{name}", task="binary", source="{source}", watch=[], react=[],
                    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
                    schema=Schema(id="id", label="y", features={{"a": float, "b": float}}),
                    labels=Labels(topic="{labels}", id="order", label="was_late"{more}))
"""
STEPS: list[FailPoint] = ["commit.begun", "commit.produced", "commit.offsets_sent", "commit.committed"]


class CrashError(Exception):
    """The process is gone."""


class Left:
    """A consumer that is no member any more, and does not know."""

    def __init__(self, metadata: Any) -> None:
        self._metadata = metadata

    def consumer_group_metadata(self) -> Any:
        return self._metadata


def records_of_ids(ids: list[str]) -> Records:
    return Records.of(Record(number, None, json.dumps({"order": id_, "was_late": True}).encode(), 0) for number, id_ in enumerate(ids))


class Shop:
    """A pipeline whose labels come in a topic of their own, with two partitions and other keys."""

    def __init__(self, services: Services, folder: Path, partitions: int, more: str = "") -> None:
        self.services = services
        self.source, self.labels, self.name = services.name("orders"), services.name("labels"), services.name("shop")
        self.file = folder / "pipeline.py"
        self.file.write_text(FILE.format(name=self.name, source=self.source, labels=self.labels, more=more))
        self.pipeline: Pipeline = load_pipeline(str(self.file))
        self.settings: Settings = load_settings(
            None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "session_timeout_ms": 3_000, "static_membership": False}
        )
        for topic, count in ((self.source, partitions), (self.labels, 2), (f"{self.name}.predictions", partitions)):
            create_topic(self.settings, topic, count, {})
        create_topic(self.settings, f"{self.name}.dead_letters", partitions, {})
        self.partitions = partitions
        self.rng = random.Random(5)
        self.asked: dict[str, tuple[dict[str, float], bool]] = {}
        self._producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True})

    def ask(self, count: int) -> list[str]:
        """New questions; their ids."""
        ids = [f"o{len(self.asked) + number}" for number in range(count)]
        for number, id_ in enumerate(ids):
            x = {"a": self.rng.gauss(0, 1), "b": self.rng.gauss(0, 1)}
            self.asked[id_] = x, x["a"] + 0.3 * x["b"] > 0.1
            self._producer.produce(self.source, json.dumps({"id": id_, **x}).encode(), partition=number % self.partitions)
        assert self._producer.flush(20) == 0
        return ids

    def predicted(self, ids: list[str]) -> None:
        """What a worker would have said to these questions, in the partition where each was asked."""
        for number, id_ in enumerate(ids):
            value = json.dumps({"id": id_, "offset": number, "prediction": True, "probability": 0.5, "generation": 0}).encode()
            self._producer.produce(f"{self.name}.predictions", value, partition=number % self.partitions)
        assert self._producer.flush(20) == 0

    def label(self, ids: list[str]) -> None:
        for id_ in ids:
            value = json.dumps({"order": id_, "was_late": self.asked[id_][1] if id_ in self.asked else True}).encode()
            self._producer.produce(self.labels, value, f"customer {self.rng.randrange(50)}".encode())
        assert self._producer.flush(20) == 0

    def brought(self) -> dict[int, list[str]]:
        """By partition of the source, the ids of the answers."""
        found: dict[int, list[str]] = collections.defaultdict(list)
        for partition, stored in read_topic(self.services, self.source).items():
            for each in stored:
                row = json.loads(each.value or b"")
                if "y" in row:
                    assert each.headers["sr_label_topic"].decode() == self.labels
                    found[partition].append(row["id"])
        return found

    def worker(self, *arguments: str, **settings: Any) -> contextlib.AbstractContextManager[Worker]:
        given = {"trainer": "off", "static_membership": False, "session_timeout_ms": 3_000, "checkpoint_events": 500}
        return worker(self.services, self.file, *arguments, **given | settings)


def relay_of(shop: Shop, instance: str = "i") -> Relay:
    relay = Relay(shop.pipeline, shop.settings, instance, Watchdog(lambda: False, loop_timeout_s=60, shutdown_timeout_s=5))
    relay.start()
    return relay


def turned(relay: Relay, holds: Callable[[], bool], seconds: float = 30.0) -> None:
    until_s = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until_s, "in vain"
        relay.turn(lambda *_: None)


@pytest.fixture
def shop(services: Services, tmp_path: Path) -> Shop:
    return Shop(services, tmp_path, 3)


@contextlib.contextmanager
def crashing_at(step: FailPoint) -> Iterator[None]:
    def action(point: FailPoint) -> None:
        if point == step:
            raise CrashError(point)

    arm(action)
    try:
        yield
    finally:
        disarm()


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_loses_no_label_and_brings_none_twice(shop: Shop, step: FailPoint) -> None:
    ids = shop.ask(90)
    shop.predicted(ids[:60])
    shop.label([*ids, *ids[:5]])
    dead = relay_of(shop)
    with crashing_at(step), pytest.raises(CrashError):
        turned(dead, lambda: False)
    dead._consumer.close()  # its transaction stays as it is
    relay = relay_of(shop)
    turned(relay, lambda: sum(map(len, shop.brought().values())) >= 65 and relay.router.waiting >= 30)
    shop.predicted(shop.ask(0) or ids)  # of the first 60 a second time, which is no new question
    turned(relay, lambda: sum(map(len, shop.brought().values())) >= 95)
    dead._sink.close()
    found = shop.brought()
    assert sorted(id_ for each in found.values() for id_ in each) == sorted([*ids, *ids[:5]])
    assert all(int(id_[1:]) % 3 == partition for partition, each in found.items() for id_ in each)
    assert relay.router.waiting == 0
    relay.close()


def test_who_has_lost_a_partition_can_bring_nothing_any_more(shop: Shop) -> None:
    """A relay that hung longer than its session, while another took over what it had read."""
    ids = shop.ask(30)
    shop.label(ids)
    hanging = relay_of(shop, "a")
    turned(hanging, lambda: hanging.router.waiting == 30)
    left = hanging._consumer.consumer_group_metadata()
    hanging._consumer.close()
    hanging._consumer = Left(left)  # type: ignore[assignment]
    for partition in range(2):
        hanging.router.open(partition, 0, [])
    hanging.router.take(0, records_of_ids(ids), 0)
    other = relay_of(shop, "b")
    turned(other, lambda: other.router.waiting == 30)
    shop.predicted(ids)
    turned(other, lambda: sum(map(len, shop.brought().values())) == 30)
    for number, id_ in enumerate(ids):
        hanging.router.asked(id_, number % 3, 0)
    plan = hanging.router.plan()
    assert plan.relayed == 30
    with pytest.raises(BrokerError, match="member"):
        hanging._commit(plan)
    assert sum(map(len, shop.brought().values())) == 30
    hanging._sink.close()
    other.close()


def test_what_cannot_be_read_or_has_no_question_is_a_dead_letter(services: Services, tmp_path: Path) -> None:
    shop = Shop(services, tmp_path, 2, ", early_age_max_s=2.0")
    shop.label(["nobody"])
    shop._producer.produce(shop.labels, b"no json", b"k", partition=1)
    shop._producer.flush(20)
    relay = relay_of(shop)
    turned(relay, lambda: sum(map(len, read_topic(services, f"{shop.name}.dead_letters").values())) == 2)
    stored = [each for found in read_topic(services, f"{shop.name}.dead_letters").values() for each in found]
    assert {each.headers["sr_reason"] for each in stored} == {b"decode", b"no_question"}
    assert {each.headers["sr_topic"].decode() for each in stored} == {shop.labels}
    relay.close()
    with contextlib.closing(KafkaPast(shop.settings, shop.pipeline)) as past:
        for partition in range(2):
            assert not list(past.of(partition).outputs(DEAD_LETTERS, 0)), "to a verifier they are no outputs of the source"
            assert past.of(partition).whole_from(DEAD_LETTERS) == 0


def test_a_dead_letter_of_a_labels_topic_goes_back_there_once(services: Services, tmp_path: Path) -> None:
    shop = Shop(services, tmp_path, 2, ", early_age_max_s=1.0")
    shop.label(["o0"])
    shop._producer.produce(shop.labels, b"no json", b"k", partition=1)
    shop._producer.flush(20)
    relay = relay_of(shop)
    turned(relay, lambda: sum(map(len, read_topic(services, f"{shop.name}.dead_letters").values())) == 2)
    shop.predicted(shop.ask(1))
    report = replay_letters(shop.settings, shop.pipeline, Selection(reason="no_question"))
    assert (report.replayed, report.not_replayable) == (1, 0)
    turned(relay, lambda: sum(map(len, shop.brought().values())) == 1)
    assert shop.brought() == {0: ["o0"]}
    [back] = [each for found in read_topic(services, shop.labels).values() for each in found if "sr_replayed" in each.headers]
    assert json.loads(back.value or b"")["order"] == "o0"
    report = replay_letters(shop.settings, shop.pipeline, Selection())
    assert (report.before, report.replayed) == (1, 1), "the record that is no label"
    turned(relay, lambda: sum(map(len, read_topic(services, f"{shop.name}.dead_letters").values())) == 3)
    letters = [each for found in read_topic(services, f"{shop.name}.dead_letters").values() for each in found]
    assert sorted((each.headers["sr_reason"], each.headers["sr_replays"]) for each in letters) == [
        *((b"decode", b"0"), (b"decode", b"1")),
        (b"no_question", b"0"),
    ]
    relay.close()


def test_a_partition_that_is_added_ends_the_attempt(shop: Shop) -> None:
    relay = relay_of(shop)
    relay._topics.look()
    relay._admin.create_partitions([NewPartitions(shop.labels, 3)])[shop.labels].result(20)
    relay._look_at_s = 0.0
    with pytest.raises(BrokerError, match=r"partitions were added|taking labels over"):  # the group may be quicker than the look
        turned(relay, lambda: False)
    relay.close()
    again = relay_of(shop)
    turned(again, lambda: len(again.router.positions) == 3)
    again.close()


def test_by_partition_needs_as_many_of_them(services: Services, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="has 2 partitions, and source"):
        relay_of(Shop(services, tmp_path, 3, ', route="partition"'))


@pytest.mark.slow
def test_score_and_state_are_those_of_the_log_after_kills_and_the_score_is_rivers(services: Services, tmp_path: Path) -> None:
    """One partition: the log orders everything, and `progressive_val_score` is given the same order."""
    shop = Shop(services, tmp_path, 1)
    rng, waiting, labelled, partly = random.Random(2), list[str](), 0, 0
    for life in range(3):
        with shop.worker() as running:
            waiting += shop.ask(500)
            rng.shuffle(waiting)
            running.wait_for(lambda: "relay of labels is running" in running.log and running.records() > 0)
            before = sum(map(len, shop.brought().values()))
            for _ in range(20 if life < 2 else len(waiting) // 15):
                late, waiting = waiting[:15], waiting[15:]
                shop.label(late)
                labelled += len(late)
                time.sleep(0.01 + rng.random() * 0.02)
            if life == 2:
                shop.label(waiting)
                running.wait_for(lambda: learned(running) == 1_500, 120)
                [state] = running.status()["shards"].values()
                assert running.status()["label_relay"]["state"] == "running"
                running.stop()
            else:
                running.stop(signal.SIGKILL)
                partly += before < sum(map(len, shop.brought().values())) < labelled
    assert partly, "no kill came while labels were on their way"
    records = read_topic(services, shop.source)[0]
    rows = [json.loads(each.value or b"") for each in records]
    answered = [row["id"] for row in rows if "y" in row]
    assert sorted(answered) == sorted(shop.asked)
    expected = uninterrupted(shop.pipeline, 0, records)
    predictions = [each.value for each in read_topic(services, f"{shop.name}.predictions")[0]]
    assert predictions == expected.predictions
    assert state["labels"]["joined"] == 1_500
    assert state["running"]["Accuracy"] == oracle(shop, rows)


def learned(running: Worker) -> int:
    return sum(shard["events_seen"] for shard in running.status()["shards"].values())


def oracle(shop: Shop, rows: list[dict[str, Any]]) -> float:
    """River's score where each question comes at its place in the log, and each label as many places later as in the log."""
    asked_at = {row["id"]: place for place, row in enumerate(rows) if "y" not in row}
    told_at = {row["id"]: place for place, row in enumerate(rows) if "y" in row}
    pairs = [shop.asked[id_] for id_ in asked_at]
    id_of = {tuple(x.values()): id_ for id_, (x, _) in shop.asked.items()}
    scored = evaluate.progressive_val_score(
        pairs,
        shop.pipeline.model.clone(),
        shop.pipeline.scores.metrics[0].clone(),
        moment=lambda x: asked_at[id_of[tuple(x.values())]],
        delay=lambda x, _: told_at[id_of[tuple(x.values())]] - asked_at[id_of[tuple(x.values())]],
    )
    return float(scored.get())


@pytest.mark.slow
def test_two_workers_one_of_which_is_killed_bring_each_label_once(services: Services, tmp_path: Path) -> None:
    shop = Shop(services, tmp_path, 3)
    ids = shop.ask(600)
    with shop.worker(instance="one") as first, shop.worker(instance="two") as second:
        for running in (first, second):
            running.wait_for(lambda running=running: "relay of labels is running" in running.log, 60)
        shop.label(ids[:300])
        shop.label(["nobody asked"])
        first.stop(signal.SIGKILL)
        ids += shop.ask(300)
        shop.label(ids[300:])
        second.wait_for(lambda: sum(map(len, shop.brought().values())) >= 900, 90)
        second.wait_for(lambda: learned(second) == 900, 60)
        assert second.counts("labels_relayed")
    found = shop.brought()
    assert sorted(id_ for each in found.values() for id_ in each) == sorted(ids)
    places = {
        partition: {json.loads(each.value or b"")["id"] for each in stored}
        for partition, stored in read_topic(services, f"{shop.name}.predictions").items()
    }
    assert all(set(each) <= places[partition] for partition, each in found.items())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["kafka", "faust"])
def test_a_labels_topic_that_is_missing_is_told_and_waited_for(services: Services, tmp_path: Path, engine: str) -> None:
    shop = Shop(services, tmp_path, 1)
    shop.file.write_text(shop.file.read_text().replace(shop.labels, missing := services.name("missing")))
    ids = shop.ask(20)
    with shop.worker("--engine", engine) as running:
        running.wait_for(lambda: f"labels topic '{missing}'" in running.log)
        running.wait_for(lambda: running.records() == 20)
        relay = running.status()["label_relay"]
        assert relay["state"] == "degraded"
        assert running.status()["ready"], "predictions need no label"
        shop.labels = missing
        create_topic(shop.settings, missing, 1, {})
        shop.label(ids)
        running.wait_for(lambda: learned(running) == 20)
        running.stop()
    rows = [json.loads(each.value or b"") for each in read_topic(services, shop.source)[0]]
    assert sorted(row["id"] for row in rows if "y" in row) == sorted(ids), "each label once"

"""Trainings and duels of a worker on a real Kafka: nothing waits for them, and whatever is killed, they come to the same end."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from stream_retrain.engines.kafka.publish import publish_rows
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.engines.support import Worker, decoded, read_topic, uninterrupted, worker

pytestmark = pytest.mark.services

PIPELINE = """
import time
from river import base, drift, dummy, tree
from stream_retrain import Challenge, Evidence, On, Pipeline, Retrain, Schema, Watch, Window


class SlowStart(base.Classifier):
    # A tree whose first lessons take their time.
    def __init__(self, lessons=0, lesson_s=0.0):
        self.lessons, self.lesson_s, self.had, self.tree = lessons, lesson_s, 0, tree.HoeffdingTreeClassifier(grace_period=50)

    @property
    def _multiclass(self):
        return True

    def learn_one(self, x, y):
        self.had += 1
        if self.had <= self.lessons:
            time.sleep(self.lesson_s)
        self.tree.learn_one(x, y)

    def predict_proba_one(self, x):
        return self.tree.predict_proba_one(x)


pipeline = Pipeline(
    name="{name}",
    task="binary",
    source="{source}",
    schema=Schema(id="id", label="y", features={{"a": float, "b": float}}),
    model={model},
    watch={watch},
    react=[{rule}],
)
"""
RETRAIN = (
    "On.every(events=3_000, do=Retrain(window=Window(rows=1_000), model=SlowStart({lessons}, 0.1), evidence=Evidence(events_max=1_500)))"
)


def rows(flip_at: int, count: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(4)
    for number in range(count):
        x = {"a": rng.gauss(0, 1), "b": rng.gauss(0, 1)}
        yield {"id": f"e{number}", **x, "y": (x["a"] + x["b"] > 0) != (number >= flip_at)}


def settings_of(services: Services) -> Settings:
    return load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url})


@pytest.fixture
def settings(services: Services) -> Settings:
    return settings_of(services)


def written(services: Services, folder: Path, *, model: str, watch: str, rule: str) -> Path:
    file = folder / "pipeline.py"
    file.write_text(PIPELINE.format(name=services.name("p"), source=services.name("events"), model=model, watch=watch, rule=rule))
    return file


class Flow:
    """Events that go on until the block ends: some at once, then so many a second."""

    def __init__(self, settings: Settings, topic: str, *, at_once: int, a_second: int, flip_at: int) -> None:
        self._settings, self._topic = settings, topic
        self._rows = rows(flip_at, 10**6)
        self._at_once, self._a_second = at_once, a_second
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        publish_rows((next(self._rows) for _ in range(self._at_once)), self._settings, topic=self._topic, partitions=1)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        rows = itertools.takewhile(lambda _: not self._ended.is_set(), self._rows)
        publish_rows(rows, self._settings, topic=self._topic, partitions=1, rate_per_s=self._a_second)


def texts(running: Worker) -> list[str]:
    return [entry["text"] for entry in running.status()["recent"]]


def said(running: Worker, words: str) -> bool:
    return any(words in text for text in texts(running))


class Minute:
    """A training that takes a minute, and a look every second at the worker that asked for it. It goes on in a thread."""

    def __init__(self, file: Path, running: Worker) -> None:
        self.file = file
        self.running = running
        self.lags: list[int] = []
        self.records: list[int] = []
        running.wait_for(lambda: said(running, "training 0 of challenger retrained was requested"))
        self.rebalances = running.counts("rebalances")
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def joined(self) -> None:
        """Return when what was trained has joined its duel."""
        self._thread.join(200)
        assert said(self.running, "joined duel"), self.running.log

    def close(self) -> None:
        self._ended.set()
        self._thread.join(30)

    def _watch(self) -> None:
        asked_s = time.monotonic()
        while not self._ended.wait(1.0) and not said(self.running, "joined duel"):
            self.lags.append(max(shard["lag_records"] or 0 for shard in self.running.status()["shards"].values()))
            self.records.append(self.running.records())
        self.seconds = time.monotonic() - asked_s


@pytest.fixture(scope="module", autouse=True)
def minute(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Minute]:
    """It begins before the tests of this file, the last of which looks at what came of it."""
    settings = settings_of(services)
    file = written(
        services, tmp_path_factory.mktemp("minute"), model="dummy.PriorClassifier()", watch="[]", rule=RETRAIN.format(lessons=600)
    )
    with (
        Flow(settings, load_pipeline(str(file)).source, at_once=2_950, a_second=200, flip_at=1_900),
        worker(services, file, train_timeout_s=300) as running,
        contextlib.closing(Minute(file, running)) as begun,
    ):
        yield begun


def test_a_trainer_that_is_killed_trains_again(services: Services, settings: Settings, tmp_path: Path) -> None:
    file = written(services, tmp_path, model="dummy.PriorClassifier()", watch="[]", rule=RETRAIN.format(lessons=60))
    pipeline = load_pipeline(str(file))
    with (
        Flow(settings, pipeline.source, at_once=2_950, a_second=200, flip_at=1_900),
        worker(services, file) as running,
    ):
        running.wait_for(lambda: said(running, "training 0 of challenger retrained was requested"))
        process = psutil.Process(running.process.pid)
        running.wait_for(lambda: bool(process.children()))
        time.sleep(2.0)
        [child] = process.children()
        child.kill()
        running.wait_for(lambda: said(running, "joined duel"))
        running.wait_for(lambda: said(running, "duel 0 ended"))


def test_a_worker_killed_during_a_duel_comes_to_the_same_end(services: Services, settings: Settings, tmp_path: Path) -> None:
    watch, rule = '[Watch("error", drift.ADWIN())]', 'On.drift("error", Challenge(evidence=Evidence(events_max=3_000)))'
    file = written(services, tmp_path, model="tree.HoeffdingTreeClassifier(grace_period=50)", watch=watch, rule=rule)
    pipeline = load_pipeline(str(file))
    publish_rows(rows(3_000, 12_000), settings, topic=pipeline.source, partitions=1)
    with worker(services, file, commit_events_max=100, poll_records_max=50, checkpoint_events=1_000) as first:
        first.wait_for(lambda: first.records() >= 3_500)
        assert said(first, "duel 0 started")
        first.stop(signal.SIGKILL)
    committed = len(read_topic(services, f"{pipeline.name}.predictions")[0])
    assert 3_100 < committed < 6_000, "killed in the duel"
    with worker(services, file) as second:
        second.wait_for(lambda: "restored from its checkpoint" in second.log)
        second.wait_for(lambda: bool(second.status()["shards"]) and second.status()["ready"])
        second.wait_for(lambda: all(shard["lag_records"] == 0 for shard in second.status()["shards"].values()))
        assert second.stop() < 5.0
    [records] = read_topic(services, pipeline.source).values()
    expected = uninterrupted(pipeline, 0, records)
    assert [record.value for record in read_topic(services, f"{pipeline.name}.predictions")[0]] == expected.predictions
    assert [record.value for record in read_topic(services, f"{pipeline.name}.decisions")[0]] == expected.decisions
    assert any(b"duel.ended" in value for value in expected.decisions)


def test_a_training_of_a_minute_holds_nothing_up(services: Services, minute: Minute) -> None:
    running, pipeline = minute.running, load_pipeline(str(minute.file))
    minute.joined()
    assert minute.seconds > 60
    assert running.counts("rebalances") == minute.rebalances
    assert len(minute.lags) > 30
    assert max(minute.lags[3:]) < 1_000, "five seconds of events; the first looks still show what was published at once"
    steps = [after - earlier for earlier, after in zip(minute.records, minute.records[3:], strict=False)]
    assert min(steps) > 0, "three seconds without a prediction"
    running.wait_for(lambda: said(running, "duel 0 ended"))
    assert said(running, "retrained is the champion")
    assert running.stop() < 5.0
    decisions = decoded([record.value or b"" for record in read_topic(services, f"{pipeline.name}.decisions")[0]])
    kinds = [event["type"].split(".", 2)[2] for event in decisions]
    requested, joined, *later = [kind for kind in kinds if kind.startswith("training")]
    assert (requested, joined) == ("training.requested.v1", "training.joined.v1")
    assert set(later) <= {"training.requested.v1"}, "the rule's next turn may come before the worker has stopped"
    assert kinds.count("duel.ended.v1") == 1

"""One log through any engine, with workers that come and go, beside what a replay of the same log puts out.

How to add an engine: one more `Engine`, with the arguments that `stream-retrain run` gets for it, and its cases in `test_equivalence`. It
has to commit to the group of the settings, and to serve `/status`. Everything else is the same:

    with Run(services, folder, engine) as run:
        run.play(workers=3)
        run.finish()
    assert run.outputs() == run.expected()

`STREAM_RETRAIN_EQUIVALENCE_EVENTS` is the length of the log; the suite takes a shorter one than a release does.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import json
import math
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from confluent_kafka import Producer

from benchmarks.chaos_judge import wait_until_committed
from stream_retrain import Pipeline
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.replay.replay import replay
from stream_retrain.lane.put import Put, put_of
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, PREDICTIONS
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import load_settings
from tests.conftest import Services
from tests.engines.support import Worker, read_topic, worker

__all__ = ["CONSUMER_PROTOCOL", "EVENTS", "FAUST", "KAFKA", "PARTITIONS", "Engine", "Outputs", "Run", "Standing", "events"]

EVENTS: Final = int(os.environ.get("STREAM_RETRAIN_EQUIVALENCE_EVENTS", "8000"))
PARTITIONS: Final = 4
HALF_LIFE_S: Final = 6.0
"""In this time half of what is left is published: however long the moves take, they come under load."""
FLIP_EVERY: Final = 700
LATE_BY: Final = 60
NAMES: Final = ("one", "two", "three")
PIPELINE: Final = """
from river import drift, linear_model, preprocessing
from stream_retrain import Challenge, On, Pipeline, Schema, Watch

pipeline = Pipeline(
    name="{name}",
    task="binary",
    source="{source}",
    schema=Schema(id="id", time="at", time_unit="s", label="y", features={{"a": float, "b": float, "c": float}}),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN(delta=0.01))],
    react=[On.drift("error", Challenge(), cooldown_events=200)],
    window_rows_max=1_500,
)
"""
Outputs = dict[str, dict[int, list[Put]]]
"""By kind and partition, in the order of their topic."""


@dataclasses.dataclass(frozen=True, slots=True)
class Engine:
    """What `stream-retrain run` is given to run this engine."""

    name: str
    arguments: tuple[str, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    keeps: bool = True
    """Whether a partition stays open at a worker that keeps it, while others come and go."""


class Standing(NamedTuple):
    """Who has which partition, and how often each was opened until now."""

    owners: dict[int, str]
    opened: collections.Counter[int]


KAFKA: Final = Engine("kafka")
CONSUMER_PROTOCOL: Final = Engine("kafka-consumer-protocol", settings={"group_protocol": "consumer"})
FAUST: Final = Engine("faust", ("--engine", "faust"), keeps=False)


def events(partition: int, count: int) -> Iterator[tuple[int, bytes]]:
    """Time and value of each record of a partition: a concept that turns around, late labels, and records that are no events."""
    rng, late = random.Random(partition), dict[int, dict[str, Any]]()
    for number in range(count):
        at_ms = 1_767_225_600_000 + number * 1_000
        if (label := late.pop(number, None)) is not None:
            yield at_ms, json.dumps(label | {"at": at_ms / 1_000}).encode()
            continue
        if number % 200 == 199:
            yield at_ms, b'{"id": "bad", "a": "no number"}'
            continue
        x = {name: round(rng.gauss(0, 1), 4) for name in "abc"}
        y = (x["a"] + 0.5 * x["b"] + rng.gauss(0, 0.3) > 0) != (number // FLIP_EVERY % 2 == 1)
        row = {"id": f"e{number}", "at": at_ms / 1_000, **x}
        if number % 10 == 0:
            late[number + LATE_BY] = {"id": row["id"], "y": y}
        else:
            row["y"] = y
        yield at_ms, json.dumps(row).encode()


class Feed:
    """Publishes the log to a topic in a thread, partition by partition in turn; `finish` publishes what is left at once."""

    def __init__(self, services: Services, topic: str, count: int) -> None:
        self._producer = Producer({"bootstrap.servers": services.bootstrap_servers, "enable.idempotence": True, "linger.ms": 5})
        self._topic = topic
        self._count = count
        self._at_once = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Return when the whole log is there."""
        self._at_once.set()
        self._thread.join()
        assert self._producer.flush(60) == 0

    def end(self) -> None:
        """Publish no more."""
        self._ended.set()
        self.finish()

    def _run(self) -> None:
        began_s, share = time.monotonic(), self._count // PARTITIONS
        for number, records in enumerate(zip(*(events(partition, share) for partition in range(PARTITIONS)), strict=True)):
            for partition, (at_ms, value) in enumerate(records):
                self._producer.produce(self._topic, value, b"k%d" % partition, partition, timestamp=at_ms)
            self._producer.poll(0)
            if self._ended.is_set():
                return
            due_s = began_s - HALF_LIFE_S * math.log2(1.0 - (number + 1) / share) if number + 1 < share else math.inf
            self._at_once.wait(min(3_600.0, max(0.0, due_s - time.monotonic())))


class Run:
    """The log on its way through workers of one engine; a context manager."""

    def __init__(self, services: Services, folder: Path, engine: Engine, count: int = EVENTS) -> None:
        self._services = services
        self._engine = engine
        self._count = count
        self._settings = load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers})
        self._file = folder / f"{services.name('equivalence')}.py"
        self._file.write_text(PIPELINE.format(name=services.name("equivalence"), source=services.name("events")))
        self.pipeline: Pipeline = load_pipeline(str(self._file))
        self.running: dict[str, Worker] = {}
        self.ended: list[Worker] = []
        """Those that have stopped."""
        self.standings: list[Standing] = []
        """One for each time that all had their share."""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        create_topic(self._settings, self.pipeline.source, PARTITIONS, {"retention.ms": "-1"})
        self._feed = Feed(self._services, self.pipeline.source, self._count)
        self._stack.callback(self._feed.end)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def play(self, workers: int) -> None:
        """Workers join one by one; then the first is told to stop, and comes back if it was the only one."""
        for name in NAMES[:workers]:
            self.start(name)
            self.balanced()
        self.stop(NAMES[0])
        if workers == 1:
            self.start(NAMES[0])
        self.balanced()

    def start(self, name: str) -> None:
        """A worker joins under this name."""
        arguments, settings = self._engine.arguments, {"instance": name, **self._engine.settings}
        self.running[name] = self._stack.enter_context(worker(self._services, self._file, *arguments, **settings))

    def stop(self, name: str) -> None:
        """SIGTERM; it leaves."""
        leaving = self.running.pop(name)
        leaving.stop()
        assert leaving.process.returncode == 0, leaving.log
        self.ended.append(leaving)

    def balanced(self, seconds: float = 40.0) -> None:
        """Return when every partition has a worker, and every worker its share."""
        share, more = divmod(PARTITIONS, len(self.running))
        owners: dict[int, str] = {}

        def holds() -> bool:
            held = {name: shards_of(each) for name, each in self.running.items()}
            owners.update({partition: name for name, shards in held.items() for partition in shards})
            told = all({*shards} <= {*opened_by(self.running[name])} for name, shards in held.items())  # its log comes a moment later
            fair = {*map(len, held.values())} <= {share, share + (more > 0)}
            return told and fair and sorted(itertools.chain(*held.values())) == list(range(PARTITIONS))

        self._wait_for(holds, seconds)
        opened = collections.Counter(itertools.chain.from_iterable(map(opened_by, [*self.ended, *self.running.values()])))
        self.standings.append(Standing(dict(owners), opened))

    def finish(self) -> None:
        """Return when the whole log is published and answered, and every worker has stopped."""
        self._feed.finish()
        wait_until_committed(self._settings, self.pipeline, PARTITIONS, self._look, 120.0)
        for name in list(self.running):
            self.stop(name)

    def outputs(self) -> Outputs:
        """What can be read as committed."""
        found: Outputs = {}
        for kind in (PREDICTIONS, DECISIONS, DEAD_LETTERS):
            stored = read_topic(self._services, f"{self.pipeline.name}.{kind}")
            found[kind] = {
                partition: [Put(kind, each.key, each.value, tuple(each.headers.items())) for each in records]
                for partition, records in stored.items()
            }
        return found

    def expected(self) -> Outputs:
        """What a replay of the topic puts out."""
        found: Outputs = {kind: {} for kind in (PREDICTIONS, DECISIONS, DEAD_LETTERS)}
        for partition, stored in read_topic(self._services, self.pipeline.source).items():
            steps = replay(self.pipeline, [each.as_record() for each in stored], partition=partition)
            puts = [put_of(output) for _, step in steps for output in step.outputs]
            for kind, by_partition in found.items():
                by_partition[partition] = [put for put in puts if put.kind == kind]
        return found

    def _wait_for(self, holds: Callable[[], bool], seconds: float) -> None:
        """While every worker goes on."""
        until_s = time.monotonic() + seconds
        while not holds():
            self._look()
            assert time.monotonic() < until_s, f"waited {seconds} s in vain:\n" + "\n".join(each.log for each in self.running.values())
            time.sleep(0.05)

    def _look(self) -> None:
        for name, each in self.running.items():
            assert each.process.poll() is None, f"{name} ended with {each.process.returncode}:\n{each.log}"


def shards_of(running: Worker) -> list[int]:
    """The partitions that a worker has."""
    if "serving http://" not in running.log:
        return []
    return [int(name.rpartition("/")[2]) for name in running.status()["shards"]]


def opened_by(worker: Worker) -> list[int]:
    """The partitions that a worker has opened, each as often as it has."""
    told = (json.loads(line) for line in worker.lines if line.startswith("{"))
    return [line["partition"] for line in told if line.get("kind") == "shard.assigned"]

"""A topic of tickets in memory, with its consumer group; and `stream-retrain trainer` in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from stream_retrain import Pipeline
from stream_retrain.core.contest.challenger import Challenger, Window
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.tickets import KafkaTicketQueue
from stream_retrain.engines.trainer import Job, TrainerLimits
from stream_retrain.engines.trainer.pool import PoolTrainer
from stream_retrain.engines.trainer.tickets import trainers_group
from stream_retrain.settings import Settings, load_settings
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests import warm
from tests.conftest import Services
from tests.engines import trainer_support as support
from tests.engines.trainer_support import KEYRING

CHALLENGERS = (
    support.LAST_2000,
    Challenger(name="warm", start="champion", window=Window(rows=500), passes=2),
    Challenger(name="slow", window=Window(rows=2_000), model=support.Slow()),
    Challenger(name="hungry", window=Window(rows=500), model=support.Hungry()),
    Challenger(name="bad", window=Window(rows=500), model=support.Raising()),
)
RULE = {challenger.name: at for at, challenger in enumerate(CHALLENGERS)}
MODULE = """
from tests.engines.pool_support import made
wanted = made({name!r})
"""


def made(name: str | None = None) -> Pipeline:
    """The pipeline of these tests, under a name of its own."""
    return support.several(*CHALLENGERS, name=name or support.pipeline().name)


def job(of: Pipeline, epoch: int, through: int, challenger: str, *, partition: int = 0, **changes: Any) -> Job:
    wanted = support.job(of, epoch, through, rule=RULE[challenger], **changes)
    return dataclasses.replace(wanted, shard=wanted.shard._replace(partition=partition))


class MemoryTopic:
    """A topic of tickets, and one group that reads it. It is a `TicketQueue`."""

    def __init__(self, partitions: int = 4) -> None:
        self.logs: list[list[bytes]] = [[] for _ in range(partitions)]
        self.received = [0] * partitions
        self.members: list[MemorySource] = []
        self.losing = False

    def put(self, place: int, ticket: bytes) -> None:
        if not self.losing:
            self.logs[place % len(self.logs)].append(ticket)

    def join(self) -> MemorySource:
        self.members.append(MemorySource(self))
        return self.members[-1]


class MemorySource:
    """A `TicketSource`: the n-th of m members receives each m-th partition."""

    def __init__(self, topic: MemoryTopic) -> None:
        self.topic = topic

    def receive(self, _: float) -> list[bytes]:
        found, members = [], self.topic.members
        for number, log in enumerate(self.topic.logs):
            if self in members and number % len(members) == members.index(self):
                found += log[self.topic.received[number] :]
                self.topic.received[number] = len(log)
        return found

    def at_end(self) -> bool:
        members = self.topic.members
        own = [number for number in range(len(self.topic.logs)) if number % len(members) == members.index(self)]
        return bool(own) and all(self.topic.received[number] == len(self.topic.logs[number]) for number in own)

    def close(self, _: float) -> None:
        self.topic.members.remove(self)


class Trainer:
    """A `stream-retrain trainer` in a process of its own."""

    def __init__(self, services: Services, folder: Path, of: Pipeline | Sequence[Pipeline], *options: str, **settings: Any) -> None:
        (folder / "signing.key").touch(mode=0o600)
        (folder / "signing.key").write_text(f"k1:{KEYRING.keys[0].secret.hex()}")
        files = []
        for pipeline in [of] if isinstance(of, Pipeline) else of:
            files.append(folder / f"{pipeline.name.replace('-', '_')}.py")
            files[-1].write_text(MODULE.format(name=pipeline.name))
        given = {"signing_key_file": folder / "signing.key", "allow_unsigned": "false", "trainings_partitions": 4, **settings}
        environment = {
            **services.environment,
            "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
            **{f"STREAM_RETRAIN_{name.upper()}": str(value) for name, value in given.items()},
        }
        self.process = warm.start(["trainer", *map(str, files), *options], environment)
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        self.lines.extend(self.process.stderr)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send it a signal and wait; its exit code and its output."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> tuple[int, str]:
        printed = self.process.stdout.read()
        return self.process.wait(20), printed

    def says(self, text: str, times: int = 1, seconds: float = 30.0) -> None:
        """Wait until that many lines of its log have the text."""
        until_s = time.monotonic() + seconds
        while sum(text in line for line in self.lines) < times:
            assert time.monotonic() < until_s, self.lines
            time.sleep(0.02)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(20)
        self._reader.join(5)
        self.process.stderr.close()
        self.process.stdout.close()

    @property
    def child(self) -> psutil.Process | None:
        """The process of its trainings."""
        children = psutil.Process(self.process.pid).children()
        return children[0] if children else None


@contextlib.contextmanager
def trainer_process(*arguments: Any, **settings: Any) -> Iterator[Trainer]:
    started = Trainer(*arguments, **settings)
    try:
        yield started
    finally:
        started.close()


def settings_of(services: Services) -> Settings:
    given = {"kafka_bootstrap_servers": services.bootstrap_servers, "redis_url": services.redis_url}
    return load_settings(None, {}, {**given, "trainer": "pool", "trainings_partitions": 4})


def stores_of(services: Services) -> Stores:
    return connect(services.redis_url, keyring=KEYRING)


def asking(of: Pipeline, services: Services, **limits: Any) -> PoolTrainer:
    """The worker's side, over Kafka."""
    settings, stores = settings_of(services), stores_of(services)
    create_topic(settings, f"{of.name}.trainings", settings.trainings_partitions)
    group, limited = trainers_group(settings.group_of(of.name), of), TrainerLimits(**{"timeout_s": 60.0, **limits})
    queue = KafkaTicketQueue(settings, of.name)
    return PoolTrainer(of, stores.jobs, queue, KEYRING, limited, lambda: len(stores.workers.all(group)))

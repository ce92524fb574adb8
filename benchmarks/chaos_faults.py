"""The faults of a chaos run: each is done at once, and what undoes it is put on a calendar."""

from __future__ import annotations

import collections
import heapq
import itertools
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

import redis
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewPartitions

from benchmarks.chaos_expiry import Pause, expire_offsets
from benchmarks.chaos_fleet import SESSION_TIMEOUT_S, STOP_LIMIT_S, Fleet
from benchmarks.chaos_source import Publisher
from stream_retrain import Pipeline
from stream_retrain.engines.kafka.clients import admin_client
from stream_retrain.engines.kafka.topics import output_topic
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, OutputKind
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings

__all__ = ["EVERY_KIND", "MOSTLY_BROKERS", "WORKERS_MIN", "Chaos", "say"]

WORKERS_MIN, WORKERS_MAX = 2, 3
GAP_S: Final = (2.2, 4.6)
"""Between two faults."""
EVERY_KIND: Final = {
    "worker_kill": 18,
    "worker_zombie": 9,
    "worker_stop": 6,
    "worker_join_or_leave": 6,
    "store_suspend": 6,
    "store_kill": 6,
    "store_flush": 3,
    "broker_kill": 9,
    "topic_delete": 3,
    "partition_add": 3,
    "offsets_expire": 1,
}
"""Kinds of faults, and how often each is chosen beside the others."""
MOSTLY_BROKERS: Final = {"broker_kill": 12, "worker_kill": 3, "worker_stop": 3, "topic_delete": 1, "partition_add": 1}
PARTITIONS_MAX: Final = 6
LED_TOPICS: Final = ("__transaction_state", "__consumer_offsets")


class Chaos:
    """Faults in time. `pause` is entered while all workers stand still because they were asked to."""

    def __init__(
        self,
        stack: LocalStack,
        fleet: Fleet,
        settings: Settings,
        pipeline: Pipeline,
        publisher: Publisher,
        seed: int,
        *,
        faults: dict[str, int],
        pause: Pause,
    ) -> None:
        self.done: collections.Counter[str] = collections.Counter()
        self.flushes = 0
        self.deleted: set[OutputKind] = set()
        self.wrong: list[str] = []
        self.started_s = time.monotonic()
        self._stack = stack
        self._fleet = fleet
        self._settings = settings
        self._pipeline = pipeline
        self._publisher = publisher
        self._faults = faults
        self._pause = pause
        self._rng = random.Random(seed)
        self._calendar: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._store_up = True
        self._mending: threading.Thread | None = None

    def run(self, seconds: float) -> None:
        """Faults until the time is over, then all is healed."""
        self.started_s = time.monotonic()
        next_s, until_s = self.started_s + 3.0, self.started_s + seconds
        while time.monotonic() < until_s:
            self._undo()
            self._fleet.look_after()
            if time.monotonic() >= next_s:
                self._fault()
                next_s = time.monotonic() + self._rng.uniform(*GAP_S)
            time.sleep(0.05)
        self._say("healing")
        self._heal()

    def _heal(self) -> None:
        while self._calendar or self._broker_is_down():
            self._undo()
            self._fleet.look_after()
            time.sleep(0.05)

    def _fault(self) -> None:
        kind = self._rng.choices(list(self._faults), list(self._faults.values()))[0]
        said = getattr(self, f"_{kind}")()
        if said:
            self.done[kind] += 1
            self._say(f"{kind}: {said}")

    def _worker_kill(self) -> str | None:
        if (name := self._fleet.choose(self._rng)) is None:
            return None
        self._fleet.kill(name)
        wait_s = self._rng.choice([0.0, 0.5, 3.0, SESSION_TIMEOUT_S + 2])
        self._later(wait_s, lambda: self._fleet.start(name))
        return f"{name}, back after {wait_s:.1f} s"

    def _worker_zombie(self) -> str | None:
        if (name := self._fleet.choose(self._rng)) is None:
            return None
        self._fleet.suspend(name)
        wait_s = SESSION_TIMEOUT_S + self._rng.uniform(0.5, 5.0)
        self._later(wait_s, lambda: self._fleet.resume(name))
        return f"{name}, awake after {wait_s:.1f} s"

    def _worker_stop(self) -> str | None:
        if (name := self._fleet.choose(self._rng)) is None:
            return None
        self._fleet.ask(name)
        wait_s, limit_s = self._rng.uniform(0.0, 4.0), time.monotonic() + STOP_LIMIT_S + 1

        def when_gone() -> None:
            gone = not self._fleet.runs(name) or time.monotonic() >= limit_s
            self._later(*((wait_s, lambda: self._fleet.start(name)) if gone else (0.1, when_gone)))

        when_gone()
        return f"{name}, back {wait_s:.1f} s after it has ended"

    def _worker_join_or_leave(self) -> str | None:
        if len(self._fleet.names) < WORKERS_MAX:
            return f"{self._fleet.add()} joins"
        if (name := self._fleet.choose(self._rng)) is None:
            return None
        self._fleet.dismiss(name)
        return f"{name} leaves"

    def _store_suspend(self) -> str | None:
        return self._store_fault(self._stack.valkey.suspend, self._stack.valkey.resume, self._rng.uniform(1.0, 9.0))

    def _store_kill(self) -> str | None:
        return self._store_fault(self._stack.valkey.kill, self._stack.valkey.start, self._rng.uniform(0.0, 6.0))

    def _store_fault(self, do: Callable[[], None], undo: Callable[[], None], wait_s: float) -> str | None:
        if not self._store_up:
            return None
        self._store_up = False
        do()

        def back() -> None:
            undo()
            self._store_up = True

        self._later(wait_s, back)
        return f"back after {wait_s:.1f} s"

    def _store_flush(self) -> str | None:
        if not self._store_up:
            return None
        with redis.Redis.from_url(self._stack.redis_url) as client:
            client.flushall()
        self.flushes += 1
        return "everything is gone"

    def _broker_kill(self) -> str | None:
        if self._broker_is_down():
            return None
        brokers = self._stack.kafka.brokers
        topic = self._rng.choice([self._pipeline.source, *LED_TOPICS, None]) if len(brokers) > 1 else None
        node = self._leader(topic) if topic else None
        broker = next((each for each in brokers if each.node == node), None) or self._rng.choice(brokers)
        broker.kill()
        wait_s = self._rng.uniform(0.0, 4.0)

        def mend() -> None:
            time.sleep(wait_s)
            broker.start()

        self._mending = threading.Thread(target=mend)
        self._mending.start()
        return f"node {broker.node}, leader of {topic or 'anything'}, back after {wait_s:.1f} s and a start"

    def _topic_delete(self) -> str | None:
        """Predictions stay: they are what the run is judged by, and where answers end is read from them."""
        if self._broker_is_down():
            return None
        kind = self._rng.choice([DEAD_LETTERS, DECISIONS])
        topic = output_topic(self._pipeline.name, kind)
        admin = admin_client(self._settings)
        try:
            admin.delete_topics([topic], operation_timeout=5, request_timeout=5)[topic].result()
        except KafkaException as error:
            return f"{topic} was not deleted: {error.args[0].name()}"
        self.deleted.add(kind)
        return f"{topic} is gone"

    def _partition_add(self) -> str | None:
        count = self._publisher.partitions + 1
        if self._broker_is_down() or count > PARTITIONS_MAX:
            return None
        admin, source = admin_client(self._settings), self._pipeline.source
        try:
            admin.create_partitions([NewPartitions(source, count)], operation_timeout=5, request_timeout=5)[source].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_PARTITIONS:
                return f"no partition was added: {error.args[0].name()}"
        self._publisher.add_partition()
        return f"the source has {count} now"

    def _offsets_expire(self) -> str | None:
        """Everything else is healed before, because Kafka forgets the offsets of a group of which nobody is there."""
        self._heal()
        came = expire_offsets(self._fleet, self._settings, self._pipeline, self._publisher.partitions, self._pause)
        self.wrong += came.wrong
        if not came.done:
            self._say(f"offsets did not expire: {came.told}")
        return came.told if came.done else None

    def _leader(self, topic: str) -> int | None:
        found = admin_client(self._settings).list_topics(timeout=5).topics.get(topic)
        return self._rng.choice(list(found.partitions.values())).leader if found and found.partitions else None

    def _broker_is_down(self) -> bool:
        return self._mending is not None and self._mending.is_alive()

    def _later(self, wait_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._calendar, (time.monotonic() + wait_s, next(self._numbers), action))

    def _undo(self) -> None:
        while self._calendar and self._calendar[0][0] <= time.monotonic():
            heapq.heappop(self._calendar)[2]()

    def _say(self, text: str) -> None:
        say(f"{time.monotonic() - self.started_s:6.1f} s  {text}")


def say(text: str) -> None:
    """A line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)

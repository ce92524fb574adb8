"""Exactly once under fire, and progress: real workers, Kafka and Valkey, and faults at seeded random until the time is over.

    python -m benchmarks.chaos [--seconds 300] [--seed 1] [--rate 400] [--brokers 3] [--keep FOLDER]

Events are published all the while. Faults come every few seconds and overlap:

- workers: SIGKILL; SIGSTOP past the session timeout, then SIGCONT (a zombie); SIGTERM; one more joins, one leaves (two or three run);
- Valkey: suspended, killed and started again, emptied (FLUSHALL);
- brokers: one at a time is killed (SIGKILL) and started again; the one that leads the source, the group's offsets or the
  transactions as often as any. With `--brokers 1` it is the only one, so every kill comes in the middle of the workers' commits, and
  most faults are such kills;
- topics: the dead letters are deleted, the source gets one more partition.

Then everything is healed, the workers catch up and are stopped, and `engines.replay.verifier` judges every committed output and the
state of every shard against an uninterrupted run; checkpoints were watched meanwhile. Of a topic that was deleted, what came
after it is judged. Progress is judged too: every partition must move again within 30 s of the last fault, and whoever is told to
stop must be gone within `shutdown_timeout_s` and 2 s. The last line of output is JSON with `seed`, `faults`, `events`, `lost`,
`duplicated`, `different`, `state_equal`, `standstill_s` (the longest of any partition, faults included), `moved_again_s` and
`stop_s` (the longest); the exit code is 0 only if all is well.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import heapq
import itertools
import json
import random
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.cimpl import NewPartitions

from benchmarks.chaos_fleet import SESSION_TIMEOUT_S, STOP_LIMIT_S, Fleet
from benchmarks.chaos_judge import CheckpointSampler, ProgressSampler, judge, wait_until_committed
from benchmarks.chaos_source import PIPELINE, Publisher
from stream_retrain import Pipeline
from stream_retrain.engines.kafka.clients import admin_client
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.topics import output_topic
from stream_retrain.engines.replay.verifier import Verdict
from stream_retrain.errors import StreamRetrainError
from stream_retrain.lane.step import DEAD_LETTERS
from stream_retrain.loading import load_pipeline
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings

PARTITIONS = 4
WORKERS_MIN, WORKERS_MAX = 2, 3
GAP_S = (2.2, 4.6)
"""Between two faults."""
FAULTS = {
    "worker_kill": 6,
    "worker_zombie": 3,
    "worker_stop": 2,
    "worker_join_or_leave": 2,
    "store_suspend": 2,
    "store_kill": 2,
    "store_flush": 1,
    "broker_kill": 3,
    "topic_delete": 1,
    "partition_add": 1,
}
FAULTS_OF_ONE = {"broker_kill": 12, "worker_kill": 3, "worker_stop": 3, "topic_delete": 1, "partition_add": 1}
"""With a single broker."""
PARTITIONS_MAX = 6
MOVE_LIMIT_S = 30.0
"""Kinds of faults, and how often each is chosen beside the others."""
LAST_EVENTS = 400
HEAL_TIMEOUT_S = 150.0
LED_TOPICS = ("__transaction_state", "__consumer_offsets")


class Chaos:
    """Faults in time: each is done at once, and what undoes it is put on the calendar."""

    def __init__(self, stack: LocalStack, fleet: Fleet, settings: Settings, pipeline: Pipeline, publisher: Publisher, seed: int) -> None:
        self.done: collections.Counter[str] = collections.Counter()
        self.flushes = 0
        self._stack = stack
        self._fleet = fleet
        self._settings = settings
        self._source = pipeline.source
        self._dead_letters = output_topic(pipeline.name, DEAD_LETTERS)
        self._publisher = publisher
        self._faults = FAULTS if len(stack.kafka.brokers) > 1 else FAULTS_OF_ONE
        self._rng = random.Random(seed)
        self._calendar: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._store_up = True
        self._mending: threading.Thread | None = None
        self._started_s = time.monotonic()

    def run(self, seconds: float) -> None:
        """Faults until the time is over, then all is healed."""
        next_s, until_s = time.monotonic() + 3.0, time.monotonic() + seconds
        while time.monotonic() < until_s:
            self._undo()
            self._fleet.look_after()
            if time.monotonic() >= next_s:
                self._fault()
                next_s = time.monotonic() + self._rng.uniform(*GAP_S)
            time.sleep(0.05)
        self._say("healing")
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
        wait_s = self._rng.uniform(0.0, 4.0)
        self._later(STOP_LIMIT_S + 1 + wait_s, lambda: self._fleet.start(name))
        return f"{name}, back after {STOP_LIMIT_S + 1 + wait_s:.1f} s"

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
        topic = self._rng.choice([self._source, *LED_TOPICS, None]) if len(brokers) > 1 else None
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
        if self._broker_is_down():
            return None
        admin = admin_client(self._settings)
        try:
            admin.delete_topics([self._dead_letters], operation_timeout=5, request_timeout=5)[self._dead_letters].result()
        except KafkaException as error:
            return f"the dead letters were not deleted: {error.args[0].name()}"
        return "the dead letters are gone"

    def _partition_add(self) -> str | None:
        count = self._publisher.partitions + 1
        if self._broker_is_down() or count > PARTITIONS_MAX:
            return None
        admin = admin_client(self._settings)
        try:
            admin.create_partitions([NewPartitions(self._source, count)], operation_timeout=5, request_timeout=5)[self._source].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.INVALID_PARTITIONS:
                return f"no partition was added: {error.args[0].name()}"
        self._publisher.add_partition()
        return f"the source has {count} now"

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
        say(f"{time.monotonic() - self._started_s:6.1f} s  {text}")


def say(text: str) -> None:
    """A line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


@dataclasses.dataclass(frozen=True, slots=True)
class Came:
    """What a run came to."""

    verdict: Verdict
    faults: collections.Counter[str]
    wrong: list[str]
    """With checkpoints, with progress, with whoever was told to stop."""
    standstill_s: float
    moved_again_s: float
    stop_s: float


def storm(stack: LocalStack, seconds: float, seed: int, rate: float) -> Came:
    """One run on a stack of one broker or three."""
    name, replication = f"chaos-{seed}", min(3, len(stack.kafka.brokers))
    file = stack.directory / "chaos_pipeline.py"
    file.write_text(PIPELINE.format(name=name, source=f"{name}.events"))
    pipeline: Pipeline = load_pipeline(str(file))
    settings = load_settings(
        None, {}, {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url, "topic_replication": replication}
    )
    create_topic(settings, pipeline.source, PARTITIONS, {"retention.ms": "-1"})
    publisher = Publisher(settings, pipeline.source, PARTITIONS, seed, rate)
    fleet = Fleet(stack, file, replication)
    chaos = Chaos(stack, fleet, settings, pipeline, publisher, seed)
    sampler = CheckpointSampler(settings, pipeline, lambda: publisher.partitions, lambda: chaos.flushes)
    progress = ProgressSampler(settings, pipeline, lambda: publisher.partitions)
    try:
        for _ in range(WORKERS_MIN):
            fleet.add()
        publisher.start()
        sampler.start()
        progress.start()
        chaos.run(seconds)
        fleet.resume_all()
        moved_s = moved_again(progress, publisher, fleet)
        publisher.stop()
        publisher.publish(LAST_EVENTS)
        wait_until_committed(settings, pipeline, publisher.partitions, fleet.look_after, HEAL_TIMEOUT_S)
        sampler.stop()
        progress.stop()
        fleet.stop()
        say(f"workers: {fleet.summary()}")
        longest = {number: round(took_s, 1) for number, took_s in sorted(progress.longest_s.items())}
        say(f"longest standstill by partition: {longest}; looks that failed: {dict(progress.failures)}")
        deleted = frozenset({DEAD_LETTERS} if chaos.done["topic_delete"] else ())
        verdict = judge(settings, pipeline, publisher.published, deleted)
        stop_s = max(fleet.obeyed_s, default=0.0)
        wrong = [*sampler.watch.faults]
        wrong += [f"{moved_s:.0f} s after the last fault not every partition had moved"] if moved_s > MOVE_LIMIT_S else []
        wrong += [f"a worker was told to stop and took {stop_s:.1f} s"] if stop_s > STOP_LIMIT_S else []
        return Came(verdict, chaos.done, wrong, max(progress.longest_s.values(), default=0.0), moved_s, stop_s)
    except StreamRetrainError:
        say(fleet.tails())
        raise
    finally:
        publisher.stop()
        sampler.stop()
        progress.stop()
        fleet.end()


def moved_again(progress: ProgressSampler, publisher: Publisher, fleet: Fleet) -> float:
    """How long after the last fault was healed every partition had moved; more than the limit where one did not."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < MOVE_LIMIT_S + 1:
        fleet.look_after()
        moved = progress.moved_since(began_s)
        if len(moved) == publisher.partitions:
            return max(moved.values())
        time.sleep(0.1)
    return time.monotonic() - began_s


def main() -> int:
    """Run, judge, print."""
    parser = argparse.ArgumentParser(description="Exactly once, with everything killed all the time.")
    parser.add_argument("--seconds", type=float, default=300.0, help="how long faults come (default 300)")
    parser.add_argument("--seed", type=int, default=1, help="what the faults and events are made from (default 1)")
    parser.add_argument("--rate", type=float, default=400.0, help="events a second (default 400)")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=3, help="how many brokers there are (default 3)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the logs of workers and brokers there")
    arguments = parser.parse_args()
    with LocalStack.start(brokers=arguments.brokers, on_progress=say) as stack:
        try:
            came = storm(stack, arguments.seconds, arguments.seed, arguments.rate)
        finally:
            if arguments.keep:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                for log in stack.directory.glob("**/log"):
                    shutil.copy(log, arguments.keep / f"{log.parent.name}.log")
    verdict = came.verdict
    for line in [*verdict.examples, *came.wrong]:
        say(line)
    say(f"faults: {dict(came.faults)}; checkpoints, progress and stops {'as they should be' if not came.wrong else 'WRONG'}")
    shown = {"seed": arguments.seed, "faults": came.faults.total(), "events": verdict.events}
    shown |= {"lost": verdict.lost, "duplicated": verdict.duplicated, "different": verdict.different, "state_equal": verdict.state_equal}
    times = {"standstill_s": came.standstill_s, "moved_again_s": came.moved_again_s, "stop_s": came.stop_s}
    print(json.dumps(shown | {name: round(took_s, 1) for name, took_s in times.items()}), flush=True)
    return 0 if verdict.holds and not came.wrong else 1


if __name__ == "__main__":
    sys.exit(main())

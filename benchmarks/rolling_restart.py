"""A rolling restart under load: what is lost, what is answered twice, and how long each partition goes without predictions.

    python -m benchmarks.rolling_restart [--workers 3] [--partitions 6] [--rate 600] [--rounds 2] [--protocol classic|consumer]
                                         [--how processes|fleet|both] [--broker-defaults] [--json FILE]

- processes: workers of their own names; each is told to stop (SIGTERM), started again when it has ended, and waited for until every
  partition has a worker and every worker its share; then the next;
- fleet: `run --workers N`; each worker process is told to stop, and its parent starts it again.

Events are published all the while. A gap is the time between two predictions of a partition as a reader of committed records gets
them; without a restart it is about the commit interval. At the end every committed output and every shard's state is judged against
an uninterrupted run. The last line of output is JSON; the exit code is 0 only if nothing was lost, duplicated or different, and no
gap reached 5 s. `--broker-defaults`: the group's timing as Kafka comes, in place of the local stack's quicker one.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, TopicPartition

from benchmarks.chaos_judge import judge, wait_until_committed
from benchmarks.chaos_source import PIPELINE, Publisher
from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.loading import load_pipeline
from stream_retrain.local import LocalStack
from stream_retrain.local.kafka import SETTINGS as BROKER_SETTINGS
from stream_retrain.local.process import Process, free_ports
from stream_retrain.settings import Settings, load_settings

__all__ = ["Fleet", "GapReader", "Gaps", "Workers", "restarts"]

GAP_LIMIT_S: Final = 5.0
SETTLED_S: Final = 2.0
LIMIT_S: Final = 120.0
KAFKAS_OWN: Final = (
    "group.initial.rebalance.delay.ms",
    "group.consumer.heartbeat.interval.ms",
    "group.consumer.min.heartbeat.interval.ms",
)


class Gaps:
    """The longest time between two predictions of each partition."""

    def __init__(self, partitions: int) -> None:
        self._longest_s = [0.0] * partitions
        self._came_s: list[float | None] = [None] * partitions

    def note(self, partition: int, now_s: float) -> None:
        """A prediction came."""
        before_s = self._came_s[partition]
        if before_s is not None:
            self._longest_s[partition] = max(self._longest_s[partition], now_s - before_s)
        self._came_s[partition] = now_s

    def taken(self, now_s: float) -> list[float]:
        """The longest of each partition since the last time this was asked; one that lasts counts as far as it has come."""
        for partition, before_s in enumerate(self._came_s):
            self._longest_s[partition] = max(self._longest_s[partition], now_s - before_s if before_s is not None else 0.0)
        found, self._longest_s = self._longest_s, [0.0] * len(self._longest_s)
        return found


class GapReader:
    """Reads predictions as they are committed, and notes the gaps."""

    def __init__(self, settings: Settings, topic: str, partitions: int) -> None:
        self._gaps = Gaps(partitions)
        self._consumer = Consumer({**base_config(settings), "group.id": "rolling.reader", "fetch.wait.max.ms": 10})
        self._consumer.assign([TopicPartition(topic, partition, -1) for partition in range(partitions)])
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def taken(self) -> list[float]:
        """The longest of each partition since the last time this was asked."""
        return self._gaps.taken(time.monotonic())

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            for message in self._consumer.consume(500, 0.01):
                if message.error() is None and (partition := message.partition()) is not None:
                    self._gaps.note(partition, time.monotonic())


class Workers:
    """Worker processes of their own names, on ports of their own."""

    def __init__(self, stack: LocalStack, file: Path, count: int, protocol: str) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")},
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "STREAM_RETRAIN_REDIS_URL": stack.redis_url,
            "STREAM_RETRAIN_GROUP_PROTOCOL": protocol,
        }
        self._command = [sys.executable, "-m", "stream_retrain", "run", str(file), "--allow-unsigned"]
        self._ports = free_ports(count)
        self._count = count
        self._processes = self._started(stack)

    @property
    def numbers(self) -> range:
        """Of the workers."""
        return range(self._count)

    def statuses(self) -> list[dict[str, Any] | None]:
        """What each says of itself."""
        return [_fetched(port) for port in self._ports]

    def balanced(self, partitions: int) -> bool:
        """Whether every partition has a worker, and every worker its share."""
        held = [len(status["shards"]) if status and status["ready"] else 0 for status in self.statuses()]
        return sum(held) == partitions and max(held) - min(held) <= 1

    def restart(self, number: int) -> None:
        """SIGTERM, and start it again when it has ended."""
        process = self._processes[number]
        process.signal(signal.SIGTERM)
        assert process.wait(30) == 0, process.tail()
        process.spawn()

    def end(self) -> None:
        """SIGTERM to all."""
        for process in self._processes:
            process.signal(signal.SIGTERM)
        for process in self._processes:
            process.stop()

    def log(self) -> str:
        """What all have said."""
        return "\n".join(process.output() for process in self._processes)

    def _started(self, stack: LocalStack) -> list[Process]:
        processes = []
        for number in self.numbers:
            environment = {**self._environment, "STREAM_RETRAIN_INSTANCE": f"worker-{number}"}
            command = [*self._command, "--http-port", str(self._ports[number])]
            processes.append(stack.process(f"{uuid.uuid4().hex[:6]}-{number}", command, environment))
            processes[-1].spawn()
        return processes


class Fleet(Workers):
    """The same under `run --workers N`."""

    def statuses(self) -> list[dict[str, Any] | None]:
        """What each says of itself, served by the parent."""
        workers = (_fetched(self._ports[0]) or {"workers": {}})["workers"]
        return [workers.get(str(number)) for number in self.numbers]

    def restart(self, number: int) -> None:
        """SIGTERM to the worker process; its parent starts it again."""
        status = self.statuses()[number]
        assert status is not None
        os.kill(status["pid"], signal.SIGTERM)
        wait(lambda: (now := self.statuses()[number]) is not None and now["pid"] != status["pid"])

    def _started(self, stack: LocalStack) -> list[Process]:
        command = [*self._command, "--http-port", str(self._ports[0]), "--workers", str(self._count)]
        process = stack.process(f"{uuid.uuid4().hex[:6]}-fleet", command, self._environment)
        process.spawn()
        return [process]


def restarts(
    stack: LocalStack, kind: type[Workers], *, workers: int, partitions: int, rate: float, rounds: int, protocol: str
) -> dict[str, Any]:
    """One run: the verdict, the longest gap of each partition while nothing happened, and while workers were restarted."""
    name = f"rolling-{uuid.uuid4().hex[:6]}"
    file = stack.directory / f"{name.replace('-', '_')}.py"
    file.write_text(PIPELINE.format(name=name, source=f"{name}.events"))
    settings = load_settings(None, {}, {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url})
    pipeline = load_pipeline(str(file))
    create_topic(settings, pipeline.source, partitions, {"retention.ms": "-1"})
    running = kind(stack, file, workers, protocol)
    publisher = Publisher(settings, pipeline.source, partitions, 1, rate)
    publisher.start()
    reader, took_s, gaps = None, [], []
    try:
        wait(lambda: running.balanced(partitions))
        reader = GapReader(settings, f"{name}.predictions", partitions)
        time.sleep(2 * SETTLED_S)
        calm = reader.taken()
        for number in [*running.numbers] * rounds:
            began_s = time.monotonic()
            running.restart(number)
            wait(lambda: running.balanced(partitions))
            took_s.append(time.monotonic() - began_s)
            time.sleep(SETTLED_S)
            gaps.append(reader.taken())
        publisher.stop()
        wait_until_committed(settings, pipeline, partitions, lambda: None, LIMIT_S)
    except AssertionError:
        print(running.log(), file=sys.stderr)
        raise
    finally:
        publisher.stop()
        running.end()
        if reader is not None:
            reader.stop()
    verdict = judge(settings, pipeline, publisher.published)
    return {
        "events": verdict.events,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "different": verdict.different,
        "state_equal": verdict.state_equal,
        "restarts": len(took_s),
        "restart_s": [round(each, 2) for each in took_s],
        "calm_gap_s": round(max(calm), 2),
        "gap_s": round(max(map(max, gaps)), 2),
        "gap_s_by_partition": [round(max(column), 2) for column in zip(*gaps, strict=True)],
        "gap_s_by_restart": [[round(each, 2) for each in row] for row in gaps],
        "holds": verdict.holds and max(map(max, gaps)) < GAP_LIMIT_S,
    }


def wait(holds: Callable[[], bool]) -> None:
    """Until it holds. Raises AssertionError after a while."""
    until_s = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < until_s, "waited in vain"
        time.sleep(0.05)


def _fetched(port: int) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=2) as response:
            found: dict[str, Any] = json.load(response)
            return found
    except (OSError, http.client.HTTPException):  # nobody serves there yet, or it ends just now
        return None


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description="A rolling restart under load.")
    parser.add_argument("--workers", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--partitions", type=int, default=6, help="of the source (default 6)")
    parser.add_argument("--rate", type=float, default=600.0, help="events a second (default 600)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each worker is restarted (default 2)")
    parser.add_argument("--protocol", choices=("classic", "consumer"), default="classic", help="group_protocol (default classic)")
    parser.add_argument("--how", choices=("processes", "fleet", "both"), default="both", help="(default both)")
    parser.add_argument("--broker-defaults", action="store_true", help="the group's timing as Kafka comes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as JSON")
    arguments = parser.parse_args()
    if arguments.broker_defaults:
        for name in KAFKAS_OWN:
            BROKER_SETTINGS.pop(name)
    kinds: dict[str, type[Workers]] = {"processes": Workers, "fleet": Fleet}
    chosen = kinds if arguments.how == "both" else {arguments.how: kinds[arguments.how]}
    wanted = {name: getattr(arguments, name) for name in ("workers", "partitions", "rate", "rounds", "protocol")}
    with LocalStack.start(on_progress=lambda line: print(line, flush=True)) as stack:
        found = {name: restarts(stack, kind, **wanted) for name, kind in chosen.items()}
    shown = wanted | {"broker_defaults": arguments.broker_defaults} | found
    if arguments.json:
        arguments.json.write_text(json.dumps(shown, indent=1) + "\n")
    print(json.dumps(shown), flush=True)
    return 0 if all(each["holds"] for each in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

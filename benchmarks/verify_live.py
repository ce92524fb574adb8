"""A live run on a real Kafka with everything that a replay must give back, killed twice, and verified from its topics.

    python -m benchmarks.verify_live [--events 100000] [--partitions 2] [--rate 600] [--seed 1]

Events with drifts, late labels and records that are no events are published while a worker runs: it trains challengers in its trainer's
process, is asked to reset, and is killed with SIGKILL twice, with a checkpoint that is old. Then `stream-retrain verify --predictions`
replays all of it. Last, one byte of a decision and one of a prediction are changed (the topic is made anew with a changed copy of its
records), and each must be found. The last line of output is JSON; the exit code is 0 only if all is as it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks.chaos_judge import wait_until_committed
from benchmarks.chaos_source import Publisher
from stream_retrain import Pipeline
from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.read import Stored, read_topic
from stream_retrain.errors import BrokerError, StreamRetrainError
from stream_retrain.loading import load_pipeline
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings

__all__ = ["LiveRun", "put_anew", "say", "tampered", "verify"]

WAIT_S: Final = 600.0
KILLED_AT: Final = (0.35, 0.7)
TAMPERING: Final = (
    ("decisions", rb'"generation":\d', b'"generation":9'),
    ("predictions", rb'"probability":0\.\d', b'"probability":1.5'),
)
REQUESTED_AT: Final = 0.85
PIPELINE: Final = """
from river import drift, linear_model, preprocessing
from stream_retrain import Challenge, Evidence, On, Pipeline, Reset, Retrain, Schema, Watch, Window

pipeline = Pipeline(
    name="{name}",
    task="binary",
    source="{source}",
    schema=Schema(id="id", label="y", features={{"a": float, "b": float, "c": float}}),
    model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    watch=[Watch("error", drift.ADWIN(delta=0.01))],
    react=[
        On.drift("error", Challenge()),
        On.every(events=1_700, do=Retrain(window=Window(rows=1_000), evidence=Evidence(events_max=400))),
        On.request(Reset()),
    ],
    window_rows_max=5_000,
)
"""


def say(text: str) -> None:
    """A line of progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


class Ended(NamedTuple):
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str
    rss_mb: float
    """Memory it took at most."""


class LiveRun:
    """A pipeline of its own, what is published for it, and its worker's process."""

    def __init__(self, settings: Settings, folder: Path, name: str, partitions: int, seed: int, rate: float) -> None:
        self.file = folder / "live_pipeline.py"
        self.file.write_text(PIPELINE.format(name=name, source=f"{name}.events"))
        self.pipeline: Pipeline = load_pipeline(str(self.file))
        self.settings = settings
        self.partitions = partitions
        create_topic(settings, self.pipeline.source, partitions, {"retention.ms": "-1"})
        self.publisher = Publisher(settings, self.pipeline.source, partitions, seed, rate)
        self.log = folder / "worker.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("STREAM_RETRAIN_")},
            "STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
            "STREAM_RETRAIN_REDIS_URL": settings.redis_url,
            "STREAM_RETRAIN_ALLOW_UNSIGNED": "true",
            "STREAM_RETRAIN_HTTP": "false",
            "STREAM_RETRAIN_SESSION_TIMEOUT_MS": "6000",
            "STREAM_RETRAIN_INSTANCE": "live",
            "STREAM_RETRAIN_CHECKPOINT_INTERVAL_S": "10",
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "NO_COLOR": "1",
        }

    @contextlib.contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker; it is gone afterwards, whatever happened."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "stream_retrain", "run", str(self.file)]
            process = subprocess.Popen(command, env=self.environment, stderr=log, stdout=subprocess.DEVNULL)
            try:
                yield process
            finally:
                process.kill()
                process.wait(30)

    def run(self, events: int) -> None:
        """Publish at least so many events while workers run, of which two are killed; all is committed in the end.

        A worker is killed once it has a part of the events and another challenger has joined, however long that takes here.
        """
        self.publisher.start()
        with contextlib.ExitStack() as stack:
            stack.callback(self.publisher.stop)
            for number, share in enumerate(KILLED_AT, 1):
                with self.worker():
                    self._until(share * events, joined=number)
                    say(f"SIGKILL after {self.committed():,} events")
            with self.worker() as last:
                self._until(REQUESTED_AT * events, joined=len(KILLED_AT))
                self.command("retrain", str(self.file), "--reason", "new sensors")
                self._until(events, joined=len(KILLED_AT) + 1)
                self.publisher.stop()
                self.until_committed()
                last.terminate()
                last.wait(30)

    def until_committed(self) -> None:
        """Return when everything that was published is committed."""
        wait_until_committed(self.settings, self.pipeline, self.partitions, lambda: None, WAIT_S)

    def _until(self, events: float, joined: int) -> None:
        until_s = time.monotonic() + WAIT_S
        while (done := self.committed()) < events or self.told("training.joined") < joined:
            if time.monotonic() > until_s:
                raise AssertionError(f"{done:,} of {events:,.0f} events are committed:\n{self.log.read_text()[-3_000:]}")
            time.sleep(0.5)

    def told(self, kind: str) -> int:
        """How many decisions of a kind there are."""
        try:
            found = read_topic(self.settings, f"{self.pipeline.name}.decisions")
        except BrokerError:
            return 0
        return sum(f".{kind}.v1".encode() in (each.value or b"") for stored in found.values() for each in stored)

    def committed(self) -> int:
        """Records the group has committed."""
        group = self.settings.group_of(self.pipeline.name)
        consumer = Consumer({**base_config(self.settings), "group.id": group, "isolation.level": "read_uncommitted"})
        try:
            places = consumer.committed([TopicPartition(self.pipeline.source, number) for number in range(self.partitions)], 10)
            return sum(max(0, place.offset) for place in places)
        finally:
            consumer.close()

    def command(self, *arguments: str) -> Ended:
        """Run `stream-retrain`."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            command = [sys.executable, "-m", "stream_retrain", *arguments]
            process = subprocess.Popen(command, env=self.environment, stdout=out, stderr=err)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            return Ended(process.returncode, out.read().decode(), err.read().decode(), used.ru_maxrss / 1024)


def verify(run: LiveRun, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code of `stream-retrain verify --json`, and what it printed."""
    ended = run.command("verify", str(run.file), "--json", *options)
    if not ended.stdout:
        raise AssertionError(f"verify ended with {ended.returncode}:\n{ended.stderr}")
    return ended.returncode, json.loads(ended.stdout) | {"rss_mb": round(ended.rss_mb)}


def put_anew(run: LiveRun, kind: str, records: dict[int, list[Stored]]) -> None:
    """Make an output topic anew, with these records."""
    topic = f"{run.pipeline.name}.{kind}"
    admin = AdminClient(base_config(run.settings))
    admin.delete_topics([topic], operation_timeout=10)[topic].result()
    until_s = time.monotonic() + 60
    while True:  # the brokers forget it in their own time
        time.sleep(0.5)
        try:
            create_topic(run.settings, topic, run.partitions, {"retention.ms": "-1"})
            break
        except StreamRetrainError:
            if time.monotonic() > until_s:
                raise
    producer = Producer({**base_config(run.settings), "enable.idempotence": True})
    for partition, stored in records.items():
        for record in stored:
            producer.produce(topic, record.value, record.key, partition, headers=list(record.headers.items()))
            producer.poll(0)
    if left := producer.flush(60):
        raise AssertionError(f"{left} records of {topic} were not written")


def tampered(run: LiveRun, kind: str, pattern: bytes, by: bytes) -> tuple[tuple[int, int], int, dict[str, Any]]:
    """Partition and place of a record that was changed; exit code and report of `verify`. The topic is then made as it was."""
    stored = read_topic(run.settings, f"{run.pipeline.name}.{kind}")
    places = [(number, at) for number, found in stored.items() for at, each in enumerate(found) if re.search(pattern, each.value or b"")]
    partition, at = places[len(places) // 2]
    record = stored[partition][at]
    changed = record._replace(value=re.sub(pattern, by, record.value or b"", count=1))
    put_anew(run, kind, {**stored, partition: [*stored[partition][:at], changed, *stored[partition][at + 1 :]]})
    try:
        return (partition, at), *verify(run, "--predictions")
    finally:
        put_anew(run, kind, stored)


def main() -> int:
    """Run, verify, tamper, print."""
    parser = argparse.ArgumentParser(description="A live run, verified from its topics.")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--rate", type=float, default=600.0, help="events a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-tampering", dest="tamper", action="store_false", help="verify only")
    asked = parser.parse_args()
    with LocalStack.start(on_progress=say) as stack, tempfile.TemporaryDirectory() as folder:
        places = {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url}
        run = LiveRun(load_settings(None, {}, places), Path(folder), "live", asked.partitions, asked.seed, asked.rate)
        run.run(asked.events)
        code, report = verify(run, "--predictions")
        shown = report_of(run, report) | {"exit": code}
        say(json.dumps(shown))
        for kind, pattern, by in TAMPERING if asked.tamper else ():
            place, code_then, then = tampered(run, kind, pattern, by)
            found = then["first"] and (then["first"]["partition"], then["first"]["offset"]) == place
            shown[f"tampered_{kind}"] = {"exit": code_then, "found": found, "first": then["first"]}
    print(json.dumps(shown), flush=True)
    return 0 if code == 0 and all(shown[f"tampered_{kind}"]["found"] for kind, *_ in TAMPERING if asked.tamper) else 1


def report_of(run: LiveRun, report: dict[str, Any]) -> dict[str, Any]:
    """The figures of a report, and how many decisions of each kind there are."""
    decisions = [json.loads(each.value or b"") for found in read_topic(run.settings, "live.decisions").values() for each in found]
    kinds = [each["type"].removeprefix("io.streamretrain.").removesuffix(".v1") for each in decisions]
    figures = ("verdict", "records", "inputs", "compared", "lost", "duplicated", "different", "seconds", "rss_mb")
    shown = {name: report[name] for name in figures}
    shown["decisions"] = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    shown["errors"] = sorted({each["data"]["error"] for each in decisions if "training.failed" in each["type"]})[:3]
    return shown


if __name__ == "__main__":
    sys.exit(main())

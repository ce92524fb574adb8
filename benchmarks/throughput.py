"""What the worker costs, beside the bare River loop and beside what people would write instead, on a real Kafka and Valkey.

    python -m benchmarks.throughput [--quick] [--peers] [--case GROUP] [--model TEXT] [--features N] [--rounds N]
                                    [--json FILE] [--from FILE] [--markdown FILE] [--plot FILE.svg] [--profile FOLDER]

JSON events of 8 and of 50 numbers, with an id and a label, in four partitions; a model for each partition. Cases, each in a fresh process:

- limit: `predict_one`, `metric.update`, `learn_one` on decoded dicts in memory, of River's models and of the compiled ones;
- worker: everything on, which is decoding, ADWIN on the error, transactions with predictions and offsets, windows and checkpoints in
  Valkey, metrics and HTTP;
- off: the worker with QuickTree and a part switched off, each right after the whole worker, of whose CPU time it is a share;
- peers (`--peers`): the plain job, each as its library's pages do it (`benchmarks/peers`), in environments of their own.

The rounds go through all cases by turns, and ratios are of the same round; all figures are medians of the rounds. CPU time is the
process's, with the threads of its clients, because broker and worker share the machine's cores. `ratio_to_limit` is the CPU time of the
model's bare loop over that of the case. Of a worker it comes from a run with a *twin*: after each batch that it has learned, the bare loop
learns the same events in the same process, on models of its own. So both had the same speed of machine, and the same busy broker beside
them: speeds drift by half within minutes, and a broker at work slows whatever runs beside it. A second run without the twin gives the
worker's own figures. A worker whose run is too short for a checkpoint at the default rate (50,000 events of a shard) is charged its share
of one, as the checkpoints at its end cost.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import inspect
import json
import os
import platform
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import throughput_tables as tables
from benchmarks.fresh_process import in_fresh_process
from benchmarks.peers.common import Given
from benchmarks.throughput_peers import FOLDER, PEERS, Peer, PeerError, lines_of, run_peer
from benchmarks.throughput_plot import plot
from benchmarks.throughput_worker import FEATURES, OFF, PARTITIONS, Cost, Task, bare, pipeline, stream, worker
from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.local import LocalStack
from stream_retrain.native import in_use
from stream_retrain.settings import Settings, load_settings

__all__ = ["Bench", "Job", "jobs", "measured"]

GROUPS: Final = ("limit", "worker", "off", "peers")
ON: Final = "everything on"
NOTHING_ON: Final = "without all of these"
WIDE: Final = 50
ROUNDS: Final = 5
ORDER: Final = (tables.FOREST, tables.LINEAR, tables.TREE, tables.SAME_TREE, tables.MIXTURE, tables.COMPILED_TREE)
"""In a round. What is held against each other runs one after the other; the peers come right after these."""
EVENTS: Final = {
    FEATURES: {tables.FOREST: 8_000, tables.TREE: 100_000, tables.SAME_TREE: 100_000},
    WIDE: {tables.FOREST: 4_000, tables.TREE: 24_000, tables.SAME_TREE: 24_000},
}
"""Of those that take long."""
EVENTS_OF_OTHERS: Final = {FEATURES: 220_000, WIDE: 60_000}
QUICK: Final = 20
"""Of the events, one in so many."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A case with a model."""

    group: str
    case: str
    model: str
    features: int
    events: int
    off: str = ON
    peer: Peer | None = None


def jobs(groups: Sequence[str], models: Sequence[str], features: Sequence[int], share: int = 1) -> list[Job]:
    """Everything that a round runs, in its order; `models`: texts that names of models hold; `share`: one event in so many."""
    return [
        dataclasses.replace(job, events=max(100 * PARTITIONS, job.events // share))
        for wide in features
        for job in _all(wide)
        if job.group in groups and (not models or any(text in job.model for text in models))
    ]


def _all(features: int) -> Iterator[Job]:
    def events(model: str) -> int:
        return EVENTS[features].get(model, EVENTS_OF_OTHERS[features])

    for model in ORDER:
        yield Job(group="limit", case=tables.BARE, model=model, features=features, events=events(model))
        if model != tables.SAME_TREE:
            yield Job(group="worker", case=tables.WORKER, model=model, features=features, events=events(model))
    for peer in PEERS:
        for model in peer.models if features == FEATURES else peer.wide:
            many = events(model) // peer.share
            yield Job(group="peers", case=peer.case, model=model, features=features, events=many, peer=peer)
    if features == FEATURES:
        for off in OFF:
            if off != ON:
                model = tables.COMPILED_TREE
                yield Job(group="off", case=tables.WITHOUT + off, model=model, features=features, events=events(model), off=off)


class Bench:
    """Runs jobs on a Kafka and a Valkey. Events are made once for each number of features, and published once for each number of them."""

    def __init__(self, bootstrap_servers: str, redis_url: str, folder: Path, *, alone: bool) -> None:
        """`alone`: the worker also runs without a twin."""
        places = {"kafka_bootstrap_servers": bootstrap_servers, "redis_url": redis_url}
        self.settings = load_settings(None, {}, {**places, "http_port": 0, "log_level": "error"})
        self._folder, self._alone = folder, alone
        self._topics: dict[tuple[int, int], str] = {}

    def prepare(self, planned: Sequence[Job]) -> None:
        """Make and publish the events of these jobs."""
        for features in {job.features for job in planned}:
            rows = stream(max(job.events for job in planned if job.features == features), features)
            self._file(features).write_text("".join(json.dumps(row) + "\n" for row in rows))
            lines = self._file(features).read_bytes().splitlines()
            for events in sorted({job.events for job in planned if job.features == features and job.group != "limit"}):
                topic = self._topics[features, events] = f"bench-source-{uuid.uuid4().hex[:8]}"
                publish(lines[:events], topic, self.settings)

    def run(self, job: Job) -> tuple[Cost, float | None]:
        """What it took, and its ratio: of a worker to its twin, of one with a part off to the whole one. Raises `PeerError`."""
        file = self._file(job.features)
        if job.group == "limit":
            return in_fresh_process("the bare loop", bare, job.model, file, job.events), None
        if job.peer is not None:
            return self._peer(job, job.peer), None
        if job.off != ON:
            whole, own = self.worker(job, ON), self.worker(job, job.off)
            return own, own.cpu_us / whole.cpu_us
        twinned = self.worker(job, ON, twinned=True)
        return self.worker(job, ON) if self._alone else twinned, twinned.twin_us / twinned.cpu_us

    def worker(self, job: Job, off: str, *, twinned: bool = False, profile: Path | None = None) -> Cost:
        """One run of a worker."""
        task = Task(job.model, self._topics[job.features, job.events], self._file(job.features), job.events, job.features)
        return in_fresh_process("the worker", worker, task, off, self.settings, twinned, profile)

    def profile(self, job: Job, folder: Path) -> None:
        """Write a profile of a worker."""
        folder.mkdir(parents=True, exist_ok=True)
        self.worker(job, job.off, profile=folder / f"{job.model.partition(' ')[0].partition('(')[0]}-{job.features}.prof")

    def _peer(self, job: Job, peer: Peer) -> Cost:
        name = f"bench-{uuid.uuid4().hex[:8]}"
        create_topic(self.settings, f"{name}.predictions", PARTITIONS)
        given = Given(
            bootstrap=self.settings.kafka_bootstrap_servers,
            topic=self._topics[job.features, job.events],
            output=f"{name}.predictions",
            group=name,
            model=job.model,
            features=job.features,
            events=job.events,
            partitions=PARTITIONS,
            file=str(self._file(job.features)),
            guarantee=peer.guarantee,
        )
        cpu_s, wall_s = run_peer(peer, given)
        if peer.kafka and (sent := self._records(given.output)) < job.events:
            raise PeerError(f"it sent {sent:,} predictions for {job.events:,} events")
        return Cost(cpu_s * 1e6 / job.events, wall_s * 1e6 / job.events)

    def _records(self, topic: str) -> int:
        """How many a topic has, with the marks of transactions."""
        consumer = Consumer({"group.id": topic, **base_config(self.settings)})
        marks = [consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10.0) for number in range(PARTITIONS)]
        consumer.close()
        return sum(high for _, high in marks)

    def _file(self, features: int) -> Path:
        return self._folder / f"events-{features}.jsonl"


def publish(lines: Sequence[bytes], topic: str, settings: Settings) -> None:
    """Events to the partitions by turns."""
    create_topic(settings, topic, PARTITIONS, {"retention.ms": "-1"})
    config = {"linger.ms": 20, "compression.type": "lz4", "enable.idempotence": True, "queue.buffering.max.messages": 2_000_000}
    producer = Producer({**config, **base_config(settings)})
    for number, line in enumerate(lines):
        producer.produce(topic, line, partition=number % PARTITIONS)
    assert producer.flush(120) == 0


def measured(bench: Bench, planned: Sequence[Job], rounds: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of all jobs, after each round."""
    costs: dict[Job, list[Cost | None]] = {job: [] for job in planned}
    shares: dict[Job, list[float | None]] = {job: [] for job in planned}
    notes: dict[Job, str] = {}
    for number in range(rounds):
        for job in planned:
            cost = share = None
            try:
                cost, share = bench.run(job)
            except PeerError as error:
                notes[job] = str(error)
            costs[job].append(cost)
            shares[job].append(share)
            took = f"{cost.cpu_us:.2f} us" if cost else notes[job]
            print(f"round {number + 1}: {job.case}, {job.model}, {job.features} features: {took}", flush=True)
        limits = {(job.model, job.features): costs[job] for job in planned if job.group == "limit"}
        yield [_row(job, costs[job], shares[job], limits, notes.get(job)) for job in planned]


def _row(
    job: Job, costs: list[Cost | None], shares: list[float | None], limits: dict[Any, list[Cost | None]], note: str | None
) -> dict[str, Any]:
    limit = limits.get((tables.LIMIT_OF.get(job.model, job.model), job.features), [None] * len(costs))
    own = [bare and cost and bare.cpu_us / cost.cpu_us for bare, cost in zip(limit, costs, strict=True)]
    more: dict[str, Any] = {"note": note} if note else {}
    if job.peer is not None:
        more["lines"] = lines_of((FOLDER / f"{job.peer.module}.py").read_text())
    elif job.group != "limit":
        more["lines"] = lines_of(inspect.getsource(pipeline))
        more["of_whole_rounds"] = shares if job.group == "off" else None
    ratios = shares if job.group == "worker" else own
    return tables.row_of(job.case, job.model, job.features, job.events, costs, ratios, machine=machine(), **more)


def where() -> str:
    return {"compiled": "compiled code"}.get(in_use(), in_use())


@functools.cache
def machine() -> str:
    """Where it was measured, and with what."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(": ")[2] for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    packages = ", ".join(f"{name} {version(name)}" for name in ("river", "confluent-kafka", "numpy"))
    cores = f"{os.cpu_count()} cores of {names[0] if names else platform.machine()}"
    return f"{cores}, Python {platform.python_version()}, {packages}; QuickTree and adaptive_classifier() compute in {where()}"


def main() -> None:
    """Measure, and write what was asked for."""
    arguments = _arguments()
    if arguments.rows:
        rows = tables.joined([json.loads(file.read_text()) for file in arguments.rows])
    else:
        groups = arguments.case or [group for group in GROUPS if group != "peers" or arguments.peers]
        features = arguments.features or ([FEATURES] if arguments.quick else [FEATURES, WIDE])
        planned = jobs(groups, arguments.model, features, QUICK if arguments.quick else 1)
        if arguments.quick:  # starting a process takes longer than its events
            planned = [job for job in planned if job.off in (ON, NOTHING_ON)]
        with (
            tempfile.TemporaryDirectory() as folder,
            LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack,
        ):
            bench = Bench(stack.bootstrap_servers, stack.redis_url, Path(folder), alone=not arguments.quick)
            bench.prepare(planned)
            for rows in measured(bench, planned, arguments.rounds or (1 if arguments.quick else ROUNDS)):
                _keep(rows, arguments.json)
            for job in planned if arguments.profile else ():
                if job.group == "worker":
                    bench.profile(job, arguments.profile)
    print(tables.summary(rows))
    print("\n".join(map(str, tables.must_show(rows))))
    if arguments.plot:
        arguments.plot.write_text(plot(rows))
    if arguments.markdown:
        picture = os.path.relpath(arguments.plot, arguments.markdown.parent) if arguments.plot else None
        tables.into_page(arguments.markdown, tables.markdown(rows, picture))


def _keep(rows: list[dict[str, Any]], file: Path | None) -> None:
    if file:
        file.write_text(json.dumps(rows, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The worker beside the bare River loop, and beside its peers.")
    parser.add_argument("--quick", action="store_true", help="few events, one round, 8 features: a smoke test, not a measurement")
    parser.add_argument("--peers", action="store_true", help="run the peers too, which are installed to build/peers")
    parser.add_argument("--case", action="append", choices=GROUPS, help="only these cases (may be given more than once)")
    parser.add_argument("--model", action="append", default=[], metavar="TEXT", help="only models with this in their name")
    parser.add_argument("--features", action="append", type=int, choices=(FEATURES, WIDE), help="only events of so many numbers")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default {ROUNDS}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    again = "run nothing: take the rows from there (more than once: of a row that is in several, the last)"
    parser.add_argument("--from", dest="rows", action="append", type=Path, metavar="FILE", help=again)
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, between the marks if the page has them")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw CPU an event there, as SVG")
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="also profile each worker, a .prof file a model")
    return parser.parse_args()


if __name__ == "__main__":
    main()

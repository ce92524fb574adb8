"""What `benchmarks.throughput` runs in processes of their own: the bare River loop, and the whole worker with parts of it switched off.

Both learn the same events in the same order, with a model for each partition. The worker may have a *twin*: after each batch that a shard
has learned, the bare loop learns the same events in the same process, on models of its own. What the twin took is not counted as the
worker's. Worker and twin then had the same machine at the same moment.
"""

from __future__ import annotations

import cProfile
import dataclasses
import gc
import itertools
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis
from river import drift, metrics
from river.datasets import synth

from benchmarks.peers.common import cpu_s, in_order, rows_of
from benchmarks.peers.river_models import RIVER_MODELS
from benchmarks.plain_producer import plain_clients
from stream_retrain import Ignore, On, Pipeline, Schema, Watch
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.compose import run_pipeline
from stream_retrain.engines.collector import spare_the_collector
from stream_retrain.engines.kafka.clients import confluent_clients
from stream_retrain.facts.worker import Assigned, Checkpointed, Committed, Processed, WorkerFact, WorkerStateChanged
from stream_retrain.models import QuickTree, adaptive_classifier
from stream_retrain.settings import Settings

__all__ = ["COMPILED", "FEATURES", "MODELS", "OFF", "PARTITIONS", "SMALL_MODELS", "Cost", "Task", "bare", "pipeline", "stream", "worker"]

FEATURES: Final = 8
PARTITIONS: Final = 4
COMPILED: Final[dict[str, Callable[[], Any]]] = {"QuickTree": QuickTree, "adaptive_classifier()": adaptive_classifier}
MODELS: Final[dict[str, Callable[[], Any]]] = {**RIVER_MODELS, **COMPILED}
SMALL_MODELS: Final = {name: RIVER_MODELS[name] for name in ("StandardScaler | LogisticRegression", "HoeffdingTreeClassifier")}
"""What other benchmarks run."""
KEYRING: Final = Keyring(keys=(Key(id="bench", secret=b"0" * 32),))
NO_WATCH: Final[dict[str, Any]] = {"watch": [], "react": []}
NO_WINDOW: Final[dict[str, Any]] = {"window_rows_max": 0}
NO_CHECKPOINTS: Final[dict[str, Any]] = {"checkpoint_events": 1_000_000_000, "checkpoint_interval_s": 86_400.0}
NO_HTTP: Final[dict[str, Any]] = {"http": False}


class Off(NamedTuple):
    """A worker with a part of it switched off: fields of the pipeline, settings, and whether there are transactions."""

    declared: dict[str, Any] = {}  # noqa: RUF012 - never written to
    settings: dict[str, Any] = {}  # noqa: RUF012
    transactions: bool = True


OFF: Final = {
    "everything on": Off(),
    "without ADWIN": Off(NO_WATCH),
    "without window": Off(NO_WINDOW),
    "without checkpoints": Off({}, NO_CHECKPOINTS),
    "without HTTP": Off({}, NO_HTTP),
    "without transactions": Off({}, {}, False),
    "without all of these": Off(NO_WATCH | NO_WINDOW, NO_CHECKPOINTS | NO_HTTP, False),
}
"""What can be switched off from outside. Decoding, scoring, the encoded prediction and the counting of metrics cannot."""


class Cost(NamedTuple):
    """What a case took for each event, in microseconds."""

    cpu_us: float
    wall_us: float
    twin_us: float = 0.0
    """CPU time of the twin, which is not part of `cpu_us`."""
    checkpoint_us: float = 0.0
    """What is in `cpu_us` for checkpoints that were due and did not come, because the case was too short."""


def stream(events: int, features: int = FEATURES) -> list[dict[str, Any]]:
    """A rotating hyperplane, as records."""
    pairs = synth.Hyperplane(seed=7, n_features=features, n_drift_features=2).take(events)
    return [{"id": f"e{number}", "y": bool(y), **{f"f{name}": value for name, value in x.items()}} for number, (x, y) in enumerate(pairs)]


def pipeline(model: str, source: str, features: int = FEATURES, **declared: Any) -> Pipeline:
    """The benchmark's pipeline: everything on; a drift is decided on but resets nothing, so that all cases have the same model to pay."""
    fields: dict[str, Any] = {"watch": [Watch("error", drift.ADWIN())], "react": [On.drift("error", Ignore())], **declared}
    return Pipeline(
        name=f"bench-{uuid.uuid4().hex[:8]}",
        task="binary",
        source=source,
        schema=Schema(id="id", label="y", features={f"f{name}": float for name in range(features)}),
        model=MODELS[model](),
        **fields,
    )


class Bare:
    """The bare River loop of one partition, a stretch at a time."""

    def __init__(self, model: str) -> None:
        self._learner, self._metric = MODELS[model](), metrics.Accuracy()
        self.cpu_s = 0.0

    def run(self, events: Sequence[tuple[dict[str, float], bool]]) -> None:
        """Take events, and the CPU time of this thread for it."""
        learner, metric = self._learner, self._metric
        began = time.thread_time()
        for x, y in events:
            y_pred = learner.predict_one(x)
            if y_pred is not None:
                metric.update(y, y_pred)
            learner.learn_one(x, y)
        self.cpu_s += time.thread_time() - began


def bare(model: str, file: Path, events: int) -> Cost:
    """The limit: River alone, on decoded dicts, with the worker's settings of Python's collector."""
    chunks = list(in_order(rows_of(file, events), PARTITIONS))
    loops = [Bare(model) for _ in range(PARTITIONS)]
    gc.collect()
    spare_the_collector()
    wall = time.perf_counter()
    for partition, chunk in chunks:
        loops[partition].run(chunk)
    return Cost(sum(loop.cpu_s for loop in loops) * 1e6 / events, (time.perf_counter() - wall) * 1e6 / events)


class Twin:
    """The bare loops beside a worker."""

    def __init__(self, model: str, file: Path, events: int) -> None:
        rows = rows_of(file, events)
        self._coming = [iter(rows[partition::PARTITIONS]) for partition in range(PARTITIONS)]
        self._loops = [Bare(model) for _ in range(PARTITIONS)]

    def follow(self, fact: Processed) -> None:
        """Learn what a shard has just learned."""
        partition = fact.shard.partition
        self._loops[partition].run(list(itertools.islice(self._coming[partition], fact.records)))

    @property
    def cpu_s(self) -> float:
        return sum(loop.cpu_s for loop in self._loops)


class Clock:
    """The time of a worker from its first partition to its last commit, and then of the checkpoints with which it ends."""

    def __init__(self, events: int, twin: Twin | None) -> None:
        self._events, self.twin = events, twin
        self._committed: dict[Any, int] = {}
        self.began: tuple[float, float] | None = None
        self.ended: tuple[float, float] | None = None
        self.checkpoints = 0
        self._ending: defaultdict[str, list[float]] = defaultdict(list)

    def tell(self, fact: WorkerFact) -> None:
        match fact:
            case Processed() if self.twin:
                self.twin.follow(fact)
            case Assigned() if self.began is None:
                self.began = (cpu_s(), time.perf_counter())
            case Committed() if self.ended is None:
                self._committed.update(fact.offsets)
                if sum(self._committed.values()) >= self._events:
                    self.ended = (cpu_s(), time.perf_counter())
            case Checkpointed() if self.ended is None:
                self.checkpoints += fact.offset > 0  # a new shard is saved at once
            case Checkpointed():
                self._ending["saved"].append(cpu_s())
            case WorkerStateChanged(state="draining"):
                self._ending["draining"].append(cpu_s())

    def cost(self, checkpoint_events: int) -> Cost:
        """Of each event. A checkpoint is due each `checkpoint_events` of a shard; one that did not come is charged as those at the end."""
        assert self.began is not None
        assert self.ended is not None
        events, saved, twin_s = self._events, self._ending["saved"], self.twin.cpu_s if self.twin else 0.0
        each_s = (saved[-1] - self._ending["draining"][0]) / len(saved) if saved else 0.0
        charged_s = each_s * max(0.0, events / checkpoint_events - self.checkpoints)
        own_s, wall_s = (end - begin - twin_s for begin, end in zip(self.began, self.ended, strict=True))
        return Cost(*(each * 1e6 / events for each in (own_s + charged_s, wall_s + charged_s, twin_s, charged_s)))


class Task(NamedTuple):
    """What a worker is run on: a topic that holds just the events of a file."""

    model: str
    source: str
    file: Path
    events: int
    features: int = FEATURES


def worker(task: Task, off: str, settings: Settings, twinned: bool, profile: Path | None = None) -> Cost:
    """The whole worker, but for what `off` names; `profile`: write a profile of its thread there."""
    from stream_retrain.engines.kafka import worker as module

    switched = OFF[off]
    if not switched.transactions:
        assert vars(module)["confluent_clients"] is confluent_clients, "the worker takes its clients elsewhere"
        vars(module)["confluent_clients"] = plain_clients
    twin = Twin(task.model, task.file, task.events) if twinned else None
    clock = Clock(task.events, twin)
    settings = dataclasses.replace(settings, **switched.settings)
    declared = pipeline(task.model, task.source, task.features, **switched.declared)
    profiler = cProfile.Profile()
    gc.collect()
    if profile:
        profiler.enable()
    run_pipeline(declared, settings, KEYRING, lambda: clock.ended is not None, watching=clock.tell)
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)
    with redis.Redis.from_url(settings.redis_url) as client:
        for key in client.scan_iter(f"sr:{{{declared.name}/*"):
            client.delete(key)
    return clock.cost(settings.checkpoint_events)

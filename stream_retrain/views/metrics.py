"""Prometheus metrics of a worker: a fold over its facts, read when Prometheus asks.

The fold counts in plain dicts, once a batch and not once an event; a custom collector turns them into families at a scrape. No
name is generated, every label set is bounded: by the partitions assigned, the watches declared and the closed sets of reasons. Which
counter a rare fact raises is declared with the fact; what a family means, in the catalogue.

What is said of a shard is kept for each shard, and goes when the shard does. What the observation of a second says takes the place of
what that of the second before said, so a metric that has no value now, or a duel that is over, is absent. Counters stay: what was
counted of a shard remains true when it is another worker's.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import threading
import time
import typing
from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from stream_retrain.facts.doors import RequestsRead, RequestTopicChanged
from stream_retrain.facts.kept import CopiesDropped, CopiesWait, CopyFact, CopyKept, VersionsKnown
from stream_retrain.facts.memory import MemoryHigh
from stream_retrain.facts.scheduled import ScheduleMissed
from stream_retrain.facts.shard import DriftDetected, LeadChanged, ModelPromoted, ModelReset, TrainingRequested
from stream_retrain.facts.telling import counted_labels
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import (
    ArtifactsEvicted,
    Assigned,
    CallbacksChanged,
    CallbacksTold,
    Checkpointed,
    CheckpointFailed,
    Committed,
    GroupSeen,
    LabelsRelayed,
    Lagging,
    Observed,
    Processed,
    RelayChanged,
    Released,
    Restored,
    Retrying,
    ShardHeld,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TrainingWaits,
    TransactionAborted,
    WentLive,
    WindowCleared,
    WindowRefilled,
    WorkerFact,
    WorkerStateChanged,
)
from stream_retrain.views.beside import Beside, count_beside
from stream_retrain.views.catalogue import CATALOGUE, STATES
from stream_retrain.views.families import Histograms, PipelineLabels, exposed, infos, known_of_shard, known_of_worker
from stream_retrain.views.histogram import Histogram
from stream_retrain.views.standing import Gauges, standing_of

__all__ = ["Metrics", "PipelineLabels"]

DRIFT_SHOWN_S: Final = 60.0
"""A drift is one event among thousands: its state is held for as long as the rarest usual scrape interval, so that a scrape sees it."""
STAGES: Final = ("process", "commit", "checkpoint")
_Key: TypeAlias = tuple[str, tuple[str, ...]]
_DECISIONS: Final = frozenset(family.name for family in CATALOGUE if family.kind == "counter" and family.labels[:1] == ("partition",))


@dataclasses.dataclass(slots=True)
class _Shard:
    """What is known of a shard of this worker: until it goes, and until it is next observed."""

    kept: Gauges = dataclasses.field(default_factory=dict)
    seen: Gauges = dataclasses.field(default_factory=dict)
    drifts_s: dict[tuple[str, str], float] = dataclasses.field(default_factory=dict)
    """When each watch last detected a drift, on the monotonic clock."""
    stamped_s: float = math.nan
    """Kafka's timestamp of the newest record processed."""
    waits_since_s: float | None = None
    """Since when a training waits for a trainer, on the monotonic clock; None: it does not, or not for long."""


class Metrics:
    """Folds worker facts into counts and last values; `render` is what `/metrics` answers."""

    def __init__(self, pipeline: PipelineLabels, release: str) -> None:
        self._pipeline = pipeline
        self._release = release
        self._lock = threading.Lock()
        self._counts: collections.defaultdict[_Key, float] = collections.defaultdict(float, dict.fromkeys(known_of_worker(pipeline), 0.0))
        self._gauges: Gauges = {("worker_state", ()): 0}
        for metric, bigger_is_better in pipeline.metrics:
            self._gauges["quality_bigger_is_better", (metric,)] = float(bigger_is_better)
            self._counts["metric_failures", (metric,)] = 0
        histograms = {family.name: family.buckets for family in CATALOGUE if family.kind == "histogram"}
        self._stages = {stage: Histogram(histograms["stage_duration_seconds"]) for stage in STAGES}
        self._delays = Histogram(histograms["label_delay_seconds"])
        self._trainings = Histogram(histograms["training_duration_seconds"])
        self._call_bounds = histograms["callback_duration_seconds"]
        self._calls: dict[str, Histogram] = {}
        self._newest_s = -math.inf
        self._shards: dict[ShardId, _Shard] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collected(self))
        ProcessCollector(registry=self._registry)

    def __call__(self, fact: WorkerFact) -> None:
        """Take one fact."""
        with self._lock:
            self._take(fact)

    def render(self, accept: str) -> tuple[str, bytes]:
        """The exposition that a scraper's Accept header asks for: content type and body."""
        started_s = time.perf_counter()
        encode, content_type = choose_encoder(accept)
        body = encode(self._registry)
        with self._lock:
            self._counts["scrapes", ()] += 1
            self._counts["scrape_seconds", ()] += time.perf_counter() - started_s
        return content_type, body

    def _take(self, fact: WorkerFact) -> None:
        match fact:
            case Processed():
                self._processed(fact)
            case Observed():
                self._observed(fact)
            case Lagging() | TrainerTold() | TrainingWaits() | GroupSeen() | ScheduleMissed():
                self._measured(fact)
            case Committed():
                self._count("transactions", "committed")
                self._counts["outputs_committed", ()] += fact.outputs
                self._stages["commit"].observe(fact.seconds)
            case TransactionAborted():
                self._count("transactions", "aborted")
            case Assigned() | Released():
                self._moved(fact)
            case WorkerStateChanged():
                self._gauges["worker_state", ()] = STATES.index(fact.state)
            case Retrying():
                self._gauges["worker_state", ()] = STATES.index("degraded")
                self._count("restarts")
                self._shards.clear()
            case Checkpointed() | CheckpointFailed() | ArtifactsEvicted() | StoreLost() | StoreRegained() | WindowRefilled():
                self._stored(fact)
            case CopyKept() | CopiesDropped() | CopiesWait() | MemoryHigh():
                self._copied(fact)
            case Restored():
                self._count("restores", fact.how)
                self._gauges["store_up", ()] = 1
                self._counts["questions_dropped", ()] += fact.questions_dropped or 0
            case LabelsRelayed() | RelayChanged() | CallbacksTold() | CallbacksChanged() | RequestsRead() | RequestTopicChanged():
                self._beside(fact)
            case WentLive() | WindowCleared() | ShardHeld() | VersionsKnown():
                pass
            case _:
                typing.assert_never(fact)

    def _count(self, name: str, *labels: str) -> None:
        self._counts[name, labels] += 1

    def _moved(self, fact: Assigned | Released) -> None:
        if isinstance(fact, Released):
            self._count("rebalances", fact.how)
            self._shards.pop(fact.shard, None)
            return
        self._count("rebalances", "assigned")
        partition = (str(fact.shard.partition),)
        kept = self._shard(fact.shard).kept
        kept["checkpoint_last_success_timestamp_seconds", partition] = time.time()
        kept["last_drift_timestamp_seconds", partition] = kept["model_last_change_timestamp_seconds", partition] = 0
        self._counts["records_consumed", _place(fact.shard)] += 0
        for key in known_of_shard(self._pipeline, partition[0]):
            self._counts[key] += 0

    def _measured(self, fact: Lagging | TrainerTold | TrainingWaits | GroupSeen | ScheduleMissed) -> None:
        match fact:
            case Lagging():
                self._shard(fact.shard).kept["consumer_lag_records", _place(fact.shard)] = fact.records
            case TrainingWaits():
                self._shard(fact.shard).waits_since_s = time.monotonic() - fact.waited_s
            case TrainerTold():
                shard = self._shard(fact.shard)
                shard.kept["training_rows", (str(fact.shard.partition),)] = fact.rows
                shard.waits_since_s = None
                if fact.seconds is not None:
                    self._trainings.observe(fact.seconds)
            case ScheduleMissed():
                self._counts["schedules_missed", ()] += fact.count
            case GroupSeen():
                self._gauges["source_partitions", ()] = fact.partitions
                self._gauges["unowned_partitions", ()] = fact.unowned

    def _stored(self, fact: Checkpointed | CheckpointFailed | ArtifactsEvicted | StoreLost | StoreRegained | WindowRefilled) -> None:
        match fact:
            case Checkpointed():
                self._count("checkpoints")
                self._gauges["store_up", ()] = 1
                self._stages["checkpoint"].observe(fact.seconds)
                kept, partition = self._shard(fact.shard).kept, (str(fact.shard.partition),)
                kept["checkpoint_last_success_timestamp_seconds", partition] = fact.at_s
                kept["checkpoint_size_bytes", partition] = fact.bytes
            case CheckpointFailed():
                self._count("checkpoint_failures")
            case ArtifactsEvicted():
                self._counts["artifacts_evicted", ()] += fact.artifacts
                self._counts["artifacts_evicted_bytes", ()] += fact.bytes
            case StoreLost():
                self._count("store_outages")
                self._gauges["store_up", ()] = 0
            case StoreRegained():
                self._gauges["store_up", ()] = 1
            case WindowRefilled():
                self._count("window_refills")

    def _copied(self, fact: CopyFact | MemoryHigh) -> None:
        match fact:
            case MemoryHigh():
                self._count("memory_high")
                self._gauges["memory_max_bytes", ()] = fact.bytes_max
            case CopyKept():
                self._count("model_copies_kept")
            case CopiesDropped():
                self._counts["model_copies_dropped", ()] += fact.copies
            case CopiesWait():
                self._shard(fact.shard).kept["model_copies_waiting", (str(fact.shard.partition),)] = fact.waiting
                self._counts["model_copy_failures", ()] += bool(fact.error)

    def _beside(self, fact: Beside) -> None:
        """What goes on beside the worker's loop."""
        count_beside(fact, self._counts, self._gauges)
        for told in fact.handlers if isinstance(fact, CallbacksTold) else ():
            self._calls.setdefault(told.name, Histogram(self._call_bounds)).observe_all(told.seconds)

    def _processed(self, fact: Processed) -> None:
        counts, shard, partition = self._counts, self._shard(fact.shard), str(fact.shard.partition)
        counts["records_consumed", _place(fact.shard)] += fact.records
        self._stages["process"].observe(fact.seconds)
        if fact.stamped_s >= 0:
            shard.stamped_s = fact.stamped_s
        if fact.replayed:
            counts["events_replayed", ()] += fact.records
            return
        counts["events_predicted", ()] += fact.predicted
        counts["events_learned", ()] += fact.learned
        self._delays.observe_all(fact.delays_s)
        self._newest_s = max(self._newest_s, fact.newest_time_s)
        for rare in fact.facts:
            name, labels = rare.counted.name, counted_labels(rare)
            counts[name, (partition, *labels) if name in _DECISIONS else labels] += 1
            match rare:
                case DriftDetected():
                    shard.drifts_s[rare.detector, rare.signal] = time.monotonic()
                    shard.kept["last_drift_timestamp_seconds", (partition,)] = time.time()
                case ModelReset() | ModelPromoted() | LeadChanged():
                    shard.kept["model_last_change_timestamp_seconds", (partition,)] = time.time()
                case TrainingRequested():
                    shard.kept["training_rows", (partition,)] = 0

    def _observed(self, fact: Observed) -> None:
        shard = self._shard(fact.shard)
        shard.seen = standing_of(fact)
        if fact.observation.training is None:
            shard.waits_since_s = None
        members = fact.observation.members
        for member in members.members if members is not None else ():
            self._counts["member_restarts", (str(fact.shard.partition), member)] += 0

    def _shard(self, id_: ShardId) -> _Shard:
        return self._shards.setdefault(id_, _Shard())

    def _now(self) -> Iterator[tuple[_Key, float]]:
        """Every gauge as it stands now."""
        yield from self._gauges.items()
        yield ("assigned_partitions", ()), len(self._shards)
        if math.isfinite(self._newest_s):
            yield ("last_event_timestamp_seconds", ()), self._newest_s
        for id_, shard in self._shards.items():
            yield from shard.kept.items()
            yield from shard.seen.items()
            waiting = shard.kept.get(("consumer_lag_records", _place(id_)))
            if waiting == 0 or (waiting and math.isfinite(shard.stamped_s)):
                yield ("consumer_lag_seconds", _place(id_)), max(0.0, time.time() - shard.stamped_s) if waiting else 0.0
            waits_s = 0.0 if shard.waits_since_s is None else time.monotonic() - shard.waits_since_s
            yield ("training_waits_seconds", (str(id_.partition),)), waits_s
            for watch, drifted_s in shard.drifts_s.items():
                if time.monotonic() - drifted_s <= DRIFT_SHOWN_S:
                    yield ("drift_state", (str(id_.partition), *watch)), 2.0

    def families(self) -> Iterator[Any]:
        """The metric families now."""
        with self._lock:
            values = {**self._counts, **dict(self._now())}
            stages = [((stage,), each.copy()) for stage, each in self._stages.items()]
            delays, trainings = self._delays.copy(), self._trainings.copy()
            calls = [((name,), each.copy()) for name, each in self._calls.items()]
        histograms: Histograms = {
            "stage_duration_seconds": stages,
            "label_delay_seconds": [((), delays)],
            "training_duration_seconds": [((), trainings)],
            "callback_duration_seconds": calls,
        }
        yield from infos(self._pipeline, self._release)
        yield from exposed(self._pipeline.name, values, histograms)


class _Collected(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Any]:
        return self._metrics.families()


def _place(shard: ShardId) -> tuple[str, str]:
    return shard.topic, str(shard.partition)

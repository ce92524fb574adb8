"""Prometheus metrics of a worker: a fold over its facts, read when Prometheus asks.

The fold counts in plain dicts, once a batch and not once an event; a custom collector turns them into families at a scrape. No
name is generated, every label set is bounded: by the partitions assigned, the watches declared and the closed sets of reasons. Which
counter a rare fact raises is declared with the fact; what a family means, in the catalogue.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import platform
import threading
import time
import typing
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from stream_retrain.facts.duel import DuelResult, LeadCause
from stream_retrain.facts.observation import Standing
from stream_retrain.facts.policy import DecisionOutcome
from stream_retrain.facts.records import RejectReason, UnmatchedReason
from stream_retrain.facts.shard import DriftDetected, LeadChanged, ModelReset
from stream_retrain.facts.telling import counted_labels
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import (
    Assigned,
    Checkpointed,
    CheckpointFailed,
    Committed,
    Lagging,
    Observed,
    Processed,
    Released,
    Restored,
    RestoredFrom,
    Retrying,
    StoreLost,
    StoreRegained,
    TrainerTold,
    TransactionAborted,
    WentLive,
    WindowCleared,
    WindowRefilled,
    WorkerFact,
    WorkerStateChanged,
)
from stream_retrain.views.catalogue import CATALOGUE, HISTOGRAMS, PREFIX, STATES
from stream_retrain.views.histogram import Histogram

__all__ = ["Metrics", "PipelineLabels"]

MEMBERS_MAX: Final = 20
_Key: TypeAlias = tuple[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PipelineLabels:
    """What is known of a pipeline beforehand, so that each counter is there from the start and its first increase is seen."""

    name: str
    task: str
    topic: str
    model: str
    watches: tuple[tuple[str, str], ...] = ()
    """Detector and signal of each."""
    reactions: tuple[str, ...] = ()


class Metrics:
    """Folds worker facts into counts and last values; `render` is what `/metrics` answers."""

    def __init__(self, pipeline: PipelineLabels, release: str) -> None:
        self._pipeline = pipeline
        self._release = release
        self._lock = threading.Lock()
        self._counts: collections.Counter[_Key] = collections.Counter(dict.fromkeys(_known(pipeline), 0))
        self._gauges: dict[_Key, float] = {("worker_state", ()): 0, ("last_drift_timestamp_seconds", ()): 0}
        self._histograms = {name: Histogram(bounds) for name, (_, bounds) in HISTOGRAMS.items()}
        self._newest_s = -math.inf
        self._assigned: set[ShardId] = set()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collected(self))

    def __call__(self, fact: WorkerFact) -> None:
        """Take one fact."""
        with self._lock:
            self._take(fact)

    def render(self, accept: str) -> tuple[str, bytes]:
        """The exposition that a scraper's Accept header asks for: content type and body."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)

    def _take(self, fact: WorkerFact) -> None:
        match fact:
            case Processed():
                self._processed(fact)
            case Observed():
                self._observed(fact)
            case Lagging() | TrainerTold():
                self._measured(fact)
            case Committed():
                self._count("transactions", "committed")
                self._histograms["commit_duration_seconds"].observe(fact.seconds)
            case TransactionAborted():
                self._count("transactions", "aborted")
            case Assigned():
                self._count("rebalances", "assigned")
                self._assigned.add(fact.shard)
                self._counts["records_consumed", _place(fact.shard)] += 0
            case Released():
                self._count("rebalances", fact.how)
                self._forget(fact.shard)
            case WorkerStateChanged():
                self._gauges["worker_state", ()] = STATES.index(fact.state)
            case Retrying():
                self._gauges["worker_state", ()] = STATES.index("degraded")
                self._count("restarts")
                for shard in list(self._assigned):
                    self._forget(shard)
            case Checkpointed() | CheckpointFailed() | StoreLost() | StoreRegained() | WindowRefilled():
                self._stored(fact)
            case Restored():
                self._count("restores", fact.how)
                self._gauges["store_up", ()] = 1
                self._counts["questions_dropped", ()] += fact.questions_dropped or 0
            case WentLive() | WindowCleared():
                pass
            case _:
                typing.assert_never(fact)

    def _count(self, name: str, *labels: str) -> None:
        self._counts[name, labels] += 1

    def _measured(self, fact: Lagging | TrainerTold) -> None:
        if isinstance(fact, Lagging):
            self._gauges["consumer_lag_records", _place(fact.shard)] = fact.records
        else:
            self._gauges["training_rows", (str(fact.shard.partition),)] = fact.rows

    def _stored(self, fact: Checkpointed | CheckpointFailed | StoreLost | StoreRegained | WindowRefilled) -> None:
        match fact:
            case Checkpointed():
                self._count("checkpoints")
                self._gauges["store_up", ()] = 1
                self._histograms["checkpoint_duration_seconds"].observe(fact.seconds)
                self._gauges["checkpoint_last_success_timestamp_seconds", ()] = fact.at_s
                self._gauges["checkpoint_size_bytes", ()] = fact.bytes
            case CheckpointFailed():
                self._count("checkpoint_failures")
            case StoreLost():
                self._count("store_outages")
                self._gauges["store_up", ()] = 0
            case StoreRegained():
                self._gauges["store_up", ()] = 1
            case WindowRefilled():
                self._count("window_refills")

    def _processed(self, fact: Processed) -> None:
        counts = self._counts
        counts["records_consumed", _place(fact.shard)] += fact.records
        if fact.replayed:
            counts["events_replayed", ()] += fact.records
            return
        counts["events_predicted", ()] += fact.predicted
        counts["events_learned", ()] += fact.learned
        self._newest_s = max(self._newest_s, fact.newest_time_s)
        for rare in fact.facts:
            counts[rare.counted.name, counted_labels(rare)] += 1
            if isinstance(rare, DriftDetected):
                self._gauges["last_drift_timestamp_seconds", ()] = time.time()
            elif isinstance(rare, ModelReset | LeadChanged):
                self._gauges["model_last_change_timestamp_seconds", ()] = time.time()

    def _observed(self, fact: Observed) -> None:
        seen, partition, gauges = fact.observation, (str(fact.shard.partition),), self._gauges
        gauges["consumer_offset", _place(fact.shard)] = fact.offset
        gauges["model_generation", partition] = seen.generation
        gauges["pending_labels", partition] = seen.pending
        gauges["replay_debt_records", partition] = fact.replay_debt
        for key in [key for key in gauges if key[0] == "quality" and key[1][:1] == partition]:
            del gauges[key]  # a metric that has no value now is absent
        for window, scores in (("cumulative", seen.running), ("rolling", seen.rolling)):
            for metric, value in scores.items():
                self._counts["metric_failures", (metric,)] += 0
                gauges["quality", (*partition, "champion", metric, window)] = value
        for (signal, detector), reading in seen.readings.items():
            labels = (*partition, detector, signal)
            gauges["drift_state", labels] = 1.0 if reading.warning else 0.0
            for name in ("statistic", "threshold", "estimate"):
                if (value := getattr(reading, name)) is not None:
                    gauges[f"drift_{name}", labels] = value
            if reading.width is not None:
                gauges["drift_window_events", labels] = reading.width
        gauges["duel_active", partition] = float(seen.duel is not None)
        gauges["training_active", partition] = float(seen.training is not None)
        self._weigh(partition, seen.members)

    def _weigh(self, partition: tuple[str], standing: Standing | None) -> None:
        """The members of the model that serves now, and of no earlier one."""
        shown = list(zip(standing.members, standing.weights, strict=True))[:MEMBERS_MAX] if standing is not None else []
        names = {member for member, _ in shown}
        for key in [key for key in self._gauges if key[0] == "member_weight" and key[1][:1] == partition and key[1][1] not in names]:
            del self._gauges[key]
        for member, weight in shown:
            self._gauges["member_weight", (*partition, member)] = weight
            self._counts["member_restarts", (member,)] += 0

    def _forget(self, shard: ShardId) -> None:
        self._assigned.discard(shard)
        partition = str(shard.partition)
        for key in [key for key in self._gauges if key[1][:1] == (partition,) or key[1] == _place(shard)]:
            del self._gauges[key]

    def families(self) -> Iterator[Any]:
        """The metric families now."""
        with self._lock:
            counts, gauges = dict(self._counts), dict(self._gauges)
            gauges["assigned_partitions", ()] = len(self._assigned)
            if math.isfinite(self._newest_s):
                gauges["last_event_timestamp_seconds", ()] = self._newest_s
            histograms = {name: (each.buckets(), each.total) for name, each in self._histograms.items()}
        name = self._pipeline.name
        yield from self._infos()
        for family in CATALOGUE:
            values, made = (counts, CounterMetricFamily) if family.kind == "counter" else (gauges, GaugeMetricFamily)
            metric: Any = made(PREFIX + family.name, family.meaning, labels=["pipeline", *family.labels])
            for (key, held), value in values.items():
                if key == family.name:
                    metric.add_metric([name, *held], value)
            yield metric
        for key, (buckets, total) in histograms.items():
            histogram = HistogramMetricFamily(PREFIX + key, HISTOGRAMS[key][0], labels=["pipeline"])
            histogram.add_metric([name], buckets=buckets, sum_value=total)
            yield histogram

    def _infos(self) -> Iterator[Any]:
        build = {"version": self._release, "python": platform.python_version(), "river": version("river")}
        yield InfoMetricFamily(PREFIX + "build", "versions of the running worker", value=build)
        pipeline = self._pipeline
        static = {"pipeline": pipeline.name, "task": pipeline.task, "topic": pipeline.topic, "model": pipeline.model}
        yield InfoMetricFamily(PREFIX + "pipeline", "static facts for joins", value=static)


class _Collected(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Any]:
        return self._metrics.families()


def _known(pipeline: PipelineLabels) -> Iterator[_Key]:
    """Every label set of a counter that is known beforehand, so that `increase()` sees the first of each."""
    closed = {
        "transactions": ("committed", "aborted"),
        "rebalances": ("assigned", "revoked", "lost"),
        "dead_letters": typing.get_args(RejectReason),
        "labels_unmatched": typing.get_args(UnmatchedReason),
        "duels_ended": typing.get_args(DuelResult),
        "lead_changes": typing.get_args(LeadCause),
        "trainings": ("requested", "joined", "failed"),
        "restores": typing.get_args(RestoredFrom),
    }
    yield from ((name, (value,)) for name, values in closed.items() for value in values)
    for name in ("drift_detected", "drift_warnings", "detector_failures"):
        yield from ((name, watch) for watch in pipeline.watches)
    yield from (("policy_decisions", (reaction, each)) for reaction in pipeline.reactions for each in typing.get_args(DecisionOutcome))
    yield from ((family.name, ()) for family in CATALOGUE if family.kind == "counter" and not family.labels)


def _place(shard: ShardId) -> tuple[str, str]:
    return shard.topic, str(shard.partition)

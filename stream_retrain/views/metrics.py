"""Prometheus metrics of a worker: a fold over its facts, read when Prometheus asks.

The fold counts in plain dicts, once a batch and not once an event; a custom collector turns them into families at a scrape. No
name is generated, every label set is bounded: by the partitions assigned, the watches declared and the closed sets of reasons.

Quality, generation and drift carry the label `partition`, because a shard (one partition) has a model of its own, and a mean
over shards would hide the one that drifted.
"""

from __future__ import annotations

import collections
import math
import platform
import threading
import time
import typing
from collections.abc import Iterator
from typing import Any, Final

import river
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from stream_retrain.core.duel import DuelEnded, DuelStarted, LeadChanged
from stream_retrain.core.messages import (
    ChallengerJoined,
    Decided,
    DriftDetected,
    LeaderChanged,
    MemberRestarted,
    ModelReset,
    Rejected,
    RejectReason,
    Requested,
    ShardId,
    TrainingFailed,
    TrainingRequested,
    Unmatched,
    WarningRaised,
)
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.facts import (
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
    WindowRefilled,
    WorkerFact,
    WorkerState,
    WorkerStateChanged,
)

__all__ = ["Metrics"]

PREFIX: Final = "stream_retrain_"
STATES: Final = typing.get_args(WorkerState)
COMMIT_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
CHECKPOINT_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0)
REBALANCES: Final = ("assigned", "revoked", "lost")
OUTCOMES: Final = ("done", "ignored", "cooldown", "in_duel", "in_training")
DUEL_RESULTS: Final = ("promoted", "kept", "undecided")
LEAD_CAUSES: Final = ("evidence", "failure")
TRAINING_OUTCOMES: Final = {TrainingRequested: "requested", ChallengerJoined: "joined", TrainingFailed: "failed"}
MEMBERS_MAX: Final = 20
UNMATCHED: Final = ("no_question", "expired_age", "expired_rows")


class Histogram:
    """A histogram of plain numbers."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[next((index for index, bound in enumerate(self.bounds) if value <= bound), len(self.bounds))] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus wants them."""
        running, listed = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            running += count
            listed.append((bound, float(running)))
        return listed


class Metrics:
    """Folds worker facts into counts and last values; `render` is what `/metrics` answers."""

    def __init__(self, pipeline: Pipeline, version: str) -> None:
        self._pipeline = pipeline
        self._version = version
        self._lock = threading.Lock()
        self._counts: collections.Counter[tuple[str, tuple[str, ...]]] = collections.Counter()
        self._gauges: dict[tuple[str, tuple[str, ...]], float] = {}
        self._commit = Histogram(COMMIT_BUCKETS_S)
        self._checkpoint = Histogram(CHECKPOINT_BUCKETS_S)
        self._newest_s = -math.inf
        self._assigned: set[ShardId] = set()
        self._start_at_zero()
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
                self._counts["transactions", ("committed",)] += 1
                self._commit.observe(fact.seconds)
            case TransactionAborted():
                self._counts["transactions", ("aborted",)] += 1
            case Assigned():
                self._counts["rebalances", ("assigned",)] += 1
                self._assigned.add(fact.shard)
            case Released():
                self._counts["rebalances", (fact.how,)] += 1
                self._forget(fact.shard)
            case Checkpointed():
                self._counts["checkpoints", ()] += 1
                self._checkpoint.observe(fact.seconds)
                self._gauges["checkpoint_last_success_timestamp_seconds", ()] = fact.at_s
                self._gauges["checkpoint_size_bytes", ()] = fact.bytes
            case CheckpointFailed():
                self._counts["checkpoint_failures", ()] += 1
            case WorkerStateChanged():
                self._gauges["worker_state", ()] = STATES.index(fact.state)
            case Retrying():
                self._gauges["worker_state", ()] = STATES.index("degraded")
                self._counts["restarts", ()] += 1
                for shard in list(self._assigned):
                    self._forget(shard)
            case Restored() | WentLive() | StoreLost() | StoreRegained() | WindowRefilled():
                self._recovering(fact)
            case _:
                typing.assert_never(fact)

    def _measured(self, fact: Lagging | TrainerTold) -> None:
        if isinstance(fact, Lagging):
            self._gauges["consumer_lag_records", _place(fact.shard)] = fact.records
        else:
            self._gauges["training_rows", (str(fact.shard.partition),)] = fact.rows

    def _recovering(self, fact: Restored | WentLive | StoreLost | StoreRegained | WindowRefilled) -> None:
        match fact:
            case Restored():
                self._counts["restores", (fact.how,)] += 1
            case StoreLost():
                self._counts["store_outages", ()] += 1
                self._gauges["store_up", ()] = 0
            case StoreRegained():
                self._gauges["store_up", ()] = 1
            case WindowRefilled():
                self._counts["window_refills", ()] += 1

    def _processed(self, fact: Processed) -> None:
        counts, place = self._counts, _place(fact.shard)
        counts["records_consumed", place] += fact.records
        if fact.replayed:
            counts["events_replayed", ()] += fact.records
            return
        counts["events_predicted", ()] += fact.predicted
        counts["events_learned", ()] += fact.learned
        self._newest_s = max(self._newest_s, fact.newest_time_s)
        for rare in fact.facts:
            if (key := _counted(rare)) is not None:
                counts[key] += 1
            if isinstance(rare, DriftDetected):
                self._gauges["last_drift_timestamp_seconds", ()] = time.time()
            elif isinstance(rare, ModelReset | LeadChanged):
                self._gauges["model_last_change_timestamp_seconds", ()] = time.time()

    def _observed(self, fact: Observed) -> None:
        seen, partition = fact.observation, (str(fact.shard.partition),)
        gauges = self._gauges
        gauges["consumer_offset", _place(fact.shard)] = fact.offset
        gauges["model_generation", partition] = seen.generation
        gauges["pending_labels", partition] = seen.pending
        gauges["replay_debt_records", partition] = fact.replay_debt
        for window, scores in (("cumulative", seen.running), ("rolling", seen.rolling)):
            for metric, value in scores.items():
                gauges["quality", (*partition, "champion", metric, window)] = value
        for (signal, detector), reading in seen.readings.items():
            labels = (*partition, detector, signal)
            gauges["drift_state", labels] = 1.0 if reading.warning else 0.0
            for name in ("statistic", "threshold", "estimate"):
                if (value := getattr(reading, name)) is not None:
                    gauges[f"drift_{name}", labels] = value
            if reading.width is not None:
                gauges["drift_window_events", labels] = reading.width
        gauges["duel_active", partition] = float(seen.dueling)
        gauges["training_active", partition] = float(seen.training is not None)
        if seen.members is not None:
            for member, weight in list(zip(seen.members.members, seen.members.weights, strict=True))[:MEMBERS_MAX]:
                gauges["member_weight", (*partition, member)] = weight

    def _forget(self, shard: ShardId) -> None:
        self._assigned.discard(shard)
        partition = str(shard.partition)
        for key in [key for key in self._gauges if key[1][:1] == (partition,) or key[1] == _place(shard)]:
            del self._gauges[key]

    def _start_at_zero(self) -> None:
        """Every label set known beforehand, so that `increase()` sees the first of each."""
        known: list[tuple[str, tuple[str, ...]]] = [
            *(("transactions", (outcome,)) for outcome in ("committed", "aborted")),
            *(("rebalances", (event,)) for event in REBALANCES),
            *(("dead_letters", (reason,)) for reason in typing.get_args(RejectReason)),
            *(("labels_unmatched", (reason,)) for reason in UNMATCHED),
            *(("drift_detected", (watch.detector_name, watch.signal)) for watch in self._pipeline.watch),
            *(("policy_decisions", (type(rule.do).__name__, outcome)) for rule in self._pipeline.react for outcome in OUTCOMES),
            *((name, ()) for name in ("events_predicted", "events_learned", "events_replayed", "resets", "duels_started")),
            *(("duels_ended", (result,)) for result in DUEL_RESULTS),
            *(("lead_changes", (cause,)) for cause in LEAD_CAUSES),
            *(("drift_warnings", (watch.detector_name, watch.signal)) for watch in self._pipeline.watch),
            *(("trainings", (outcome,)) for outcome in TRAINING_OUTCOMES.values()),
            *((name, ()) for name in ("requests", "member_lead_changes")),
            *((name, ()) for name in ("checkpoints", "checkpoint_failures", "restarts", "store_outages", "window_refills")),
            *(("restores", (how,)) for how in typing.get_args(RestoredFrom)),
        ]
        for key in known:
            self._counts[key] = 0
        self._gauges["worker_state", ()] = 0
        self._gauges["store_up", ()] = 1
        self._gauges["last_drift_timestamp_seconds", ()] = 0

    def families(self) -> Iterator[Any]:
        """The metric families now."""
        with self._lock:
            counts, gauges = dict(self._counts), dict(self._gauges)
            gauges["assigned_partitions", ()] = len(self._assigned)
            if math.isfinite(self._newest_s):
                gauges["last_event_timestamp_seconds", ()] = self._newest_s
            histograms = [
                ("commit_duration_seconds", "Kafka transactions, begin to commit", self._commit.buckets(), self._commit.total),
                ("checkpoint_duration_seconds", "checkpoints, pickled and saved", self._checkpoint.buckets(), self._checkpoint.total),
            ]
        name = self._pipeline.name
        yield from self._infos()
        for family, kind, labels, text in CATALOGUE:
            values, made = (counts, CounterMetricFamily) if kind == "counter" else (gauges, GaugeMetricFamily)
            metric: Any = made(PREFIX + family, text, labels=["pipeline", *labels])
            for (key, held), value in values.items():
                if key == family:
                    metric.add_metric([name, *held], value)
            yield metric
        for family, text, buckets, total in histograms:
            histogram = HistogramMetricFamily(PREFIX + family, text, labels=["pipeline"])
            histogram.add_metric([name], buckets=buckets, sum_value=total)
            yield histogram

    def _infos(self) -> Iterator[Any]:
        build = {"version": self._version, "python": platform.python_version(), "river": river.__version__}
        yield InfoMetricFamily(PREFIX + "build", "versions of the running worker", value=build)
        static = {"task": self._pipeline.task, "topic": self._pipeline.source, "model": type(self._pipeline.model).__name__}
        yield InfoMetricFamily(PREFIX + "pipeline", "static facts for joins", value={"pipeline": self._pipeline.name, **static})


class _Collected(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Any]:
        return self._metrics.families()


def _counted(rare: Any) -> tuple[str, tuple[str, ...]] | None:
    """The counter of a rare fact, with its labels."""
    match rare:
        case Rejected():
            return "dead_letters", (rare.reason,)
        case Unmatched():
            return "labels_unmatched", (rare.reason,)
        case DriftDetected():
            return "drift_detected", (rare.detector, rare.signal)
        case WarningRaised():
            return "drift_warnings", (rare.detector, rare.signal)
        case Requested():
            return "requests", ()
        case Decided():
            return "policy_decisions", (rare.reaction, rare.outcome)
        case ModelReset():
            return "resets", ()
        case DuelStarted():
            return "duels_started", ()
        case LeadChanged():
            return "lead_changes", (rare.cause,)
        case DuelEnded():
            return "duels_ended", (rare.result,)
        case TrainingRequested() | ChallengerJoined() | TrainingFailed():
            return "trainings", (TRAINING_OUTCOMES[type(rare)],)
        case MemberRestarted():
            return "member_restarts", (rare.member,)
        case LeaderChanged():
            return "member_lead_changes", ()
        case _:
            return None


def _place(shard: ShardId) -> tuple[str, str]:
    return shard.topic, str(shard.partition)


CATALOGUE: Final[tuple[tuple[str, str, tuple[str, ...], str], ...]] = (
    ("worker_state", "gauge", (), "; ".join(f"{number} {state}" for number, state in enumerate(STATES))),
    ("records_consumed", "counter", ("topic", "partition"), "records polled, replayed ones included"),
    ("consumer_lag_records", "gauge", ("topic", "partition"), "newest offset less the next one to process"),
    ("consumer_offset", "gauge", ("topic", "partition"), "next offset to process"),
    ("assigned_partitions", "gauge", (), "partitions held by this worker"),
    ("rebalances", "counter", ("event",), "partitions that came or went"),
    ("restarts", "counter", (), "times the engine was started again because Kafka or Redis did not answer"),
    ("transactions", "counter", ("outcome",), "Kafka transactions ended"),
    ("events_predicted", "counter", (), "predictions put out"),
    ("events_learned", "counter", (), "labelled events learned, without replayed ones"),
    ("events_replayed", "counter", (), "events learned again after a restore, without output"),
    ("dead_letters", "counter", ("reason",), "records sent to the dead-letter topic"),
    ("labels_unmatched", "counter", ("reason",), "answers without a question, and questions that expired"),
    ("last_event_timestamp_seconds", "gauge", (), "newest event time processed"),
    ("quality", "gauge", ("partition", "role", "metric", "window"), "prequential score, in the metric's own unit"),
    ("model_generation", "gauge", ("partition",), "number of the champion"),
    ("model_last_change_timestamp_seconds", "gauge", (), "when a champion was last replaced"),
    ("resets", "counter", (), "champions replaced by a fresh model"),
    ("duels_started", "counter", (), "times challengers began to race the champion"),
    ("duels_ended", "counter", ("result",), "duels that ended, by what came of them"),
    ("lead_changes", "counter", ("cause",), "times another contestant of a duel began to serve"),
    ("pending_labels", "gauge", ("partition",), "questions waiting for their answer"),
    ("policy_decisions", "counter", ("reaction", "outcome"), "what was decided about triggers"),
    ("drift_detected", "counter", ("detector", "signal"), "drifts, in a direction that was asked for"),
    ("drift_state", "gauge", ("partition", "detector", "signal"), "0 stable, 1 warning"),
    ("drift_statistic", "gauge", ("partition", "detector", "signal"), "the number the detector tests"),
    ("drift_threshold", "gauge", ("partition", "detector", "signal"), "the line at which it fires"),
    ("drift_estimate", "gauge", ("partition", "detector", "signal"), "its estimate of the signal's mean"),
    ("drift_window_events", "gauge", ("partition", "detector", "signal"), "events that estimate rests on"),
    ("drift_warnings", "counter", ("detector", "signal"), "warnings raised, where a rule asks for them"),
    ("requests", "counter", (), "requests for a reaction that took effect"),
    ("duel_active", "gauge", ("partition",), "1 while challengers race the champion, or a rematch goes on"),
    ("training_active", "gauge", ("partition",), "1 while the trainer works for the shard"),
    ("training_rows", "gauge", ("partition",), "lessons of the training under way, or of the last one"),
    ("trainings", "counter", ("outcome",), "trainings by the trainer: requested, joined as challengers, failed"),
    ("member_weight", "gauge", ("partition", "member"), "share of a member in an adaptive model's answer"),
    ("member_restarts", "counter", ("member",), "members of an adaptive model that began afresh"),
    ("member_lead_changes", "counter", (), "changes of the leading member of an adaptive model"),
    ("last_drift_timestamp_seconds", "gauge", (), "when a drift was last detected; 0: never"),
    ("checkpoints", "counter", (), "checkpoints written"),
    ("checkpoint_failures", "counter", (), "checkpoints that could not be written or read"),
    ("restores", "counter", ("how",), "shards opened, by what they came back from"),
    ("replay_debt_records", "gauge", ("partition",), "records to learn again if the worker died now"),
    ("store_up", "gauge", (), "1 while Redis takes writes"),
    ("store_outages", "counter", (), "times Redis stopped taking writes"),
    ("window_refills", "counter", (), "windows that Redis had lost rows of, appended again"),
    ("checkpoint_last_success_timestamp_seconds", "gauge", (), "when the last one was written"),
    ("checkpoint_size_bytes", "gauge", (), "size of the last one"),
)
"""Name without prefix (and without the `_total` of counters), kind, labels beside `pipeline`, meaning."""

"""From plain numbers to the families of prometheus_client, and the label sets that are known before anything has happened."""

from __future__ import annotations

import collections
import dataclasses
import platform
import typing
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from stream_retrain.facts.duel import DuelResult, LeadCause
from stream_retrain.facts.policy import DecisionOutcome, PromotedHow
from stream_retrain.facts.records import RejectReason, UnmatchedReason
from stream_retrain.facts.request import REQUEST_KINDS
from stream_retrain.facts.restored import RestoredFrom
from stream_retrain.views.catalogue import CATALOGUE, OF_THE_PARENT, PREFIX, Family
from stream_retrain.views.histogram import Histogram

__all__ = ["Histograms", "PipelineLabels", "exposed", "infos", "known_of_shard", "known_of_worker"]

_Key: TypeAlias = tuple[str, tuple[str, ...]]
Histograms: TypeAlias = Mapping[str, Iterable[tuple[tuple[str, ...], Histogram]]]
_COUNTERS: Final = [family for family in CATALOGUE if family.kind == "counter" and family.name not in OF_THE_PARENT]


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
    handlers: tuple[str, ...] = ()
    """Callbacks and webhooks, where their process is beside the worker."""
    metrics: tuple[tuple[str, bool], ...] = ()
    """Name of each, and whether a larger value is better."""


def known_of_worker(pipeline: PipelineLabels) -> Iterator[_Key]:
    """The label sets of a worker's counters, so that `increase()` sees the first of each."""
    closed = {
        "transactions": ("committed", "aborted"),
        "rebalances": ("assigned", "revoked", "lost"),
        "dead_letters": typing.get_args(RejectReason),
        "labels_unmatched": typing.get_args(UnmatchedReason),
        "restores": typing.get_args(RestoredFrom),
    }
    yield from ((name, (value,)) for name, values in closed.items() for value in values)
    yield from ((family.name, ()) for family in _COUNTERS if not family.labels)
    yield from ((family.name, (name,)) for family in _COUNTERS if family.labels == ("handler",) for name in pipeline.handlers)


def known_of_shard(pipeline: PipelineLabels, partition: str) -> Iterator[_Key]:
    """The label sets of the counters of one shard, which are there from the moment it is assigned."""
    closed = {
        "duels_ended": typing.get_args(DuelResult),
        "lead_changes": typing.get_args(LeadCause),
        "trainings": ("requested", "waits", "joined", "failed"),
        "restores_told": typing.get_args(RestoredFrom),
        "requests_refused": REQUEST_KINDS,
        "promotions": typing.get_args(PromotedHow),
    }
    yield from ((name, (partition, value)) for name, values in closed.items() for value in values)
    for name in ("drift_detected", "drift_warnings", "detector_failures"):
        yield from ((name, (partition, *watch)) for watch in pipeline.watches)
    decided = typing.get_args(DecisionOutcome)
    yield from (("policy_decisions", (partition, reaction, each)) for reaction in pipeline.reactions for each in decided)
    yield from ((family.name, (partition,)) for family in _COUNTERS if family.labels == ("partition",))


def exposed(pipeline: str, values: Mapping[_Key, float], histograms: Histograms) -> Iterator[Any]:
    """Every family of a worker, in the order of the catalogue; one that has no value now has no sample."""
    by_name: dict[str, list[tuple[tuple[str, ...], float]]] = collections.defaultdict(list)
    for (name, labels), value in values.items():
        by_name[name].append((labels, value))
    for family in CATALOGUE:
        if family.name in OF_THE_PARENT or family.kind == "info":
            continue
        metric = _empty(family)
        for labels, value in by_name[family.name]:
            metric.add_metric([pipeline, *labels], value)
        for labels, histogram in histograms.get(family.name, ()):
            metric.add_metric([pipeline, *labels], buckets=histogram.buckets(), sum_value=histogram.total)
        yield metric


def _empty(family: Family) -> Any:
    made: Any = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}[family.kind]
    return made(PREFIX + family.name, family.meaning, labels=list(family.every_label))


def infos(pipeline: PipelineLabels, release: str) -> Iterator[Any]:
    """The families that hold text, as the labels of a 1."""
    meanings = {family.name: family.meaning for family in CATALOGUE if family.kind == "info"}
    build = {"version": release, "python": platform.python_version(), "river": version("river")}
    yield InfoMetricFamily(PREFIX + "build", meanings["build"], value=build)
    static = {"pipeline": pipeline.name, "task": pipeline.task, "topic": pipeline.topic, "model": pipeline.model}
    yield InfoMetricFamily(PREFIX + "pipeline", meanings["pipeline"], value=static)

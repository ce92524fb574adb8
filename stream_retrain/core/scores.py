"""Prequential scores: any River metric, over everything and over the last events.

A metric is updated with the prediction made before its event taught the model anything, and only where the model made one, as
`river.evaluate.progressive_val_score` does. The rolling score keeps the last pairs and computes the metric from them when it is
read: one append an event, any metric (also those that cannot be reverted), and no rounding that builds up.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from river import base, metrics

from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.values import Label

__all__ = ["ScoreSpec", "Scored", "Scores", "default_metrics", "each_metric", "metric_faults", "needs_proba"]

Scored: TypeAlias = tuple[Label, Label, Any]
"""The label, the label or number predicted, and, where a metric is of them, the probabilities it came from."""
_SCORES: Final = Part.of("scores", "metrics", "recent")


def default_metrics(task: str) -> tuple[Any, ...]:
    """What a pipeline is scored by when it names no metrics."""
    return (metrics.MAE(), metrics.R2()) if task == "regression" else (metrics.Accuracy(),)


def each_metric(declared: Iterable[Any]) -> Iterator[Any]:
    """The metrics one by one: River writes several as a sum."""
    for metric in declared:
        if isinstance(metric, metrics.base.Metrics):
            yield from each_metric(metric.data)
        else:
            yield metric


def needs_proba(metric: Any) -> bool:
    """Whether a metric is of probabilities (ROCAUC, LogLoss) and not of labels."""
    return isinstance(metric, metrics.base.ClassificationMetric) and not metric.requires_labels


def metric_faults(metric: Any, task: str, model: Any) -> Iterator[str]:
    """What is wrong with a metric as it stands; whether it scores is seen in a trial."""
    if not isinstance(metric, metrics.base.Metric):
        yield f"{metric!r} is not a River metric"
    elif isinstance(metric, metrics.base.ClusteringMetric) or not metric.works_with(model):
        yield f"{type(metric).__name__} does not fit a {task} model"


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class ScoreSpec:
    """The metrics of a pipeline, and how many labelled events the rolling score looks back."""

    metrics: tuple[Any, ...]
    rolling_events: int

    def build(self, saved: Saved | None = None) -> Scores:
        """Running scores: from nothing, or as they were saved. Raises `StateError`."""
        return Scores(self, saved)

    def faults(self, task: str, model: Any) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        names = [type(metric).__name__ for metric in self.metrics]
        for metric in self.metrics:
            yield from (f"metrics: {fault}" for fault in metric_faults(metric, task, model))
        if len(set(names)) != len(names):
            yield f"metrics: each metric once, please: {', '.join(names)}"
        if self.rolling_events < 1:
            yield f"rolling_events is {self.rolling_events}; use at least 1"


class Scores:
    """The running and the rolling value of each metric."""

    def __init__(self, spec: ScoreSpec, saved: Saved | None = None) -> None:
        """A metric that is saved as None begins afresh. Raises `StateError`."""
        values: Saved = {"metrics": [None] * len(spec.metrics), "recent": ()} if saved is None else _SCORES.load(saved)
        pairs = zip(values["metrics"], spec.metrics, strict=True)
        self._metrics: list[Any] = [metric.clone() if kept is None else kept for kept, metric in pairs]
        self._recent: collections.deque[Scored] = collections.deque(values["recent"], maxlen=spec.rolling_events)
        self._updates = [(metric.update, needs_proba(metric)) for metric in self._metrics]

    def update(self, scored: Sequence[Scored]) -> None:
        """Score predictions, in order. A batch at a time, because a tight loop over one metric is several times quicker than
        coming back to it between two models' lessons."""
        for update, of_proba in self._updates:
            if of_proba:
                for y, _, proba in scored:
                    if proba:  # a question asked while no metric was of probabilities has none
                        update(y, proba)
            else:
                for y, y_pred, _ in scored:
                    update(y, y_pred)
        self._recent.extend(scored)

    def running(self) -> dict[str, float]:
        """Each metric over every prediction so far."""
        return {type(metric).__name__: float(metric.get()) for metric in self._metrics}

    def rolling(self) -> dict[str, float]:
        """Each metric over the last `rolling_events` predictions; costs an update for each of them."""
        return {type(metric).__name__: self._over_recent(metric) for metric in self._metrics}

    def snapshot(self) -> Saved:
        """What `ScoreSpec.build` needs to go on from here; shares objects with these scores, so serialise it at once."""
        return _SCORES.save(metrics=list(self._metrics), recent=tuple(self._recent))

    def _over_recent(self, metric: base.Base) -> float:
        fresh: Any = metric.clone()
        of_proba = needs_proba(fresh)
        for y, y_pred, proba in self._recent:
            if not of_proba:
                fresh.update(y, y_pred)
            elif proba:
                fresh.update(y, proba)
        return float(fresh.get())

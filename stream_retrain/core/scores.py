"""Prequential scores: any River metric, over everything and over the last events.

A metric is updated with the prediction made before its event taught the model anything, and only where the model made one, as
`river.evaluate.progressive_val_score` does. The rolling score keeps the last pairs and computes the metric from them when it is
read: one append an event, any metric (also those that cannot be reverted), and no rounding that builds up.

A metric is foreign code. One that raises on a prediction goes on without it, and that is told; one that has no finite number to show
shows none.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from river import metrics

from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.telling import raised
from stream_retrain.facts.values import Label

__all__ = ["Failure", "ScoreSpec", "Scored", "Scores", "default_metrics", "each_metric", "metric_faults", "needs_proba"]

Scored: TypeAlias = tuple[Label, Label, Any]
"""The label, the label or number predicted, and, where a metric is of them, the probabilities it came from."""
_SCORES: Final = Part.of("scores", "metrics", "recent", "failing", schema=2, migrations={1: lambda values: {**values, "failing": ()}})


class Failure(NamedTuple):
    """A metric raised."""

    row: int
    """On which of the predictions it was given."""
    metric: str
    detail: str
    repeated: bool
    """Whether it raised on the one before as well."""


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
        fresh: Saved = {"metrics": [None] * len(spec.metrics), "recent": (), "failing": ()}
        values = fresh if saved is None else _SCORES.load(saved)
        pairs = zip(values["metrics"], spec.metrics, strict=True)
        self._metrics: list[Any] = [metric.clone() if kept is None else kept for kept, metric in pairs]
        self._recent: collections.deque[Scored] = collections.deque(values["recent"], maxlen=spec.rolling_events)
        self._counts = [metric for metric in self._metrics if _is_count(metric)]
        others = [metric for metric in self._metrics if not _is_count(metric)]
        self._updates = [(type(metric).__name__, metric.update, needs_proba(metric)) for metric in others]
        self._failing: set[str] = set(values["failing"])
        """Metrics that raised on the last prediction."""

    def update(self, scored: Sequence[Scored]) -> list[Failure]:
        """Score predictions, in order; the metrics that raised. A batch at a time, because a tight loop over one metric is several
        times quicker than coming back to it between two models' lessons."""
        failures: list[Failure] = []
        counted = _counted(scored) if self._counts else ()
        for metric in self._counts:
            _count(metric, counted)
        for name, update, of_proba in self._updates:
            rows, before = iter(scored), -1
            while operator.length_hint(rows):  # once, where it does not raise
                try:
                    _feed(update, of_proba, rows)
                except Exception as error:  # noqa: BLE001 - a metric is foreign code; see the module's docstring
                    row = len(scored) - operator.length_hint(rows) - 1
                    repeated = before == row - 1 if row else name in self._failing
                    before = row
                    failures.append(Failure(row, name, raised(error), repeated))
        if scored and (failures or self._failing):
            self._failing = {each.metric for each in failures if each.row == len(scored) - 1}
        self._recent.extend(scored)
        return failures

    def running(self) -> dict[str, float]:
        """Each metric over every prediction so far; one that has no number to show is left out."""
        return _shown(self._metrics, lambda metric: metric.get())

    def rolling(self) -> dict[str, float]:
        """Each metric over the last `rolling_events` predictions; costs an update for each of them."""
        return _shown(self._metrics, self._over_recent)

    def snapshot(self) -> Saved:
        """What `ScoreSpec.build` needs to go on from here; shares objects with these scores, so serialise it at once."""
        return _SCORES.save(metrics=list(self._metrics), recent=tuple(self._recent), failing=tuple(sorted(self._failing)))

    def _over_recent(self, metric: Any) -> Any:
        fresh: Any = metric.clone()
        of_proba, rows = needs_proba(fresh), iter(self._recent)
        while operator.length_hint(rows):
            try:
                _feed(fresh.update, of_proba, rows)
            except Exception:  # noqa: BLE001, S112 - it was told when the prediction was scored
                continue
        return fresh.get()


def _is_count(metric: Any) -> bool:
    """Whether a metric is no more than a count of labels and predictions, which can be raised by many at a time."""
    counts = getattr(type(metric), "update", None) in (metrics.base.ClassificationMetric.update, metrics.base.BinaryMetric.update)
    return counts and not needs_proba(metric) and type(metric.cm) is metrics.ConfusionMatrix


def _counted(scored: Sequence[Scored]) -> Sequence[tuple[Any, int]]:
    """How often each label met each prediction, in the order in which they first did."""
    return list(collections.Counter(map(_LABELS, scored)).items())


def _count(metric: Any, counted: Sequence[tuple[Any, int]]) -> None:
    """The same as an update for each: whole numbers are added, so nothing is rounded."""
    for (y, y_pred), times in counted:
        metric.update(y, y_pred, w=float(times))
        metric.cm.n_samples += times - 1


_LABELS: Final = operator.itemgetter(0, 1)


def _feed(update: Callable[[Any, Any], Any], of_proba: bool, rows: Iterator[Scored]) -> None:
    """Update a metric until it raises, or to the end."""
    if of_proba:
        for y, _, proba in rows:
            if proba:  # a question asked while no metric was of probabilities has none
                update(y, proba)
    else:
        for y, y_pred, _ in rows:
            update(y, y_pred)


def _shown(measured: Sequence[Any], value_of: Callable[[Any], Any]) -> dict[str, float]:
    """The values that are finite numbers."""
    shown: dict[str, float] = {}
    for metric in measured:
        try:
            value = float(value_of(metric))
        except Exception:  # noqa: BLE001, S112 - a metric is foreign code, and may have no number at all
            continue
        if math.isfinite(value):
            shown[type(metric).__name__] = value
    return shown

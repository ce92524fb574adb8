"""The trigger on a metric's value, and metrics by name.

A metric is foreign code: a prediction on which it raises is left out, and told. A failed prediction counts: as a label that was missed, or
as the largest error among the last.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from river import metrics

from stream_retrain.core.react.triggers import Declared, MetricFailure, Moment, RunningTrigger
from stream_retrain.core.scores import needs_proba
from stream_retrain.core.state import Part, Saved
from stream_retrain.facts.telling import raised

__all__ = ["Threshold", "metric_named"]

OVER_EVENTS: Final = 1_000
EVENTS_MIN: Final = 500


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Threshold:
    """The champion's `metric` is below or above a limit.

    Measured over its last `over_events` predictions, and only once there are `events_min` of the generation that serves now; after it fired
    it measures anew, so it fires again after `events_min` more at the earliest.
    """

    metric: str | Any
    """A River metric, or the name of one ("accuracy", "mae", "kappa": see `metric_named`)."""
    below: float | None = None
    above: float | None = None
    over_events: int = OVER_EVENTS
    events_min: int = EVENTS_MIN
    every_event: ClassVar[bool] = True

    def __str__(self) -> str:
        side, limit = ("below", self.below) if self.below is not None else ("above", self.above)
        return f"{side}:{type(metric_named(self.metric)).__name__}:{limit:g}"

    def build(self, saved: Saved | None = None) -> RunningTrigger:
        """The running trigger."""
        return _Threshold(self, saved)

    def faults(self, declared: Declared) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        metric = metric_named(self.metric)
        if metric is None and (kind := _metrics_by_name().get(_plain(self.metric))) is not None:
            yield f"{kind.__name__} needs arguments; give it as an object, such as metrics.{kind.__name__}(...), and not by its name"
            return
        if metric is None:
            yield f"{self.metric!r} is not a River metric, nor the name of one; use a name such as 'accuracy' or 'mae'"
            return
        if isinstance(metric, metrics.base.RegressionMetric) != (declared.task == "regression") or isinstance(
            metric, metrics.base.ClusteringMetric
        ):
            yield f"{type(metric).__name__} does not fit a {declared.task} model"
        if not callable(getattr(metric, "revert", None)):
            yield f"{type(metric).__name__} cannot be kept over the last events, because it forgets nothing; use another metric"
        if (self.below is None) == (self.above is None):
            yield "a threshold is given by below or by above, one of the two"
        if not 1 <= self.events_min <= self.over_events:
            yield f"events_min is {self.events_min} and over_events {self.over_events}; use 1 <= events_min <= over_events"


class _Threshold:
    PART: ClassVar = Part.of(
        "threshold",
        *("generation", "metric", "predictions", "failing"),
        schema=2,
        migrations={1: lambda values: {**values, "failing": False}},
    )

    def __init__(self, spec: Threshold, saved: Saved | None) -> None:
        self._spec = spec
        self._named = metric_named(spec.metric)
        self._of_proba = needs_proba(self._named)
        fresh = {"generation": None, "metric": self._named.clone(), "predictions": (), "failing": False}
        values = fresh if saved is None else self.PART.load(saved)
        self._generation: int | None = values["generation"]
        self._metric: Any = values["metric"]
        self._predictions: collections.deque[tuple[Any, Any]] = collections.deque(values["predictions"])
        self._failing: bool = values["failing"]

    def fires(self, moment: Moment) -> bool:
        if moment.generation != self._generation:
            self._generation = moment.generation
            self._begin_anew()
        predicted = self._worst(moment.y) if moment.failed else moment.proba if self._of_proba else moment.y_pred
        if predicted is None or (moment.y_pred is None and not moment.failed):
            return False
        try:
            fires = self._fires(moment.y, predicted)
        except Exception as error:  # noqa: BLE001 - a metric is foreign code; see the module's docstring
            if moment.metric_failures is not None:
                moment.metric_failures.append(MetricFailure(type(self._named).__name__, raised(error), self._failing))
            self._failing = True
            return False
        self._failing = False
        return fires

    def _fires(self, y: Any, predicted: Any) -> bool:
        self._metric.update(y, predicted)
        self._predictions.append((y, predicted))
        if len(self._predictions) > self._spec.over_events:
            try:
                self._metric.revert(*self._predictions.popleft())
            except Exception:
                self._begin_anew()  # what it still holds of that prediction cannot be known
                raise
        if len(self._predictions) < self._spec.events_min:
            return False
        value, below, above = self._metric.get(), self._spec.below, self._spec.above
        if (below is not None and value < below) or (above is not None and value > above):
            self._begin_anew()
            return True
        return False

    def _worst(self, y: Any) -> Any:
        """What a failed prediction counts as."""
        if isinstance(self._named, metrics.base.RegressionMetric):
            return y + max((abs(y - predicted) for y, predicted in self._predictions), default=1.0)
        if self._of_proba:
            return {y: 0.0, (not y): 1.0} if isinstance(y, bool) else {y: 0.0}
        if isinstance(y, bool):
            return not y
        return ("" if y else "none") if isinstance(y, str) else (-1 if y != -1 else -2)  # a class that is none

    def snapshot(self) -> Saved:
        return self.PART.save(generation=self._generation, metric=self._metric, predictions=tuple(self._predictions), failing=self._failing)

    def _begin_anew(self) -> None:
        self._metric = self._named.clone()
        self._predictions.clear()


def metric_named(metric: Any) -> Any:
    """A River metric as it is, or a fresh one by name ("accuracy", "roc_auc", "cohen_kappa", "kappa"); None if there is none such, or it
    cannot be made without arguments."""
    if isinstance(metric, metrics.base.Metric):
        return metric
    kind = _metrics_by_name().get(_plain(metric))
    try:
        return kind() if kind is not None else None
    except TypeError:
        return None


def _plain(name: Any) -> str:
    return str(name).lower().replace("_", "")


@functools.cache
def _metrics_by_name() -> dict[str, Any]:
    kinds = {name.lower(): kind for name, kind in vars(metrics).items() if isinstance(kind, type) and issubclass(kind, metrics.base.Metric)}
    return kinds | {"kappa": metrics.CohenKappa}

"""What foreign code did not do: a prediction that is none, a metric that raised. Each fails alone, and the shard goes on."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from stream_retrain.facts.telling import Counter, Level

__all__ = ["MetricFailed", "PredictionFailed"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PredictionFailed:
    """What the model answered is no prediction: null goes out in its place, and the detectors are shown the worst error."""

    kind: ClassVar[str] = "prediction.failed"
    published: ClassVar[bool] = False
    counted: ClassVar[Counter] = Counter("predictions_failed")
    level: ClassVar[Level] = "error"

    offset: int
    time_s: float
    detail: str
    generation: int
    repeated: bool
    """Whether the question before failed as well: only the first of a run is told."""

    @property
    def sentence(self) -> str:
        return f"the prediction of generation {self.generation} is not usable: {self.detail}"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MetricFailed:
    """A metric raised on a prediction: it goes on without it."""

    kind: ClassVar[str] = "metric.failed"
    published: ClassVar[bool] = False
    counted: ClassVar[Counter] = Counter("metric_failures", ("metric",))
    level: ClassVar[Level] = "warning"

    offset: int
    time_s: float
    metric: str
    detail: str
    repeated: bool
    """Whether it failed on the prediction before as well: only the first of a run is told."""

    @property
    def sentence(self) -> str:
        return f"metric {self.metric} raised {self.detail}; it goes on without this prediction"

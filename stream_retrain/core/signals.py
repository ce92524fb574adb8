"""Signals worth watching, and the detectors that watch them, each in the direction it was asked for.

A *signal* is one number an event:

    error           0 or 1 for classification (the label was missed), |y - y_pred| for regression
    loss            log loss in nats for classification (probabilities clipped to at least 0.001), (y - y_pred)^2 for regression
    prediction      probability of the positive class (binary), of the answer (multiclass), or the predicted value
    feature:NAME    a numeric feature
    categories:NAME how rare the category of a text or boolean feature is, in bits (see `core.watchers.OfCategories`)

Theory of operation. River's detectors differ in what they see: ADWIN and KSWIN fire on any change, PageHinkley as its `mode`
says, DDM, EDDM, HDDMA and HDDMW when a 0/1 error rises, FHDDM (as of River 0.26) when its input falls. A detector on an error
must not fire because the model improves: a reset makes the error fall a little later, and one alarm then causes the next. So
each detector gets a guard that tells the direction of the change it reports, and an alarm in another direction than the one
asked for is passed over:

- ADWIN: its estimate after the cut against the one before (as in MOA's ADWINChangeDetector);
- PageHinkley: built with the `mode` that fits; in both directions, the test statistic that crossed the threshold;
- the binary detectors: one-sided by construction; their input is flipped where they watch the other side;
- any other detector: the mean of the last 30 values against the mean of all before, since its last alarm.

Warnings come from the warning zone of DDM, EDDM, HDDMA, HDDMW and FHDDM. Detectors without one get a second, more sensitive copy of
themselves as a warner: ADWIN with ten times its delta, PageHinkley with half its threshold, or the detector given as `warning`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Final

from river import base, drift
from river.drift import binary

from stream_retrain.core.messages import Label
from stream_retrain.core.schema import Schema
from stream_retrain.core.watchers import (
    AdwinWatcher,
    BinaryWatcher,
    Direction,
    MeansWatcher,
    OfCategories,
    OfZone,
    PageHinkleyWatcher,
    Sampled,
    Wanted,
    Watcher,
    page_hinkley_statistics,
)

__all__ = ["Direction", "Reading", "Watch", "Watcher", "classification_loss", "reading", "regression_loss"]

OF_THE_MODEL: Final = ("error", "loss", "prediction")
OF_FEATURES: Final = ("feature", "categories")
CATEGORIES: Final = "categories:"
KSWIN_EVERY: Final = 50
PROBABILITY_MIN: Final = 1e-3
RISING: Final = (binary.DDM, binary.EDDM, binary.HDDMA, binary.HDDMW)
FALLING: Final = (binary.FHDDM,)


def classification_loss(y: Label, proba: dict[Any, float]) -> float:
    """Log loss of one answer, in nats; a class the model does not know has probability 0, clipped like the rest."""
    return -math.log(max(proba.get(y, 0.0), PROBABILITY_MIN))


def regression_loss(y: float, y_pred: float) -> float:
    """Squared error of one answer."""
    return (y - y_pred) ** 2


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a detector shows at a moment; None where it shows no such thing."""

    statistic: float | None = None
    """The number it tests."""
    threshold: float | None = None
    """The line at which it fires."""
    estimate: float | None = None
    """Its estimate of the signal's present mean."""
    width: int | None = None
    """The events that estimate rests on."""
    warning: bool = False


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A River detector on a signal.

    direction
        The change to report; None: "up" for error and loss, "both" for the others.
    every
        Show it each n-th value only; None: every value, and every 50th for KSWIN, of which one update costs more than most models.
    warning
        A more sensitive detector that gives the warnings of one without a warning zone; None: see the module's docstring.
    """

    signal: str
    detector: Any
    direction: Wanted | None = None
    every: int | None = None
    warning: Any = None

    @property
    def wanted(self) -> Wanted:
        """The direction asked for, or the one that suits the signal."""
        return self.direction or ("up" if self.signal in ("error", "loss") else "both")

    @property
    def feature(self) -> str | None:
        """The feature this watches, or None."""
        kind, _, name = self.signal.partition(":")
        return name if kind in OF_FEATURES else None

    @property
    def detector_name(self) -> str:
        """The detector's class, as decisions and metrics name it."""
        return type(self.detector).__name__

    def build(self, snapshot: dict[str, Any] | None = None) -> Watcher:
        """A running watcher: fresh, or as `snapshot` left it."""
        return self._build(self.detector, snapshot)

    def build_warner(self, watcher: Watcher, snapshot: dict[str, Any] | None = None) -> Watcher:
        """What says that this watch grows suspicious; shown each value after `watcher`, this watch's running one."""
        if self.warning is None and hasattr(self.detector, "warning_detected"):
            return OfZone(watcher, snapshot)
        return self._build(self._warner(), snapshot)

    def _build(self, spec: Any, snapshot: dict[str, Any] | None) -> Watcher:
        watcher = self._guarded(snapshot["detector"] if snapshot else self._fresh(spec), snapshot)
        if self.signal.startswith(CATEGORIES):
            watcher = OfCategories(watcher, snapshot)
        every = self.every or (KSWIN_EVERY if isinstance(spec, drift.KSWIN) else 1)
        return Sampled(watcher, every, snapshot) if every > 1 else watcher

    def _guarded(self, detector: Any, snapshot: dict[str, Any] | None) -> Watcher:
        if isinstance(detector, drift.PageHinkley):
            return PageHinkleyWatcher(detector)
        if isinstance(detector, drift.ADWIN):
            return AdwinWatcher(detector, self.wanted, snapshot)
        if isinstance(detector, FALLING):
            return BinaryWatcher(detector, self.wanted, flipped=self.wanted == "up")
        if isinstance(detector, RISING) and not getattr(detector, "two_sided_test", False):
            return BinaryWatcher(detector, self.wanted, flipped=self.wanted == "down")
        return MeansWatcher(detector, self.wanted, snapshot)

    def _fresh(self, spec: Any) -> Any:
        if isinstance(spec, drift.PageHinkley):
            return spec.clone({"mode": self.wanted})
        return spec.clone()

    def _warner(self) -> Any:
        if self.warning is not None:
            return self.warning
        if isinstance(self.detector, drift.ADWIN):
            return self.detector.clone({"delta": min(0.5, self.detector.delta * 10)})
        if isinstance(self.detector, drift.PageHinkley):
            return self.detector.clone({"threshold": self.detector.threshold / 2})
        return None

    @property
    def warns(self) -> bool:
        """Whether it can give warnings."""
        return hasattr(self.detector, "warning_detected") or self._warner() is not None

    def faults(self, task: str, schema: Schema) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        where = f"watch {self.signal!r}"
        yield from (f"{where}: {fault}" for fault in self._signal_faults(schema))
        if self.direction not in (None, "up", "down", "both"):
            yield f"{where}: direction is {self.direction!r}; use up, down or both"
        if self.every is not None and not (isinstance(self.every, int) and self.every >= 1):
            yield f"{where}: every is {self.every!r}; use a whole number of at least 1"
        for detector in (self.detector, *([self.warning] if self.warning is not None else [])):
            yield from (f"{where}: {fault}" for fault in self._detector_faults(detector, task))

    def _signal_faults(self, schema: Schema) -> Iterator[str]:
        if self.feature is None:
            if self.signal not in OF_THE_MODEL:
                yield "no such signal; use error, loss, prediction, feature:NAME or categories:NAME"
            return
        kind = schema.feature_type(self.feature)
        if kind is None:
            yield f"the schema has no feature {self.feature!r}; it has {', '.join(schema.features)}"
        elif kind is str and not self.signal.startswith(CATEGORIES):
            yield f"{self.feature!r} is a string, and detectors watch numbers; use 'categories:{self.feature}'"
        elif kind is float and self.signal.startswith(CATEGORIES):
            yield f"{self.feature!r} is a number without categories; use 'feature:{self.feature}'"

    def _detector_faults(self, detector: Any, task: str) -> Iterator[str]:
        name = type(detector).__name__
        if not isinstance(detector, base.DriftDetector | base.BinaryDriftDetector):
            yield f"{detector!r} is not a River drift detector"
        elif isinstance(detector, base.BinaryDriftDetector):
            if self.signal != "error" or task == "regression":
                yield f"{name} takes 0 and 1 only, so it can watch the error of a classifier and nothing else"
            elif self.wanted == "both" and not getattr(detector, "two_sided_test", False):
                yield f"{name} sees one direction only; use up or down"


def reading(detector: Any) -> Reading:
    """What a detector shows now, for metrics and status. Private attributes of River are read with care: absent is None."""
    warning = bool(getattr(detector, "warning_detected", False))
    if isinstance(detector, drift.ADWIN):
        return Reading(estimate=detector.estimation, width=detector.width, warning=warning)
    if isinstance(detector, drift.PageHinkley):
        rise, fall = page_hinkley_statistics(detector)
        statistic = {"up": rise, "down": fall}.get(detector.mode, max(rise, fall))
        return Reading(statistic=statistic, threshold=detector.threshold, warning=warning)
    if isinstance(detector, drift.KSWIN):
        return Reading(statistic=float(detector.p_value), threshold=detector.alpha, width=len(detector.window), warning=warning)
    return Reading(warning=warning)

"""Signals worth watching, and the detectors that watch them, each in the direction it was asked for.

A *signal* is one number an event:

    error           0 or 1 for classification (the label was missed), |y - y_pred| for regression
    loss            log loss in nats for classification (probabilities clipped to at least 0.001), (y - y_pred)^2 for regression
    prediction      probability of the positive class (binary), of the answer (multiclass), or the predicted value
    feature:NAME    a numeric feature

Theory of operation. River's detectors differ in what they see: ADWIN and KSWIN fire on any change, PageHinkley as its `mode`
says, DDM, EDDM, HDDMA and HDDMW when a 0/1 error rises, FHDDM (as of River 0.26) when its input falls. A detector on an error
must not fire because the model improves: a reset makes the error fall a little later, and one alarm then causes the next. So
each detector gets a guard that tells the direction of the change it reports, and an alarm in another direction than the one
asked for is passed over:

- ADWIN: its estimate after the cut against the one before (as in MOA's ADWINChangeDetector);
- PageHinkley: built with the `mode` that fits; in both directions, the test statistic that crossed the threshold;
- the binary detectors: one-sided by construction; their input is flipped where they watch the other side;
- any other detector: the mean of the last 30 values against the mean of all before, since its last alarm.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, Protocol, TypeAlias

from river import base, drift
from river.drift import binary

from stream_retrain.core.messages import Label
from stream_retrain.core.schema import Schema

__all__ = ["Direction", "Reading", "Watch", "Watcher", "classification_loss", "regression_loss"]

Direction: TypeAlias = Literal["up", "down"]
Wanted: TypeAlias = Literal["up", "down", "both"]

OF_THE_MODEL: Final = ("error", "loss", "prediction")
PROBABILITY_MIN: Final = 1e-3
RECENT_EVENTS: Final = 30
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


class Watcher(Protocol):
    """A running detector on one signal."""

    detector: Any

    def update(self, value: float) -> Direction | None:
        """Take the next value; the direction of a change just detected that was asked for, else None."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """What `Watch.build` needs to go on from here; shares objects with the watcher, so serialise it at once."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A River detector on a signal. `direction` None: "up" for error and loss, "both" for the others."""

    signal: str
    detector: Any
    direction: Wanted | None = None

    @property
    def wanted(self) -> Wanted:
        """The direction asked for, or the one that suits the signal."""
        return self.direction or ("up" if self.signal in ("error", "loss") else "both")

    @property
    def feature(self) -> str | None:
        """The feature this watches, or None."""
        kind, _, name = self.signal.partition(":")
        return name if kind == "feature" else None

    @property
    def detector_name(self) -> str:
        """The detector's class, as decisions and metrics name it."""
        return type(self.detector).__name__

    def build(self, snapshot: dict[str, Any] | None = None) -> Watcher:
        """A running watcher: fresh, or as `snapshot` left it."""
        detector = snapshot["detector"] if snapshot else self._fresh()
        if isinstance(detector, drift.PageHinkley):
            return PageHinkleyWatcher(detector)
        if isinstance(detector, drift.ADWIN):
            return AdwinWatcher(detector, self.wanted, snapshot)
        if isinstance(detector, FALLING):
            return BinaryWatcher(detector, self.wanted, flipped=self.wanted == "up")
        if isinstance(detector, RISING) and not getattr(detector, "two_sided_test", False):
            return BinaryWatcher(detector, self.wanted, flipped=self.wanted == "down")
        return MeansWatcher(detector, self.wanted, snapshot)

    def _fresh(self) -> Any:
        if isinstance(self.detector, drift.PageHinkley):
            return self.detector.clone({"mode": self.wanted})
        return self.detector.clone()

    def faults(self, task: str, schema: Schema) -> Iterator[str]:
        """Every fault of the declaration, as sentences."""
        where = f"watch {self.signal!r}"
        if self.feature is not None:
            kind = schema.feature_type(self.feature)
            if kind is None:
                yield f"{where}: the schema has no feature {self.feature!r}; it has {', '.join(schema.features)}"
            elif kind is str:
                yield f"{where}: {self.feature!r} is a string, and detectors watch numbers"
        elif self.signal not in OF_THE_MODEL:
            yield f"{where}: no such signal; use error, loss, prediction or feature:NAME"
        if self.direction not in (None, "up", "down", "both"):
            yield f"{where}: direction is {self.direction!r}; use up, down or both"
        if not isinstance(self.detector, base.DriftDetector | base.BinaryDriftDetector):
            yield f"{where}: {self.detector!r} is not a River drift detector"
            return
        if isinstance(self.detector, base.BinaryDriftDetector):
            if self.signal != "error" or task == "regression":
                yield f"{where}: {self.detector_name} takes 0 and 1 only, so it can watch the error of a classifier and nothing else"
            elif self.wanted == "both" and not getattr(self.detector, "two_sided_test", False):
                yield f"{where}: {self.detector_name} sees one direction only; use up or down"


class AdwinWatcher:
    """ADWIN, with the direction from its own estimate: after the cut against before it.

    Between two detections ADWIN drops nothing and River's begins afresh after each, so the estimate before the cut is the mean
    since the last one: kept here, it costs a tenth of asking the detector at every event.

    After an alarm that is passed over it must not begin afresh: with an empty window it would be blind to a drift that comes
    next. It goes on with what the cut has left, which is what ADWIN's authors do.

    It feeds the window inside River's object, whose own `update` only adds two calls an event to it and the reset after an alarm.
    """

    __slots__ = ("_count", "_total", "_update", "detector", "wanted")

    def __init__(self, detector: Any, wanted: Wanted, snapshot: dict[str, Any] | None = None) -> None:
        self.detector = detector
        self.wanted = wanted
        state = snapshot or {"count": 0, "total": 0.0}
        self._count: int = state["count"]
        self._total: float = state["total"]
        self._update: Callable[[float], bool] = detector._helper.update

    def update(self, value: float) -> Direction | None:
        if not self._update(value):
            self._count += 1
            self._total += value
            return None
        detector = self.detector
        before = self._total / self._count if self._count else value
        direction = _asked_for("up" if detector.estimation > before else "down", self.wanted)
        if direction is not None:
            self._count, self._total = 0, 0.0
            detector._reset()
            self._update = detector._helper.update
        else:
            self._count, self._total = detector.width, detector.total
        return direction

    def snapshot(self) -> dict[str, Any]:
        return {"detector": self.detector, "count": self._count, "total": self._total}


class PageHinkleyWatcher:
    """PageHinkley, one-sided by its `mode`; with mode "both" the side that crossed the threshold is the direction."""

    __slots__ = ("detector",)

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    def update(self, value: float) -> Direction | None:
        detector = self.detector
        detector.update(value)
        if not detector.drift_detected:
            return None
        if detector.mode != "both":
            return "up" if detector.mode == "up" else "down"
        rise, fall = page_hinkley_statistics(detector)
        return "up" if rise >= fall else "down"

    def snapshot(self) -> dict[str, Any]:
        return {"detector": self.detector}


class BinaryWatcher:
    """A one-sided detector of 0/1 values, whose input is flipped where the wanted side is not its own."""

    __slots__ = ("detector", "flipped", "wanted")

    def __init__(self, detector: Any, wanted: Wanted, *, flipped: bool) -> None:
        self.detector = detector
        self.wanted = wanted
        self.flipped = flipped

    def update(self, value: float) -> Direction | None:
        missed = bool(value)
        self.detector.update(not missed if self.flipped else missed)
        if not self.detector.drift_detected:
            return None
        return "down" if self.wanted == "down" else "up"

    def snapshot(self) -> dict[str, Any]:
        return {"detector": self.detector}


class MeansWatcher:
    """Any detector that does not tell which way: the recent mean against the mean of all before, since its last alarm."""

    __slots__ = ("_count", "_recent", "_total", "detector", "wanted")

    def __init__(self, detector: Any, wanted: Wanted, snapshot: dict[str, Any] | None = None) -> None:
        self.detector = detector
        self.wanted = wanted
        state = snapshot or {"count": 0, "total": 0.0, "recent": ()}
        self._count: int = state["count"]
        self._total: float = state["total"]
        self._recent: collections.deque[float] = collections.deque(state["recent"], maxlen=RECENT_EVENTS)

    def update(self, value: float) -> Direction | None:
        recent = self._recent
        if len(recent) == RECENT_EVENTS:
            self._total += recent[0]
            self._count += 1
        recent.append(value)
        self.detector.update(value)
        if not self.detector.drift_detected:
            return None
        before = self._total / self._count if self._count else recent[0]
        direction: Direction = "up" if sum(recent) / len(recent) > before else "down"
        self._total, self._count = 0.0, 0
        recent.clear()
        return _asked_for(direction, self.wanted)

    def snapshot(self) -> dict[str, Any]:
        return {"detector": self.detector, "count": self._count, "total": self._total, "recent": tuple(self._recent)}


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


def page_hinkley_statistics(detector: Any) -> tuple[float, float]:
    """The two test statistics of River's PageHinkley (rise, fall), which it keeps in private attributes; 0 before any value."""
    rise = getattr(detector, "_sum_increase", 0.0) - getattr(detector, "_min_increase", math.inf)
    fall = getattr(detector, "_max_decrease", 0.0) - getattr(detector, "_sum_decrease", 0.0)
    return (rise if math.isfinite(rise) else 0.0, fall if math.isfinite(fall) else 0.0)


def _asked_for(direction: Direction, wanted: Wanted) -> Direction | None:
    return direction if wanted in ("both", direction) else None

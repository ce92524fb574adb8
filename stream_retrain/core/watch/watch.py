"""A watch: a River detector on a signal, in the direction it was asked for.

Theory of operation. River's detectors differ in what they see: ADWIN and KSWIN fire on any change, PageHinkley as its `mode`
says, DDM, EDDM, HDDMA and HDDMW when a 0/1 error rises, FHDDM (as of River 0.26) when its input falls. A detector on an error
must not fire because the model improves: a reset makes the error fall a little later, and one alarm then causes the next. So
each detector gets a guard that tells the direction of the change it reports, and an alarm in another direction than the one
asked for is passed over:

- ADWIN, River's or `FastADWIN`: its estimate after the cut against the one before (as in MOA's ADWINChangeDetector);
- PageHinkley: built with the `mode` that fits; in both directions, the test statistic that crossed the threshold;
- the binary detectors: one-sided by construction; their input is flipped where they watch the other side;
- `rank` has a detector of its own, which sees ranks get worse only;
- any other detector: the mean of the last 30 values against the mean of all before, since its last alarm.

Warnings come from the warning zone of DDM, EDDM, HDDMA, HDDMW and FHDDM. Detectors without one get a second, more sensitive copy of
themselves as a warner: ADWIN with ten times its delta, PageHinkley with half its threshold, or the detector given as `warning`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Final

from river import base, drift
from river.drift import binary

from stream_retrain.core.schema import Schema
from stream_retrain.core.state import Part, Saved
from stream_retrain.core.watch.guards import (
    AdwinGuard,
    BinaryGuard,
    Guard,
    MeansGuard,
    OfCategories,
    OfMissing,
    OfZone,
    PageHinkleyGuard,
    Sampled,
    Wanted,
    page_hinkley_statistics,
)
from stream_retrain.core.watch.rank import RankDetector, RankGuard
from stream_retrain.core.watch.signals import CATEGORIES, FEATURE, MISSING, OF_FEATURES, OF_QUESTIONS, OF_THE_MODEL
from stream_retrain.facts.observation import Reading
from stream_retrain.models import FastADWIN

__all__ = ["RANK", "Watch", "reading"]

KSWIN_EVERY: Final = 50
MISSING_ADWIN: Final[dict[str, Any]] = {"delta": 0.02, "clock": 8}
"""Fewer than one false alarm in 100,000 events (`core.watch.calibration_table`)."""
RANK: Final = "rank"
ADWINS: Final = (drift.ADWIN, FastADWIN)
RISING: Final = (binary.DDM, binary.EDDM, binary.HDDMA, binary.HDDMW)
FALLING: Final = (binary.FHDDM,)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """A River detector on a signal.

    detector
        None: for the signal rank, a `RankDetector`.
    direction
        The change to report; None: "up" for error, loss and missing values, "down" for rank, "both" for the others.
    every
        Show it each n-th value only; None: every value, and every 50th for KSWIN, of which one update costs more than most models.
    warning
        A more sensitive detector that gives the warnings of one without a warning zone; None: see the module's docstring.
    """

    signal: str
    detector: Any = None
    direction: Wanted | None = None
    every: int | None = None
    warning: Any = None

    def __post_init__(self) -> None:
        if self.signal == RANK and self.detector is None:
            object.__setattr__(self, "detector", RankDetector())

    @property
    def wanted(self) -> Wanted:
        """The direction asked for, or the one that suits the signal."""
        if self.signal == RANK:
            return self.direction or "down"
        return self.direction or ("up" if self.signal in ("error", "loss", "missing") or self.signal.startswith(MISSING) else "both")

    @property
    def feature(self) -> str | None:
        """The feature this watches, or None."""
        kind, colon, name = self.signal.partition(":")
        return name if colon and kind in OF_FEATURES else None

    @property
    def of_missing(self) -> Watch | None:
        """Of a number: what sees that an optional one is missing more often than before, or less, which its own detector is never shown."""
        if not self.signal.startswith(FEATURE):
            return None
        return Watch(f"{MISSING}{self.feature}", FastADWIN(**MISSING_ADWIN), direction="both")

    @property
    def detector_name(self) -> str:
        """The detector's class, as decisions and metrics name it."""
        return type(self.detector).__name__

    @property
    def shown_every(self) -> int:
        """The detector is shown each n-th value, with this n."""
        return self._every_of(self.detector)

    def build(self, saved: Saved | None = None) -> Guard:
        """A running guard: fresh, or as it was saved. Raises `StateError`."""
        if self.signal == RANK:
            return RankGuard(self.detector, saved)
        return self._sampled(self.detector, saved)

    def build_warner(self, guard: Guard, saved: Saved | None = None) -> Guard:
        """What gives the warnings of this watch; shown each value after `guard`, this watch's running one. Raises `StateError`."""
        if self.warning is None and hasattr(self.detector, "warning_detected"):
            return OfZone(guard, **_values(OfZone.PART, saved))
        return self._sampled(self._warner(), saved)

    def _sampled(self, spec: Any, saved: Saved | None) -> Guard:
        every = self._every_of(spec)
        if every == 1:
            return self._of_numbers(spec, saved)
        values = _values(Sampled.PART, saved)
        return Sampled(self._of_numbers(spec, values.pop("inner", None)), every, **values)

    def _every_of(self, spec: Any) -> int:
        return self.every or (KSWIN_EVERY if isinstance(spec, drift.KSWIN) else 1)

    def _of_numbers(self, spec: Any, saved: Saved | None) -> Guard:
        if self.signal.startswith(MISSING):
            return OfMissing(self._guarded(spec, saved))
        if not self.signal.startswith(CATEGORIES):
            return self._guarded(spec, saved)
        values = _values(OfCategories.PART, saved)
        return OfCategories(self._guarded(spec, values.pop("inner", None)), **values)

    def _guarded(self, spec: Any, saved: Saved | None) -> Guard:
        kind, options = self._guard_of(spec)
        values = _values(kind.PART, saved)
        guard: Guard = kind(values.pop("detector") if saved is not None else self._fresh(spec), **options, **values)
        return guard

    def _guard_of(self, spec: Any) -> tuple[Any, dict[str, Any]]:
        """The class of the guard that suits a detector, and what else it is built with."""
        if isinstance(spec, drift.PageHinkley):
            return PageHinkleyGuard, {}
        if isinstance(spec, ADWINS):
            return AdwinGuard, {"wanted": self.wanted}
        if isinstance(spec, FALLING):
            return BinaryGuard, {"wanted": self.wanted, "flipped": self.wanted == "up"}
        if isinstance(spec, RISING) and not getattr(spec, "two_sided_test", False):
            return BinaryGuard, {"wanted": self.wanted, "flipped": self.wanted == "down"}
        return MeansGuard, {"wanted": self.wanted}

    def _fresh(self, spec: Any) -> Any:
        if isinstance(spec, drift.PageHinkley):
            return spec.clone({"mode": self.wanted})
        return spec.clone()

    def _warner(self) -> Any:
        if self.warning is not None:
            return self.warning
        if isinstance(self.detector, ADWINS):
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
        if self.signal == RANK:
            yield from (f"{where}: {fault}" for fault in self._rank_faults(task))
            return
        for detector in (self.detector, *([self.warning] if self.warning is not None else [])):
            yield from (f"{where}: {fault}" for fault in self._detector_faults(detector, task))

    def _signal_faults(self, schema: Schema) -> Iterator[str]:
        if self.feature is None:
            if self.signal not in OF_THE_MODEL + OF_QUESTIONS:
                yield "no such signal; use error, loss, rank, prediction, missing, feature:NAME, categories:NAME or missing:NAME"
            elif self.signal == "missing" and not any(map(schema.may_be_missing, schema.feature_names)):
                yield "no feature of the schema can be missing, because a record without it is refused; declare those that may be `| None`"
            return
        kind = schema.feature_type(self.feature)
        if kind is None:
            named = ", ".join(schema.feature_names) or "Sparse ones, and no detector watches those"
            yield f"the schema has no feature {self.feature!r}; it has {named}"
        elif self.signal.startswith(MISSING):
            if not schema.may_be_missing(self.feature):
                yield f"{self.feature!r} is never missing, because a record without it is refused; declare it `{kind.__name__} | None`"
        elif kind is str and not self.signal.startswith(CATEGORIES):
            yield f"{self.feature!r} is a string, and detectors watch numbers; use 'categories:{self.feature}'"
        elif kind is float and self.signal.startswith(CATEGORIES):
            yield f"{self.feature!r} is a number without categories; use 'feature:{self.feature}'"

    def _rank_faults(self, task: str) -> Iterator[str]:
        if task == "regression":
            yield "numbers have no classes to rank; watch the error or the loss of a regression"
        if not isinstance(self.detector, RankDetector):
            yield f"its detector is a RankDetector, one for each class, and not {self.detector!r}; leave it out"
        elif not self.detector.false_alarm_every_events > 0:
            yield f"false_alarm_every_events is {self.detector.false_alarm_every_events!r}; use events above 0"
        elif not 0 < self.detector.share_max <= 1:
            yield f"share_max is {self.detector.share_max!r}; use a share above 0, 1.0 for every class"
        if self.direction not in (None, "down"):
            yield "ranks are watched for getting worse; leave the direction out"
        if self.every not in (None, 1):
            yield "every event is needed to rank the rare ones; leave `every` out"
        if self.warning is not None:
            yield "it gives no warnings; leave `warning` out"

    def _detector_faults(self, detector: Any, task: str) -> Iterator[str]:
        name = type(detector).__name__
        if isinstance(detector, RankDetector):
            yield f"{name} watches the signal 'rank' and no other"
        if not isinstance(detector, base.DriftDetector | base.BinaryDriftDetector):
            yield f"{detector!r} is not a River drift detector"
        elif isinstance(detector, base.BinaryDriftDetector):
            if not self.signal.startswith(MISSING) and (self.signal != "error" or task == "regression"):
                yield f"{name} takes 0 and 1 only, so it can watch the error of a classifier, missing values, and nothing else"
            elif self.wanted == "both" and not getattr(detector, "two_sided_test", False):
                yield f"{name} sees one direction only; use up or down"


def _values(part: Part, saved: Saved | None) -> Saved:
    return {} if saved is None else part.load(saved)


def reading(detector: Any) -> Reading:
    """What a detector shows now, for metrics and status. Private attributes of River are read with care: absent is None."""
    warning = bool(getattr(detector, "warning_detected", False))
    if isinstance(detector, ADWINS):
        return Reading(estimate=detector.estimation, width=detector.width, warning=warning)
    if isinstance(detector, drift.PageHinkley):
        rise, fall = page_hinkley_statistics(detector)
        statistic = {"up": rise, "down": fall}.get(detector.mode, max(rise, fall))
        return Reading(statistic=statistic, threshold=detector.threshold, warning=warning)
    if isinstance(detector, RankDetector):
        return Reading(statistic=detector.statistic, threshold=detector.threshold, estimate=detector.estimate)
    if isinstance(detector, drift.KSWIN):
        return Reading(statistic=float(detector.p_value), threshold=detector.alpha, width=len(detector.window), warning=warning)
    return Reading(warning=warning)

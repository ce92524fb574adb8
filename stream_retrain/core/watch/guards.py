"""Running detectors on one signal, each under a guard that tells the direction of the change it reports (see `core.watch.watch`).

A guard takes the signal's values in order; `update` returns the direction of a change just detected, if it was asked for. Three kinds wrap
another: `Sampled` shows it every n-th value, `OfCategories` turns text into a number first, `OfMissing` whether there is a value. `OfZone`
says when a detector enters its warning zone.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, Protocol, TypeAlias

from stream_retrain.core.state import Part, Saved
from stream_retrain.models import FastADWIN
from stream_retrain.models.arithmetic import log2, total

__all__ = [
    "AdwinGuard",
    "BinaryGuard",
    "Direction",
    "Guard",
    "MeansGuard",
    "OfCategories",
    "OfMissing",
    "OfZone",
    "PageHinkleyGuard",
    "Sampled",
    "Wanted",
    "page_hinkley_statistics",
]

Direction: TypeAlias = Literal["up", "down"]
Wanted: TypeAlias = Literal["up", "down", "both"]

RECENT_EVENTS: Final = 30
CATEGORIES_MAX: Final = 1_000
CATEGORIES_WARM_UP_EVENTS: Final = 200


class Guard(Protocol):
    """A running detector on one signal."""

    @property
    def detector(self) -> Any:
        """To read."""
        ...

    def update(self, value: Any) -> Direction | None:
        """Take the next value; the direction of a change just detected that was asked for, else None."""
        ...

    def snapshot(self) -> Saved:
        """What `Watch.build` needs to go on from here; shares objects with the guard, so serialise it at once."""
        ...


class AdwinGuard:
    """ADWIN, with the direction from its own estimate: after the cut against before it.

    Between two detections ADWIN drops nothing and River's begins afresh after each, so the estimate before the cut is the mean
    since the last one: kept here, it costs a tenth of asking the detector at every event.

    After an alarm that is passed over it must not begin afresh: with an empty window it would be blind to a drift that comes
    next. It goes on with what the cut has left, which is what ADWIN's authors do.

    It feeds the window itself: `FastADWIN.add`, or what is inside River's object, whose own `update` only adds two calls an event to it
    and the reset after an alarm.
    """

    PART: ClassVar = Part.of("guard of ADWIN", "detector", "count", "total")
    __slots__ = ("_count", "_total", "_update", "detector", "wanted")

    def __init__(self, detector: Any, wanted: Wanted, *, count: int = 0, total: float = 0.0) -> None:
        self.detector = detector
        self.wanted = wanted
        self._count = count
        self._total = total
        self._update = _window_of(detector)

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
            self._update = _window_of(detector)
        else:
            self._count, self._total = detector.width, detector.total
        return direction

    def snapshot(self) -> Saved:
        return self.PART.save(detector=self.detector, count=self._count, total=self._total)


def _window_of(detector: Any) -> Callable[[float], bool]:
    """What adds a value to the window of an ADWIN, cuts it, and says whether it was cut."""
    add: Callable[[float], bool] = detector.add if isinstance(detector, FastADWIN) else detector._helper.update
    return add


class PageHinkleyGuard:
    """PageHinkley, one-sided by its `mode`; with mode "both" the side that crossed the threshold is the direction."""

    PART: ClassVar = Part.of("guard of PageHinkley", "detector")
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

    def snapshot(self) -> Saved:
        return self.PART.save(detector=self.detector)


class BinaryGuard:
    """A one-sided detector of 0/1 values, whose input is flipped where the wanted side is not its own."""

    PART: ClassVar = Part.of("guard of a binary detector", "detector")
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

    def snapshot(self) -> Saved:
        return self.PART.save(detector=self.detector)


class MeansGuard:
    """Any detector that does not tell which way: the recent mean against the mean of all before, since its last alarm."""

    PART: ClassVar = Part.of("guard by means", "detector", "count", "total", "recent")
    __slots__ = ("_count", "_recent", "_total", "detector", "wanted")

    def __init__(self, detector: Any, wanted: Wanted, *, count: int = 0, total: float = 0.0, recent: Iterable[float] = ()) -> None:
        self.detector = detector
        self.wanted = wanted
        self._count = count
        self._total = total
        self._recent: collections.deque[float] = collections.deque(recent, maxlen=RECENT_EVENTS)

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
        direction: Direction = "up" if total(recent) / len(recent) > before else "down"
        self._total, self._count = 0.0, 0
        recent.clear()
        return _asked_for(direction, self.wanted)

    def snapshot(self) -> Saved:
        return self.PART.save(detector=self.detector, count=self._count, total=self._total, recent=tuple(self._recent))


class Sampled:
    """A guard that is shown every n-th value only: for detectors whose update costs more than the model."""

    PART: ClassVar = Part.of("sampled guard", "inner", "seen")
    __slots__ = ("_every", "_inner", "_seen", "detector")

    def __init__(self, inner: Guard, every: int, *, seen: int = 0) -> None:
        self.detector = inner.detector
        self._inner = inner
        self._every = every
        self._seen = seen

    def update(self, value: Any) -> Direction | None:
        self._seen += 1
        return self._inner.update(value) if self._seen % self._every == 0 else None

    def snapshot(self) -> Saved:
        return self.PART.save(inner=self._inner.snapshot(), seen=self._seen)


class OfCategories:
    """A guard of a text feature: its detector is shown how rare each category is, in bits, -log2 of its share so far.

    The mean of that is the entropy of the categories' frequencies (in cross-entropy with those of the past), so it moves when they
    change. Counting starts again after each alarm; the first 200 values are counted only. At most 1,000 categories are told apart;
    the others count as one, with the missing values.
    """

    PART: ClassVar = Part.of("guard of categories", "inner", "counts", "total")
    __slots__ = ("_counts", "_inner", "_total", "detector")

    def __init__(self, inner: Guard, *, counts: Mapping[Any, int] = MappingProxyType({}), total: int = 0) -> None:
        self.detector = inner.detector
        self._inner = inner
        self._counts = dict(counts)
        self._total = total

    def update(self, value: Any) -> Direction | None:
        counts = self._counts
        category = value if value in counts or len(counts) < CATEGORIES_MAX else None
        count = counts.get(category, 0)
        bits = log2((self._total + len(counts) + 1) / (count + 1))
        counts[category] = count + 1
        self._total += 1
        if self._total <= CATEGORIES_WARM_UP_EVENTS:
            return None
        direction = self._inner.update(bits)
        if direction is not None:
            self._counts, self._total = {}, 0
        return direction

    def snapshot(self) -> Saved:
        return self.PART.save(inner=self._inner.snapshot(), counts=dict(self._counts), total=self._total)


class OfMissing:
    """A guard of how often a value is missing: its detector is shown 1 for None, and else 0."""

    __slots__ = ("_inner", "detector")

    def __init__(self, inner: Guard) -> None:
        self.detector = inner.detector
        self._inner = inner

    def update(self, value: Any) -> Direction | None:
        return self._inner.update(int(value is None))

    def snapshot(self) -> Saved:
        return self._inner.snapshot()


class OfZone:
    """A warner: says once when the detector of a guard enters its warning zone; update it after the guard."""

    PART: ClassVar = Part.of("warner of a zone", "inside")
    __slots__ = ("_inside", "detector")

    def __init__(self, guard: Guard, *, inside: bool = False) -> None:
        self.detector = guard.detector
        self._inside = inside

    def update(self, value: Any) -> Direction | None:
        del value
        before, self._inside = self._inside, bool(self.detector.warning_detected)
        return "up" if self._inside and not before else None

    def snapshot(self) -> Saved:
        return self.PART.save(inside=self._inside)


def page_hinkley_statistics(detector: Any) -> tuple[float, float]:
    """The two test statistics of River's PageHinkley (rise, fall), which it keeps in private attributes; 0 before any value."""
    rise = getattr(detector, "_sum_increase", 0.0) - getattr(detector, "_min_increase", math.inf)
    fall = getattr(detector, "_max_decrease", 0.0) - getattr(detector, "_sum_decrease", 0.0)
    return (rise if math.isfinite(rise) else 0.0, fall if math.isfinite(fall) else 0.0)


def _asked_for(direction: Direction, wanted: Wanted) -> Direction | None:
    return direction if wanted in ("both", direction) else None

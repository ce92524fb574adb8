"""The signal `rank` and its detector: does the model still rank a rare class above the others?

Where one label in fifty is positive, error and loss hardly move when the positives are no longer found: nearly all of both is of the
negatives. The rank looks at the positives alone, and does not change with their share.

*Value.* Only where a label of a class comes that is not the most frequent one: the share of the other classes' predictions labelled since
that class's last value, `RANKED_EVENTS` at most, which gave this class a lower probability; ties count half. Its mean is the area under
the curve: 1 is right always, 0.5 is no skill. Each prediction is compared once, and only with neighbours in time, so a model whose
probabilities wander raises no alarm.

*Detector* (a Shiryaev-Roberts e-detector against the class's own past: Shin, Ramdas and Rinaldo 2024). With x one minus the value and m
the most that x is expected to be on average, each bettor b has R <- (R + 1)(1 + b (x / m - 1)). While the mean of x is at most m, R grows
by at most 1 a value on average, so the mean number of values between false alarms is at least the threshold. m is the mean of past values
without the newest `LAG_VALUES`, fading over `MEMORY_VALUES`, plus one standard error. It is an estimate, so the bound is not exact: the
threshold is `CALIBRATED` times what the bound asks for, as was measured on rare classes. False alarms are counted in events and
values come with the class's share, so the threshold follows it.

Only a class whose share is at most `share_max` raises alarms. A more frequent one moves the error as well, and there the rank adds false
alarms: of seven stationary streams with a third of positives and more, a tree that still grows raised 4 in 105,000 events, the error 1.

After an alarm R starts again and the past is kept: a change that is not dealt with raises the alarm again. A model that never ranked well
raises none: that is for a rule on a metric, `On.below("rocauc", ...)`.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal

from river import base

from stream_retrain.core.state import Part, Saved
from stream_retrain.models.arithmetic import total

__all__ = ["RankDetector", "RankGuard"]

RANKED_EVENTS: Final = 50
YOUNG_EVENTS: Final = 1_000
"""Labels of a model's own predictions before it can raise an alarm: it still learns, and a tree's first split makes its ranks worse."""
RANKED_MIN: Final = 30
"""Predictions of other classes labelled before a class has its first value."""
SHARE_EVENTS: Final = 2_000
CLASSES_MAX: Final = 20
MORE_FREQUENT: Final = 1.5
"""Another class is the most frequent one from this many times the share on, so that equals do not take turns."""
BETS: Final = (0.05, 0.1, 0.2, 0.4, 0.7, 0.9)
MEMORY_VALUES: Final = 200
LAG_VALUES: Final = 10
PAST_VALUES_MIN: Final = 10
VARIANCE_MIN: Final = 0.0025
MEAN_MIN: Final = 0.02
CALIBRATED: Final = 0.3
THRESHOLD_MIN: Final = 20.0
FALSE_ALARM_EVERY_EVENTS: Final = 100_000
SHARE_MAX: Final = 0.2


class RankDetector(base.DriftDetector):  # type: ignore[misc]
    """Detects that the ranks of one class have become worse (see the module's docstring).

    false_alarm_every_events
        Events, of all classes, between two false alarms on average.
    share_max
        The share in the recent labels up to which a class is rare; of a more frequent one nothing is told. 1.0: of every class.

    `Watch("rank", RankDetector(...))` runs one for each class but the most frequent. By itself: `update` with each value, from 0 to 1.
    """

    def __init__(self, false_alarm_every_events: float = FALSE_ALARM_EVERY_EVENTS, share_max: float = SHARE_MAX) -> None:
        super().__init__()
        self.false_alarm_every_events = false_alarm_every_events
        self.share_max = share_max
        self.threshold = THRESHOLD_MIN
        self._bettors = [0.0] * len(BETS)
        self._past = 0
        self._mean = 0.0
        self._variance = 0.0
        self._newest: collections.deque[float] = collections.deque()

    @property
    def statistic(self) -> float:
        """What is compared with the threshold."""
        return total(self._bettors) / len(BETS)

    @property
    def estimate(self) -> float:
        """The mean value of the past; 1 before there is one."""
        return 1.0 - self._mean

    def update(self, value: float, share: float = SHARE_MAX, classes: int = 1, *, young: bool = False) -> None:
        """Take the next value. `share`: that of the class in all labels; `classes`: how many are watched together.

        `young`: the model is. Its values, as those of a class that is not rare, belong to the past and are not tested.
        """
        self._drift_detected = False
        wrong = 1.0 - value
        self.threshold = classes * max(THRESHOLD_MIN, CALIBRATED * self.false_alarm_every_events * share)
        if self._past >= PAST_VALUES_MIN and share <= self.share_max and not young:
            error = math.sqrt(max(self._variance, VARIANCE_MIN) / min(self._past, MEMORY_VALUES))
            gain = wrong / max(MEAN_MIN, self._mean + error) - 1.0
            self._bettors = [(held + 1.0) * (1.0 + bet * gain) for held, bet in zip(self._bettors, BETS, strict=True)]
            if self.statistic >= self.threshold:
                self._drift_detected = True
                self._bettors = [0.0] * len(BETS)
        self._newest.append(wrong)
        if len(self._newest) > LAG_VALUES:
            self._learn(self._newest.popleft())

    def snapshot(self) -> dict[str, Any]:
        """Its state, as plain values."""
        return {
            "threshold": self.threshold,
            "bettors": tuple(self._bettors),
            "past": self._past,
            "mean": self._mean,
            "variance": self._variance,
            "newest": tuple(self._newest),
        }

    def restored(self, saved: dict[str, Any]) -> RankDetector:
        """One that goes on from `saved`."""
        detector = RankDetector(self.false_alarm_every_events, self.share_max)
        detector.threshold, detector._bettors = saved["threshold"], list(saved["bettors"])
        detector._past, detector._mean, detector._variance = saved["past"], saved["mean"], saved["variance"]
        detector._newest.extend(saved["newest"])
        return detector

    def _learn(self, wrong: float) -> None:
        self._past += 1
        rate = 1.0 / min(self._past, MEMORY_VALUES)
        difference = wrong - self._mean
        self._mean += rate * difference
        self._variance = (1.0 - rate) * (self._variance + rate * difference * difference)


class _Class:
    """A class that is not the most frequent: the predictions it will be compared with, and its detector."""

    __slots__ = ("detector", "others", "others_seen")

    def __init__(self, detector: RankDetector, others: Iterable[float] = (), others_seen: int = 0) -> None:
        self.detector = detector
        self.others: collections.deque[float] = collections.deque(others, maxlen=RANKED_EVENTS)
        self.others_seen = others_seen

    def value(self, p: float) -> float | None:
        """The rank of a prediction of this class among the others since the last one."""
        others = self.others
        if not others or self.others_seen < RANKED_MIN:
            return None
        value = (sum([other < p for other in others]) + 0.5 * others.count(p)) / len(others)
        others.clear()
        return value


class RankGuard:
    """The detectors of the signal `rank`, one for each class but the most frequent; shown the label and the probabilities of each event."""

    PART: ClassVar = Part.of("guard of rank", "labels", "shares", "frequent", "classes")
    __slots__ = ("_classes", "_frequent", "_labels", "_shares", "_spec", "value")

    def __init__(self, spec: RankDetector, saved: Saved | None = None) -> None:
        """Raises `StateError`."""
        values: Saved = {"labels": 0, "shares": (), "frequent": None, "classes": ()} if saved is None else self.PART.load(saved)
        self._spec = spec
        self._labels: int = values["labels"]
        self._shares: dict[Any, float] = dict(values["shares"])
        """Of each class in the recent labels."""
        self._frequent: Any = values["frequent"]
        self._classes = {label: _Class(spec.restored(kept), others, seen) for label, kept, others, seen in values["classes"]}
        self.value: float | None = None
        """The signal's last value."""

    @property
    def detector(self) -> RankDetector:
        """That of the class which is nearest to an alarm."""
        running = [each.detector for each in self._classes.values()]
        return max(running, key=lambda each: each.statistic / each.threshold, default=self._spec)

    def update(self, value: tuple[Any, dict[Any, float]]) -> Literal["down"] | None:
        """Take the next label and the probabilities that were given for it; whether its class is ranked worse than before."""
        y, proba = value
        self._count(y)
        own = None
        for label, each in self._classes.items():
            if label == y:
                own = each
            else:
                each.others.append(proba.get(label, 0.0))
                each.others_seen += 1
        if own is None:
            if y != self._frequent and y in self._shares:
                self._classes[y] = _Class(self._spec.restored(self._spec.snapshot()))
            return None
        rank = own.value(proba.get(y, 0.0))
        if rank is None:
            return None
        self.value = rank
        own.detector.update(rank, self._shares[y], len(self._classes), young=self._labels < YOUNG_EVENTS)
        return "down" if own.detector.drift_detected else None

    def snapshot(self) -> Saved:
        """What the constructor needs to go on from here."""
        classes = [(label, each.detector.snapshot(), tuple(each.others), each.others_seen) for label, each in self._classes.items()]
        return self.PART.save(labels=self._labels, shares=tuple(self._shares.items()), frequent=self._frequent, classes=tuple(classes))

    def _count(self, y: Any) -> None:
        shares = self._shares
        self._labels += 1
        rate = 1.0 / min(self._labels, SHARE_EVENTS)
        for label in shares:
            shares[label] *= 1.0 - rate
        if y in shares:
            shares[y] += rate
        elif len(shares) < CLASSES_MAX:
            shares[y] = rate
        else:
            return
        if self._labels == 1 or (y != self._frequent and shares[y] > MORE_FREQUENT * shares[self._frequent]):
            self._frequent = y
            self._classes.pop(y, None)

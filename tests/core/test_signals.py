"""Every detector in every direction: what fires, and what must not."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest
from river import base, drift
from river.drift import binary

from stream_retrain import Watch
from stream_retrain.core.watch.guards import Wanted
from stream_retrain.core.watch.signals import classification_loss
from stream_retrain.core.watch.watch import reading
from stream_retrain.models import FastADWIN


def errors(rates: list[float], each: int, seed: int = 5) -> list[int]:
    rng = random.Random(seed)
    return [int(rng.random() < rate) for rate in rates for _ in range(each)]


def fired(watch: Watch, values: list[Any], since: int = 0) -> list[str]:
    """The directions told from event `since` on."""
    guard = watch.build()
    told = [guard.update(value) for value in values]
    return [direction for direction in told[since:] if direction]


CHANGE = 800
WORSE, BETTER = errors([0.1, 0.5], CHANGE), errors([0.5, 0.1], CHANGE)


class Custom(base.DriftDetector):
    """A user's own two-sided detector: fires when the last 50 differ from the 50 before by 0.3."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[float] = []

    def update(self, x: float) -> None:
        self._drift_detected = False
        self.values.append(x)
        if len(self.values) >= 100 and abs(sum(self.values[-50:]) - sum(self.values[-100:-50])) > 15:
            self._drift_detected = True
            self.values = []


DETECTORS = {
    "ADWIN": drift.ADWIN(),
    "FastADWIN": FastADWIN(),
    "PageHinkley": drift.PageHinkley(),
    "KSWIN": drift.KSWIN(seed=3, alpha=1e-5, window_size=300, stat_size=100),
    "DDM": binary.DDM(),
    "HDDMA": binary.HDDMA(),
    "HDDMA two-sided": binary.HDDMA(two_sided_test=True),
    "HDDMW": binary.HDDMW(),
    "FHDDM": binary.FHDDM(),
    "a user's": Custom(),
}


@pytest.mark.parametrize("name", DETECTORS)
def test_on_errors_up_means_worse(name: str) -> None:
    watch = Watch("error", DETECTORS[name], every=1)
    assert watch.wanted == "up"
    assert "up" in fired(watch, WORSE), "it sees the error rise"
    assert fired(watch, BETTER, since=CHANGE) == [], "it passes over the error's fall"


@pytest.mark.parametrize("name", DETECTORS)
def test_asked_for_the_other_side_it_sees_that(name: str) -> None:
    watch = Watch("error", DETECTORS[name], every=1, direction="down")
    assert "down" in fired(watch, BETTER)
    assert "up" not in fired(watch, WORSE)


@pytest.mark.parametrize("name", ["ADWIN", "FastADWIN", "PageHinkley", "KSWIN", "HDDMA two-sided", "a user's"])
def test_both_sides_are_told_apart(name: str) -> None:
    watch = Watch("error", DETECTORS[name], every=1, direction="both")
    assert fired(watch, WORSE)[0] == "up"
    assert "down" in fired(watch, BETTER)


def test_river_still_has_the_faults_the_guards_are_for() -> None:
    """If this fails, River has changed: look whether a guard can go."""
    plain = drift.ADWIN()
    assert any(update(plain, value) for value in BETTER), "ADWIN fires on improvement"
    inverted = binary.FHDDM()
    assert not any(update(inverted, value) for value in WORSE), "FHDDM does not see errors rise"


def test_an_alarm_that_is_passed_over_does_not_blind_adwin() -> None:
    """River's ADWIN forgets everything after an alarm; a drift right after an improvement would then have nothing to differ from."""
    plain = drift.ADWIN()
    better = errors([0.5, 0.1], 2_000)
    at = next(number for number, value in enumerate(better) if update(plain, value))
    worse = errors([0.9], 200, seed=9)
    watch = Watch("error", drift.ADWIN())
    assert fired(watch, better[: at + 1] + worse, since=at + 1) == ["up"]


@pytest.mark.parametrize("direction", ["up", "down", "both"])
def test_the_projects_adwin_is_watched_as_rivers(direction: Wanted) -> None:
    """Alarms, warnings and readings at each value; its warner is ten times as sensitive, too."""
    watches = [Watch("error", kind(clock=8), direction=direction) for kind in (drift.ADWIN, FastADWIN)]
    (rivers, ours), told = [watch.build() for watch in watches], []
    rivers_warner, ours_warner = [watch.build_warner(guard) for watch, guard in zip(watches, (rivers, ours), strict=True)]
    assert ours_warner.detector.delta == rivers_warner.detector.delta == 0.02
    for value in errors([0.2, 0.5, 0.1, 0.4], 500):
        alarm, warning = ours.update(value), ours_warner.update(value)
        assert (alarm, warning) == (rivers.update(value), rivers_warner.update(value))
        assert reading(ours.detector) == reading(rivers.detector)
        told += [alarm, warning]
    assert set(told) - {None} == ({"up", "down"} if direction == "both" else {direction})


def update(detector: Any, value: Any) -> bool:
    detector.update(value)
    return bool(detector.drift_detected)


@pytest.mark.parametrize(("signal", "wanted"), [("error", "up"), ("loss", "up"), ("prediction", "both"), ("feature:a", "both")])
def test_direction_by_default(signal: str, wanted: Wanted) -> None:
    assert Watch(signal, drift.ADWIN()).wanted == wanted


@pytest.mark.parametrize("name", DETECTORS)
def test_restored_guards_go_on_as_if_never_stopped(name: str) -> None:
    watch = Watch("error", DETECTORS[name], every=1)
    whole = fired(watch, WORSE)
    guard = watch.build()
    seen = []
    for number, value in enumerate(WORSE):
        if number % 400 == 200:
            guard = watch.build(guard.snapshot())
        if direction := guard.update(value):
            seen.append(direction)
    assert seen == whole


WARNS = {
    **{name: Watch("error", DETECTORS[name]) for name in ("ADWIN", "FastADWIN", "PageHinkley", "DDM", "HDDMA", "HDDMW", "FHDDM")},
    "EDDM": Watch("error", binary.EDDM()),
    "a warner of its own": Watch("error", DETECTORS["a user's"], warning=drift.ADWIN(delta=0.5), every=2),
}


@pytest.mark.parametrize("name", WARNS)
def test_a_warning_is_told_once_however_often_it_is_restored(name: str) -> None:
    watch = WARNS[name]
    guard = watch.build()
    warner = watch.build_warner(guard)
    expected = [guard.update(value) or warner.update(value) for value in WORSE]
    told = []
    guard = watch.build()
    warner = watch.build_warner(guard)
    for value in WORSE:
        kept, warning = pickle.loads(pickle.dumps((guard.snapshot(), warner.snapshot())))
        guard = watch.build(kept)
        warner = watch.build_warner(guard, warning)
        told.append(guard.update(value) or warner.update(value))
    assert told == expected
    assert any(told)


def test_a_fresh_guard_leaves_the_declared_detector_alone() -> None:
    detector = drift.ADWIN()
    fired(Watch("error", detector), WORSE)
    assert detector.width == 0


def test_loss_is_clipped_where_the_model_knows_no_such_class() -> None:
    assert classification_loss("c", {"a": 1.0}) == pytest.approx(6.9078, abs=1e-4)
    assert classification_loss("a", {"a": 1.0}) == 0.0


def test_readings_show_what_the_detector_knows() -> None:
    adwin, hinkley = Watch("error", drift.ADWIN()).build(), Watch("error", drift.PageHinkley(threshold=7)).build()
    assert reading(hinkley.detector).statistic == 0.0, "before any value"
    for value in errors([0.3], 500):
        adwin.update(value)
        hinkley.update(value)
    assert reading(adwin.detector).estimate == pytest.approx(0.3, abs=0.06)
    assert reading(adwin.detector).width == 500
    shown = reading(hinkley.detector)
    assert shown.threshold == 7
    assert shown.statistic is not None
    assert 0 <= shown.statistic < 7

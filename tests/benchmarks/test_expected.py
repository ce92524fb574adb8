"""The estimate of accuracy before labels, on streams where what it must say is known."""

from __future__ import annotations

import statistics

import pytest
from river import linear_model, preprocessing

from benchmarks.expected import CALIBRATED, Calibrated, errors, linear


def test_a_confidence_is_worth_what_it_came_to() -> None:
    calibrated = Calibrated()
    assert calibrated.of(0.9) == pytest.approx(0.9), "nothing is known yet"
    for number in range(2 * CALIBRATED):
        calibrated.learn(0.9, number % 10 < 6)
    assert calibrated.of(0.9) == pytest.approx(0.6, abs=0.01)
    assert calibrated.of(0.52) == pytest.approx(0.52)
    for _ in range(CALIBRATED):
        calibrated.learn(0.9, True)
    assert calibrated.of(0.9) == pytest.approx(1.0, abs=0.01), "what is older than its window is forgotten"


@pytest.mark.slow
@pytest.mark.parametrize(("shifts", "turns", "sees"), [(None, None, True), (9_000, None, True), (None, 9_000, False)])
def test_it_sees_a_shift_of_the_features_and_not_that_the_concept_turns(shifts: int | None, turns: int | None, sees: bool) -> None:
    pairs = linear(12_000, shift_at=shifts, turn_at=turns)
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    changes = [each for each in (shifts, turns) if each is not None]
    found = [(place, ours, theirs) for place, ours, theirs in errors(pairs, model, 2_000, changes)]
    place = "after" if changes else "before"
    ours = statistics.fmean(ours for each, ours, _ in found if each == place)
    assert (ours < 0.05) == sees

"""Where the recent errors began to rise."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.core.contest.change_point import events_since_rise, events_since_rise_of_losses


def errors(rate: float, count: int, rng: random.Random) -> list[int]:
    return [int(rng.random() < rate) for _ in range(count)]


def log_likelihood(values: list[int]) -> float:
    rate = sum(values) / len(values)
    return sum(math.log(rate if value else 1 - rate) for value in values)


def by_trying_every_cut(values: list[int]) -> float:
    """The likelihood of the best cut with a rise, computed from the definition."""
    best = -math.inf
    for cut in range(1, len(values) - 9):
        head, tail = values[:cut], values[cut:]
        if sum(tail) / len(tail) > sum(head) / len(head):
            best = max(best, log_likelihood(head) + log_likelihood(tail))
    return best


@pytest.mark.parametrize("new", [10, 25, 60, 200])
def test_a_clean_step_is_found_exactly(new: int) -> None:
    assert events_since_rise([0] * (400 - new) + [1] * new) == new
    assert events_since_rise_of_losses([0.5] * (400 - new) + [2.5] * new) == new


@pytest.mark.parametrize(("before", "after", "tolerance"), [(0.1, 0.5, 8), (0.2, 0.5, 15), (0.05, 0.9, 3)])
def test_a_noisy_rise_is_found_nearly(before: float, after: float, tolerance: int) -> None:
    rng = random.Random(3)
    missed = sorted(abs(events_since_rise(errors(before, 340, rng) + errors(after, 60, rng)) - 60) for _ in range(100))
    assert missed[50] <= tolerance


def test_a_rise_of_noisy_losses_is_found_nearly() -> None:
    rng = random.Random(4)
    made = ([rng.gauss(1, 0.5) for _ in range(340)] + [rng.gauss(2, 0.5) for _ in range(60)] for _ in range(100))
    missed = sorted(abs(events_since_rise_of_losses(losses) - 60) for losses in made)
    assert missed[50] <= 3


def test_a_level_far_from_zero_loses_no_digits() -> None:
    assert events_since_rise_of_losses([1e9 + 0.1] * 300 + [1e9 + 0.3] * 40) == 40


@pytest.mark.parametrize("values", [[], [1], [0] * 9, [0] * 300, [1] * 300, [1] * 200 + [0] * 100])
def test_without_a_rise_it_is_the_floor(values: list[int]) -> None:
    assert events_since_rise(values) == min(10, len(values))
    assert events_since_rise_of_losses(values) == min(10, len(values))


def test_a_fall_is_not_taken_for_the_rise_before_it() -> None:
    assert events_since_rise([0] * 100 + [1] * 20 + [0] * 280) > 200, "of the cuts with a rise, the likeliest"


def test_losses_that_are_no_numbers_give_the_floor() -> None:
    assert events_since_rise_of_losses([0.0] * 50 + [math.inf] * 50) == 10
    assert events_since_rise_of_losses([math.nan] * 100) == 10


def test_only_the_last_events_are_looked_at() -> None:
    rng = random.Random(5)
    recent = errors(0.1, 300, rng) + errors(0.6, 100, rng)
    assert events_since_rise([1] * 50 + [0] * 5_000 + recent) == events_since_rise(recent)


@given(st.lists(st.integers(0, 1), min_size=11, max_size=120))
def test_it_is_the_most_likely_of_all_cuts(values: list[int]) -> None:
    tail = events_since_rise(values)
    best = by_trying_every_cut(values)
    assert 10 <= tail <= len(values)
    if best > -math.inf:
        cut = len(values) - tail
        assert log_likelihood(values[:cut]) + log_likelihood(values[cut:]) == pytest.approx(best)


@given(st.lists(st.floats(0, 100), min_size=11, max_size=80), st.floats(0.1, 10))
def test_the_unit_of_a_loss_does_not_matter(losses: list[float], unit: float) -> None:
    whole = [float(round(loss)) for loss in losses]
    scaled = [loss * 2.0 ** round(math.log2(unit)) for loss in whole]
    assert events_since_rise_of_losses(scaled) == events_since_rise_of_losses(whole)

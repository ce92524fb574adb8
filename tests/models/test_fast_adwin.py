"""FastADWIN: River's alarms at the same values, equal to its twin in Python to the last bit, and no value or state that harms it."""

from __future__ import annotations

import itertools
import math
import pickle
import random
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from stream_retrain.core.digest import digest
from stream_retrain.models import FastADWIN, QuickTreeRegressor, RestartingRegressor, arithmetic
from tests.models.twins import computing, exchanged, needs_extension, twins

VALUES = 20_000
PARAMETERS: list[dict[str, Any]] = [
    {},
    {"delta": 0.05, "clock": 8},
    {"delta": 0.3, "clock": 1, "max_buckets": 9, "min_window_length": 1, "grace_period": 0},
    {"delta": 0.01, "clock": 5, "max_buckets": 3, "min_window_length": 30, "grace_period": 100},
]


def errors(rng: random.Random, count: int) -> Iterator[float]:
    """0 and 1, of a rate that jumps."""
    for number in range(count):
        if number % 3_000 == 0:
            rate = rng.random()
        yield float(rng.random() < rate)


def gaussians(rng: random.Random, count: int) -> Iterator[float]:
    """Of a mean that jumps."""
    for number in range(count):
        yield rng.gauss(number // 4_000 % 3, 1.0)


def sizes(rng: random.Random, count: int) -> Iterator[float]:
    """Large ones of a mean that moves slowly: no sum of these is exact."""
    for number in range(count):
        yield rng.gauss(1e6, 1e5) * (1.0 + number / count)


def constant(rng: random.Random, count: int) -> Iterator[float]:
    """One value, whose sums are not exact."""
    return itertools.repeat(rng.random(), count)


def steps(rng: random.Random, count: int) -> Iterator[float]:
    """Two values, each for long: rounding leaves the variance below 0."""
    low = rng.random()
    for number in range(count):
        yield low if number % 5_000 < 4_000 else low + 0.2


KINDS = [errors, gaussians, sizes, constant, steps]


@pytest.mark.parametrize("parameters", PARAMETERS, ids=lambda each: str(each.get("delta", "defaults")))
@pytest.mark.parametrize("kind", KINDS)
def test_it_fires_exactly_where_rivers_does(kind: Any, parameters: dict[str, Any]) -> None:
    """Only the last digit of a logarithm differs, and none of these streams hangs on it."""
    ours, rivers = FastADWIN(**parameters), drift.ADWIN(**parameters)
    alarms = 0
    for number, x in enumerate(kind(random.Random(len(parameters)), VALUES)):
        ours.update(x)
        rivers.update(x)
        assert (ours.drift_detected, ours.width) == (rivers.drift_detected, rivers.width), number
        alarms += ours.drift_detected
        if number % 1_000 == 0:
            told = ours.total, ours.variance, ours.estimation, ours.n_detections
            assert told == (rivers.total, rivers.variance, rivers.estimation, rivers.n_detections)
    assert (alarms > 0) == (kind is not constant)


@needs_extension
@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.sampled_from(PARAMETERS), st.integers(1, 9), st.booleans())
def test_twins_are_equal_over_exchanged_states(kind: Any, seed: int, parameters: dict[str, Any], buckets: int, goes_on: bool) -> None:
    compiled, plain = twins(lambda: FastADWIN(**{**parameters, "max_buckets": buckets}))
    rng = random.Random(seed)
    values = [value for _ in range(3) for value in kind(rng, 200)] + [rng.choice([1e139, -1e139, 5e-324, 3, True]) for _ in range(100)]
    for x in values:
        if goes_on:
            assert compiled.add(x) == plain.add(x)
        else:
            compiled.update(x)
            plain.update(x)
        assert (compiled.drift_detected, compiled.width) == (plain.drift_detected, plain.width)
        if rng.random() < 0.02:
            assert digest(compiled) == digest(plain)
            compiled, plain = exchanged(compiled, plain)
    assert digest(compiled) == digest(plain)
    assert (compiled.estimation, compiled.n_detections) == (plain.estimation, plain.n_detections)


@pytest.mark.parametrize("where", ["Python", pytest.param("compiled", marks=needs_extension)])
class TestEither:
    """What holds of both."""

    @pytest.fixture(autouse=True)
    def computed(self, where: str) -> Iterator[None]:
        with computing(where):
            yield

    def test_many_values_are_taken_up_to_an_alarm(self) -> None:
        values = list(errors(random.Random(3), 12_000))
        one, many, at, alarms = FastADWIN(), FastADWIN(), 0, []
        for number, x in enumerate(values):
            one.update(x)
            if one.drift_detected:
                alarms.append(number)
        found = []
        while (place := many.update_many(iter(values[at:]))) is not None:
            at += place + 1
            found.append(at - 1)
        assert found == alarms != []
        assert digest(one) == digest(many)

    def test_it_begins_afresh_after_an_alarm_or_goes_on(self) -> None:
        values = [0.0] * 500 + [1.0] * 500
        afresh, on = FastADWIN(), FastADWIN()
        at = afresh.update_many(values)
        assert at is not None
        assert [on.add(x) for x in values[: at + 1]].count(True) == 1
        assert on.width == afresh.width > 1
        afresh.update(1.0)
        on.add(1.0)
        assert (afresh.width, afresh.n_detections, afresh.drift_detected) == (1, 0, False)
        assert (on.width > 2, on.n_detections, on.drift_detected) == (True, 1, False)
        on._reset()
        assert (on.width, on.total, on.variance, on.estimation, on.n_detections) == (0, 0.0, 0.0, 0.0, 0)

    def test_numbers_of_any_kind_are_taken(self) -> None:
        detector = FastADWIN()
        for x in (1, True, numpy.float32(0.5), numpy.int64(2), numpy.bool_(True), Decimal("0.25"), Fraction(1, 4)):
            detector.update(x)
        assert (detector.width, detector.total) == (7, 6.0)
        assert detector.update_many(numpy.ones(5)) is None
        assert detector.width == 12

    @pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, 1e140, -1e300, 10**400, -(10**4000), numpy.float64("nan")])
    def test_what_is_no_finite_number_is_refused_and_changes_nothing(self, x: float) -> None:
        detector = FastADWIN()
        assert detector.update_many([0.0] * 320 + [1.0] * 96) is not None
        before = digest(detector)
        for take in (detector.update, detector.add, lambda x: detector.update_many([x])):
            with pytest.raises(ValueError) as refused:
                take(x)
            assert str(refused.value) == f"the value {arithmetic.as_float(x)!r} is not a finite number below 1e+140"
        for no_number in ("1.5", None):
            with pytest.raises(TypeError):
                detector.update(no_number)  # type: ignore[arg-type]
        assert digest(detector) == before

    def test_a_damaged_state_is_refused_or_harmless(self) -> None:
        detector = FastADWIN(clock=1, max_buckets=2)
        assert detector.update_many(gaussians(random.Random(1), 700)) is None
        whole = counts, floats = detector._core.state()
        rng, refused = random.Random(5), 0
        for number in range(400):
            changed, other = bytearray(counts), FastADWIN(clock=1, max_buckets=2)
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
            flipped = bytearray(floats)
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            cut = counts[: 4 * rng.randrange(len(counts) // 4)], floats[: 8 * rng.randrange(len(floats) // 8)]
            damaged = [(bytes(changed), floats), (counts, bytes(flipped)), (cut[0], floats), (counts, cut[1])][number % 4]
            try:
                other._core.restore(damaged)
            except ValueError:
                refused += 1
            else:
                other.update_many([0.0, 1.0] * 20)
        assert refused >= 250
        for wrong in ((b"", b""), (counts + counts[:4], floats), (counts, floats + floats[:8]), (counts[:-1], floats), None):
            with pytest.raises(ValueError, match="damaged"):
                FastADWIN(clock=1, max_buckets=2)._core.restore(wrong)
        with pytest.raises(ValueError, match="damaged"):
            FastADWIN(clock=1, max_buckets=1)._core.restore(whole)

    def test_a_copy_goes_on_and_a_clone_begins_afresh(self) -> None:
        detector = FastADWIN(delta=0.05, clock=8, max_buckets=4, min_window_length=6, grace_period=20)
        detector.update_many([0.25] * 99)
        again, fresh = pickle.loads(pickle.dumps(detector)), detector.clone({"delta": 0.5})
        assert digest(again) == digest(detector)
        assert (fresh.delta, fresh.clock, fresh.max_buckets, fresh.min_window_length, fresh.grace_period) == (0.5, 8, 4, 6, 20)
        assert (again.width, fresh.width) == (99, 0)

    def test_a_regressor_with_rivers_adwin_goes_on_with_it(self) -> None:
        """As states of releases before `FastADWIN` do; with the other it restarts at the same events."""
        rivers, ours = (
            RestartingRegressor(QuickTreeRegressor(), drift.ADWIN(delta=0.05, clock=8)),
            RestartingRegressor(QuickTreeRegressor()),
        )
        rng = random.Random(4)
        for number in range(2_400):
            x = {"a": rng.random(), "b": rng.random()}
            y = (x["a"] if number // 800 % 2 == 0 else -x["a"]) * 10 + rng.gauss(0, 0.2)
            assert rivers.predict_one(x) == ours.predict_one(x)
            rivers.learn_one(x, y)
            ours.learn_one(x, y)
            if number % 500 == 0:
                rivers = pickle.loads(pickle.dumps(rivers))
        assert rivers.restarts == ours.restarts >= 2
        assert (type(rivers.detector), type(ours.detector)) == (drift.ADWIN, FastADWIN)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"delta": 0.0}, "delta is 0.0; use a probability"),
        ({"delta": math.nan}, "delta is nan"),
        ({"delta": 1}, "delta is 1;"),
        ({"clock": 0}, "clock is 0; use a whole number from 1"),
        ({"clock": 2.5}, "clock is 2.5"),
        ({"max_buckets": 0}, "max_buckets is 0"),
        ({"max_buckets": 2**32}, "to 1,000,000,000"),
        ({"min_window_length": 0}, "min_window_length is 0"),
        ({"grace_period": -1}, "grace_period is -1; use a whole number from 0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FastADWIN(**parameters)

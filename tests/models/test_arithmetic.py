"""The models' arithmetic: as exact as the C library's, defined everywhere, and with the same bits on every machine and Python."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.models import arithmetic

FUNCTIONS = {
    "exp": (arithmetic.exp, math.exp, 1, (-700.0, 700.0)),
    "log": (arithmetic.log, math.log, 1, (1e-300, 1e300)),
    "log2": (arithmetic.log2, math.log2, 2, (1e-300, 1e300)),
    "tanh": (arithmetic.tanh, math.tanh, 8, (-25.0, 25.0)),
}


def places_apart(found: float, expected: float) -> float:
    return abs(found - expected) / math.ulp(expected)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(data=st.data())
def test_a_result_is_within_some_units_in_the_last_place(name: str, data: st.DataObject) -> None:
    ours, theirs, places, (low, high) = FUNCTIONS[name]
    x = data.draw(st.one_of(st.floats(low, high), st.floats(max(low, -2.0), 2.0)))
    if theirs(x) == 0.0 or abs(theirs(x)) > 1e-300:
        assert places_apart(ours(x), theirs(x)) <= places


@given(st.floats(-8.0, 8.0))
def test_the_error_function_is_within_1e_minus_15(x: float) -> None:
    assert abs(arithmetic.erf(x) - math.erf(x)) <= 1e-15
    assert arithmetic.erf(-x) == -arithmetic.erf(x)


@given(st.floats(1e-3, 1.0), st.floats(0.1, 5.0))
def test_a_power_is_near(x: float, exponent: float) -> None:
    assert arithmetic.power(x, exponent) == pytest.approx(x**exponent, rel=1e-13)


@pytest.mark.parametrize("function", [arithmetic.exp, arithmetic.log, arithmetic.tanh, arithmetic.erf])
def test_nan_stays_nan(function: Callable[[float], float]) -> None:
    assert math.isnan(function(math.nan))


def test_the_ends_of_the_range() -> None:
    assert arithmetic.exp(-709.0) == arithmetic.exp(-math.inf) == 0.0
    assert arithmetic.exp(709.0) == arithmetic.exp(math.inf) == math.inf
    assert arithmetic.exp(0.0) == arithmetic.exp(-0.0) == arithmetic.exp(1e-300) == 1.0
    assert arithmetic.log(0.0) == -math.inf
    assert arithmetic.log(math.inf) == math.inf
    assert arithmetic.log(1.0) == arithmetic.log2(1.0) == 0.0
    assert math.isnan(arithmetic.log(-1.0))
    assert arithmetic.log(5e-324) == math.log(5e-324)
    assert [arithmetic.log2(2.0**k) for k in range(-1074, 1024)] == list(range(-1074, 1024))
    assert (arithmetic.tanh(1e300), arithmetic.tanh(-math.inf), arithmetic.tanh(1e-320)) == (1.0, -1.0, 1e-320)
    assert (arithmetic.erf(1e300), arithmetic.erf(-6.0)) == (1.0, -1.0)


def test_the_steps_of_a_digest_are_the_same_everywhere() -> None:
    """Another machine or Python that computes a bit otherwise fails here; so does a change without a new version of the arithmetic."""
    hashed = hashlib.sha256()
    x = 0.7
    for number in range(20_000):
        x = 3.9 * x * (1.0 - x)  # the logistic map: every bit matters a hundred steps later
        z = (x - 0.5) * 10.0 ** (number % 5 - 2)
        values = (arithmetic.exp(z), arithmetic.log(abs(z)), arithmetic.log2(abs(z)), arithmetic.tanh(z), arithmetic.erf(z))
        hashed.update(struct.pack("<5d", *values))
    assert (arithmetic.ARITHMETIC, hashed.hexdigest()[:16]) == (1, "3b03add3f07152e7")

"""The arithmetic of the project's own models: exp, log, log2, tanh and erf with the same bits on every machine.

A C library computes these functions by other steps on another processor or in another release, and the last digit differs. In a model
that is not harmless: a tie that is decided the other way moves a probability by tenths. So the models use the functions below and nothing
of `math` but what IEEE 754 defines exactly (sqrt, frexp, ldexp, copysign, comparisons). The compiled models have the same steps in Rust
(`native/src/arithmetic.rs`), and each result is equal to the last bit. For the same reason

- floats are added by a plain loop in a stated order: `sum` adds them otherwise from Python 3.12 on;
- a square is x * x, never a power;
- nothing follows the order of a set, because it depends on the hash seed.

Every function is within about one unit in the last place, and `erf` within 1e-15; tests hold them against the C library.

exp     x = k log(2) + r, and exp(r) = 1 + r + r c / (2 - c) with c = r - (r coth(r/2) - 2), whose series is that of the Bernoulli numbers
log     x = 2^k (1 + f), and log(1 + f) = 2 artanh(s) with s = f / (2 + f)
tanh    2x / (2x coth(x)) near 0, else 1 - 2 / (exp(2x) + 1)
erf     1 - exp(-x^2) p(u), where p is the Chebyshev expansion of erfc(x) exp(x^2) on 0 to 6 in u = 2 - 9 / (x + 3)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

__all__ = ["ARITHMETIC", "INV_LN2", "as_float", "erf", "exp", "log", "log2", "power", "tanh"]

ARITHMETIC: Final = 1
"""Its version, which is in every checkpoint: raised with any change that can change a bit of a model's state or prediction."""

INV_LN2: Final = 1.4426950408889634
LN2_HIGH: Final = float.fromhex("0x1.62e42fefa3800p-1")
"""log(2), the first 42 bits: its product with an exponent is exact."""
LN2_LOW: Final = float.fromhex("0x1.ef35793c76730p-45")
"""log(2), the rest."""
HALF_ROOT: Final = 0.7071067811865476
EXP_MIN: Final = -708.0
"""Below this exp is 0: there are no subnormal numbers in a state."""
EXP_MAX: Final = 709.0

ERFCX: Final = (
    0.3215854164543175, -0.3681515648982602, 0.20143885681922427, -0.0816268451340414, 0.02330826123266951, -0.003956151636368351,
    7.012531317034707e-05, 0.00012716419851675856, -1.5153799245990541e-05, -4.532605862719247e-06, 8.118057254898796e-07,
    2.2754298387094686e-07, -3.4805635200648176e-08, -1.4460654611145275e-08, 8.289810171926706e-10, 9.440110568136586e-10,
    6.16184260979435e-11, -5.1703501979866416e-11, -1.1351307986427277e-11, 1.625134053276775e-12, 7.95104531707357e-13,
    2.309804459588235e-14,
)  # fmt: skip
"""The coefficients of p, the constant first."""
_ERFCX_DOWN: Final = tuple(reversed(ERFCX))


def as_float(x: float) -> float:
    """A number of any type as a float, infinite where it is too large for one. Raises TypeError where it is no number, such as a string."""
    try:
        return math.ldexp(x, 0)
    except OverflowError:
        return math.inf if x > 0 else -math.inf


def exp(x: float) -> float:
    """e to the power x; 0 below -708, and infinite from 709."""
    if not EXP_MIN < x < EXP_MAX:
        return x if x != x else 0.0 if x < 0.0 else math.inf
    k = int(x * INV_LN2 + (0.5 if x >= 0.0 else -0.5))
    high = x - k * LN2_HIGH
    low = k * LN2_LOW
    r = high - low
    z = r * r
    c = r - z * (1 / 6 + z * (-1 / 360 + z * (1 / 15120 + z * (-1 / 604800 + z * (1 / 23950080 + z * (-691 / 653837184000))))))
    y = 1.0 + (high - (low - r * c / (2.0 - c)))
    return math.ldexp(y, k) if k else y


def log(x: float) -> float:
    """The natural logarithm; -inf of 0, and NaN below."""
    if not 0.0 < x < math.inf:
        return x if x > 0.0 else -math.inf if x == 0.0 else math.nan
    m, k = math.frexp(x)
    if m < HALF_ROOT:
        m += m
        k -= 1
    f = m - 1.0
    s = f / (2.0 + f)
    half = 0.5 * f * f
    return k * LN2_HIGH - ((half - (s * (half + _artanh(s * s)) + k * LN2_LOW)) - f)


def log2(x: float) -> float:
    """The logarithm to the base of 2 of a number above 0; exact for a power of 2."""
    m, k = math.frexp(x)
    if m < HALF_ROOT:
        m += m
        k -= 1
    f = m - 1.0
    s = f / (2.0 + f)
    half = 0.5 * f * f
    return k + (f - (half - s * (half + _artanh(s * s)))) * INV_LN2


def _artanh(z: float) -> float:
    """2 artanh(s) / s - 2 of s squared, up to 0.03: the even and the odd terms of the series apart."""
    w = z * z
    odd = z * (2 / 3 + w * (2 / 7 + w * (2 / 11 + w * (2 / 15 + w * (2 / 19)))))
    even = w * (2 / 5 + w * (2 / 9 + w * (2 / 13 + w * (2 / 17 + w * (2 / 21)))))
    return odd + even


def tanh(x: float) -> float:
    """The hyperbolic tangent."""
    r = abs(x)
    r += r
    if r < 0.34:
        z = r * r
        t = r / (2.0 + z * (1 / 6 + z * (-1 / 360 + z * (1 / 15120 + z * (-1 / 604800 + z * (1 / 23950080 + z * (-691 / 653837184000)))))))
    elif r < 44.0:
        t = 1.0 - 2.0 / (exp(r) + 1.0)
    elif r != r:
        return x
    else:
        t = 1.0
    return math.copysign(t, x)


def erf(x: float) -> float:
    """The error function."""
    a = abs(x)
    if not a < 6.0:
        return x if x != x else math.copysign(1.0, x)
    u = 2.0 - 9.0 / (a + 3.0)
    p = 0.0
    for coefficient in _ERFCX_DOWN:
        p = p * u + coefficient
    return math.copysign(1.0 - exp(-(a * a)) * p, x)


def total(values: Iterable[float]) -> float:
    """The sum, one after the other: `sum` does otherwise from Python 3.12 on."""
    added = 0.0
    for value in values:
        added += value
    return added


def power(x: float, exponent: float) -> float:
    """A number above 0 to any power."""
    return exp(exponent * log(x))

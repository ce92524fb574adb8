"""The kinds of feature values: number, category, missing, or invalid.

number      int, float, and what converts to float (numpy scalars, Decimal), but not booleans
category    str, bool, and any other hashable value
missing     None and NaN; the same as an absent feature
invalid     infinite (a running mean never recovers from it), or unhashable: ValueError
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

__all__ = ["HUGE", "Features", "checked", "is_number"]

Features: TypeAlias = dict[Any, Any]

HUGE: Final = 1e150
"""A number of at least this size counts as a tenth of this, so that its square is still finite."""


def checked(x: Features) -> Features:
    """`x` itself if no value is missing or huge, else a copy without the missing values and with the huge ones reduced.

    Raises:
        ValueError: a value is infinite or unhashable; the message names the feature.
    """
    if not isinstance(x, dict):
        return x
    for value in x.values():
        kind = value.__class__
        if kind is float or kind is int:
            if not -HUGE < value < HUGE:
                return _cleaned(x)
        elif kind is not str and kind is not bool:
            return _cleaned(x)
    return x


def is_number(value: object) -> bool:
    """Whether a value is a number; it must not be missing."""
    kind = value.__class__
    if kind is float or kind is int:
        return True
    return not isinstance(value, str | bool) and kind.__name__ not in ("bool", "bool_") and hasattr(kind, "__float__")


def _cleaned(x: Features) -> Features:
    clean: Features = {}
    for name, value in x.items():
        if value is None:
            continue
        if not is_number(value):
            try:
                hash(value)  # a tuple is hashable only if its items are
            except TypeError:
                raise ValueError(f"feature {name!r} is a {type(value).__name__}; use a number, a string or a boolean") from None
            clean[name] = bool(value) if value.__class__.__name__ in ("bool", "bool_") else value
            continue
        number = _float(value)
        if math.isinf(number):
            raise ValueError(f"feature {name!r} is infinite; leave it out or give it a finite value")
        if not math.isnan(number):
            clean[name] = value if -HUGE < number < HUGE and isinstance(value, int | float) else max(-HUGE / 10, min(HUGE / 10, number))
    return clean


def _float(value: Any) -> float:
    """The value as a float; HUGE for an integer that is too large for a float."""
    try:
        return float(value)
    except OverflowError:
        return HUGE if value > 0 else -HUGE

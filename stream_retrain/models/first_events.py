"""What a model learned before it could know what is usual: its first events, which it learns again if one of them was wild.

After 30 values a number counts as at most some deviations from its mean (`usual`). A wild one among the first 30 has no such bound, and it
sets the scale of its feature, or of the target, for thousands of events. Once there are 30 events, the median and the median absolute
deviation of each number say which values were wild (Hampel's identifier), because one value moves neither. `WILD` deviations are so many
that the long tail of most features is not meant, and where more than `WILD_MAX` values of a number are so far out, that is what it is like
(a machine that idles, or works). If there were any, the model begins anew with the same events, in which they count as `BROUGHT_TO`
deviations from the median: its members are made anew as they were declared, untrained.

References
----------
[^1]: Hampel, F. R., 1974. The influence curve and its role in robust estimation. JASA, 69(346), 383-393.

"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.models.arithmetic import as_float
from stream_retrain.models.feature_values import Features, is_number
from stream_retrain.models.usual import WARM_UP

__all__ = ["FIRST_EVENTS", "Events", "tamed"]

FIRST_EVENTS: Final = WARM_UP
VALUES_MIN: Final = 10
"""Of fewer values nothing is said."""
WILD: Final = 100.0
WILD_MAX: Final = 3
BROUGHT_TO: Final = 3.0
OF_NORMAL: Final = 1.4826
"""The standard deviation of normal values, in median absolute deviations."""

Events: TypeAlias = Sequence[tuple[Features, Any]]


class Usual(NamedTuple):
    """Median and deviation of a number."""

    middle: float
    deviation: float


def tamed(events: Events, *, targets: bool) -> list[tuple[Features, Any]] | None:
    """The events with wild values brought in; None where there are none. `targets`: the labels are numbers, too."""
    events = [(x, as_float(y) if targets else y) for x, y in events if isinstance(x, dict)]
    ranges = {name: _usual([x.get(name) for x, _ in events]) for name in _names(events)}
    of_targets = _usual([y for _, y in events]) if targets else None
    if of_targets is None and not any(ranges.values()):
        return None
    return [({name: _tamed(value, ranges[name]) for name, value in x.items()}, _tamed(y, of_targets)) for x, y in events]


def _names(events: Events) -> list[Any]:
    """Of all features, in the order in which they came."""
    return list(dict.fromkeys(name for x, _ in events for name in x))


def _usual(values: Sequence[Any]) -> Usual | None:
    """None where no value is wild, or it cannot be said, as where more than half of the values are equal."""
    numbers = sorted(number for value in values if _is_number(value) and not math.isnan(number := as_float(value)))
    if len(numbers) < VALUES_MIN or not math.isfinite(middle := _median(numbers)):
        return None
    deviation = OF_NORMAL * _median(sorted(math.fabs(number - middle) for number in numbers))
    if not 0.0 < deviation < math.inf:
        return None
    usual = Usual(middle, deviation)
    return usual if 1 <= sum(_is_wild(number, usual) for number in numbers) <= WILD_MAX else None


def _median(ordered: Sequence[float]) -> float:
    """Of an even number, the lower one of the two in the middle."""
    return ordered[(len(ordered) - 1) // 2]


def _is_number(value: Any) -> bool:
    return value is not None and is_number(value)


def _is_wild(value: Any, usual: Usual) -> bool:
    return _is_number(value) and math.fabs(as_float(value) - usual.middle) > WILD * usual.deviation


def _tamed(value: Any, usual: Usual | None) -> Any:
    """The value itself; one that is wild on its side of the middle, and near."""
    if usual is None or not _is_wild(value, usual):
        return value
    return usual.middle + math.copysign(BROUGHT_TO * usual.deviation, as_float(value) - usual.middle)

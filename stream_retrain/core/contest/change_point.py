"""The most likely moment at which the recent errors of a model began to rise.

A detector fires some events after a drift; the rows to train a challenger on are those since the drift, not the last N, most of which
belong to the old concept. So at the alarm, once, the last errors are cut where two segments of constant rate explain them best, and
the result is the length of the second: how many of the last events belong to the new concept.

Maximum likelihood for one change in a sequence of Bernoulli (Hinkley and Hinkley 1970, Biometrika 57) or of Gaussian variables of one
variance (Hinkley 1970, Biometrika 57), over the cuts at which the second segment's mean is the higher one. One pass, O(n).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from stream_retrain.models.arithmetic import total
from stream_retrain.models.logarithm import log

__all__ = ["LOOK_BACK_EVENTS", "events_since_rise", "events_since_rise_of_losses", "events_since_worse"]

LOOK_BACK_EVENTS: Final = 400
NEW_EVENTS_MIN: Final = 10


def events_since_worse(task: str, errors: Sequence[float]) -> int:
    """How many of the last `errors` of a model (its signal `error`, oldest first) came since it became worse, as suits its task."""
    if task == "regression":
        return events_since_rise_of_losses(errors)
    return events_since_rise([int(error) for error in errors])


def events_since_rise(errors: Sequence[int], *, events_min: int = NEW_EVENTS_MIN, events_max: int = LOOK_BACK_EVENTS) -> int:
    """How many of the last `errors` (0 or 1, oldest first) came after the most likely rise of their rate.

    At least `events_min`, which is also the result where no cut shows a rise, and never more than there are; only the last `events_max`
    are looked at.
    """
    recent = list(errors)[-events_max:]  # a deque cannot be sliced
    return _longest_tail(recent, events_min, _bernoulli_gain)


def events_since_rise_of_losses(losses: Sequence[float], *, events_min: int = NEW_EVENTS_MIN, events_max: int = LOOK_BACK_EVENTS) -> int:
    """The same for losses that are any numbers, oldest first: the most likely rise of their mean."""
    recent = list(losses)[-events_max:]
    centre = math.fsum(recent) / len(recent) if recent else 0.0
    return _longest_tail([loss - centre for loss in recent], events_min, _gaussian_gain)


Gain = Callable[[float, int, float, int], float]
"""Log likelihood of two segments, each given by its sum and length, up to what all cuts have in common."""


def _longest_tail(values: Sequence[float], events_min: int, gain: Gain) -> int:
    """The length of the second segment of the best cut; of equally good cuts, of the earliest."""
    best, tail = -math.inf, min(events_min, len(values))
    for before, head, after, rest in _cuts(values, events_min):
        if after * head > before * rest and (likelihood := gain(before, head, after, rest)) > best:
            best, tail = likelihood, rest
    return tail


def _cuts(values: Sequence[float], events_min: int) -> Iterator[tuple[float, int, float, int]]:
    """Sum and length before, sum and length after, for each place to cut."""
    whole, before, count = total(values), 0.0, len(values)
    for head in range(1, count - events_min + 1):
        before += values[head - 1]
        yield before, head, whole - before, count - head


def _bernoulli_gain(before: float, head: int, after: float, rest: int) -> float:
    return _entropy(before, head) + _entropy(after, rest)


def _entropy(hits: float, count: int) -> float:
    misses = count - hits
    return (hits * log(hits / count) if hits else 0.0) + (misses * log(misses / count) if misses else 0.0)


def _gaussian_gain(before: float, head: int, after: float, rest: int) -> float:
    """The sum of squares between the segments, in which the likelihood rises."""
    return before * before / head + after * after / rest

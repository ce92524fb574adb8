"""What the quality benchmark measures: pure functions of the labels, the answers and the alarms of one run.

Accuracies and kappas are in per cent. An event without an answer (the first ones of some models) is not scored.

kappa            Cohen's: how far from guessing by the frequencies of answers and labels (0) to perfect (100)
kappa-temporal   the same from the answer "as the label before": (p - p_before) / (1 - p_before), negative where that one is better
                 (Zliobaite, Bifet, Read, Pfahringer, Holmes 2015, Machine Learning 98, 455-482)
"""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from benchmarks.quality_streams import Drift

AFTER_EVENTS: Final = 1_000
DETECTED_WITHIN_EVENTS: Final = 2_000
"""After the end of a drift; an alarm later than that is not one for it."""
CURVE_EVENTS: Final = 500
PROBABILITY_MIN: Final = 1e-3


class Alarms(NamedTuple):
    """How alarms fit the drifts."""

    delay: float | None
    """Mean over the drifts that were noticed; None where none was, or none is known."""
    noticed: int
    false: int | None


def accuracy(labels: Sequence[Any], answers: Sequence[Any]) -> float | None:
    """Share of the answers that are right."""
    pairs = [(y, y_pred) for y, y_pred in zip(labels, answers, strict=True) if y_pred is not None]
    return 100 * sum(y == y_pred for y, y_pred in pairs) / len(pairs) if pairs else None


def kappa(labels: Sequence[Any], answers: Sequence[Any]) -> float | None:
    """Cohen's kappa."""
    pairs = [(y, y_pred) for y, y_pred in zip(labels, answers, strict=True) if y_pred is not None]
    if not pairs:
        return None
    of_labels = collections.Counter(y for y, _ in pairs)
    of_answers = collections.Counter(y_pred for _, y_pred in pairs)
    chance = sum(of_labels[label] * of_answers[label] for label in of_labels) / len(pairs) ** 2
    right = sum(y == y_pred for y, y_pred in pairs) / len(pairs)
    return 100 * (right - chance) / (1 - chance) if chance < 1 else None


def balanced_accuracy(labels: Sequence[Any], answers: Sequence[Any]) -> float | None:
    """Mean over the classes that came of the share of their events that was found; None counts as not found."""
    of_labels = collections.Counter(labels)
    right = collections.Counter(y for y, y_pred in zip(labels, answers, strict=True) if y == y_pred)
    return 100 * math.fsum(right[label] / count for label, count in of_labels.items()) / len(of_labels) if of_labels else None


def log_loss_bits(of_label: Sequence[float]) -> float | None:
    """Mean of -log2 of the probabilities that the labels had, clipped to 0.001 and 0.999."""
    bits = math.fsum(-math.log2(min(max(probability, PROBABILITY_MIN), 1 - PROBABILITY_MIN)) for probability in of_label)
    return bits / len(of_label) if of_label else None


def kappa_temporal(labels: Sequence[Any], answers: Sequence[Any]) -> float | None:
    """How much better than to answer with the label before, of what there was to win."""
    before = sum(now == then for then, now in itertools.pairwise(labels)) / max(1, len(labels) - 1)
    right = accuracy(labels, answers)
    return 100 * (right / 100 - before) / (1 - before) if right is not None and before < 1 else None


def r2(labels: Sequence[float], answers: Sequence[float]) -> float | None:
    """Share of the labels' variance that the answers explain."""
    mean = math.fsum(labels) / len(labels)
    total = math.fsum((y - mean) ** 2 for y in labels)
    left = math.fsum((y - y_pred) ** 2 for y, y_pred in zip(labels, answers, strict=True))
    return 1 - left / total if total else None


def mae(labels: Sequence[float], answers: Sequence[float]) -> float:
    """Mean absolute error."""
    return math.fsum(abs(y - y_pred) for y, y_pred in zip(labels, answers, strict=True)) / len(labels)


def after_drifts(score: Any, labels: Sequence[Any], answers: Sequence[Any], drifts: Sequence[Drift] | None) -> float | None:
    """Mean of `score` in the 1,000 events from the middle of each drift."""
    scores = [score(labels[at : at + AFTER_EVENTS], answers[at : at + AFTER_EVENTS]) for at in (drift.middle for drift in drifts or ())]
    found = [value for value in scores if value is not None]
    return math.fsum(found) / len(found) if found else None


def match(alarms: Sequence[int], drifts: Sequence[Drift] | None) -> Alarms:
    """The first alarm since each drift began, before the next one and in time, is for it; every other alarm is false."""
    if drifts is None:
        return Alarms(None, 0, None)
    delays = []
    ends = [*(drift.at for drift in drifts[1:]), math.inf]
    for drift, later in zip(drifts, ends, strict=False):
        last = min(drift.at + drift.width + DETECTED_WITHIN_EVENTS, later)
        first = next((alarm for alarm in alarms if drift.at <= alarm < last), None)
        if first is not None:
            delays.append(first - drift.at)
    return Alarms(sum(delays) / len(delays) if delays else None, len(delays), len(alarms) - len(delays))


def curve(score: Any, labels: Sequence[Any], answers: Sequence[Any]) -> list[float | None]:
    """`score` in each 500 events, one after the other."""
    starts = range(0, len(labels), CURVE_EVENTS)
    return [score(labels[start : start + CURVE_EVENTS], answers[start : start + CURVE_EVENTS]) for start in starts]

"""The signals: one number for each labelled event, or for each question, which needs no label.

Of labelled events:
error           0 or 1 for classification (the label was missed), |y - y_pred| for regression
loss            log loss in nats for classification (probabilities clipped to at least 0.001), (y - y_pred)^2 for regression
rank            how a class other than the most frequent is ranked (see `core.watch.rank`): 1 is right, 0.5 is no skill
Of questions:
prediction      probability of the positive class (binary), of the predicted one (multiclass), or the predicted value
feature:NAME    a numeric feature; of an optional one also how often it is missing (see `core.watch.watches`)
categories:NAME how rare the category of a text or boolean feature is, in bits (see `core.watch.guards.OfCategories`)
missing:NAME    1 where an optional feature is null or absent, else 0
missing         the share of the optional features that are null or absent
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from stream_retrain.facts.values import Features, Label
from stream_retrain.models.logarithm import log

__all__ = [
    "CATEGORIES",
    "FEATURE",
    "MISSING",
    "OF_FEATURES",
    "OF_QUESTIONS",
    "OF_THE_MODEL",
    "Signal",
    "WorstError",
    "absent_share",
    "classification_loss",
    "probability_of",
    "regression_loss",
    "signal_of",
]

OF_THE_MODEL: Final = ("error", "loss", "rank", "prediction")
OF_QUESTIONS: Final = ("prediction", "missing")
"""Those of a question as a whole; the others of questions are of one feature."""
OF_FEATURES: Final = ("feature", "categories", "missing")
CATEGORIES: Final = "categories:"
FEATURE: Final = "feature:"
MISSING: Final = "missing:"
PROBABILITY_MIN: Final = 1e-3
ERROR_MAX: Final = 1e150
"""A larger error of a number counts as this, so that its square is finite."""
ERRORS_FOR_SCALE: Final = 100
WORST_SCALES: Final = 4.0

Signal: TypeAlias = Callable[[Any, Any, Any], Any]
"""From (y, y_pred, probabilities) to the value, of `rank` to what its guard makes it from; None where the model gave no probabilities."""


def signal_of(name: str, task: str) -> Signal:
    """The function of a signal of the model."""
    match name, task == "regression":
        case "error", True:
            return lambda y, y_pred, _: min(abs(y - y_pred), ERROR_MAX)
        case "error", False:
            return lambda y, y_pred, _: 0 if y == y_pred else 1
        case "loss", True:
            return lambda y, y_pred, _: regression_loss(y, y_pred)
        case "loss", False:
            return lambda y, _, proba: classification_loss(y, proba) if proba else None
        case "rank", _:
            return lambda y, _, proba: (y, proba) if proba else None
        case "prediction", True:
            return lambda _, y_pred, __: float(y_pred)
        case _:
            return lambda _, y_pred, proba: probability_of(task, y_pred, proba) if proba else None


def probability_of(task: str, y_pred: Label | None, proba: dict[Any, float]) -> float | None:
    """Of the positive class for a binary task, else of the predicted one."""
    if task == "binary":
        return proba.get(True, 0.0)
    return proba.get(y_pred)


def absent_share(x: Features, optional: Sequence[str]) -> float:
    """The share of these features that are null or absent."""
    return sum([x.get(name) is None for name in optional]) / len(optional)


def classification_loss(y: Label, proba: dict[Any, float]) -> float:
    """Log loss of one prediction, in nats; a class the model does not know has probability 0, clipped like the rest."""
    return -log(max(proba.get(y, 0.0), PROBABILITY_MIN))


def regression_loss(y: float, y_pred: float) -> float:
    """Squared error of one prediction."""
    error = min(abs(y - y_pred), ERROR_MAX)
    return error * error


class WorstError:
    """What a failed prediction counts as, for the signals of errors.

    A missed label for classification. For numbers, whose errors have no bound, four times the running mean of the last hundred errors:
    the clip of a duel's losses (`core.contest.evidence.RelativeLoss`).
    """

    __slots__ = ("_regression", "events", "scale")

    def __init__(self, task: str, scale: float = 0.0, events: int = 0) -> None:
        self._regression = task == "regression"
        self.scale = scale
        self.events = events

    def observe(self, error: float) -> None:
        """Take the error of a usable prediction of a number."""
        self.events += 1
        self.scale += (min(error, ERROR_MAX) - self.scale) / min(self.events, ERRORS_FOR_SCALE)

    def of(self, signal: str) -> float | None:
        """The value of a signal; None where a failed prediction has none."""
        if signal in ("prediction", "rank"):
            return None
        if not self._regression:
            return 1 if signal == "error" else -log(PROBABILITY_MIN)
        error = min(WORST_SCALES * self.scale, ERROR_MAX) or 1.0
        return error if signal == "error" else error * error

"""The port to a model that takes many events: each is predicted, then learned, in their order (test, then train).

A call takes the first of the events it is given, as many as nothing happens at: it ends after the event at which the detectors say
something (`Looks`), or after which a model that adapts has something to tell; before an event that is odd, which is to be taken by itself;
and at one on which the model raised. So nothing that was learned has to be taken back, and cutting changes nothing.

The compiled models take all of them in one call into the extension. Any other River estimator is asked and taught event by event here.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from stream_retrain.core.serve.predictor import Predictor, Unusable, label_is_most_probable
from stream_retrain.facts.values import Features, Label
from stream_retrain.models.implementation import steps
from stream_retrain.models.probabilities import last_step

__all__ = ["Looks", "Step", "Taken", "step_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class Looks:
    """What is asked about each event once it was learned; what is said, if it is true, ends the call. At most one of the two."""

    errors: Callable[[int], Any] | None = None
    """Of a classifier: is given 1 for each label that was missed, and 0 for each other; nothing where there was no prediction."""
    rows: Callable[[Label, Label | None, Any], Any] | None = None
    """Is given the label, the prediction, and the probabilities by label."""


class Taken(NamedTuple):
    """What became of the first events, as columns."""

    predictions: list[Any]
    probabilities: list[float | None]
    """Of the positive class (binary) or of the predicted one (multiclass)."""
    of_classes: list[Any]
    """Of each, the probabilities by label; empty where they are not wanted and not there."""
    said: Any
    """What a look said of the last one. What it raised is said too."""
    error: Exception | None
    """What the model raised at the event after these."""
    odd: bool
    """The event after these is to be taken by itself."""
    failed: bool = False
    """The last prediction is none that can be used: nobody has looked at it."""


Step: TypeAlias = Callable[[list[Features], list[Label], Looks], Taken]


def step_of(model: Any, task: str, predict: Predictor, *, proba: bool, threshold: float | None) -> Step:
    """How a model takes many events; `predict`: its predictor. `proba`: the probabilities by label are wanted."""
    binary = task == "binary"
    if not steps(model) or not (task == "regression" or label_is_most_probable(model)):
        return functools.partial(_row_by_row, model, predict, binary)
    return functools.partial(_at_once, model, binary, proba, threshold)


class _Wanted(NamedTuple):
    """As the extension reads it."""

    binary: bool
    threshold: float | None
    every_class: bool
    errors: Callable[[int], Any] | None
    look: Callable[[Label, Label | None, Any], Any] | None


def _at_once(model: Any, binary: bool, proba: bool, threshold: float | None, xs: list[Features], ys: list[Label], looks: Looks) -> Taken:
    wanted = _Wanted(binary, threshold, proba or looks.rows is not None, looks.errors, looks.rows)
    if not (unmet := getattr(model, "unmet", 0)):
        return Taken(*model._core.step(xs, ys, wanted))
    taken = Taken(*model._core.step(xs[:unmet], ys[:unmet], wanted))
    learned = len(taken.predictions)
    model.meet(xs[:learned], ys[:learned])
    return taken


def _row_by_row(model: Any, predict: Predictor, binary: bool, xs: list[Features], ys: list[Label], looks: Looks) -> Taken:
    learn, errors, look, adaptive = model.learn_one, looks.errors, looks.rows, last_step(model)
    changes = getattr(adaptive, "changes", None)
    predictions: list[Any] = []
    of_classes: list[Any] = []
    predicted, shown = predictions.append, of_classes.append
    said: Any = None
    error: Exception | None = None
    for x, y in zip(xs, ys, strict=True):
        try:
            y_pred, proba = predict(x)
            learn(x, y)
        except Exception as raised:  # noqa: BLE001 - the model is foreign code
            error = raised
            break
        predicted(y_pred)
        shown(proba)
        if y_pred is None and proba.__class__ is Unusable:
            break
        try:
            if errors is not None:
                said = errors(0 if y == y_pred else 1) if y_pred is not None else None
            elif look is not None:
                said = look(y, y_pred, proba)
        except Exception as raised:  # noqa: BLE001 - so is a detector
            said = raised
        if said or (changes is not None and adaptive.changes != changes):
            break
    failed = bool(of_classes) and of_classes[-1].__class__ is Unusable
    return Taken(predictions, _probabilities(predictions, of_classes, binary), of_classes, said or None, error, False, failed)


def _probabilities(predictions: list[Any], of_classes: list[Any], binary: bool) -> list[float | None]:
    """Of the positive class, or of the class that was predicted."""
    if binary:
        return [proba.get(True, 0.0) if proba else None for proba in of_classes]
    return [proba.get(y_pred) if proba else None for y_pred, proba in zip(predictions, of_classes, strict=True)]

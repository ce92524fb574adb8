"""How a River model predicts: one call a question, giving the label (or number) and the probabilities it came from.

A River classifier's `predict_one` is, unless a class overrides it, the most probable label of `predict_proba_one`. Asking for
the probabilities and taking that label is then one call for both, and equal to the last digit. A classifier that overrides
`predict_one` is asked for it, and for probabilities only where a metric or a signal needs them.

This is the border to foreign code. What a model answers is looked at here, once:

- Python's own labels and numbers pass at the cost of a look at their type; NumPy's become Python's.
- Probabilities that a model lists in the order of a set are put in an order that does not depend on the process.
- Anything else (a number that is not finite, a probability that is none, a tuple) is a failed prediction: no label, and an `Unusable` that
  says why in place of the probabilities. It is false, as no probabilities are. `FAILED` is what is kept of it with the question.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from river import base

from stream_retrain.facts.telling import cut, described
from stream_retrain.facts.values import LABEL_CHARS_MAX, Features, Label
from stream_retrain.models.probabilities import last_step, most_probable

__all__ = [
    "FAILED",
    "Prediction",
    "Predictor",
    "Unusable",
    "gives_probabilities",
    "has_failed",
    "label_is_most_probable",
    "predictor",
    "walks_a_set",
]

Prediction: TypeAlias = tuple[Label | None, Any]
"""The label or number predicted (None: the model cannot predict yet), and the probabilities by label (none: {} or None)."""
Predictor: TypeAlias = Callable[[Features], Prediction]
FAILED: Final[Prediction] = (None, False)
INFINITE: Final = math.inf


class Unusable:
    """In place of probabilities: why what the model answered is no prediction."""

    __slots__ = ("detail",)

    def __init__(self, detail: str) -> None:
        self.detail = detail

    def __bool__(self) -> bool:
        return False


def has_failed(prediction: Prediction) -> bool:
    """Whether a prediction failed, which is more than that the model cannot predict yet."""
    y_pred, proba = prediction
    return y_pred is None and (proba is False or proba.__class__ is Unusable)


def predictor(model: Any, task: str, *, proba: bool, threshold: float | None = None) -> Predictor:
    """The cheapest function that predicts with `model`; `proba`: probabilities are needed, where it gives any.

    `threshold`: of a binary task, the probability from which on the label is True, in place of the more probable one.
    """
    if task == "regression":
        return functools.partial(_number, model.predict_one)
    if threshold is not None:
        ask = model.predict_proba_one
        return functools.partial(_from_threshold, functools.partial(_in_order, ask) if walks_a_set(model) else ask, threshold)
    if label_is_most_probable(model):
        ask = model.predict_proba_one
        return functools.partial(_most_probable, functools.partial(_in_order, ask) if walks_a_set(model) else ask)
    if proba and gives_probabilities(model):
        return functools.partial(_label_and_proba, model.predict_one, model.predict_proba_one)
    return functools.partial(_label, model.predict_one)


def label_is_most_probable(model: Any) -> bool:
    """Whether `predict_one` of this model is River's default, the most probable label of `predict_proba_one`."""
    kind = type(last_step(model))
    return kind.predict_one is base.Classifier.predict_one and kind.predict_proba_one is not base.Classifier.predict_proba_one


def walks_a_set(model: Any) -> bool:
    """Whether a model keeps its labels in a set, as `KNNClassifier` does: then which of two equally probable ones is the first, depends on
    the hash seed of the process."""
    return isinstance(getattr(last_step(model), "classes", None), set)


def gives_probabilities(model: Any) -> bool:
    """Whether this classifier, and what it wraps, says more than River's default, which is that it has no probabilities."""
    step = last_step(model)
    if type(step).predict_proba_one is base.Classifier.predict_proba_one:
        return False
    wrapped = last_step(step._wrapped_model) if isinstance(step, base.Wrapper) else None
    return not isinstance(wrapped, base.Classifier) or gives_probabilities(wrapped)


def _number(predict_one: Callable[[Features], Any], x: Features) -> Prediction:
    y_pred = predict_one(x)
    if y_pred.__class__ is float and -INFINITE < y_pred < INFINITE:
        return y_pred, None
    return _looked_at(y_pred, None, _as_number)


def _in_order(predict_proba_one: Callable[[Features], dict[Any, float]], x: Features) -> dict[Any, float]:
    """Probabilities in the order of the labels' texts, which is the same in every process."""
    proba = predict_proba_one(x)
    return dict(sorted(proba.items(), key=lambda pair: str(pair[0]))) if proba.__class__ is dict else proba


def _most_probable(predict_proba_one: Callable[[Features], dict[Any, float]], x: Features) -> Prediction:
    proba = predict_proba_one(x)
    try:
        if proba.__class__ is dict and len(proba) == 2:
            first, second = proba
            p, q = proba.values()
            if 0.0 <= p < q <= 1.0:  # as `most_probable`; false for what is not a number
                if second.__class__ is bool and q.__class__ is float:
                    return second, proba
            elif 0.0 <= q <= p <= 1.0 and first.__class__ is bool and p.__class__ is float:
                return first, proba
        if proba.__class__ is dict and proba:
            y_pred = most_probable(proba)
            total = sum(proba.values())  # of any type but float, or not finite, as soon as one of them is
            if total.__class__ is float and -INFINITE < total < INFINITE:
                kind = y_pred.__class__
                if kind is int or (kind is str and len(y_pred) <= LABEL_CHARS_MAX and y_pred.isascii()):
                    return y_pred, proba
    except TypeError:  # of what cannot be compared or added: it is looked at
        pass
    return _looked_at(_NOT_ASKED, proba, _as_label)


def _from_threshold(predict_proba_one: Callable[[Features], dict[Any, float]], threshold: float, x: Features) -> Prediction:
    y_pred, proba = _most_probable(predict_proba_one, x)
    return (y_pred if y_pred is None else bool(proba.get(True, 0.0) >= threshold)), proba


def _label(predict_one: Callable[[Features], Any], x: Features) -> Prediction:
    y_pred = predict_one(x)
    kind = y_pred.__class__
    if kind is bool or (kind is str and len(y_pred) <= LABEL_CHARS_MAX and y_pred.isascii()):
        return y_pred, None
    return _looked_at(y_pred, None, _as_label)


def _label_and_proba(
    predict_one: Callable[[Features], Any], predict_proba_one: Callable[[Features], dict[Any, float]], x: Features
) -> Prediction:
    y_pred, proba = predict_one(x), predict_proba_one(x)
    return _looked_at(y_pred, proba, _as_label)


_NOT_ASKED: Final = object()


def _looked_at(y_pred: Any, proba: Any, convert: Callable[[Any], Any]) -> Prediction:
    """The same as Python's own values, or a failed prediction."""
    try:
        if proba is not None:
            proba = _as_proba(proba)
            if y_pred is _NOT_ASKED:
                y_pred = most_probable(proba)
        return (None if y_pred is None else convert(y_pred)), proba
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        return None, Unusable(cut(str(error)))


def _as_proba(proba: Any) -> dict[Any, float]:
    """Probabilities as they are, where all are Python's own and finite; else converted, if they can be."""
    if not isinstance(proba, Mapping):
        raise ValueError(f"{described(proba)} in place of probabilities by label")
    for label, p in proba.items():
        kind = label.__class__
        if not (p.__class__ is float and -INFINITE < p < INFINITE and (kind is bool or kind is str or kind is int)):
            return {_as_label(label): _as_number(p) for label, p in proba.items()}
    return proba if proba.__class__ is dict else dict(proba)


def _as_number(value: Any) -> float | int:
    kind = value.__class__
    if hasattr(kind, "__len__"):
        raise ValueError(f"{described(value)} in place of a number")
    number: float = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return value if kind is int and abs(value) < 1 << 63 else number


def _as_label(value: Any) -> Label:
    kind = value.__class__
    if kind is not bool and kind is not int and kind is not str and kind is not float and hasattr(kind, "item"):
        value = value.item()  # a NumPy scalar
    match value:
        case bool():
            return value
        case int() if abs(value) < 1 << 63:
            return value
        case float() if math.isfinite(value):
            return value
        case str() if len(value) <= LABEL_CHARS_MAX:
            value.encode()  # raises where it is no Unicode
            return value
    raise ValueError(f"{described(value)} in place of a label")

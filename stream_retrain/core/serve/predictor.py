"""How a River model predicts: one call a question, giving the label (or number) and the probabilities it came from.

A River classifier's `predict_one` is, unless a class overrides it, the most probable label of `predict_proba_one`. Asking for
the probabilities and taking that label is then one call for both, and equal to the last digit. A classifier that overrides
`predict_one` is asked for it, and for probabilities only where a metric or a signal needs them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from river import base

from stream_retrain.facts.values import Features, Label
from stream_retrain.models.probabilities import last_step, most_probable

__all__ = ["Prediction", "Predictor", "gives_probabilities", "label_is_most_probable", "predictor"]

Prediction: TypeAlias = tuple[Label | None, Any]
"""The label or number predicted (None: the model cannot predict yet), and the probabilities by label (none: {} or None)."""
Predictor: TypeAlias = Callable[[Features], Prediction]


def predictor(model: Any, task: str, *, proba: bool) -> Predictor:
    """The cheapest function that predicts with `model`; `proba`: probabilities are needed, where it gives any."""
    if task == "regression":
        return functools.partial(_number, model.predict_one)
    if label_is_most_probable(model):
        return functools.partial(_most_probable, model.predict_proba_one)
    if proba and gives_probabilities(model):
        return functools.partial(_label_and_proba, model.predict_one, model.predict_proba_one)
    return functools.partial(_label, model.predict_one)


def label_is_most_probable(model: Any) -> bool:
    """Whether `predict_one` of this model is River's default, the most probable label of `predict_proba_one`."""
    kind = type(last_step(model))
    return kind.predict_one is base.Classifier.predict_one and kind.predict_proba_one is not base.Classifier.predict_proba_one


def gives_probabilities(model: Any) -> bool:
    """Whether this classifier, and what it wraps, says more than River's default, which is that it has no probabilities."""
    step = last_step(model)
    if type(step).predict_proba_one is base.Classifier.predict_proba_one:
        return False
    wrapped = last_step(step._wrapped_model) if isinstance(step, base.Wrapper) else None
    return not isinstance(wrapped, base.Classifier) or gives_probabilities(wrapped)


def _number(predict_one: Callable[[Features], Any], x: Features) -> Prediction:
    return predict_one(x), None


def _most_probable(predict_proba_one: Callable[[Features], dict[Any, float]], x: Features) -> Prediction:
    proba = predict_proba_one(x)
    return most_probable(proba), proba


def _label(predict_one: Callable[[Features], Any], x: Features) -> Prediction:
    return predict_one(x), None


def _label_and_proba(
    predict_one: Callable[[Features], Any], predict_proba_one: Callable[[Features], dict[Any, float]], x: Features
) -> Prediction:
    return predict_one(x), predict_proba_one(x)

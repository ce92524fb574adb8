"""Class probabilities of any River classifier, and the label they stand for."""

from __future__ import annotations

from typing import Any

__all__ = ["last_step", "most_probable", "probabilities"]


def probabilities(model: Any, x: Any, **kwargs: Any) -> dict[Any, float]:
    """The model's probabilities by label; 1 for its label if it predicts only labels; {} while it cannot predict."""
    try:
        proba: dict[Any, float] = model.predict_proba_one(x, **kwargs)
    except NotImplementedError:
        y_pred = model.predict_one(x, **kwargs)
        return {} if y_pred is None else {y_pred: 1.0}
    return proba


def most_probable(proba: dict[Any, float]) -> Any:
    """The label that River's `predict_one` returns for these probabilities; None if there are none."""
    if len(proba) == 2:  # the same as max, a few times faster
        first, second = proba
        return second if proba[second] > proba[first] else first
    return max(proba, key=proba.__getitem__) if proba else None


def last_step(model: Any) -> Any:
    """The last step of a River pipeline, also of a nested one; any other model is returned as it is."""
    while hasattr(model, "_last_step"):
        model = model._last_step
    return model

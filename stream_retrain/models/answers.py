"""How any River classifier is asked, and how its answer is read."""

from __future__ import annotations

from typing import Any

__all__ = ["most_probable", "probabilities"]


def probabilities(model: Any, x: Any, **kwargs: Any) -> dict[Any, float]:
    """The model's probabilities by label; 1 for its label if it has none to give, and {} while it has no answer."""
    try:
        proba: dict[Any, float] = model.predict_proba_one(x, **kwargs)
    except NotImplementedError:
        y_pred = model.predict_one(x, **kwargs)
        return {} if y_pred is None else {y_pred: 1.0}
    return proba


def most_probable(proba: dict[Any, float]) -> Any:
    """The label River's `predict_one` makes of these; None of none."""
    if len(proba) == 2:  # what max does, a few times quicker
        first, second = proba
        return second if proba[second] > proba[first] else first
    return max(proba, key=proba.__getitem__) if proba else None

"""Predictions kept until their labels come.

A model that scores itself needs its prediction as it was before the label came. To predict again at the label would cost a second
prediction, and with delayed labels it would give a different one. So each prediction is kept under the *content* of its event, not
under the identity of its dict:

- a copy of the event finds its prediction, and a dict that was changed in between does not;
- the cache is part of the model's state, so a restored model continues exactly like one that never stopped.

The cache is bounded. When it is full the oldest prediction is removed, and its event is predicted again when its label comes.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

__all__ = ["PREDICTIONS_MAX", "PredictionCache"]

Prediction = TypeVar("Prediction")

PREDICTIONS_MAX: Final = 1_000


class PredictionCache(Generic[Prediction]):
    """A bounded map from the content of an event to its prediction; of equal events only the latest is kept."""

    __slots__ = ("_limit", "_predictions")

    def __init__(self, kept: dict[Any, Any] | None = None, *, limit: int = PREDICTIONS_MAX) -> None:
        """An empty one, or with what another one had `kept`."""
        self._limit = limit
        # The key is the event's values; its names stand beside the prediction. That hashes faster than pairs of name and value.
        self._predictions: dict[Any, tuple[tuple[Any, ...], Prediction]] = {} if kept is None else dict(kept)

    def __len__(self) -> int:
        return len(self._predictions)

    def put(self, x: Any, prediction: Prediction) -> None:
        """Keep the prediction for `x`; it is not kept if `x` cannot be hashed."""
        predictions = self._predictions
        try:
            if isinstance(x, dict):
                predictions[tuple(x.values())] = (tuple(x), prediction)
            else:
                predictions[x] = ((), prediction)
        except TypeError:
            return
        if len(predictions) > self._limit:
            del predictions[next(iter(predictions))]

    def take(self, x: Any) -> Prediction | None:
        """Remove the prediction kept for `x` and return it; None if there is none."""
        predictions = self._predictions
        if not predictions:
            return None
        try:
            key, names = (tuple(x.values()), tuple(x)) if isinstance(x, dict) else (x, ())
            kept = predictions.get(key)
        except TypeError:
            return None
        if kept is None or kept[0] != names:
            return None
        del predictions[key]
        return kept[1]

    def clear(self) -> None:
        """Remove every prediction."""
        self._predictions.clear()

    def kept(self) -> dict[Any, Any]:
        """Every prediction, as a plain dict."""
        return self._predictions.copy()

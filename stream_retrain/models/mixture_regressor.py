"""The core of mixtures of regressors in Python: the readable reference of `native/src/python/mixture_regressor.rs`.

With stackings, what is learned of the members is what they say when the label comes: after a change that is what they are worth now, and
what they said long before it is not. What the mixture said is kept, and the weights of the second level are learned by that alone. So
where labels come late the second level knows what each of its levels was worth to those who asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Block, Reader, Writer
from stream_retrain.models.feature_values import checked
from stream_retrain.models.mixture import SERVED_MAX, PlainMixture, Predictions
from stream_retrain.models.prediction_cache import PREDICTIONS_MAX, PredictionCache
from stream_retrain.models.stacking_regressor import ERROR_MAX, Corrected, StackingsOfNumbers, half_squares, within
from stream_retrain.models.targets import Targets, learnable

__all__ = ["PlainRegressorMixture"]


class PlainRegressorMixture(PlainMixture):
    """A mixture of regressors."""

    def __init__(self, models: Sequence[Any], eta: float, share: float, forgettings: tuple[float, ...], boosted: Sequence[int]) -> None:
        super().__init__(models, eta, share)
        self._targets = Targets()
        self._boosted = tuple(boosted)
        """The members that learn what the others leave over, by their numbers."""
        self._stackings = StackingsOfNumbers(forgettings, len(models)) if forgettings else None
        self._cache = self._new_cache(None)

    def predict(self, x: Any) -> float:
        """The weighted mean, corrected; the running mean of the target while no member has a prediction, and 0 before any target."""
        x = checked(x)
        if self._stackings is None:
            return self._mean(self.asked_and_kept(x))
        predictions = self._ask(x)
        recent = self._stackings.recent()
        corrected = self._answered(self._stackings, predictions, recent)
        self._cache.put(x, [*predictions, float(self._targets.count), *recent, *corrected.levels])
        return self._stackings.mean(corrected)

    def learn(self, x: Any, y: float) -> None:
        """Update the weights by the members' predictions for `x`, then let the members learn."""
        x, targets = checked(x), self._targets
        y = learnable(y)
        usual = targets.usual(y)
        predictions, recent, levels = self._said(x)
        self.restart_those_that_raise(x, predictions)
        left = within(usual - self._mean_of_others(predictions), ERROR_MAX * targets.deviation) if self._boosted else usual
        if variance := targets.variance:
            if self._stackings is not None:
                corrected = self._answered(self._stackings, predictions, recent)
                self._stackings.learn(corrected, levels or corrected.levels, y, targets)
            self.reweight([None if y_pred is None else half_squares(y - y_pred, variance) for y_pred in predictions])
        if self._stackings is not None:
            self._stackings.follow(usual, first=not targets.count)
        targets.update(y)
        self.teach(x, [left if index in self._boosted else usual for index in range(len(self.models))])

    def _said(self, x: Any) -> tuple[Predictions, list[float], list[float]]:
        """The members' predictions as they count, what was recent when `x` was asked about, and the levels of then; none: those of now."""
        if self._stackings is None:
            return self.at_label(x), [], []
        recent = self._stackings.recent()
        kept, members = self._cache.take(x), len(self.models)
        if kept is None or len(kept) != members + 1 + len(recent) + self._stackings.levels or None in kept[members:]:
            return self._ask(x), recent, []
        count = kept[members]
        if count == self._targets.count:  # nothing was learned since
            return kept[:members], recent, []
        if count == 0.0:  # nothing was known
            return self._ask(x), recent, []
        return self._ask(x), kept[members + 1 : members + 1 + len(recent)], kept[members + 1 + len(recent) :]

    def _ask(self, x: Any) -> Predictions:
        targets, predictions = self._targets, super()._ask(x)
        for index, prediction in enumerate(predictions):
            if prediction is not None and index not in self._boosted:
                predictions[index] = targets.clip(prediction)
        if self._boosted:
            others, most = self._mean_of_others(predictions), ERROR_MAX * targets.deviation
            for index in self._boosted:
                if predictions[index] is not None:
                    predictions[index] = targets.clip(others + within(predictions[index], most))
        return predictions

    def _answered(self, stackings: StackingsOfNumbers, predictions: Predictions, recent: list[float]) -> Corrected:
        return stackings.answer(self._mean(predictions), predictions, recent, self._targets)

    def _mean(self, predictions: Predictions) -> float:
        total = weights = 0.0
        for weight, y_pred in zip(self.weights, predictions, strict=True):
            if y_pred is not None:
                total += weight * y_pred
                weights += weight
        return total / weights if weights else self._targets.mean

    def _mean_of_others(self, predictions: Predictions) -> float:
        """Of the members that are not boosted."""
        return self._mean([None if index in self._boosted else y_pred for index, y_pred in enumerate(predictions)])

    def _own_state(self) -> Block:
        to = Writer()
        self._targets.write(to)
        if self._stackings is not None:
            self._stackings.write(to)
        return to.block()

    def _restore_own(self, own: Block) -> None:
        reader = Reader(own)
        self._targets.read(reader)
        if self._stackings is not None:
            self._stackings.read(reader)
        reader.end()

    def _new_cache(self, kept: dict[Any, Any] | None) -> PredictionCache[Predictions]:
        return PredictionCache(kept, limit=PREDICTIONS_MAX if self._stackings is None else SERVED_MAX)

    def _predict_member(self, member: Any, x: Any) -> float:
        return float(member.predict_one(x))

    def _factor(self, total: float, weight: float) -> float:
        return arithmetic.exp(-self.eta * total / weight)

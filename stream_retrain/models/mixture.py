"""The cores of mixtures in Python: the readable reference, which serves mixtures with a member that is not compiled. Here what both tasks
share, and the classifier; `mixture_regressor` has the other.

They hold the members' models and their weights, know which of them leads, and what to do when one raises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from stream_retrain.models import arithmetic
from stream_retrain.models.adaptive import Adaptive
from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.feature_values import checked
from stream_retrain.models.prediction_cache import PredictionCache
from stream_retrain.models.probabilities import probabilities
from stream_retrain.models.stacking import Answered, Stackings, clipped, packed, shared

__all__ = ["SERVED_MAX", "MixtureStanding", "PlainClassifierMixture", "PlainMixture", "Predictions"]

Predictions: TypeAlias = list[Any]
"""Each member's prediction for one event; None for a member that has none."""
MixtureStanding: TypeAlias = "tuple[list[float], int, int, list[int], list[int]]"
"""Weights, leader, changes, failures and restarts; without what members that adapt count themselves."""
MixtureState: TypeAlias = "tuple[list[Any], MixtureStanding, dict[Any, Any], Any]"
"""The models, the standing, the predictions that are kept, and the classes or the numbers of the targets."""

LEAD: Final = 2.0
"""A member becomes the leader when its weight is more than this many times the leader's."""
PROBABILITY_MIN: Final = 0.02
"""A member's probability of the true label is clipped to this and 1 minus this, so that one event cannot decide the weights."""
SERVED_MAX: Final = 2_000
"""For so many events it is kept what the levels of stackings said; one whose label comes later counts as asked about just then."""


class PlainMixture:
    """The members of both tasks."""

    def __init__(self, models: Sequence[Any], eta: float, share: float) -> None:
        """Start with equal weights."""
        self.models: list[Any] = list(models)
        self.eta = eta
        self._share = share
        self.weights = [1.0 / len(self.models)] * len(self.models)
        self._adaptive = [index for index, model in enumerate(self.models) if isinstance(model, Adaptive)]
        self._failures = [0] * len(self.models)
        self._restarts = [0] * len(self.models)
        self._leader = 0
        self._changes = 0
        self._cache: PredictionCache[Predictions] = PredictionCache()

    @property
    def changes(self) -> int:
        """Restarts of members and changes of the leader so far."""
        models = self.models
        changes: int = sum(models[index].changes for index in self._adaptive)
        return self._changes + changes

    def standing(self) -> MixtureStanding:
        """What is not in the members."""
        return list(self.weights), self._leader, self._changes, list(self._failures), list(self._restarts)

    def waiting(self) -> int:
        """How many predictions are kept."""
        return len(self._cache)

    def state(self) -> MixtureState:
        """All that was learned."""
        return list(self.models), self.standing(), self._cache.kept(), self._own_state()

    def restore(self, state: MixtureState) -> None:
        """Go on from a state, with the models of then.

        Raises:
            ValueError: it is damaged.
        """
        _, (self.weights, self._leader, self._changes, self._failures, self._restarts), kept, own = state
        if not len(self.weights) == len(self._failures) == len(self._restarts) == len(self.models) > self._leader:
            damaged()
        self._cache = self._new_cache(kept)
        self._restore_own(own)

    def _new_cache(self, kept: dict[Any, Any] | None) -> PredictionCache[Predictions]:
        return PredictionCache(kept)

    def _own_state(self) -> Any:
        raise NotImplementedError

    def _restore_own(self, own: Any) -> None:
        raise NotImplementedError

    def _predict_member(self, member: Any, x: Any) -> Any:
        """The member's prediction; None if it cannot be used."""
        raise NotImplementedError

    def _factor(self, total: float, weight: float) -> float:
        """What the weight of a member with the score total / weight is multiplied by."""
        raise NotImplementedError

    def _ask(self, x: Any) -> Predictions:
        """Every member's prediction for `x`; None for a member that raises."""
        predictions: Predictions = []
        for model in self.models:
            try:
                predictions.append(self._predict_member(model, x))
            except Exception:  # noqa: BLE001  a member is the user's choice and may raise anything; the others must go on
                predictions.append(None)
        return predictions

    def asked_and_kept(self, x: Any) -> Predictions:
        """Every member's prediction, kept until the label comes."""
        predictions = self._ask(x)
        self._cache.put(x, predictions)
        return predictions

    def at_label(self, x: Any) -> Predictions:
        """The predictions kept for `x`, else new ones."""
        predictions = self._cache.take(x)
        return self._ask(x) if predictions is None else predictions

    def restart_those_that_raise(self, x: Any, predictions: Predictions) -> None:
        """Members without a prediction predict again, and those that raise are restarted."""
        for index, prediction in enumerate(predictions):
            if prediction is None:
                try:
                    self._predict_member(self.models[index], x)
                except Exception:  # noqa: BLE001  as in `_ask`
                    self._restart(index)

    def reweight(self, scores: list[float | None]) -> None:
        """Update the weights by each member's score; None, for a member without a prediction, counts as the mean of the others.

        Each weight is multiplied by its factor, the sum is scaled to 1 - share, and an equal part of `share` is added to each weight.
        """
        total = weights = 0.0
        for weight, score in zip(self.weights, scores, strict=True):
            if score is not None:
                total += weight * score
                weights += weight
        if not weights:
            return
        of_mean = self._factor(total, weights)
        factors = [of_mean if score is None else self._factor(score, 1.0) for score in scores]
        scaled = [weight * factor for weight, factor in zip(self.weights, factors, strict=True)]
        self.weights = shared(scaled, self._share)
        highest = max(self.weights)
        if highest > LEAD * self.weights[self._leader]:
            self._leader = self.weights.index(highest)
            self._changes += 1

    def teach(self, x: Any, y_of: Sequence[Any]) -> None:
        """Let every member learn what it is to learn; one that raises is restarted and learns this event first."""
        for index, (model, y) in enumerate(zip(self.models, y_of, strict=True)):
            try:
                model.learn_one(x, y)
            except Exception:  # noqa: BLE001  as in `_ask`
                self._restart(index)
                try:
                    self.models[index].learn_one(x, y)
                except Exception:  # noqa: BLE001  an untrained member cannot learn this event either; it skips the event
                    self.models[index] = self.models[index].clone()

    def _restart(self, index: int) -> None:
        """Count a failure of this member, and replace it by an untrained one."""
        model = self.models[index]
        lost = 0
        if index in self._adaptive:  # a new model counts from 0
            self._restarts[index] += sum(model.standing().restarts)
            lost = model.changes
        self._failures[index] += 1
        self._restarts[index] += 1
        self._changes += lost + 1
        self.models[index] = model.clone()


class PlainClassifierMixture(PlainMixture):
    """A mixture of classifiers."""

    def __init__(self, models: Sequence[Any], eta: float, share: float, rates: tuple[float, ...]) -> None:
        super().__init__(models, eta, share)
        self._classes: dict[Any, float] = {}
        self._stackings = Stackings(rates, len(models)) if rates else None
        self._served: PredictionCache[bytes] = PredictionCache(limit=SERVED_MAX)

    def predict(self, x: Any) -> dict[Any, float]:
        """Probability of every class seen so far; {} while no member has a prediction."""
        x = checked(x)
        predictions = self.asked_and_kept(x)
        fixed = self._mean(predictions)
        if self._stackings is None or not self._stacks(fixed):
            return fixed
        answered = self._answered(self._stackings, fixed, predictions)
        self._served.put(x, packed(answered.levels))
        return dict(zip(fixed, self._stackings.mean(answered), strict=True))

    def learn(self, x: Any, y: Any) -> None:
        """Update the weights by the members' predictions for `x`, then let the members learn."""
        x = checked(x)
        predictions = self.at_label(x)
        self.restart_those_that_raise(x, predictions)
        served = self._served.take(x)
        self._classes.setdefault(y, 0.0)
        if self._stackings is not None and self._stacks(fixed := self._mean(predictions)):
            self._stackings.learn(self._answered(self._stackings, fixed, predictions), list(self._classes).index(y), served)
        self.reweight([clipped(proba.get(y, 0.0), PROBABILITY_MIN) if proba else None for proba in predictions])
        self.teach(x, [y] * len(self.models))

    def _mean(self, predictions: Predictions) -> dict[Any, float]:
        """The weighted mean of the members; {} where none has a prediction."""
        mixed = self._classes.copy()
        weights = 0.0
        for weight, proba in zip(self.weights, predictions, strict=True):
            if proba:
                weights += weight
                for label, p in proba.items():
                    mixed[label] = mixed.get(label, 0.0) + weight * p
        return {label: p / weights for label, p in mixed.items()} if weights else {}

    def _stacks(self, fixed: dict[Any, float]) -> bool:
        """Whether there is anything to stack: two classes, and no member knows another one."""
        return len(fixed) == len(self._classes) > 1

    def _answered(self, stackings: Stackings, fixed: dict[Any, float], predictions: Predictions) -> Answered:
        rows = [None if not proba else [proba.get(label, 0.0) for label in fixed] for proba in predictions]
        return stackings.answer(list(fixed.values()), rows)

    def _own_state(self) -> Any:
        if self._stackings is None:
            return list(self._classes)
        to = Writer()
        self._stackings.write(to)
        return list(self._classes), to.block(), self._served.kept()

    def _restore_own(self, own: Any) -> None:
        if self._stackings is None:
            self._classes = dict.fromkeys(own, 0.0)
            return
        if not isinstance(own, tuple) or len(own) != 3 or not isinstance(own[2], dict):
            damaged()
        classes, block, served = own
        self._served = PredictionCache(served, limit=SERVED_MAX)
        self._classes = dict.fromkeys(classes, 0.0)
        reader = Reader(block)
        self._stackings.read(reader, len(self._classes))
        reader.end()

    def _predict_member(self, member: Any, x: Any) -> dict[Any, float] | None:
        proba = probabilities(member, x)
        total = 0.0
        for p in proba.values():
            total += p
        if 0.999999 < total < 1.000001:
            return proba
        return {label: p / total for label, p in proba.items()} if 0.0 < total < math.inf else None

    def _factor(self, total: float, weight: float) -> float:
        probability = total / weight  # exp(-log loss)
        if self.eta == 0.25:  # that of the recommended model, for less than a logarithm and an exponential
            return math.sqrt(math.sqrt(probability))
        return probability if self.eta == 1.0 else arithmetic.power(probability, self.eta)

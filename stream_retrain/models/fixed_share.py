"""Mixtures whose weights follow the best of their members, also when another member becomes the best.

Theory of operation (the fixed-share algorithm). Every member predicts every event and learns every label. The mixture's prediction is
the weighted mean of theirs. After a label

1. each weight is multiplied by exp(-eta * loss of that member's prediction);
2. the weights are scaled so that they add up to 1 - share;
3. `share` is added to them in equal parts.

Because of step 3 no weight falls to 0, and a member that becomes the best one gets most of the weight within tens of events. The loss
of the mixture is bounded by the loss of the best *sequence* of members plus a term for each change in it. No detector and no threshold
is needed.

Each member predicts an event once. Its prediction is kept until the label comes (`prediction_cache`); so with delayed labels the
weights depend on the predictions that were served. A member without a prediction (untrained, or it raised) is left out of the mean,
and its loss counts as the mean loss of the others. A member that raises is counted and restarted; the exception does not reach the
caller.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Iterator
from typing import Any, Final

from river import base, dummy, linear_model, preprocessing, tree

from stream_retrain.models import arithmetic
from stream_retrain.models.adaptive import Standing
from stream_retrain.models.feature_values import checked
from stream_retrain.models.mixture import Members, Mixture, Predictions
from stream_retrain.models.prediction_cache import PredictionCache
from stream_retrain.models.probabilities import probabilities
from stream_retrain.models.targets import Targets

__all__ = ["FixedShareClassifier", "FixedShareRegressor"]

PROBABILITY_MIN: Final = 0.02
"""A member's probability of the true label is clipped to this and 1 minus this, so that one event cannot decide the weights."""
SQUARES_MAX: Final = 4.0
"""A member's squared error counts as at most this many variances of the target."""
SQUARES_SCALE: Final = 0.5
"""A regressor's loss is half its squared error in variances of the target: the log loss of normal errors with that variance."""


class _FixedShare(abc.ABC):
    """What both mixtures share: parameters, members, kept predictions, and the update of the weights."""

    def __init__(self, members: Members, eta: float, share: float) -> None:
        if not 0.0 < eta < math.inf or not 0.0 <= share < 1.0:
            raise ValueError(f"eta is {eta}, share is {share}; use an eta above 0 and a share of at least 0 and below 1")
        self.eta = eta
        self.share = share
        self._mixture = Mixture(members)
        self._cache: PredictionCache[Predictions] = PredictionCache()

    @property
    def members(self) -> dict[str, Any]:
        """The running members by name."""
        return dict(zip(self._mixture.names, self._mixture.models, strict=True))

    @property
    def changes(self) -> int:
        """Restarts of members and changes of the leader so far."""
        return self._mixture.changes

    def standing(self) -> Standing:
        """Members, weights, restarts, failures and leader."""
        return self._mixture.standing()

    def _get_params(self) -> dict[str, Any]:
        """River's hook for `clone`: the parameters, with untrained members."""
        return {"members": self._mixture.templates(), "eta": self.eta, "share": self.share}

    def _predict_members(self, x: Any) -> Predictions:
        """Every member's prediction, kept until the label comes."""
        predictions = self._mixture.predict(self._predict_member, x)
        self._cache.put(x, predictions)
        return predictions

    def _predictions_at_label(self, x: Any) -> Predictions:
        """The predictions kept for `x`, else new ones; members that raise are restarted."""
        predictions = self._cache.take(x)
        if predictions is None:
            predictions = self._mixture.predict(self._predict_member, x)
        if None in predictions:
            self._mixture.restart_failing(predictions, self._predict_member, x)
        return predictions

    def _reweight(self, scores: list[float | None]) -> None:
        """Update the weights by each member's score; None, for a member without a prediction, counts as the mean of the others."""
        mixture = self._mixture
        total = weights = 0.0
        for weight, score in zip(mixture.weights, scores, strict=True):
            if score is not None:
                total += weight * score
                weights += weight
        if weights:
            of_mean = self._factor(total, weights)
            mixture.reweight([of_mean if score is None else self._factor(score, 1.0) for score in scores], self.share)

    @abc.abstractmethod
    def _predict_member(self, member: Any, x: Any) -> Any:
        """The member's prediction; None if it cannot be used."""

    @abc.abstractmethod
    def _factor(self, total: float, weight: float) -> float:
        """What the weight of a member with the score total / weight is multiplied by."""


class FixedShareClassifier(_FixedShare, base.Classifier):  # type: ignore[misc]
    """The mean of its members' probabilities, weighted by their recent performance.

    Parameters
    ----------
    members
        Classifiers, in a list or by name. Each predicts once and learns once an event.
    eta
        Learning rate of the weights: they are multiplied by the probability of the true label (clipped to 0.02 and 0.98) to
        this power.
    share
        The part of the total weight that is distributed equally after each label: about the rate at which the best member changes.

    References
    ----------
    [^1]: Herbster, M. and Warmuth, M. K., 1998. Tracking the best expert. Machine Learning, 32(2), 151-178.
    [^2]: Cesa-Bianchi, N. and Lugosi, G., 2006. Prediction, learning, and games. Cambridge University Press, chapter 5.

    """

    def __init__(self, members: Members, eta: float = 1.0, share: float = 0.01) -> None:
        super().__init__(members, eta, share)
        self._classes: dict[base.typing.ClfTarget, float] = {}

    @property
    def _multiclass(self) -> bool:
        return all(member._multiclass for member in self._mixture.models)

    def predict_proba_one(self, x: Any) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far; {} while no member has a prediction.

        Raises:
            ValueError: a value is infinite.
        """
        predictions = self._predict_members(checked(x))
        mixed = self._classes.copy()
        weights = 0.0
        for weight, proba in zip(self._mixture.weights, predictions, strict=True):
            if proba:
                weights += weight
                for label, p in proba.items():
                    mixed[label] = mixed.get(label, 0.0) + weight * p
        return {label: p / weights for label, p in mixed.items()} if weights else {}

    def learn_one(self, x: Any, y: base.typing.ClfTarget) -> None:
        """Update the weights by the members' predictions for `x`, then let the members learn.

        Raises:
            ValueError: a value is infinite.
        """
        x = checked(x)
        predictions = self._predictions_at_label(x)
        self._classes.setdefault(y, 0.0)
        low, high = PROBABILITY_MIN, 1.0 - PROBABILITY_MIN
        self._reweight([min(max(proba.get(y, 0.0), low), high) if proba else None for proba in predictions])
        self._mixture.learn(x, y)

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
        return probability if self.eta == 1.0 else arithmetic.power(probability, self.eta)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"members": [tree.HoeffdingTreeClassifier(), dummy.PriorClassifier()]}


class FixedShareRegressor(_FixedShare, base.Regressor):  # type: ignore[misc]
    """The mean of its members' predictions, weighted by their recent performance.

    Each member's prediction is first clipped to the range of the targets seen, extended by 10 % on both sides.

    Parameters
    ----------
    members
        Regressors, in a list or by name.
    eta
        Learning rate of the weights: they are multiplied by exp(-eta s / 2), where s is the member's squared error in units of the
        target's running variance, at most 4.
    share
        As in `FixedShareClassifier`; its references apply too.

    """

    def __init__(self, members: Members, eta: float = 1.0, share: float = 0.01) -> None:
        super().__init__(members, eta, share)
        self._targets = Targets()

    def predict_one(self, x: Any) -> float:
        """The weighted mean; the running mean of the target while no member has a prediction, and 0 before any target.

        Raises:
            ValueError: a value is infinite.
        """
        predictions = self._predict_members(checked(x))
        total = weights = 0.0
        for weight, y_pred in zip(self._mixture.weights, predictions, strict=True):
            if y_pred is not None:
                total += weight * y_pred
                weights += weight
        return total / weights if weights else self._targets.mean

    def learn_one(self, x: Any, y: float) -> None:
        """Update the weights by the members' predictions for `x`, then let the members learn.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        x = checked(x)
        targets = self._targets
        targets.check(y)
        predictions = self._predictions_at_label(x)
        if variance := targets.variance:
            self._reweight([None if y_pred is None else _half_squares(y - y_pred, variance) for y_pred in predictions])
        usual = targets.usual(y)
        targets.update(y)
        self._mixture.learn(x, usual)

    def _predict_member(self, member: Any, x: Any) -> float:
        return self._targets.clip(float(member.predict_one(x)))

    def _factor(self, total: float, weight: float) -> float:
        return arithmetic.exp(-self.eta * total / weight)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {"members": [tree.HoeffdingTreeRegressor(), preprocessing.StandardScaler() | linear_model.LinearRegression()]}


def _half_squares(error: float, variance: float) -> float:
    return SQUARES_SCALE * min(SQUARES_MAX, error * error / variance)

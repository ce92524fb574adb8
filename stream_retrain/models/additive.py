"""Additive models: a learned function of each feature, which follows drift without a detector.

Theory of operation. The features are encoded in soft bins (`bins`), and a logistic, softmax or least-squares regression runs on the
slots. Each weight has its own step size (`plain_additive`), which depends on its recent gradients. So the model follows a drift by itself
and needs no restart. Its scores are sums of bounded steps, and a regressor's predictions are clipped to the targets seen, so it cannot
diverge.

`predict_one` keeps the encoding and the scores of its event. `learn_one` reuses them if nothing was learned in between and the event has
not changed. This saves time and does not change a result, so it is not part of the state.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from river import base

from stream_retrain.models.bins import Bins
from stream_retrain.models.dense_additive import DenseAdditive
from stream_retrain.models.feature_values import Features
from stream_retrain.models.plain_additive import PlainAdditive
from stream_retrain.models.targets import Targets

__all__ = ["AdditiveClassifier", "AdditiveRegressor"]

DENSE_FROM: Final = 125.0
"""Features times (outputs + 1.5) from which arrays are faster than lists: 50 features and two classes, or 15 and seven."""
ERROR_MAX: Final = 3.0
"""A regression error counts as at most this many standard deviations of the target."""


class _Additive:
    """What both tasks share: parameters, weights, and the encoding kept from `predict_one` to `learn_one`."""

    def __init__(self, bins: int, rate: float, categories_max: int) -> None:
        if bins < 2 or categories_max < 1 or not 0.0 < rate < math.inf:
            raise ValueError(
                f"bins is {bins}, rate is {rate}, categories_max is {categories_max}; "
                "use at least 2 bins, a finite rate above 0, and at least 1 category"
            )
        self.bins = bins
        self.rate = rate
        self.categories_max = categories_max
        self._weights: PlainAdditive | DenseAdditive = PlainAdditive(Bins(bins, categories_max), 1, rate)
        self._last: tuple[list[Any], list[Any], list[type], Any, list[float]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def _encode_and_score(self, x: Features) -> tuple[Any, list[float]]:
        """The event's encoding and scores; those of the last call if it had the same event."""
        values = list(x.values())
        names, kinds = list(x), list(map(type, values))
        last = self._last
        if last is not None and last[1] == values and last[0] == names and last[2] == kinds:
            return last[3], last[4]
        encoding: Any = self._weights.encode(x)
        scores = self._weights.scores(encoding)
        self._last = (names, values, kinds, encoding, scores)
        return encoding, scores

    def _learn(self, x: Features, encoding: Any, errors: list[float]) -> None:
        self._last = None
        weights = self._weights
        if not encoding.complete or encoding.categories:
            encoding = weights.admit(x, encoding)
            self._use_arrays_if_faster()
            if weights is not self._weights:
                encoding = self._weights.encode(x)
        self._weights.learn(encoding, errors)

    def _use_arrays_if_faster(self) -> None:
        """Change from lists to arrays once they are faster; there is no way back."""
        weights = self._weights
        if isinstance(weights, PlainAdditive):
            features = len(weights.bins.numbers) + len(weights.bins.categories)
            if features * (len(weights.intercepts) + 1.5) >= DENSE_FROM:
                self._weights = DenseAdditive(weights)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"bins": 4, "categories_max": 3}


class AdditiveClassifier(_Additive, base.Classifier):  # type: ignore[misc]
    """Logistic or softmax regression on the soft bins of each feature.

    Takes numbers, and strings and booleans as categories. A missing value (None, NaN, or absent) is left out. Features, categories and
    classes may appear at any time. It needs no scaler.

    Parameters
    ----------
    bins
        Bins of a numeric feature, at least 2.
    rate
        Step of a weight, in log odds, at its first event; later steps are divided by the root of its summed squared gradients.
    categories_max
        Categories kept of one feature; when it is full, the least recently learned one is removed.

    References
    ----------
    [^1]: Hastie, T. and Tibshirani, R., 1986. Generalized additive models. Statistical Science, 1(3), 297-310.
    [^2]: Duchi, J., Hazan, E. and Singer, Y., 2011. Adaptive subgradient methods for online learning and stochastic
    optimization. Journal of Machine Learning Research, 12, 2121-2159. (Here the sum of squares decays.)

    """

    def __init__(self, bins: int = 16, rate: float = 0.3, categories_max: int = 256) -> None:
        super().__init__(bins, rate, categories_max)
        self._classes: dict[base.typing.ClfTarget, int] = {}

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: Features) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far, in the order in which they were first seen.

        Raises:
            ValueError: a value is infinite.
        """
        if len(self._classes) < 2:
            return dict.fromkeys(self._classes, 1.0)
        return dict(zip(self._classes, _softmax(self._encode_and_score(x)[1]), strict=True))

    def learn_one(self, x: Features, y: base.typing.ClfTarget) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite.
        """
        encoding, scores = self._encode_and_score(x)
        index = self._classes.get(y)
        if index is None:
            self._add_class(y)
            encoding, scores = self._encode_and_score(x)
            index = self._classes[y]
        if len(self._classes) < 2:
            self._learn(x, encoding, [0.0])
            return
        errors = _softmax(scores)
        if len(errors) == 2:
            self._learn(x, encoding, [errors[1] - index])
            return
        errors[index] -= 1.0
        self._learn(x, encoding, errors)

    def _add_class(self, y: base.typing.ClfTarget) -> None:
        """Add a class: two classes share one score; from the third on, each has its own."""
        self._classes[y] = len(self._classes)
        self._last = None
        if len(self._classes) < 3:
            return
        if len(self._classes) == 3:
            self._weights.split_output()  # the probabilities stay the same
        self._weights.add_output()
        self._use_arrays_if_faster()


class AdditiveRegressor(_Additive, base.Regressor):  # type: ignore[misc]
    """Least-squares regression on the soft bins of each feature, on the target standardised by its running mean and variance.

    It takes the same features as `AdditiveClassifier`. An error counts as at most 3 standard deviations. Predictions are clipped to the
    range of the targets seen, extended by 10 % on both sides.

    Parameters
    ----------
    bins
        As in `AdditiveClassifier`; its references apply too.
    rate
        Step of a weight, in standard deviations of the target, at its first event.
    categories_max
        As in `AdditiveClassifier`.

    """

    def __init__(self, bins: int = 16, rate: float = 0.1, categories_max: int = 256) -> None:
        super().__init__(bins, rate, categories_max)
        self._targets = Targets()

    def predict_one(self, x: Features) -> float:
        """The prediction; 0 before anything was learned.

        Raises:
            ValueError: a value is infinite.
        """
        targets = self._targets
        return targets.clip(targets.mean + targets.deviation * self._encode_and_score(x)[1][0])

    def learn_one(self, x: Features, y: float) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        targets = self._targets
        targets.check(y)
        encoding, scores = self._encode_and_score(x)
        y = targets.usual(y)
        targets.update(y)
        error = scores[0] - (y - targets.mean) / targets.deviation
        self._learn(x, encoding, [max(-ERROR_MAX, min(ERROR_MAX, error))])


def _softmax(scores: list[float]) -> list[float]:
    """The class probabilities: from one score, that of the second of two classes; else from one score a class."""
    if len(scores) == 1:
        second = 0.5 + 0.5 * math.tanh(0.5 * scores[0])
        return [1.0 - second, second]
    highest = max(scores)
    raised = [math.exp(score - highest) for score in scores]
    total = sum(raised)
    return [value / total for value in raised]

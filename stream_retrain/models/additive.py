"""Additive models: a learned function of each feature, which follows drift without a detector.

Theory of operation. The features are encoded in soft bins (`bins`), and a logistic, softmax or least-squares regression runs on the
slots. Each weight has its own step size (`plain_additive`), which depends on its recent gradients. So the model follows a drift by itself
and needs no restart. Its scores are sums of bounded steps, and a regressor's predictions are clipped to the targets seen, so it cannot
diverge.

There are two of each model: compiled (`native/src/additive.rs`) and in Python (`additive_cores`). They predict the same to the last bit,
and a state of one resumes in the other. `stream_retrain.native` says which of them serves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from river import base

from stream_retrain.models.feature_values import Features
from stream_retrain.models.implementation import Cored, models

__all__ = ["AdditiveClassifier", "AdditiveRegressor"]


class _Additive(Cored):
    """What both tasks share: the parameters."""

    def __init__(self, bins: int, rate: float, categories_max: int) -> None:
        if bins < 2 or categories_max < 1 or not 0.0 < rate < math.inf:
            raise ValueError(
                f"bins is {bins}, rate is {rate}, categories_max is {categories_max}; "
                "use at least 2 bins, a finite rate above 0, and at least 1 category"
            )
        self.bins = bins
        self.rate = rate
        self.categories_max = categories_max
        self._core = self._new_core()

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

    def _new_core(self) -> Any:
        return models().AdditiveClassifier(self.bins, self.rate, self.categories_max)

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: Features) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far, in the order in which they were first seen.

        Raises:
            ValueError: a value is infinite.
        """
        proba: dict[base.typing.ClfTarget, float] = self._core.predict(x)
        return proba

    def learn_one(self, x: Features, y: base.typing.ClfTarget) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite.
        """
        self._core.learn(x, y)


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

    def _new_core(self) -> Any:
        return models().AdditiveRegressor(self.bins, self.rate, self.categories_max)

    def predict_one(self, x: Features) -> float:
        """The prediction; 0 before anything was learned.

        Raises:
            ValueError: a value is infinite.
        """
        prediction: float = self._core.predict(x)
        return prediction

    def learn_one(self, x: Features, y: float) -> None:
        """Learn one event.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        self._core.learn(x, y)

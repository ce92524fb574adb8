"""Linear models with a step size for each weight, which follow drift without a detector and need no scaler.

They are additive models (`additive`) with one slot a number, whose weight is the number standardised by its running mean and variance. So
they share the cores of those, compiled and in Python, and their limits: a step of a weight is at most `rate`, whatever the value is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from river import base

from stream_retrain.models.feature_values import Features
from stream_retrain.models.implementation import Cored, models
from stream_retrain.models.plain_additive import Parameters

__all__ = ["LinearClassifier", "LinearRegressor"]


class _Linear(Cored):
    """What both tasks share: the parameters."""

    def __init__(self, rate: float, categories_max: int, decay: float) -> None:
        if categories_max < 1 or not 0.0 < rate < math.inf or not 0.0 < decay <= 1.0:
            raise ValueError(
                f"rate is {rate}, categories_max is {categories_max}, decay is {decay}; "
                "use a finite rate above 0, at least 1 category, and a decay above 0 and at most 1"
            )
        self.rate = rate
        self.categories_max = categories_max
        self.decay = decay
        self._core = self._new_core()

    @property
    def _parameters(self) -> Parameters:
        return Parameters(bins=1, rate=self.rate, categories_max=self.categories_max, decay=self.decay, pairs=0, pair_bins=2, seed=0)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"rate": 0.3, "categories_max": 3, "decay": 0.99}


class LinearClassifier(_Linear, base.Classifier):  # type: ignore[misc]
    """Logistic or softmax regression on the standardised features.

    Takes numbers, and strings and booleans as categories, each value with a weight. A number counts as at most 4 standard deviations from
    its running mean. A missing value (None, NaN, or absent) is left out. Features, categories and classes may appear at any time. It needs
    no scaler.

    Parameters
    ----------
    rate
        Step of a weight, in log odds a standard deviation, at its first event; later steps are divided by the root of its summed squared
        gradients. No step is larger.
    categories_max
        Categories kept of one feature; when it is full, the least recently learned one is removed.
    decay
        Each event first multiplies the summed squared gradients of its weights by this, above 0 and at most 1. The smaller it is, the
        larger are the steps in the long run, and the sooner is a change followed.

    References
    ----------
    [^1]: Duchi, J., Hazan, E. and Singer, Y., 2011. Adaptive subgradient methods for online learning and stochastic
    optimization. Journal of Machine Learning Research, 12, 2121-2159. (Here the sum of squares decays.)
    [^2]: Ross, S., Mineiro, P. and Langford, J., 2013. Normalized online learning. Proceedings of the 29th Conference on Uncertainty in
    Artificial Intelligence, 537-545.

    """

    def __init__(self, rate: float = 0.1, categories_max: int = 256, decay: float = 0.999) -> None:
        super().__init__(rate, categories_max, decay)

    def _new_core(self) -> Any:
        return models().AdditiveClassifier(self._parameters)

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


class LinearRegressor(_Linear, base.Regressor):  # type: ignore[misc]
    """Least-squares regression on the standardised features, of the target standardised by its running mean and variance.

    It takes the same features as `LinearClassifier`. An error counts as at most 3 standard deviations. Predictions are clipped to the
    range of the targets seen, extended by 10 % on both sides.

    Parameters
    ----------
    rate
        Step of a weight, in standard deviations of the target a standard deviation, at its first event. No step is larger. The references
        of `LinearClassifier` apply too.
    categories_max
        As in `LinearClassifier`.
    decay
        As in `LinearClassifier`.

    """

    def __init__(self, rate: float = 0.1, categories_max: int = 256, decay: float = 0.999) -> None:
        super().__init__(rate, categories_max, decay)

    def _new_core(self) -> Any:
        return models().AdditiveRegressor(self._parameters)

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

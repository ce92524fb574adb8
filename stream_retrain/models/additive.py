"""Additive models: a learned function of each feature, and of pairs of them, which follows drift without a detector.

Theory of operation. The features are encoded in soft bins (`bins`), pairs of features in coarser ones (`pairs`), and a logistic, softmax
or least-squares regression runs on the slots. Each weight has its own step size (`plain_additive`), which depends on its recent
gradients. So the model follows a drift by itself and needs no restart. Its scores are sums of bounded steps, and a regressor's predictions
are clipped to the targets seen, so it cannot diverge.

There are two of each model: compiled (`native/src/additive.rs`) and in Python (`additive_cores`). They predict the same to the last bit,
and a state of one resumes in the other. `stream_retrain.native` says which of them serves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from river import base

from stream_retrain.models.feature_values import Features
from stream_retrain.models.generator import SEED_MAX
from stream_retrain.models.implementation import Cored, models
from stream_retrain.models.plain_additive import Parameters

__all__ = ["AdditiveClassifier", "AdditiveRegressor"]

PAIRS_MAX: Final = 10_000
PAIR_BINS_MAX: Final = 64


class _Additive(Cored):
    """What both tasks share: the parameters."""

    LATER: ClassVar[dict[str, Any]] = {"decay": 0.999, "pairs": 0, "pair_bins": 5, "seed": 1}

    def __init__(self, bins: int, rate: float, categories_max: int, decay: float, pairs: int, pair_bins: int, seed: int) -> None:
        if bins < 2 or categories_max < 1 or not 0.0 < rate < math.inf or not 0.0 < decay <= 1.0:
            raise ValueError(
                f"bins is {bins}, rate is {rate}, categories_max is {categories_max}, decay is {decay}; "
                "use at least 2 bins, a finite rate above 0, at least 1 category, and a decay above 0 and at most 1"
            )
        if not 0 <= pairs <= PAIRS_MAX or not 2 <= pair_bins <= PAIR_BINS_MAX or not 0 <= seed <= SEED_MAX:
            raise ValueError(
                f"pairs is {pairs}, pair_bins is {pair_bins}, seed is {seed}; "
                f"use 0 to {PAIRS_MAX} pairs, 2 to {PAIR_BINS_MAX} bins, and a seed of at least 0 and less than 2^63"
            )
        self.bins = bins
        self.rate = rate
        self.categories_max = categories_max
        self.decay = decay
        self.pairs = pairs
        self.pair_bins = pair_bins
        self.seed = seed
        self._core = self._new_core()

    @property
    def _parameters(self) -> Parameters:
        return Parameters(self.bins, self.rate, self.categories_max, self.decay, self.pairs, self.pair_bins, self.seed)

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        yield {}
        yield {"bins": 4, "categories_max": 3}
        yield {"pairs": 500, "pair_bins": 3, "decay": 0.99}  # where not all fit, it depends on the order of the features which are drawn


class AdditiveClassifier(_Additive, base.Classifier):  # type: ignore[misc]
    """Logistic or softmax regression on the soft bins of each feature, and of pairs of features.

    Takes numbers, and strings and booleans as categories. A missing value (None, NaN, or absent) is left out. Features, categories and
    classes may appear at any time. It needs no scaler.

    Without pairs it cannot learn what depends on two features together. With them it can. A pair costs about 15 ns an event where the
    model is compiled, and two floats for each two places of its features, 50 for two numbers.

    Parameters
    ----------
    bins
        Bins of a numeric feature, at least 2.
    rate
        Step of a weight, in log odds, at its first event; later steps are divided by the root of its summed squared gradients.
    categories_max
        Categories kept of one feature; when it is full, the least recently learned one is removed.
    decay
        Each event first multiplies the summed squared gradients of its weights by this, above 0 and at most 1. The smaller it is, the
        larger are the steps in the long run, and the sooner is a change followed.
    pairs
        Pairs of features that have weights at most, up to 10,000. While all fit, every pair has; else some are drawn when their features
        appear.
    pair_bins
        Bins of a number in a pair, from 2 to 64. A category has the first 12 values of its feature there.
    seed
        Of the generator that draws pairs, from 0.

    References
    ----------
    [^1]: Hastie, T. and Tibshirani, R., 1986. Generalized additive models. Statistical Science, 1(3), 297-310.
    [^2]: Duchi, J., Hazan, E. and Singer, Y., 2011. Adaptive subgradient methods for online learning and stochastic
    optimization. Journal of Machine Learning Research, 12, 2121-2159. (Here the sum of squares decays.)
    [^3]: Lou, Y., Caruana, R., Gehrke, J. and Hooker, G., 2013. Accurate intelligible models with pairwise interactions. Proceedings of
    the 19th ACM SIGKDD International Conference on Knowledge Discovery and Data Mining, 623-631.

    """

    def __init__(
        self,
        bins: int = 16,
        rate: float = 0.3,
        categories_max: int = 256,
        decay: float = 0.999,
        pairs: int = 0,
        pair_bins: int = 5,
        seed: int = 1,
    ) -> None:
        super().__init__(bins, rate, categories_max, decay, pairs, pair_bins, seed)

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


class AdditiveRegressor(_Additive, base.Regressor):  # type: ignore[misc]
    """Least-squares regression on the soft bins of each feature, and of pairs of features.

    The target is standardised by its running mean and variance. It takes the same features as `AdditiveClassifier`. An error counts as at
    most 3 standard deviations. Predictions are clipped to the range of the targets seen, extended by 10 % on both sides.

    Parameters
    ----------
    bins
        As in `AdditiveClassifier`; its references apply too.
    rate
        Step of a weight, in standard deviations of the target, at its first event.
    categories_max
        As in `AdditiveClassifier`.
    decay
        As in `AdditiveClassifier`.
    pairs
        As in `AdditiveClassifier`.
    pair_bins
        As in `AdditiveClassifier`.
    seed
        As in `AdditiveClassifier`.

    """

    def __init__(
        self,
        bins: int = 16,
        rate: float = 0.1,
        categories_max: int = 256,
        decay: float = 0.999,
        pairs: int = 0,
        pair_bins: int = 5,
        seed: int = 1,
    ) -> None:
        super().__init__(bins, rate, categories_max, decay, pairs, pair_bins, seed)

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

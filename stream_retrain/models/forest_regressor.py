"""A forest of regression trees, which restart one by one when their own error rises.

There are two of it: compiled (`native/src/forest_regressor.rs`) and in Python (`plain_forest_regressor`). They predict the same to the last
bit, and a state of one resumes in the other. `stream_retrain.native` says which of them serves.
"""

from __future__ import annotations

from typing import Any, Final

from river import base

from stream_retrain.models.feature_values import Features
from stream_retrain.models.forest import ForestCore, check_confidences, check_forest
from stream_retrain.models.implementation import models
from stream_retrain.models.quick_tree import CATEGORIES_MAX

__all__ = ["RestartingForestRegressor"]

MEMORY_MAX: Final = 2_000_000


class RestartingForestRegressor(ForestCore, base.Regressor):  # type: ignore[misc]
    """Regression trees that differ by chance, each of which restarts when its own error rises; their mean is the prediction.

    A tree learns each event with a weight drawn from a Poisson distribution, and a leaf watches a half of the features, drawn when it is
    made. A leaf predicts by the mean of its targets or by a linear model of the standardised numbers, whichever was nearer of late. At a
    warning of its detector (HDDM-A on the absolute error, in standard deviations of the target) a successor begins to learn; at a drift it
    takes the tree's place. A tree counts by the inverse square of its squared error lately. Features need no scaler, and nor does the
    target.

    Parameters
    ----------
    trees
        How many trees.
    grace_period
        Weight a leaf learns between attempts to split it; an event has `weight_mean` on average.
    delta
        Allowed error of a split; a higher value splits sooner.
    tau
        Threshold below which ties are split.
    weight_mean
        Mean weight of an event.
    drift_confidence
        Allowed probability of a false restart.
    warning_confidence
        Allowed probability of a false warning.
    categories_max
        A feature of strings with more values than this is withheld.
    memory_max
        Bytes of all trees and successors, as they are estimated. When they are reached no leaf is split and no successor begins.
    seed
        Of what is drawn.

    References
    ----------
    [^1]: Gomes, H.M. et al., 2018. Adaptive random forests for data stream regression. ESANN 2018, 267-272.

    """

    def __init__(
        self,
        trees: int = 5,
        grace_period: int = 150,
        delta: float = 1e-3,
        tau: float = 0.1,
        weight_mean: float = 6.0,
        drift_confidence: float = 0.005,
        warning_confidence: float = 0.05,
        categories_max: int = CATEGORIES_MAX,
        memory_max: int = MEMORY_MAX,
        seed: int = 1,
    ) -> None:
        check_forest(trees, grace_period, delta, weight_mean, categories_max, memory_max, seed)
        check_confidences(drift_confidence, warning_confidence)
        self.trees = trees
        self.grace_period = grace_period
        self.delta = delta
        self.tau = tau
        self.weight_mean = weight_mean
        self.drift_confidence = drift_confidence
        self.warning_confidence = warning_confidence
        self.categories_max = categories_max
        self.memory_max = memory_max
        self.seed = seed
        self._core = self._new_core()

    def _new_core(self) -> Any:
        growth = (self.grace_period, self.delta, self.tau, self.weight_mean)
        limits = (self.categories_max, self.memory_max, self.seed)
        return models().ForestRegressor(self.trees, *growth, self.drift_confidence, self.warning_confidence, *limits)

    def predict_one(self, x: Features) -> float:
        """The weighted mean of what the trees predict; 0 before anything was learned.

        Raises:
            ValueError: a value is infinite.
        """
        prediction: float = self._core.predict(x)
        return prediction

    def learn_one(self, x: Features, y: float) -> None:
        """Score the prediction made for `x`, restart the trees whose error rose, then learn.

        Raises:
            ValueError: a value is infinite, or the target is not a finite number.
        """
        self._core.learn(x, y)

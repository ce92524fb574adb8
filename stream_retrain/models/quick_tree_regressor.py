"""River's Hoeffding tree for numbers, with parameters for fast learning, an arithmetic of its own, and limits."""

from __future__ import annotations

from typing import Any

from river import base

from stream_retrain.models.feature_values import Features
from stream_retrain.models.implementation import models
from stream_retrain.models.quick_tree import CATEGORIES_MAX, QuickTreeCore

__all__ = ["QuickTreeRegressor"]


class QuickTreeRegressor(QuickTreeCore, base.Regressor):  # type: ignore[misc]
    """A Hoeffding tree whose leaves predict by the mean of their targets or by a linear model, whichever was nearer of late.

    It takes the same features as `QuickTree`, has its parameters and its limits, and needs a scaler only for the linear models. Ties are
    split sooner, because the merits of two features are rarely far apart in regression. Unlike `river.tree.HoeffdingTreeRegressor` it
    keeps the targets of a leaf in at most 64 bins of each feature.

    References
    ----------
    [^1]: Ikonomovska, E., Gama, J. and Dzeroski, S., 2011. Learning model trees from evolving data streams. Data Mining and
    Knowledge Discovery, 23(1), 128-168.

    """

    def __init__(
        self,
        grace_period: int = 50,
        delta: float = 1e-3,
        tau: float = 0.2,
        max_depth: int | None = None,
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        super().__init__(grace_period, delta, tau, max_depth, categories_max)

    def _new_core(self) -> Any:
        return models().TreeRegressor(self.grace_period, self.delta, self.tau, self.max_depth, self.categories_max)

    def predict_one(self, x: Features) -> float:
        """The prediction of the leaf that `x` belongs to.

        Raises:
            ValueError: a value is infinite.
        """
        prediction: float = self._core.predict(x)
        return prediction

    def learn_one(self, x: Features, y: float, *, w: float = 1.0) -> None:
        """Learn one event, which counts `w` times.

        Raises:
            ValueError: a value is infinite, the target is not a finite number, or the weight is not above 0.
        """
        self._core.learn(x, y, w)

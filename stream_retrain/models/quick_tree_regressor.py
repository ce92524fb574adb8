"""River's Hoeffding tree for numbers, with parameters for fast learning, and limits.

It saves most of its time in its splitters (`binned_splitter`), which are others than River's. It excludes category features with very many
values (`category_filter`), takes a number outside its usual range as the end of that range (`usual`), and grows to `LEAVES_MAX` leaves at
most; River's do not. So one value cannot ruin a leaf, and state and cost are bounded.
"""

from __future__ import annotations

from typing import Any

from river import tree

from stream_retrain.models.binned_splitter import BinnedSplitter
from stream_retrain.models.category_filter import CategoryFilter
from stream_retrain.models.feature_values import Features
from stream_retrain.models.numeric_regression import NumericLinearRegression
from stream_retrain.models.plain_tree import LEAF_EVENTS_MAX, LEAVES_MAX
from stream_retrain.models.quick_tree import CATEGORIES_MAX
from stream_retrain.models.targets import Targets
from stream_retrain.models.usual import UsualRanges

__all__ = ["QuickTreeRegressor"]


class QuickTreeRegressor(tree.HoeffdingTreeRegressor):  # type: ignore[misc]
    """`river.tree.HoeffdingTreeRegressor`, which can split on strings, and with leaves that stay small (`binned_splitter`).

    The linear models in its leaves leave strings out. The parameters are those of `QuickTree`; ties are split sooner, because the merits of
    two features are rarely far apart in regression.

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
        super().__init__(
            grace_period=grace_period,
            delta=delta,
            tau=tau,
            max_depth=max_depth,
            leaf_model=NumericLinearRegression(),
            splitter=BinnedSplitter(),
        )
        self.categories_max = categories_max
        self._filter = CategoryFilter(categories_max)
        self._usual = UsualRanges()
        self._targets = Targets()

    @property
    def withheld(self) -> tuple[Any, ...]:
        """The features of very many categories, which are left out."""
        return tuple(self._filter.excluded)

    def predict_one(self, x: Features) -> float:
        """The prediction of the leaf that `x` belongs to."""
        prediction: float = super().predict_one(self._usual.apply(self._filter.apply(x)))
        return prediction

    def learn_one(self, x: Features, y: float, *, w: float = 1.0) -> None:
        """Learn one event.

        Raises:
            ValueError: the target is not a finite number.
        """
        targets = self._targets
        targets.check(y)
        usual = targets.usual(y)
        targets.update(y)
        super().learn_one(self._usual.learn(self._filter.learn(x)), usual, w=w)

    def _attempt_to_split(self, leaf: Any, *where: Any, **kwargs: Any) -> None:
        if self._n_active_leaves + self._n_inactive_leaves < LEAVES_MAX and leaf.total_weight < LEAF_EVENTS_MAX:
            super()._attempt_to_split(leaf, *where, **kwargs)
        else:
            self._stop_growing(leaf)

    def _stop_growing(self, leaf: Any) -> None:
        """It keeps its linear model and its mean, and drops what only splits are chosen by, which grows with the values seen."""
        if leaf.is_active():
            leaf.deactivate()
            self._n_active_leaves -= 1
            self._n_inactive_leaves += 1

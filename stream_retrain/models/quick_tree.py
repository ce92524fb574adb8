"""River's Hoeffding trees, with parameters for fast learning, and faster to run.

`QuickTree` equals River's classifier to the last digit. It saves time in its leaves (`quick_leaf`), in their splitters
(`quick_splitter`), and by going down the tree in a plain loop instead of River's nested generators. `QuickTreeRegressor` saves most
of it in its splitters (`binned_splitter`), which are others than River's.

Both trees exclude category features with very many values (`category_filter`), take a number outside its usual range as the end of that
range (`usual`), and grow to `LEAVES_MAX` leaves at most; River's do not. So one value cannot ruin a leaf, and state and cost are bounded.
"""

from __future__ import annotations

from typing import Any, Final

from river import tree
from river.tree.hoeffding_tree import HoeffdingTree

from stream_retrain.models.binned_splitter import BinnedSplitter
from stream_retrain.models.category_filter import CategoryFilter
from stream_retrain.models.feature_values import Features
from stream_retrain.models.quick_leaf import NumericLinearRegression, QuickLeaf
from stream_retrain.models.quick_splitter import QuickSplitter
from stream_retrain.models.targets import Targets
from stream_retrain.models.usual import UsualRanges

__all__ = ["QuickTree", "QuickTreeRegressor"]

CATEGORIES_MAX: Final = 64
LEAVES_MAX: Final = 500
"""A tree with so many leaves does not grow any more; each goes on learning."""
LEAF_EVENTS_MAX: Final = 20_000
"""A leaf that has not been split after so many events is not split any more: no feature tells its events apart."""


class _QuickTree(HoeffdingTree):  # type: ignore[misc]
    """What both trees share: their parameters and the category filter.

    It stands before River's tree in the bases, so that `super().__init__` is that of River's tree.
    """

    def __init__(
        self,
        grace_period: int = 50,
        delta: float = 1e-3,
        tau: float = 0.1,
        max_depth: int | None = None,
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        super().__init__(grace_period=grace_period, delta=delta, tau=tau, max_depth=max_depth, **self._parts())
        self.categories_max = categories_max
        self._filter = CategoryFilter(categories_max)
        self._usual = UsualRanges()

    @staticmethod
    def _parts() -> dict[str, Any]:
        """Further arguments of River's constructor; they are not parameters of this tree."""
        return {}

    def _attempt_to_split(self, leaf: Any, *where: Any, **kwargs: Any) -> None:
        if self._n_active_leaves + self._n_inactive_leaves < LEAVES_MAX and leaf.total_weight < LEAF_EVENTS_MAX:
            super()._attempt_to_split(leaf, *where, **kwargs)
        else:
            self._stop_growing(leaf)

    def _stop_growing(self, leaf: Any) -> None:
        """A leaf will not be split any more."""


class QuickTree(_QuickTree, tree.HoeffdingTreeClassifier):  # type: ignore[misc]
    """`river.tree.HoeffdingTreeClassifier`, equal to the last digit, in about four fifths of the time.

    Parameters
    ----------
    grace_period
        Events a leaf learns between attempts to split it.
    delta
        Allowed error of a split; a higher value splits sooner.
    tau
        Threshold below which ties are split.
    max_depth
        The greatest depth of the tree.
    categories_max
        A feature of strings with more values than this is excluded.

    References
    ----------
    [^1]: Hulten, G., Spencer, L. and Domingos, P., 2001. Mining time-changing data streams. KDD 2001, 97-106.

    """

    @staticmethod
    def _parts() -> dict[str, Any]:
        return {"splitter": QuickSplitter()}

    def predict_proba_one(self, x: Features) -> dict[Any, float]:
        """Probability of every class seen so far."""
        proba = dict.fromkeys(sorted(self.classes), 0.0)
        node = self._root
        if node is None:
            return proba
        x = self._usual.apply(self._filter.apply(x))
        try:
            while node.__class__ is not QuickLeaf:
                node = node.next(x)
        except KeyError:  # a feature is missing, or a category is new
            node = self._root.traverse(x, until_leaf=True)
        proba.update(node.prediction(x, tree=self))
        return proba

    def learn_one(self, x: Features, y: Any, *, w: float = 1.0) -> None:
        """Learn one event."""
        x = self._usual.learn(self._filter.learn(x))
        branch, leaf = None, self._root
        if leaf is None:
            super().learn_one(x, y, w=w)
            return
        try:
            while leaf.__class__ is not QuickLeaf:
                branch, leaf = leaf, leaf.next(x)
        except KeyError:  # a feature is missing, or a category is new
            super().learn_one(x, y, w=w)
            return
        self.classes.add(y)
        self._train_weight_seen_by_model += w
        leaf.learn_one(x, y, w=w, tree=self)
        if self._growth_allowed and leaf.is_active():
            self._grow(x, leaf, branch)
        if self._train_weight_seen_by_model % self.memory_estimate_period == 0:
            self._estimate_model_size()

    def _grow(self, x: Features, leaf: Any, branch: Any) -> None:
        """Try to split a leaf that has learned enough since the last attempt."""
        if leaf.depth >= self.max_depth:
            leaf.deactivate()
            self._n_active_leaves -= 1
            self._n_inactive_leaves += 1
            return
        weight = leaf.total_weight
        if weight - leaf.last_split_attempt_at >= self.grace_period:
            self._attempt_to_split(leaf, branch, None if branch is None else branch.branch_no(x))
            leaf.last_split_attempt_at = weight

    def _new_leaf(self, initial_stats: dict[Any, float] | None = None, parent: Any = None) -> Any:
        return QuickLeaf({} if initial_stats is None else initial_stats, 0 if parent is None else parent.depth + 1, self.splitter)


class QuickTreeRegressor(_QuickTree, tree.HoeffdingTreeRegressor):  # type: ignore[misc]
    """`river.tree.HoeffdingTreeRegressor`, which can split on strings, and with leaves that stay small (`binned_splitter`).

    The linear models in its leaves leave strings out. The parameters are those of `QuickTree`; ties are split sooner, because the merits of
    two features are rarely far apart in regression.

    References
    ----------
    [^1]: Ikonomovska, E., Gama, J. and Dzeroski, S., 2011. Learning model trees from evolving data streams. Data Mining and
    Knowledge Discovery, 23(1), 128-168.

    """

    @staticmethod
    def _parts() -> dict[str, Any]:
        return {"leaf_model": NumericLinearRegression(), "splitter": BinnedSplitter()}

    def __init__(
        self,
        grace_period: int = 50,
        delta: float = 1e-3,
        tau: float = 0.2,
        max_depth: int | None = None,
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        super().__init__(grace_period, delta, tau, max_depth, categories_max)
        self._targets = Targets()

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

    def _stop_growing(self, leaf: Any) -> None:
        """It keeps its linear model and its mean, and drops what only splits are chosen by, which grows with the values seen."""
        if leaf.is_active():
            leaf.deactivate()
            self._n_active_leaves -= 1
            self._n_inactive_leaves += 1

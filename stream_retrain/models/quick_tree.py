"""River's Hoeffding tree for classes, with parameters for fast learning, an arithmetic of its own, and limits.

There are two of it: compiled (`native/src/tree.rs`) and in Python (`plain_tree`). They predict the same to the last bit, and a state of
one resumes in the other. `stream_retrain.native` says which of them serves.
"""

from __future__ import annotations

from typing import Any, Final

from river import base

from stream_retrain.models.feature_values import Features
from stream_retrain.models.implementation import Cored, models

__all__ = ["CATEGORIES_MAX", "QuickTree", "QuickTreeCore"]

CATEGORIES_MAX: Final = 64


class QuickTreeCore(Cored):
    """What trees of both tasks share: the parameters, and what can be asked of the tree."""

    def __init__(self, grace_period: int, delta: float, tau: float, max_depth: int | None, categories_max: int) -> None:
        if grace_period < 1 or not 0.0 < delta < 1.0 or categories_max < 1 or (max_depth is not None and max_depth < 0):
            raise ValueError(
                f"grace_period is {grace_period}, delta is {delta}, max_depth is {max_depth}, categories_max is {categories_max}; "
                "use a grace period and categories of at least 1, a delta between 0 and 1, and a depth of at least 0"
            )
        self.grace_period = grace_period
        self.delta = delta
        self.tau = tau
        self.max_depth = max_depth
        self.categories_max = categories_max
        self._core = self._new_core()

    @property
    def n_nodes(self) -> int:
        """Branches and leaves."""
        return int(self._core.shape()[0])

    @property
    def n_leaves(self) -> int:
        """Leaves."""
        return int(self._core.shape()[1])

    @property
    def withheld(self) -> tuple[Any, ...]:
        """The features of very many categories, which are left out."""
        return tuple(self._core.withheld())


class QuickTree(QuickTreeCore, base.Classifier):  # type: ignore[misc]
    """A Hoeffding tree whose leaves vote by naive Bayes or by class weights, whichever was right more often.

    Takes numbers, booleans as the numbers 0 and 1, and strings as categories. A missing value (None, NaN, or absent) is left out; a branch
    that asks for it sends the event the way of most others. Features, categories and classes may appear at any time.

    It equals `river.tree.HoeffdingTreeClassifier` as far as a C library's arithmetic allows, and has limits: a tree of 500 leaves does not
    grow any more, a number outside its usual range counts as the end of that range, and a feature of very many categories is withheld.

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
        A feature of strings with more values than this is withheld.

    References
    ----------
    [^1]: Hulten, G., Spencer, L. and Domingos, P., 2001. Mining time-changing data streams. KDD 2001, 97-106.

    """

    def __init__(
        self,
        grace_period: int = 50,
        delta: float = 1e-3,
        tau: float = 0.1,
        max_depth: int | None = None,
        categories_max: int = CATEGORIES_MAX,
    ) -> None:
        super().__init__(grace_period, delta, tau, max_depth, categories_max)

    def _new_core(self) -> Any:
        return models().Tree(self.grace_period, self.delta, self.tau, self.max_depth, self.categories_max)

    @property
    def _multiclass(self) -> bool:
        return True

    def predict_proba_one(self, x: Features) -> dict[base.typing.ClfTarget, float]:
        """Probability of every class seen so far, in the order of the labels.

        Raises:
            ValueError: a value is infinite.
        """
        proba: dict[base.typing.ClfTarget, float] = self._core.predict(x)
        return proba

    def learn_one(self, x: Features, y: base.typing.ClfTarget, *, w: float = 1.0) -> None:
        """Learn one event, which counts `w` times.

        Raises:
            ValueError: a value is infinite, or the weight is not above 0.
        """
        self._core.learn(x, y, w)

    @property
    def height(self) -> int:
        """Nodes on the longest way down."""
        return int(self._core.shape()[2])

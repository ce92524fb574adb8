"""A forest whose trees restart one by one when their own error rises.

There are two of it: compiled (`native/src/forest.rs`) and in Python (`plain_forest`). They predict the same to the last bit, and a state of
one resumes in the other. `stream_retrain.native` says which of them serves.
"""

from __future__ import annotations

from typing import Any, Final

from river import base

from stream_retrain.models.adaptive import Standing
from stream_retrain.models.feature_values import Features
from stream_retrain.models.generator import SEED_MAX
from stream_retrain.models.implementation import Cored, models
from stream_retrain.models.poisson import MEAN_MAX
from stream_retrain.models.quick_tree import CATEGORIES_MAX

__all__ = ["ForestCore", "RestartingForest", "check_confidences", "check_forest"]

TREES_MAX: Final = 100
CUTS_MAX: Final = 100
MEMORY_MAX: Final = 4_000_000


class ForestCore(Cored):
    """What forests of both tasks share: what can be asked of the trees."""

    trees: int

    def _unit_test_skips(self) -> set[str]:
        return {"check_shuffle_features_no_impact"}  # which features a leaf draws depends on their order in the first event

    @property
    def replaced(self) -> int:
        """How many trees were replaced."""
        return int(self._core.changes)

    @property
    def changes(self) -> int:
        """How often as many trees were replaced as there are: a single one means little."""
        return self.replaced // self.trees

    def standing(self) -> Standing:
        """One member, and its restarts, which are `changes`."""
        return Standing(("trees",), (1.0,), (self.changes,), (0,), "trees", self.changes)

    @property
    def n_nodes(self) -> int:
        """Branches and leaves of all trees and successors."""
        return int(self._core.shape()[0])

    @property
    def n_leaves(self) -> int:
        """Leaves of all trees and successors."""
        return int(self._core.shape()[1])

    @property
    def n_successors(self) -> int:
        """Trees that learn to take the place of another one."""
        return int(self._core.shape()[2])

    @property
    def memory(self) -> int:
        """Bytes of all trees and successors, as they are estimated."""
        return int(self._core.memory())

    @property
    def withheld(self) -> tuple[Any, ...]:
        """The features of very many categories, which are left out."""
        return tuple(self._core.withheld())


class RestartingForest(ForestCore, base.Classifier):  # type: ignore[misc]
    """Hoeffding trees that differ by chance, each of which restarts when its own error rises; their mean is the prediction.

    A tree is a `QuickTree` that learns each event with a weight drawn from a Poisson distribution. A leaf watches at most 3 sqrt(F) of F
    features, drawn when it is made, and tries thresholds that are drawn. At a warning of its detector (HDDM-A) a successor begins to learn;
    at a drift it takes the tree's place. A tree counts by the eighth power of its accuracy lately.

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
    cuts
        Thresholds that are tried for each number.
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
    [^1]: Gomes, H.M. et al., 2017. Adaptive random forests for evolving data stream classification. Machine Learning, 106(9), 1469-1495.

    """

    def __init__(
        self,
        trees: int = 5,
        grace_period: int = 100,
        delta: float = 0.01,
        tau: float = 0.05,
        cuts: int = 3,
        weight_mean: float = 6.0,
        drift_confidence: float = 0.005,
        warning_confidence: float = 0.05,
        categories_max: int = CATEGORIES_MAX,
        memory_max: int = MEMORY_MAX,
        seed: int = 1,
    ) -> None:
        if not 1 <= cuts <= CUTS_MAX:
            raise ValueError(f"cuts is {cuts}; use 1 to {CUTS_MAX}")
        check_forest(trees, grace_period, delta, weight_mean, categories_max, memory_max, seed)
        check_confidences(drift_confidence, warning_confidence)
        self.trees = trees
        self.grace_period = grace_period
        self.delta = delta
        self.tau = tau
        self.cuts = cuts
        self.weight_mean = weight_mean
        self.drift_confidence = drift_confidence
        self.warning_confidence = warning_confidence
        self.categories_max = categories_max
        self.memory_max = memory_max
        self.seed = seed
        self._core = self._new_core()

    def _new_core(self) -> Any:
        growth = (self.grace_period, self.delta, self.tau, self.cuts, self.weight_mean)
        return models().Forest(
            self.trees, *growth, self.drift_confidence, self.warning_confidence, self.categories_max, self.memory_max, self.seed
        )

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

    def learn_one(self, x: Features, y: base.typing.ClfTarget) -> None:
        """Score the prediction made for `x`, restart the trees whose error rose, then learn.

        Raises:
            ValueError: a value is infinite.
        """
        self._core.learn(x, y)


def check_forest(trees: int, grace_period: int, delta: float, weight_mean: float, categories_max: int, memory_max: int, seed: int) -> None:
    """Refuse parameters of a forest that make no sense.

    Raises:
        ValueError: one of them is out of its range.
    """
    if not 1 <= trees <= TREES_MAX or not 0.0 < weight_mean <= MEAN_MAX or not 0 <= seed <= SEED_MAX:
        raise ValueError(
            f"trees is {trees}, weight_mean is {weight_mean}, seed is {seed}; use 1 to {TREES_MAX} trees, "
            f"a mean weight above 0 and at most {MEAN_MAX:g}, and a seed from 0 to {SEED_MAX}"
        )
    if grace_period < 1 or not 0.0 < delta < 1.0 or categories_max < 1 or memory_max < 1:
        raise ValueError(
            f"grace_period is {grace_period}, delta is {delta}, categories_max is {categories_max}, memory_max is {memory_max}; "
            "use a grace period, categories and bytes of at least 1, and a delta between 0 and 1"
        )


def check_confidences(drift_confidence: float, warning_confidence: float) -> None:
    """Refuse confidences that make no sense.

    Raises:
        ValueError: one of them is out of its range.
    """
    if not 0.0 < drift_confidence <= warning_confidence < 1.0:
        raise ValueError(
            f"drift_confidence is {drift_confidence}, warning_confidence is {warning_confidence}; use two numbers between 0 and 1, "
            "the one for a drift not greater than the one for a warning"
        )

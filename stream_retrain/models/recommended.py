"""The recommended mixtures: members, rates and detectors chosen by measurements on real and synthetic streams (docs/models.md)."""

from __future__ import annotations

from stream_retrain.models.additive import AdditiveClassifier, AdditiveRegressor
from stream_retrain.models.fixed_share import FixedShareClassifier, FixedShareRegressor
from stream_retrain.models.quick_tree import QuickTree
from stream_retrain.models.quick_tree_regressor import QuickTreeRegressor
from stream_retrain.models.restarting import RestartingClassifier, RestartingRegressor

__all__ = ["adaptive_classifier", "adaptive_regressor"]


def adaptive_classifier() -> FixedShareClassifier:
    """The recommended classifier: a fast tree, the same tree with restarts, and an additive model.

    The tree that never restarts is best where old concepts come back, and the restarting tree where they do not. The additive model is
    best where the boundary is smooth or moves slowly. The mixture is binary and multiclass, takes numbers and categories, and needs no
    scaler. It costs about three times as much as one Hoeffding tree.
    """
    return FixedShareClassifier(
        {
            "tree": QuickTree(),
            "restarting_tree": RestartingClassifier(QuickTree()),
            "additive": AdditiveClassifier(),
        }
    )


def adaptive_regressor() -> FixedShareRegressor:
    """The recommended regressor: a fast regression tree with restarts, and an additive model."""
    return FixedShareRegressor(
        {
            "restarting_tree": RestartingRegressor(QuickTreeRegressor()),
            "additive": AdditiveRegressor(),
        }
    )

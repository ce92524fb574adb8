"""The mixtures to begin with: members, rates and detectors as measured on real and synthetic streams."""

from __future__ import annotations

from stream_retrain.models.additive import AdditiveClassifier, AdditiveRegressor
from stream_retrain.models.fixed_share import FixedShareClassifier, FixedShareRegressor
from stream_retrain.models.quick_tree import QuickTree, QuickTreeRegressor
from stream_retrain.models.restarting import RestartingClassifier, RestartingRegressor

__all__ = ["adaptive_classifier", "adaptive_regressor"]


def adaptive_classifier() -> FixedShareClassifier:
    """The recommended classifier: a quick tree, the same tree restarting on its own alarms, and an additive model.

    The tree that never restarts serves where old concepts come back, the one that does where they do not, and the additive
    model where the boundary is smooth or moves slowly. Binary and multiclass, numbers and categories; needs no scaler. Costs
    about three times as much as one Hoeffding tree.
    """
    return FixedShareClassifier(
        {
            "tree": QuickTree(),
            "restarting_tree": RestartingClassifier(QuickTree()),
            "additive": AdditiveClassifier(),
        }
    )


def adaptive_regressor() -> FixedShareRegressor:
    """The recommended regressor: a quick regression tree restarting on its own alarms, and an additive model."""
    return FixedShareRegressor(
        {
            "restarting_tree": RestartingRegressor(QuickTreeRegressor()),
            "additive": AdditiveRegressor(),
        }
    )

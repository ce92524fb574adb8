"""River's models of the benchmark, by the names they have in its tables. Imported here and in the peers' environments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from river import forest, linear_model, preprocessing, tree

__all__ = ["RIVER_MODELS"]

RIVER_MODELS: Final[dict[str, Callable[[], Any]]] = {
    "StandardScaler | LogisticRegression": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "HoeffdingTreeClassifier": tree.HoeffdingTreeClassifier,
    "HoeffdingTreeClassifier(50, 0.001, 0.1)": lambda: tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1),
    "ARFClassifier(10)": lambda: forest.ARFClassifier(n_models=10, seed=1),
}
"""The second tree has the parameters of QuickTree: it is the same tree. River's defaults make one that is cheaper."""

"""The recommended mixtures: members, rates and detectors chosen by measurements on many real and synthetic streams (docs/models.md)."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

from stream_retrain.models.additive import AdditiveClassifier, AdditiveRegressor
from stream_retrain.models.fixed_share import STACKINGS, STACKINGS_OF_NUMBERS, FixedShareClassifier, FixedShareRegressor
from stream_retrain.models.forest import RestartingForest
from stream_retrain.models.forest_regressor import RestartingForestRegressor
from stream_retrain.models.linear import LinearClassifier, LinearRegressor
from stream_retrain.models.nearest import NearestClassifier, NearestRegressor
from stream_retrain.models.quick_tree import QuickTree
from stream_retrain.models.quick_tree_regressor import QuickTreeRegressor
from stream_retrain.models.restarting import RestartingClassifier, RestartingRegressor

__all__ = ["FORMS", "Form", "adaptive_classifier", "adaptive_regressor"]

Form: TypeAlias = Literal["recommended", "light", "rich", "first"]
FORMS: Final[tuple[Form, ...]] = get_args(Form)

PAIRS: Final = 40
ETA: Final = 0.25
SHARE: Final = 0.003
"""Slower weights than those of a mixture without stackings: these, and not the weights, follow what changes soon."""
TAU_OF_ERRORS: Final = 0.05
"""What others leave over is mostly noise: a tree of it splits later than one of the target."""


def adaptive_classifier(members: Form = "recommended") -> FixedShareClassifier:
    """The recommended classifier: seven members that differ in what they can learn and in how soon they forget, stacked.

    It is binary and multiclass, takes numbers and categories with gaps, and needs no scaler. Trees learn what depends on many features at
    once, and the one that never restarts is best where old concepts come back. The models of pairs, fast additive and linear ones follow a
    smooth boundary that moves, and the nearest events what has no simple shape. The stackings make of all of them what none of them is.

    members
        "recommended"; "light": a tree that restarts in place of the forest, for two thirds of the cost; "rich": nine members and a larger
        forest, for half as much again; "first": the three members of the first release, without stackings.

    Raises:
        ValueError: there is no such form.
    """
    _check(members)
    restarting = {"tree": QuickTree(), "restarting_tree": RestartingClassifier(QuickTree())}
    if members == "first":
        return FixedShareClassifier({**restarting, "additive": AdditiveClassifier()})
    forest = {"tree": QuickTree(grace_period=100), "forest": RestartingForest(trees=10 if members == "rich" else 5)}
    held: dict[str, Any] = {
        **(restarting if members == "light" else forest),
        "pairs": AdditiveClassifier(pairs=PAIRS),
        "slow_pairs": AdditiveClassifier(rate=0.1, decay=0.9999, pairs=PAIRS),
        "fast_additive": AdditiveClassifier(rate=1.0, decay=0.99),
        "linear": LinearClassifier(),
        "nearest": NearestClassifier(),
    }
    if members == "rich":
        held |= {"additive": AdditiveClassifier(), "fast_pairs": AdditiveClassifier(rate=1.0, decay=0.99, pairs=PAIRS, pair_bins=4)}
    return FixedShareClassifier(held, eta=ETA, share=SHARE, stackings=STACKINGS)


def adaptive_regressor(members: Form = "recommended") -> FixedShareRegressor:
    """The recommended regressor: additive models at several speeds, a linear one, the nearest events and a forest, stacked.

    A tree and a forest are boosted: they learn what the others leave over.

    members
        "recommended"; "light": a tree that restarts in place of the forests; "rich": eleven members and larger forests; "first": the two
        members of the first release, without stackings.

    Raises:
        ValueError: there is no such form.
    """
    _check(members)
    restarting = {"restarting_tree": RestartingRegressor(QuickTreeRegressor())}
    if members == "first":
        return FixedShareRegressor({**restarting, "additive": AdditiveRegressor()})
    held: dict[str, Any] = {
        "pairs": AdditiveRegressor(pairs=PAIRS),
        "slow_pairs": AdditiveRegressor(rate=0.03, decay=0.9999, pairs=PAIRS),
        "fast_additive": AdditiveRegressor(rate=0.3, decay=0.99),
        "linear": LinearRegressor(),
        "nearest": NearestRegressor(),
        "boosted_tree": QuickTreeRegressor(tau=TAU_OF_ERRORS),
    }
    if members != "recommended":
        held |= restarting
    if members == "rich":
        held |= {"tree": QuickTreeRegressor(), "fast_pairs": AdditiveRegressor(rate=0.3, decay=0.99, pairs=PAIRS)}
    if members != "light":
        trees = 10 if members == "rich" else 5
        held |= {"forest": RestartingForestRegressor(trees=trees), "boosted_forest": RestartingForestRegressor(trees=trees)}
    boosted = [name for name in held if name.startswith("boosted")]
    return FixedShareRegressor(held, stackings=STACKINGS_OF_NUMBERS, boosted=boosted)


def _check(members: str) -> None:
    if members not in FORMS:
        raise ValueError(f"members is {members!r}; use one of {', '.join(map(repr, FORMS))}")

"""`QuickTree` in Python: the readable reference, which serves where the compiled one is not installed. `tree_growth` has the theory."""

from __future__ import annotations

from typing import Any, TypeAlias

from stream_retrain.models.block import Block, Reader, Writer
from stream_retrain.models.feature_values import Features
from stream_retrain.models.tree_domain import Domain
from stream_retrain.models.tree_growth import GrowingTree, TreeParameters

__all__ = ["PlainTree", "TreeState"]

TreeState: TypeAlias = "tuple[list[Any], list[list[Any]], list[Any], Block]"
"""The names of the features, the values of the categories, the labels, and the numbers."""


class PlainTree:
    """A Hoeffding tree for classes."""

    def __init__(self, grace_period: float, delta: float, tau: float, max_depth: int | None, categories_max: int) -> None:
        self._domain = Domain(categories_max)
        self._tree = GrowingTree(TreeParameters(grace_period, delta, tau, max_depth), self._domain)

    def predict(self, x: Features) -> dict[Any, float]:
        """Probability of every class seen so far, in the order of the labels."""
        proba = dict.fromkeys(self._domain.ranked, 0.0)
        proba.update(self._tree.vote(self._domain.table.row(x)))
        return proba

    def learn(self, x: Features, y: Any, w: float) -> None:
        """Learn one event, which counts `w` times."""
        if not w > 0.0:
            raise ValueError(f"the weight of an event is {w}; use one above 0")
        row, withheld = self._domain.learn(x, y)
        for name in withheld:
            self._tree.withhold(name)
        self._tree.learn(row, y, w)

    def shape(self) -> tuple[int, int, int]:
        """Nodes, leaves and height."""
        return self._tree.shape()

    def withheld(self) -> list[Any]:
        """The features that are withheld."""
        return self._domain.table.withheld()

    def state(self) -> TreeState:
        """All that was learned."""
        to = Writer()
        self._domain.write(to)
        self._tree.write(to)
        return *self._domain.named(), to.block()

    def restore(self, state: TreeState) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        names, values, labels, block = state
        reader = Reader(block)
        self._domain.read((names, values, labels), reader)
        self._tree.read(reader)
        reader.end()

"""`QuickTreeRegressor`'s core, in Python.

Theory of operation (Ikonomovska et al., 2011). An event goes down to a leaf, which learns it (`tree_targets`). After every `grace_period`
events a leaf compares by how much the best and the second best split lower the variance of the target. If by Hoeffding's bound on the ratio
of the two the best one is better, or if both are about the same, the leaf becomes a branch.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Block, Reader, Writer
from stream_retrain.models.feature_values import Features
from stream_retrain.models.targets import Targets, learnable
from stream_retrain.models.tree_bins import NOTHING
from stream_retrain.models.tree_branch import Branch, down, leaves_below, replaced, shape_of
from stream_retrain.models.tree_features import FeatureTable
from stream_retrain.models.tree_growth import LEAF_EVENTS_MAX, LEAVES_MAX
from stream_retrain.models.tree_state import read_nodes, write_nodes
from stream_retrain.models.tree_targets import Linear, TargetLeaf

__all__ = ["PlainTreeRegressor"]

State: TypeAlias = "tuple[list[Any], list[list[Any]], Block]"
"""The names of the features, the values of the categories, and the numbers."""


class PlainTreeRegressor:
    """A Hoeffding tree for numbers."""

    def __init__(self, grace_period: float, delta: float, tau: float, max_depth: int | None, categories_max: int) -> None:
        self._grace_period = grace_period
        self._delta_log = arithmetic.log(1.0 / delta)
        self._tau = tau
        self._depth_max = math.inf if max_depth is None else max_depth
        self._table = FeatureTable(categories_max)
        self._targets = Targets()
        self._root: Any = None
        self._leaves = 0

    def predict(self, x: Features) -> float:
        """The prediction of the event's leaf; 0 before anything was learned."""
        row = self._table.row(x)
        return 0.0 if self._root is None else float(down(self._root, row).leaf.predict(row))

    def learn(self, x: Features, y: float, w: float) -> None:
        """Learn one event, which counts `w` times."""
        if not w > 0.0:
            raise ValueError(f"the weight of an event is {w}; use one above 0")
        targets = self._targets
        y = learnable(y)
        row, withheld = self._table.learn(x)
        usual = targets.usual(y)
        targets.update(y)
        for name in withheld:
            for leaf in leaves_below(self._root):
                leaf.withhold(name)
        if self._root is None:
            self._root = self._new_leaf(0)
        leaf, parent, at, detour = down(self._root, row, self._new_leaf)
        leaf.learn(row, usual, w, self._table.features)
        if detour or leaf.observers is None:
            return
        if leaf.depth >= self._depth_max:
            leaf.deactivate()
            return
        total = leaf.total()
        if total - leaf.tried_at >= self._grace_period:
            leaf.tried_at = total
            if self._leaves < LEAVES_MAX and total < LEAF_EVENTS_MAX:
                self._try_to_split(leaf, parent, at)
            else:
                leaf.deactivate()

    def shape(self) -> tuple[int, int, int]:
        """Nodes, leaves and height."""
        return shape_of(self._root)

    def withheld(self) -> list[Any]:
        """The features that are withheld."""
        return self._table.withheld()

    def state(self) -> State:
        """All that was learned."""
        to = Writer()
        self._targets.write(to)
        self._table.write(to)
        write_nodes(self._root, to, self._table, lambda leaf: leaf.write(to, self._table.features))
        return self._table.names(), self._table.values(), to.block()

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        names, values, block = state
        reader = Reader(block)
        self._targets.read(reader)
        self._table.read(names, values, reader)
        features = list(self._table.features.items())
        self._root = read_nodes(reader, self._table, lambda depth: TargetLeaf.read(reader, features, depth))
        self._leaves = shape_of(self._root)[1]
        reader.end()

    def _new_leaf(self, depth: int) -> TargetLeaf:
        self._leaves += 1
        return TargetLeaf(NOTHING, depth, Linear())

    def _try_to_split(self, leaf: TargetLeaf, parent: Branch | None, at: int) -> None:
        name, best, second = leaf.best_split(self._table.features)
        if not best.merit > 0.0:
            return
        bound = math.sqrt(self._delta_log / (2.0 * leaf.total()))
        if not (second / best.merit < 1.0 - bound or bound < self._tau):
            return
        branch = Branch(name, best.by, best.many, leaf.depth, [leaf.child(targets) for targets in best.children])
        self._leaves += len(branch.children) - 1
        self._root = replaced(self._root, parent, at, branch)

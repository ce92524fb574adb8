"""`QuickTree` in Python: the readable reference, which serves where the compiled one is not installed.

Theory of operation (Hulten et al., 2001). An event goes down to a leaf, which learns it. After every `grace_period` events a leaf compares
the information gained by the best and the second best split. If by Hoeffding's bound the best one is better, or if both gain about the
same, the leaf becomes a branch. An event that cannot choose a branch, because the feature is missing or the category is new, takes the
branch of the greatest weight; its leaf learns it, and does not try to split then.

A leaf that finds no split better than none, or that consists of one class almost alone, forgets what it kept of the features. So does
River's tree, and every step here is equal to River's to the last digit if River computes with the same `arithmetic`. What River's does
not have are the limits: `LEAVES_MAX`, `LEAF_EVENTS_MAX`, usual ranges, and features that are withheld (`tree_features`).
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Block, Reader, Writer
from stream_retrain.models.feature_values import Features
from stream_retrain.models.tree_branch import Branch, down, leaves_below, replaced, shape_of
from stream_retrain.models.tree_features import FeatureTable, ordered
from stream_retrain.models.tree_leaf import Leaf
from stream_retrain.models.tree_observers import NO_SPLIT, Split, entropy
from stream_retrain.models.tree_state import read_nodes, write_nodes

__all__ = ["PlainTree", "TreeState"]

LEAVES_MAX: Final = 500
"""A tree with so many leaves does not grow any more; each goes on learning."""
LEAF_EVENTS_MAX: Final = 20_000.0
"""A leaf that has not been split after so many events is not split any more: no feature tells its events apart."""
PURE: Final = 0.99
"""A class with a greater part of a leaf's weight leaves nothing to split."""

TreeState: TypeAlias = "tuple[list[Any], list[list[Any]], list[Any], Block]"
"""The names of the features, the values of the categories, the labels, and the numbers."""


class PlainTree:
    """A Hoeffding tree for classes."""

    def __init__(self, grace_period: float, delta: float, tau: float, max_depth: int | None, categories_max: int) -> None:
        self._grace_period = grace_period
        self._delta_log = arithmetic.log(1.0 / delta)
        self._tau = tau
        self._depth_max = math.inf if max_depth is None else max_depth
        self._table = FeatureTable(categories_max)
        self._labels: dict[Any, int] = {}
        self._ranked: list[Any] = []
        """The labels in order."""
        self._root: Any = None
        self._leaves = 0

    def predict(self, x: Features) -> dict[Any, float]:
        """Probability of every class seen so far, in the order of the labels."""
        row = self._table.row(x)
        proba = dict.fromkeys(self._ranked, 0.0)
        if self._root is not None:
            proba.update(down(self._root, row).leaf.vote(row))
        return proba

    def learn(self, x: Features, y: Any, w: float) -> None:
        """Learn one event, which counts `w` times."""
        if not w > 0.0:
            raise ValueError(f"the weight of an event is {w}; use one above 0")
        new = y not in self._labels
        row, withheld = self._table.learn(x)
        for name in withheld:
            for leaf in leaves_below(self._root):
                leaf.withhold(name)
        if new:
            self._labels[y] = len(self._labels)
            self._ranked = ordered(self._labels)
        if self._root is None:
            self._root = self._new_leaf(0)
        leaf, parent, at, detour = down(self._root, row, self._new_leaf)
        leaf.learn(row, y, w, self._table.features)
        if detour or leaf.observers is None:
            return
        if leaf.depth >= self._depth_max:
            leaf.deactivate()
            return
        total = leaf.total()
        if total - leaf.tried_at >= self._grace_period:
            if self._leaves < LEAVES_MAX and total < LEAF_EVENTS_MAX:
                self._try_to_split(leaf, total, parent, at)
            leaf.tried_at = total

    def shape(self) -> tuple[int, int, int]:
        """Nodes, leaves and height."""
        return shape_of(self._root)

    def withheld(self) -> list[Any]:
        """The features that are withheld."""
        return self._table.withheld()

    def state(self) -> TreeState:
        """All that was learned."""
        to = Writer()
        self._table.write(to)
        write_nodes(self._root, to, self._table, lambda leaf: leaf.write(to, self._table.features, self._labels))
        return self._table.names(), self._table.values(), list(self._labels), to.block()

    def restore(self, state: TreeState) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        names, values, labels, block = state
        reader = Reader(block)
        self._table.read(names, values, reader)
        self._labels = {label: number for number, label in enumerate(labels)}
        self._ranked = ordered(labels)
        features = list(self._table.features.items())
        self._root = read_nodes(reader, self._table, lambda depth: Leaf.read(reader, features, labels, depth))
        self._leaves = shape_of(self._root)[1]
        reader.end()

    def _new_leaf(self, depth: int) -> Leaf:
        self._leaves += 1
        return Leaf({}, depth)

    def _try_to_split(self, leaf: Leaf, total: float, parent: Branch | None, at: int) -> None:
        highest, classes = -math.inf, 0
        for weight in leaf.stats.values():
            highest = max(highest, weight)
            classes += weight != 0.0
        if classes < 2:
            return
        name, split = None, NO_SPLIT
        if highest / total <= PURE:
            name, split, sure = self._best_split(leaf, total)
            if not sure:
                return
        if name is None:
            leaf.forget()
            return
        branch = Branch(name, split.by, split.many, leaf.depth, [Leaf(stats, leaf.depth + 1) for stats in split.children])
        self._leaves += len(branch.children) - 1
        self._root = replaced(self._root, parent, at, branch)

    def _best_split(self, leaf: Leaf, total: float) -> tuple[Any, Split, bool]:
        """The feature and its split, None for none; and whether it is surely the best. Of equal ones the last counts."""
        name, best, second = None, NO_SPLIT, -math.inf
        before = entropy(leaf.stats)
        observers = leaf.observers or {}
        for each, observer in observers.items():
            split = observer.best_split(before, leaf.stats, self._ranked, self._table.features[each])
            if split.merit >= best.merit:
                second, best = best.merit, split
                name = each if split.merit > -math.inf else None
            elif split.merit > second:
                second = split.merit
        if not observers:
            return None, NO_SPLIT, True
        span = arithmetic.log2(max(len(leaf.stats), 2))
        bound = math.sqrt(span * span * self._delta_log / (2.0 * total))
        return name, best, best.merit - second > bound or bound < self._tau

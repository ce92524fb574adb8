"""A Hoeffding tree for classes: how it grows. It stands alone (`plain_tree`), or it is one tree of a forest (`plain_forest`).

Theory of operation (Hulten et al., 2001). An event goes down to a leaf, which learns it. After every `grace_period` events a leaf compares
the information gained by the best and the second best split. If by Hoeffding's bound the best one is better, or if both gain about the
same, the leaf becomes a branch. An event that cannot choose a branch, because the feature is missing or the category is new, takes the
branch of the greatest weight; its leaf learns it, and does not try to split then.

A leaf that finds no split better than none, or that consists of one class almost alone, forgets what it kept of the features. So does
River's tree, and every step here is equal to River's to the last digit if River computes with the same `arithmetic`. What River's does
not have are the limits: `LEAVES_MAX`, `LEAF_EVENTS_MAX`, usual ranges, and features that are withheld (`tree_features`).

A tree of a forest is given a `Chance`: each of its leaves watches features that it draws, and tries thresholds that it draws.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.tree_branch import Branch, down, leaves_below, replaced, shape_of
from stream_retrain.models.tree_chance import Chance, Watched
from stream_retrain.models.tree_domain import Domain
from stream_retrain.models.tree_features import Row
from stream_retrain.models.tree_leaf import Leaf
from stream_retrain.models.tree_observers import NO_SPLIT, Split, Weights, entropy
from stream_retrain.models.tree_state import read_nodes, write_nodes

__all__ = ["LEAF_EVENTS_MAX", "LEAVES_MAX", "GrowingTree", "TreeParameters"]

LEAVES_MAX: Final = 500
"""A tree with so many leaves does not grow any more; each goes on learning."""
LEAF_EVENTS_MAX: Final = 20_000.0
"""A leaf that has not been split after so many events is not split any more: no feature tells its events apart."""
PURE: Final = 0.99
"""A class with a greater part of a leaf's weight leaves nothing to split."""


class TreeParameters(NamedTuple):
    """What a tree is made with."""

    grace_period: float
    delta: float
    tau: float
    max_depth: int | None
    leaf_weight_max: float = LEAF_EVENTS_MAX
    """A leaf of this weight is not split any more."""


class GrowingTree:
    """Its nodes; features and classes are those of a domain, which the owner teaches."""

    __slots__ = ("_delta_log", "_depth_max", "_domain", "_parameters", "_root", "leaves")

    def __init__(self, parameters: TreeParameters, domain: Domain) -> None:
        self._parameters = parameters
        self._delta_log = arithmetic.log(1.0 / parameters.delta)
        self._depth_max = math.inf if parameters.max_depth is None else parameters.max_depth
        self._domain = domain
        self._root: Any = None
        self.leaves = 0
        """How many there are."""

    def vote(self, row: Row) -> Weights:
        """The probability of each class of the event's leaf; {} before any event."""
        if self._root is None:
            return {}
        votes: Weights = down(self._root, row).leaf.vote(row)
        return votes

    def learn(self, row: Row, y: Any, w: float, chance: Chance | None = None) -> None:
        """Learn one event, which counts `w` times."""
        if self._root is None:
            self._root = self._new_leaf(0, chance)
        leaf, parent, at, detour = down(self._root, row, lambda depth: self._leaf_where_room(depth, chance))
        leaf.learn(row, y, w, self._domain.features)
        if detour or leaf.observers is None:
            return
        if leaf.depth >= self._depth_max:
            leaf.deactivate()
            return
        total = leaf.total()
        if total - leaf.tried_at >= self._parameters.grace_period:
            self._try_to_split(leaf, total, parent, at, chance)
            leaf.tried_at = total

    def withhold(self, name: Any) -> None:
        """Forget what leaves keep of a feature that is withheld from now on."""
        for leaf in leaves_below(self._root):
            leaf.withhold(name)

    def shape(self) -> tuple[int, int, int]:
        """Nodes, leaves and height."""
        return shape_of(self._root)

    def write(self, to: Writer) -> None:
        """Each node."""
        domain = self._domain
        write_nodes(self._root, to, domain.table, lambda leaf: leaf.write(to, domain.features, domain.labels))

    def read(self, reader: Reader, *, watches: bool = False) -> None:
        """What `write` wrote; `watches`: its leaves draw features."""
        features, labels = list(self._domain.features.items()), list(self._domain.labels)
        self._root = read_nodes(reader, self._domain.table, lambda depth: Leaf.read(reader, features, labels, depth, watches))
        self.leaves = shape_of(self._root)[1]

    def _new_leaf(self, depth: int, chance: Chance | None) -> Leaf:
        self.leaves += 1
        return self._leaf({}, depth, chance)

    def _leaf_where_room(self, depth: int, chance: Chance | None) -> Leaf | None:
        if chance is not None and not chance.room(self.leaves, self._domain.leaf_bytes()):
            return None
        return self._new_leaf(depth, chance)

    def _leaf(self, stats: Weights, depth: int, chance: Chance | None) -> Leaf:
        return Leaf(stats, depth, None if chance is None else Watched.drawn(self._domain.features, chance.generator))

    def _try_to_split(self, leaf: Leaf, total: float, parent: Branch | None, at: int, chance: Chance | None) -> None:
        room = math.inf if chance is None else chance.room(self.leaves, self._domain.leaf_bytes())
        if self.leaves >= LEAVES_MAX or total >= self._parameters.leaf_weight_max or not room:
            return
        highest, classes = -math.inf, 0
        for weight in leaf.stats.values():
            highest = max(highest, weight)
            classes += weight != 0.0
        if classes < 2:
            return
        name, split = None, NO_SPLIT
        if highest / total <= PURE:
            name, split, sure = self._best_split(leaf, total, chance)
            if not sure:
                return
        if name is None:
            leaf.forget()
            return
        if len(split.children) > room + 1:
            return
        branch = Branch(name, split.by, split.many, leaf.depth, [self._leaf(stats, leaf.depth + 1, chance) for stats in split.children])
        self.leaves += len(branch.children) - 1
        self._root = replaced(self._root, parent, at, branch)

    def _best_split(self, leaf: Leaf, total: float, chance: Chance | None) -> tuple[Any, Split, bool]:
        """The feature and its split, None for none; and whether it is surely the best. Of equal ones the last counts."""
        name, best, second = None, NO_SPLIT, -math.inf
        before = entropy(leaf.stats)
        observers = leaf.observers or {}
        for each, observer in observers.items():
            split = observer.best_split(before, leaf.stats, self._domain.ranked, self._domain.features[each], chance)
            if split.merit >= best.merit:
                second, best = best.merit, split
                name = each if split.merit > -math.inf else None
            elif split.merit > second:
                second = split.merit
        if not observers:
            return None, NO_SPLIT, True
        span = arithmetic.log2(max(len(leaf.stats), 2))
        bound = math.sqrt(span * span * self._delta_log / (2.0 * total))
        return name, best, best.merit - second > bound or bound < self._parameters.tau

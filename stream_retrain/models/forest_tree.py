"""A tree of a `RestartingForestRegressor`: how it grows.

It grows as `QuickTreeRegressor` does (`plain_tree_regressor`), but for its leaves (`forest_leaf`), each of which watches features that it
draws. What a split gains is told by the events that its feature was observed in, so that features of which a part is missing, or which came
late, are compared fairly.
"""

from __future__ import annotations

import math
from typing import Any, Final

from stream_retrain.models import arithmetic
from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.forest_leaf import BINS_MAX, Event, ForestLeaf, half_of
from stream_retrain.models.tree_branch import Branch, down, leaves_below, replaced, shape_of
from stream_retrain.models.tree_chance import Chance, Watched
from stream_retrain.models.tree_features import Feature, FeatureTable, Row
from stream_retrain.models.tree_growth import LEAVES_MAX, TreeParameters
from stream_retrain.models.tree_state import read_nodes, write_nodes

__all__ = ["ForestTree", "leaf_bytes"]

LEAF_BYTES: Final = 400
"""A leaf with its nodes, without what it keeps of features."""
FEATURE_BYTES: Final = 8
"""For a feature that the model knows of."""
BIN_BYTES: Final = 32
"""For a bin, or a category."""


class ForestTree:
    """Its nodes; the features are those of a table, which the owner teaches."""

    __slots__ = ("_delta_log", "_parameters", "_root", "_table", "leaves")

    def __init__(self, parameters: TreeParameters, table: FeatureTable) -> None:
        self._parameters = parameters
        self._delta_log = arithmetic.log(1.0 / parameters.delta)
        self._table = table
        self._root: Any = None
        self.leaves = 0
        """How many there are."""

    def predict(self, row: Row, standard: list[float]) -> float | None:
        """The prediction of the event's leaf; None before anything was learned."""
        return None if self._root is None else float(down(self._root, row).leaf.predict(standard))

    def learn(self, event: Event, w: float, size: int, chance: Chance) -> None:
        """Learn one event, which counts `w` times; `size`: the bytes of a leaf."""
        if self._root is None:
            self._root = self._new_leaf(0, event.y, chance)
        leaf, parent, at, detour = down(self._root, event.row, lambda depth: self._leaf_where_room(depth, event.y, size, chance))
        leaf.learn(event, w, self._table.features)
        if detour or leaf.observers is None:
            return
        total = leaf.total()
        if total - leaf.tried_at >= self._parameters.grace_period:
            leaf.tried_at = total
            if self.leaves < LEAVES_MAX and total < self._parameters.leaf_weight_max:
                self._try_to_split(leaf, parent, at, size, chance)
            else:
                leaf.deactivate()

    def withhold(self, name: Any) -> None:
        """Forget what leaves keep of a feature that is withheld from now on."""
        for leaf in leaves_below(self._root):
            leaf.withhold(name)

    def shape(self) -> tuple[int, int, int]:
        """Nodes, leaves and height."""
        return shape_of(self._root)

    def write(self, to: Writer) -> None:
        """Each node."""
        write_nodes(self._root, to, self._table, lambda leaf: leaf.write(to, self._table.features))

    def read(self, reader: Reader) -> None:
        """What `write` wrote."""
        features = list(self._table.features.items())
        self._root = read_nodes(reader, self._table, lambda depth: ForestLeaf.read(reader, features, depth))
        self.leaves = shape_of(self._root)[1]

    def _new_leaf(self, depth: int, y: float, chance: Chance) -> ForestLeaf:
        self.leaves += 1
        return ForestLeaf.first(depth, y, self._watched(chance))

    def _leaf_where_room(self, depth: int, y: float, size: int, chance: Chance) -> ForestLeaf | None:
        return self._new_leaf(depth, y, chance) if chance.room(self.leaves, size) else None

    def _watched(self, chance: Chance) -> Watched:
        return Watched.drawn(self._table.features, chance.generator, half_of)

    def _try_to_split(self, leaf: ForestLeaf, parent: Branch | None, at: int, size: int, chance: Chance) -> None:
        name, best, second = leaf.best_split(self._table.features)
        if not best.merit > 0.0:
            return
        bound = math.sqrt(self._delta_log / (2.0 * leaf.total()))
        sure = second / best.merit < 1.0 - bound or bound < self._parameters.tau
        if not sure or len(best.children) > chance.room(self.leaves, size) + 1:
            return
        children = [leaf.child(targets, self._watched(chance)) for targets in best.children]
        self.leaves += len(children) - 1
        self._root = replaced(self._root, parent, at, Branch(name, best.by, best.many, leaf.depth, children))


def leaf_bytes(features: dict[Any, Feature]) -> int:
    """Bytes of a leaf, at most: an estimate in whole numbers of what the compiled one allocates."""
    known = each = 0
    for feature in features.values():
        if not feature.withheld:
            known += 1
            each += BIN_BYTES * (BINS_MAX if feature.categories is None else len(feature.categories))
    kept = each * half_of(known) // known if known else 0
    return LEAF_BYTES + FEATURE_BYTES * len(features) + kept

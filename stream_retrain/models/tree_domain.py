"""What the trees of a model know of features and classes; the trees of a forest share it.

It also says how many bytes a leaf takes that draws its features (`tree_chance`), by which a forest is held below a limit. That is an
estimate in whole numbers of what the compiled one takes, if every leaf has met every class: on four streams (8 and 50 features, 2 to 5
classes, with and without categories) a process grew by 93 to 110 % of it.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

from stream_retrain.models.block import Reader, Writer
from stream_retrain.models.feature_values import Features
from stream_retrain.models.tree_features import Feature, FeatureTable, Row, ordered

__all__ = ["Domain", "Named", "watched_of"]

LEAF_BYTES: Final = 800
"""A leaf with its nodes, without what it keeps of features."""
FEATURE_BYTES: Final = 4
"""For a feature that the model knows of."""
WATCHED_BYTES: Final = 20
"""For a feature that the leaf watches."""
CLASS_BYTES: Final = 16
CELL_BYTES: Final = 80
"""For such a feature in one class."""
CATEGORY_BYTES: Final = 8
"""For a category of such a feature in one class."""

Named: TypeAlias = "tuple[list[Any], list[list[Any]], list[Any]]"
"""The names of the features, the values of the categories, and the labels."""


class Domain:
    """Features and classes in the order in which they were first learned."""

    __slots__ = ("labels", "ranked", "table")

    def __init__(self, categories_max: int) -> None:
        self.table = FeatureTable(categories_max)
        self.labels: dict[Any, int] = {}
        self.ranked: list[Any] = []
        """The labels in order."""

    @property
    def features(self) -> dict[Any, Feature]:
        """Every feature by name."""
        return self.table.features

    def learn(self, x: Features, y: Any) -> tuple[Row, list[Any]]:
        """An event that is learned, and the features that are withheld from it on.

        Raises:
            ValueError: a value is infinite or unhashable.
        """
        new = y not in self.labels
        row, withheld = self.table.learn(x)
        if new:
            self.labels[y] = len(self.labels)
            self.ranked = ordered(self.labels)
        return row, withheld

    def leaf_bytes(self) -> int:
        """Bytes of a leaf that draws its features and has met every class."""
        known = each = 0
        for feature in self.features.values():
            if not feature.withheld:
                known += 1
                each += CELL_BYTES + CATEGORY_BYTES * len(feature.categories or ())
        watched = watched_of(known)
        kept = each * watched // known if known else 0
        return LEAF_BYTES + FEATURE_BYTES * len(self.features) + WATCHED_BYTES * watched + len(self.labels) * (CLASS_BYTES + kept)

    def named(self) -> Named:
        """The names of a state."""
        return self.table.names(), self.table.values(), list(self.labels)

    def write(self, to: Writer) -> None:
        """Each feature."""
        self.table.write(to)

    def read(self, named: Named, reader: Reader) -> None:
        """What `named` and `write` gave."""
        names, values, labels = named
        self.table.read(names, values, reader)
        self.labels = {label: number for number, label in enumerate(labels)}
        self.ranked = ordered(labels)


def watched_of(features: int) -> int:
    """How many features a leaf that draws them watches of so many."""
    return min(features, 3 * math.ceil(math.sqrt(features)))

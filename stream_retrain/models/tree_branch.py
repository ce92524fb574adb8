"""A branch of a `QuickTree`: the feature that it asks, and which child an answer leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_retrain.models.tree_features import Row
from stream_retrain.models.tree_observers import Split

if TYPE_CHECKING:
    from stream_retrain.models.tree_leaf import Leaf

__all__ = ["Branch"]


class Branch:
    """Two children by a threshold or one category, or `many`: a child for each category."""

    __slots__ = ("by", "children", "depth", "many", "name", "number")

    def __init__(self, name: Any, split: Split, depth: int, children: list[Leaf | Branch]) -> None:
        self.name = name
        self.depth = depth
        self.many = split.many
        self.number = split.by.__class__ is float
        self.by: Any = {value: place for place, value in enumerate(split.by)} if split.many else split.by
        """A threshold, a category, or the child of each category."""
        self.children = children

    def place(self, row: Row) -> int | None:
        """The child of an event; None where the feature is missing or there is no child for the category."""
        value = row.get(self.name)
        if value is None:
            return None
        if self.many:
            place: int | None = self.by.get(value)
            return place
        if self.number:
            return 0 if value <= self.by else 1
        return 0 if value == self.by else 1

    def heaviest(self) -> int:
        """The child of the greatest weight; the first of equal ones."""
        best, at = self.children[0].total(), 0
        for place in range(1, len(self.children)):
            if (weight := self.children[place].total()) > best:
                best, at = weight, place
        return at

    def total(self) -> float:
        """The weight of all leaves below."""
        total = 0.0
        for child in self.children:
            total += child.total()
        return total

    def add(self, value: Any, leaf: Leaf) -> int:
        """A leaf for a category that had none; its place."""
        place = self.by[value] = len(self.children)
        self.children.append(leaf)
        return place

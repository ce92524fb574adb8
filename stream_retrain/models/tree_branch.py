"""A branch of a tree: the feature that it asks, which child an answer leads to, and the way down to a leaf."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

from stream_retrain.models.tree_features import Row

__all__ = ["Branch", "Node", "Way", "down", "leaves_below", "shape_of"]


class _Leaf(Protocol):
    depth: int

    def total(self) -> float: ...


Node: TypeAlias = "_Leaf | Branch"


class Branch:
    """Two children by a threshold or one category, or `many`: a child for each category."""

    __slots__ = ("by", "children", "depth", "many", "name", "number")

    def __init__(self, name: Any, by: Any, many: bool, depth: int, children: list[Any]) -> None:
        self.name = name
        self.depth = depth
        self.many = many
        self.number = by.__class__ is float
        self.by: Any = {value: place for place, value in enumerate(by)} if many else by
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

    def add(self, value: Any, leaf: _Leaf) -> int:
        """A leaf for a category that had none; its place."""
        place = self.by[value] = len(self.children)
        self.children.append(leaf)
        return place


class Way(NamedTuple):
    """Where an event comes to."""

    leaf: Any
    parent: Branch | None
    """The branch above the leaf."""
    at: int
    """The leaf's place there."""
    detour: bool
    """Whether it took the branch of the greatest weight, or a new one."""


def down(root: Any, row: Row, new_leaf: Callable[[int], Any] | None = None) -> Way:
    """The leaf of an event.

    With `new_leaf`, a category that is new at a branch for each value gets a leaf of this depth there; None: there is no room for one.
    """
    node, parent, at, detour = root, None, 0, False
    while node.__class__ is Branch:
        parent, found = node, node.place(row)
        if found is None:
            detour = True
            if new_leaf is not None and node.many and node.name in row and (leaf := new_leaf(node.depth + 1)) is not None:
                return Way(leaf, parent, node.add(row[node.name], leaf), True)
            found = node.heaviest()
        at = found
        node = node.children[at]
    return Way(node, parent, at, detour)


def replaced(root: Any, parent: Branch | None, at: int, branch: Branch) -> Any:
    """The root, once a branch stands where a leaf was."""
    if parent is None:
        return branch
    parent.children[at] = branch
    return root


def leaves_below(root: Any) -> list[Any]:
    """Every leaf."""
    stack, leaves = [] if root is None else [root], []
    while stack:
        node = stack.pop()
        if node.__class__ is Branch:
            stack.extend(node.children)
        else:
            leaves.append(node)
    return leaves


def shape_of(root: Any) -> tuple[int, int, int]:
    """Nodes, leaves and height."""
    nodes = leaves = height = 0
    stack = [] if root is None else [(root, 1)]
    while stack:
        node, level = stack.pop()
        nodes += 1
        height = max(height, level)
        if node.__class__ is Branch:
            stack.extend((child, level + 1) for child in node.children)
        else:
            leaves += 1
    return nodes, leaves, height

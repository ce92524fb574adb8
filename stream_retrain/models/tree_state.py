"""The nodes of a tree as a state: each branch before its children, the children in their order.

kind of a node         0 no node, 1 leaf, 2 branch by a threshold, 3 branch by one category, 4 branch for each category
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.tree_branch import Branch
from stream_retrain.models.tree_features import FeatureTable

__all__ = ["read_nodes", "write_nodes"]

NONE: Final = 0
LEAF: Final = 1
BY_NUMBER: Final = 2
BY_CATEGORY: Final = 3
BY_EACH: Final = 4
KINDS: Final = 5


def write_nodes(root: Any, to: Writer, table: FeatureTable, write_leaf: Callable[[Any], None]) -> None:
    """Every node from `root` on; None for no tree."""
    if root is None:
        to.count(NONE)
        return
    stack = [root]
    while stack:
        node = stack.pop()
        if node.__class__ is Branch:
            _write_branch(node, to, table)
            stack.extend(reversed(node.children))
        else:
            to.count(LEAF)
            write_leaf(node)


def _write_branch(branch: Branch, to: Writer, table: FeatureTable) -> None:
    feature = table.features[branch.name]
    if branch.number:
        to.count(BY_NUMBER, feature.index)
        to.number(branch.by)
        return
    places = feature.categories or {}
    if branch.many:
        to.count(BY_EACH, feature.index, len(branch.children), *(places[value] for value in branch.by))
    else:
        to.count(BY_CATEGORY, feature.index, places[branch.by])


def read_nodes(reader: Reader, table: FeatureTable, read_leaf: Callable[[int], Any]) -> Any:
    """What `write_nodes` wrote; `read_leaf` is given the depth."""
    names = list(table.features)
    root: Any = None
    open_: list[tuple[Branch, int]] = []
    """Branches, and how many children each still waits for."""
    while True:
        kind = reader.count(KINDS)
        if kind == NONE:
            return None if root is None else damaged()
        depth = open_[-1][0].depth + 1 if open_ else 0
        node, waits = (read_leaf(depth), 0) if kind == LEAF else _read_branch(reader, table, names, kind, depth)
        if root is None:
            root = node
        else:
            parent, left = open_.pop()
            parent.children.append(node)
            if left > 1:
                open_.append((parent, left - 1))
        if node.__class__ is Branch:
            open_.append((node, waits))
        if not open_:
            return root


def _read_branch(reader: Reader, table: FeatureTable, names: list[Any], kind: int, depth: int) -> tuple[Branch, int]:
    name = names[reader.count(len(names))]
    feature = table.features[name]
    if (kind == BY_NUMBER) != (feature.categories is None):
        damaged()
    if kind == BY_NUMBER:
        return Branch(name, reader.number(), False, depth, []), 2
    values = list(feature.categories or ())
    if kind == BY_CATEGORY:
        return Branch(name, values[reader.count(len(values))], False, depth, []), 2
    count = reader.count(len(values) + 1)
    branch = Branch(name, [values[reader.count(len(values))] for _ in range(count)], True, depth, [])
    if not count or len(branch.by) != count:
        damaged()
    return branch, count

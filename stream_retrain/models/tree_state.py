"""The nodes of a `QuickTree` as a state: each branch before its children, the children in their order.

kind of a node         0 no node, 1 leaf, 2 branch by a threshold, 3 branch by one category, 4 branch for each category
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.tree_branch import Branch
from stream_retrain.models.tree_features import FeatureTable
from stream_retrain.models.tree_leaf import Leaf
from stream_retrain.models.tree_observers import Categories, Numbers, Split

__all__ = ["read_nodes", "write_nodes"]

Node: TypeAlias = Leaf | Branch

NONE: Final = 0
LEAF: Final = 1
BY_NUMBER: Final = 2
BY_CATEGORY: Final = 3
BY_EACH: Final = 4
KINDS: Final = 5


def write_nodes(root: Node | None, to: Writer, table: FeatureTable, labels: dict[Any, int]) -> None:
    """Every node below `root`."""
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
            assert node.__class__ is Leaf
            _write_leaf(node, to, table, labels)


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


def _write_leaf(leaf: Leaf, to: Writer, table: FeatureTable, labels: dict[Any, int]) -> None:
    observers = leaf.observers
    to.count(LEAF, observers is not None, len(leaf.stats))
    to.number(leaf.majority_right, leaf.bayes_right, leaf.tried_at)
    for label, weight in leaf.stats.items():
        to.count(labels[label])
        to.number(weight)
    if observers is None:
        return
    to.count(len(observers))
    for name, observer in observers.items():
        feature = table.features[name]
        to.count(feature.index)
        if observer.__class__ is Numbers:
            observer.write(to, labels)
        else:
            assert observer.__class__ is Categories
            observer.write(to, labels, feature)


def read_nodes(reader: Reader, table: FeatureTable, labels: list[Any]) -> tuple[Node | None, int]:
    """What `write_nodes` wrote, and the number of leaves."""
    names = list(table.features)
    root: Node | None = None
    leaves = 0
    open_: list[tuple[Branch, int]] = []
    """Branches, and how many children each still waits for."""
    while True:
        kind = reader.count(KINDS)
        if kind == NONE:
            return (None, 0) if root is None else damaged()
        depth = open_[-1][0].depth + 1 if open_ else 0
        node: Node
        waits = 0
        if kind == LEAF:
            node = _read_leaf(reader, table, names, labels, depth)
            leaves += 1
        else:
            node, waits = _read_branch(reader, table, names, kind, depth)
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
            return root, leaves


def _read_branch(reader: Reader, table: FeatureTable, names: list[Any], kind: int, depth: int) -> tuple[Branch, int]:
    name = names[reader.count(len(names))]
    feature = table.features[name]
    if (kind == BY_NUMBER) != (feature.categories is None):
        damaged()
    if kind == BY_NUMBER:
        return Branch(name, Split(0.0, reader.number(), False, []), depth, []), 2
    values = list(feature.categories or ())
    if kind == BY_CATEGORY:
        return Branch(name, Split(0.0, values[reader.count(len(values))], False, []), depth, []), 2
    count = reader.count(len(values) + 1)
    branch = Branch(name, Split(0.0, [values[reader.count(len(values))] for _ in range(count)], True, []), depth, [])
    if not count or len(branch.by) != count:
        damaged()
    return branch, count


def _read_leaf(reader: Reader, table: FeatureTable, names: list[Any], labels: list[Any], depth: int) -> Leaf:
    active = reader.count(2) == 1
    classes = reader.count(len(labels) + 1)
    leaf = Leaf({}, depth)
    leaf.majority_right, leaf.bayes_right, leaf.tried_at = reader.row(3)
    for _ in range(classes):
        label = labels[reader.count(len(labels))]
        leaf.stats[label] = reader.number()
    if not active:
        leaf.observers = None
        return leaf
    observers: dict[Any, Numbers | Categories] = {}
    for _ in range(reader.count(len(names) + 1)):
        name = names[reader.count(len(names))]
        feature = table.features[name]
        kind = Numbers if feature.categories is None else Categories
        observers[name] = kind.read(reader, labels, feature)
    leaf.observers = observers
    return leaf

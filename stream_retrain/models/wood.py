"""The trees of a forest, and what watches each; forests of both tasks are made of these.

A tree has a detector on its own error. At a warning a successor begins, which learns beside the tree with the same weights. It is dropped
when the warning ends, and takes the tree's place at a drift. So a tree that restarts has already learned some of the new concept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Protocol, TypeVar

from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.generator import Generator
from stream_retrain.models.plain_hddma import PlainHDDMA
from stream_retrain.models.poisson import Poisson
from stream_retrain.models.tree_chance import Chance

__all__ = ["Wood", "learn_by_chance", "leaves_of", "shape_of", "withhold_from"]


class _Tree(Protocol):
    leaves: int

    def write(self, to: Writer) -> None: ...

    def shape(self) -> tuple[int, int, int]: ...

    def withhold(self, name: Any) -> None: ...


Tree = TypeVar("Tree", bound=_Tree)


class Wood(Generic[Tree]):
    """A tree, its successor where there is one, and its detector."""

    __slots__ = ("chance", "detector", "error", "since", "successor", "tree")

    def __init__(self, tree: Tree, detector: PlainHDDMA, chance: Chance, error: float) -> None:
        self.tree = tree
        self.successor: Tree | None = None
        self.detector = detector
        self.chance = chance
        self.error = error
        """The error lately."""
        self.since = 0
        """How often trees of the forest had been replaced when this one began."""

    def trees(self) -> list[Tree]:
        """The tree, and its successor where there is one."""
        return [self.tree] if self.successor is None else [self.tree, self.successor]

    def watch(self, error: float, changes: int, new_tree: Callable[[], Tree]) -> tuple[int, bool]:
        """Pass an error to the detector, which may replace the tree; how often trees were replaced, and whether a successor is wanted."""
        detector = self.detector
        detector.update(error)
        if detector.drift:
            detector.reset()
            self.tree, self.successor = self.successor or new_tree(), None
            self.since = changes + 1
            return self.since, False
        if not detector.warning:
            self.successor = None
        return changes, detector.warning and self.successor is None

    def write(self, to: Writer) -> None:
        """The generator, the detector, the error and the trees."""
        self.chance.generator.write(to)
        to.count(self.since)
        self.detector.write(to)
        to.number(self.error)
        self.tree.write(to)
        to.count(self.successor is not None)
        if self.successor is not None:
            self.successor.write(to)

    def read(self, reader: Reader, changes: int, error_max: float, read_tree: Callable[[], Tree]) -> None:
        """What `write` wrote, of a forest with so many changes, where an error is at most so much."""
        self.chance.generator = Generator.read(reader)
        self.since = reader.count(changes + 1)
        self.detector.read(reader)
        self.error = reader.number()
        if not 0.0 <= self.error <= error_max:
            damaged()
        self.tree = read_tree()
        if reader.count(2):
            self.successor = read_tree()


def shape_of(woods: list[Wood[Any]]) -> tuple[int, int, int]:
    """Nodes and leaves of all trees and successors, and how many successors there are."""
    nodes = sum(tree.shape()[0] for wood in woods for tree in wood.trees())
    return nodes, leaves_of(woods), sum(wood.successor is not None for wood in woods)


def withhold_from(woods: list[Wood[Any]], names: Iterable[Any]) -> None:
    """Forget what leaves keep of features that are withheld from now on."""
    for wood in woods:
        for name in names:
            for tree in wood.trees():
                tree.withhold(name)


def learn_by_chance(woods: list[Wood[Tree]], poisson: Poisson, learn_one: Callable[[Tree, float, Chance], None]) -> None:
    """Let every tree and successor learn an event, with the weight that its wood draws; none with a weight of 0."""
    leaves = leaves_of(woods)
    for wood in woods:
        weight = poisson.draw(wood.chance.generator)
        if weight == 0.0:
            continue
        for tree in wood.trees():
            wood.chance.others = leaves - tree.leaves
            learn_one(tree, weight, wood.chance)
            leaves = wood.chance.others + tree.leaves


def leaves_of(woods: list[Wood[Any]]) -> int:
    """Leaves of all trees and successors."""
    leaves = 0
    for wood in woods:
        leaves += wood.tree.leaves
        if wood.successor is not None:
            leaves += wood.successor.leaves
    return leaves

"""What trees of a forest draw, so that they differ: the features that a leaf watches, and the thresholds that it tries."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from stream_retrain.models.block import Reader, Writer, damaged
from stream_retrain.models.generator import Generator
from stream_retrain.models.tree_domain import watched_of
from stream_retrain.models.tree_features import Feature

__all__ = ["Chance", "Watched"]


class Chance:
    """How a tree of a forest learns otherwise than one that stands alone."""

    __slots__ = ("cuts", "generator", "memory_max", "others")

    def __init__(self, generator: Generator, cuts: int, memory_max: int) -> None:
        self.generator = generator
        self.cuts = cuts
        """Thresholds that are tried for a number."""
        self.memory_max = memory_max
        """All trees of the forest have no more bytes."""
        self.others = 0
        """Leaves of the other trees."""

    def room(self, leaves: int, leaf_bytes: int) -> int:
        """How many leaves of so many bytes a tree with so many may still add."""
        return max(0, self.memory_max // leaf_bytes - self.others - leaves)

    def threshold(self, low: float, high: float) -> float:
        """A threshold between the least and the greatest value."""
        return low + (high - low) * self.generator.unit()


class Watched:
    """The features that a leaf watches, in the order of the table."""

    __slots__ = ("_decided", "_most", "names")

    def __init__(self, names: list[Any], decided: int, most: Callable[[int], int] = watched_of) -> None:
        self.names: dict[Any, None] = dict.fromkeys(names)
        self._most = most
        """How many it watches of so many."""
        self._decided = decided
        """It has decided about so many features."""

    @classmethod
    def drawn(cls, features: dict[Any, Feature], generator: Generator, most: Callable[[int], int] = watched_of) -> Watched:
        """Some of the features that are known."""
        drawn = _usable(features)
        count = most(len(drawn))
        if count < len(drawn):
            for place in range(count):
                other = place + generator.below(len(drawn) - place)
                drawn[place], drawn[other] = drawn[other], drawn[place]
            drawn = sorted(drawn[:count], key=lambda name: features[name].index)
        return cls(drawn, len(features), most)

    def follow(self, features: dict[Any, Feature]) -> None:
        """Features that are new are watched while there is room."""
        if self._decided == len(features):
            return
        most = self._most(len(_usable(features)))
        for name, feature in list(features.items())[self._decided :]:
            if len(self.names) < most and not feature.withheld:
                self.names[name] = None
        self._decided = len(features)

    def write(self, to: Writer, features: dict[Any, Feature]) -> None:
        """How many it has decided about, and those it watches."""
        to.count(self._decided, len(self.names), *(features[name].index for name in self.names))

    @classmethod
    def read(cls, reader: Reader, features: list[tuple[Any, Feature]], most: Callable[[int], int] = watched_of) -> Watched:
        """What `write` wrote."""
        decided = reader.count(len(features) + 1)
        places = [reader.count(decided) for _ in range(reader.count(decided + 1))]
        if any(place <= before for before, place in itertools.pairwise(places)):
            damaged()
        return cls([features[place][0] for place in places], decided, most)


def _usable(features: dict[Any, Feature]) -> list[Any]:
    return [name for name, feature in features.items() if not feature.withheld]

"""`RestartingForestRegressor` in Python: the readable reference, which serves where the compiled one is not installed.

Theory of operation (Gomes et al., 2018). Each tree (`forest_tree`) learns each event with a weight drawn from a Poisson distribution, and
its leaves watch features that they draw. So the trees differ, and their mean errs less than each of them. A tree restarts when its own
error rises (`wood`): its absolute error in running standard deviations of the target, at most 1.

What a tree predicts is clipped to the range of the targets seen (`targets`). The prediction is the mean of the trees', each weighted by the
square of the least recent squared error over its own.

The error of a tree is that of what it predicted when it was asked. The predictions are kept until the target comes (`prediction_cache`),
with the number of restarts so far: a tree that began later did not say it, and is asked when the target comes.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.models.block import Block, Reader, Writer
from stream_retrain.models.feature_values import Features, checked
from stream_retrain.models.forest_leaf import Event
from stream_retrain.models.forest_tree import ForestTree, leaf_bytes
from stream_retrain.models.generator import Generator
from stream_retrain.models.plain_hddma import PlainHDDMA
from stream_retrain.models.poisson import Poisson
from stream_retrain.models.prediction_cache import PredictionCache
from stream_retrain.models.targets import Targets, learnable
from stream_retrain.models.tree_chance import Chance
from stream_retrain.models.tree_features import FeatureTable, Row
from stream_retrain.models.tree_growth import LEAF_EVENTS_MAX, TreeParameters
from stream_retrain.models.wood import Wood, learn_by_chance, leaves_of, shape_of, withhold_from

__all__ = ["PlainForestRegressor"]

DECAY: Final = 0.995
"""Of the squared error lately, by which trees are weighted."""
ERROR_AT_FIRST: Final = 1.0
ERROR_MAX: Final = 4.0
"""A squared error counts as at most so many variances of the target."""
ERROR_MIN: Final = 1e-9
"""The squared error lately counts as at least so much."""
DEVIATIONS: Final = 4.0
"""A number of a linear model is at most so many standard deviations from its mean."""

State: TypeAlias = "tuple[list[Any], list[list[Any]], dict[Any, Any], Block]"
"""The names of the features, the values of the categories, the predictions that are kept, and the numbers."""


class _Said(NamedTuple):
    """What was said of an event."""

    changes: int
    """How often trees had been replaced before."""
    numbers: tuple[float, ...]
    """By tree, its prediction."""


class PlainForestRegressor:
    """Trees for numbers, which restart one by one."""

    def __init__(
        self,
        trees: int,
        grace_period: float,
        delta: float,
        tau: float,
        weight_mean: float,
        drift_confidence: float,
        warning_confidence: float,
        categories_max: int,
        memory_max: int,
        seed: int,
    ) -> None:
        self.changes = 0
        """Restarts of trees."""
        self._parameters = TreeParameters(grace_period, delta, tau, None, LEAF_EVENTS_MAX * weight_mean)
        self._memory_max = memory_max
        self._table = FeatureTable(categories_max)
        self._targets = Targets()
        self._poisson = Poisson(weight_mean)
        self._cache: PredictionCache[_Said] = PredictionCache()
        seeds = Generator(seed)
        self._woods: list[Wood[ForestTree]] = []
        for _ in range(trees):
            chance = Chance(Generator(seeds.next() >> 1), 0, memory_max)
            detector = PlainHDDMA(drift_confidence, warning_confidence)
            self._woods.append(Wood(self._new_tree(), detector, chance, ERROR_AT_FIRST))

    def predict(self, x: Features) -> float:
        """The weighted mean of what each tree predicts."""
        x = checked(x)
        row = self._table.row(x)
        standard = self._standard(row)
        numbers = tuple(self._number(wood, row, standard) for wood in self._woods)
        least = math.inf
        for wood in self._woods:
            least = min(least, wood.error)
        total = weights = 0.0
        for wood, number in zip(self._woods, numbers, strict=True):
            weight = _weight(least, wood.error)
            total += weight * number
            weights += weight
        self._cache.put(x, _Said(self.changes, numbers))
        return total / weights

    def learn(self, x: Features, y: float) -> None:
        """Score what was said of an event, replace the trees whose error rose, then learn."""
        targets = self._targets
        y = learnable(y)
        x = checked(x)
        self._score(x, y)
        row, withheld = self._table.learn(x)
        usual = targets.usual(y)
        targets.update(y)
        withhold_from(self._woods, withheld)
        event = Event(row, self._standard(row), usual, targets.deviation)
        size = leaf_bytes(self._table.features)
        learn_by_chance(self._woods, self._poisson, lambda tree, weight, chance: tree.learn(event, weight, size, chance))

    def shape(self) -> tuple[int, int, int]:
        """Nodes and leaves of all trees and successors, and how many successors there are."""
        return shape_of(self._woods)

    def memory(self) -> int:
        """Bytes of all trees and successors, as they are estimated."""
        return leaves_of(self._woods) * leaf_bytes(self._table.features)

    def withheld(self) -> list[Any]:
        """The features that are withheld."""
        return self._table.withheld()

    def waiting(self) -> int:
        """How many predictions are kept."""
        return len(self._cache)

    def state(self) -> State:
        """All that was learned."""
        to = Writer()
        self._targets.write(to)
        self._table.write(to)
        to.count(self.changes)
        for wood in self._woods:
            wood.write(to)
        kept = {key: (names, tuple(said)) for key, (names, said) in self._cache.kept().items()}
        return self._table.names(), self._table.values(), kept, to.block()

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        names, values, kept, block = state
        reader = Reader(block)
        self._targets.read(reader)
        self._table.read(names, values, reader)
        self.changes = reader.count()
        for wood in self._woods:
            wood.read(reader, self.changes, ERROR_MAX, lambda: self._read_tree(reader))
        reader.end()
        self._cache = PredictionCache({key: (names, _Said(*said)) for key, (names, said) in kept.items()})

    def _new_tree(self) -> ForestTree:
        return ForestTree(self._parameters, self._table)

    def _read_tree(self, reader: Reader) -> ForestTree:
        tree = self._new_tree()
        tree.read(reader)
        return tree

    def _standard(self, row: Row) -> list[float]:
        """By feature, a number in standard deviations from its mean; 0 of what is none, or is missing."""
        standard = []
        for name, feature in self._table.features.items():
            value = row.get(name)
            standard.append(0.0 if value is None or feature.categories is not None else feature.deviations(value, DEVIATIONS))
        return standard

    def _number(self, wood: Wood[ForestTree], row: Row, standard: list[float]) -> float:
        """What a tree predicts; the mean of all targets before it has learned."""
        predicted = wood.tree.predict(row, standard)
        return float(self._targets.clip(self._targets.mean if predicted is None else predicted))

    def _score(self, x: Features, y: float) -> None:
        """Score what was said of an event before it is learned."""
        said, variance = self._cache.take(x), self._targets.variance
        if variance == 0.0:
            return
        deviation = self._targets.deviation
        asked: tuple[Row, list[float]] | None = None
        for place, wood in enumerate(self._woods):
            if said is not None and place < len(said.numbers) and said.changes >= wood.since:
                number = said.numbers[place]
            else:
                if asked is None:
                    row = self._table.row(x)
                    asked = row, self._standard(row)
                number = self._number(wood, *asked)
            off = y - number
            wood.error = DECAY * wood.error + (1.0 - DECAY) * min(ERROR_MAX, off * off / variance)
            self.changes, wanted = wood.watch(min(1.0, abs(off) / deviation), self.changes, self._new_tree)
            if wanted and leaves_of(self._woods) < self._memory_max // leaf_bytes(self._table.features):
                wood.successor = self._new_tree()


def _weight(least: float, error: float) -> float:
    """How much a tree counts: the square of the least error over its own."""
    part = max(ERROR_MIN, least) / max(ERROR_MIN, error)
    return part * part

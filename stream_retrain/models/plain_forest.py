"""`RestartingForest` in Python: the readable reference, which serves where the compiled one is not installed.

Theory of operation (Gomes et al., 2017). Each tree (`tree_growth`) learns each event with a weight drawn from a Poisson distribution, and
its leaves draw the features and thresholds that they try. So the trees differ, and their mean errs less than each of them.

A tree restarts when its own error rises (`wood`).

The prediction is the mean of the trees' probabilities, weighted by the eighth power of their accuracy lately.

The error of a tree is that of its most probable class when the event was predicted. That class is kept until the label comes
(`prediction_cache`), with the number of restarts so far: a tree that began later did not say it, and is asked when the label comes.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

from stream_retrain.models.block import Block, Reader, Writer
from stream_retrain.models.feature_values import Features, checked
from stream_retrain.models.generator import Generator
from stream_retrain.models.plain_hddma import PlainHDDMA
from stream_retrain.models.poisson import Poisson
from stream_retrain.models.prediction_cache import PredictionCache
from stream_retrain.models.tree_chance import Chance
from stream_retrain.models.tree_domain import Domain
from stream_retrain.models.tree_features import Row
from stream_retrain.models.tree_growth import LEAF_EVENTS_MAX, GrowingTree, TreeParameters
from stream_retrain.models.tree_observers import Weights
from stream_retrain.models.wood import Wood, learn_by_chance, leaves_of, shape_of, withhold_from

__all__ = ["PlainForest"]

DECAY: Final = 0.995
"""Of the error rate lately, by which trees are weighted."""
ERROR_AT_FIRST: Final = 0.5
ACCURACY_MIN: Final = 0.01
"""The accuracy of a tree counts as at least this."""

ForestState: TypeAlias = "tuple[list[Any], list[list[Any]], list[Any], dict[Any, Any], Block]"
"""The names of the features, the values of the categories, the labels, the predictions that are kept, and the numbers."""


class _Said(NamedTuple):
    """What was said of an event."""

    changes: int
    """How often trees had been replaced before."""
    classes: tuple[int | None, ...]
    """By tree, the number of its most probable class; None where it had none."""


class PlainForest:
    """Hoeffding trees for classes, which restart one by one."""

    def __init__(
        self,
        trees: int,
        grace_period: float,
        delta: float,
        tau: float,
        cuts: int,
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
        self._domain = Domain(categories_max)
        self._poisson = Poisson(weight_mean)
        self._cache: PredictionCache[_Said] = PredictionCache()
        seeds = Generator(seed)
        self._woods: list[Wood[GrowingTree]] = []
        for _ in range(trees):
            chance = Chance(Generator(seeds.next() >> 1), cuts, memory_max)
            detector = PlainHDDMA(drift_confidence, warning_confidence)
            self._woods.append(Wood(self._new_tree(), detector, chance, ERROR_AT_FIRST))

    def predict(self, x: Features) -> dict[Any, float]:
        """Probability of every class seen so far, in the order of the labels."""
        x = checked(x)
        row = self._domain.table.row(x)
        proba = dict.fromkeys(self._domain.ranked, 0.0)
        classes, total = [], 0.0
        for wood in self._woods:
            votes = wood.tree.vote(row)
            number = self._most_probable(votes)
            classes.append(number)
            if number is not None:
                weight = _weight(wood.error)
                total += weight
                for label, vote in votes.items():
                    proba[label] += weight * vote
        if total > 0.0:
            for label, vote in proba.items():
                proba[label] = vote / total
        self._cache.put(x, _Said(self.changes, tuple(classes)))
        return proba

    def learn(self, x: Features, y: Any) -> None:
        """Score what was said of an event, replace the trees whose error rose, then learn."""
        x = checked(x)
        self._score(x, self._domain.labels.get(y))
        row, withheld = self._domain.learn(x, y)
        withhold_from(self._woods, withheld)
        learn_by_chance(self._woods, self._poisson, lambda tree, weight, chance: tree.learn(row, y, weight, chance))

    def shape(self) -> tuple[int, int, int]:
        """Nodes and leaves of all trees and successors, and how many successors there are."""
        return shape_of(self._woods)

    def memory(self) -> int:
        """Bytes of all trees and successors, as they are estimated."""
        return leaves_of(self._woods) * self._domain.leaf_bytes()

    def withheld(self) -> list[Any]:
        """The features that are withheld."""
        return self._domain.table.withheld()

    def waiting(self) -> int:
        """How many predictions are kept."""
        return len(self._cache)

    def state(self) -> ForestState:
        """All that was learned."""
        to = Writer()
        self._domain.write(to)
        to.count(self.changes)
        for wood in self._woods:
            wood.write(to)
        kept = {key: (names, tuple(said)) for key, (names, said) in self._cache.kept().items()}
        return *self._domain.named(), kept, to.block()

    def restore(self, state: ForestState) -> None:
        """Go on from a state.

        Raises:
            ValueError: it is damaged.
        """
        names, values, labels, kept, block = state
        reader = Reader(block)
        self._domain.read((names, values, labels), reader)
        self.changes = reader.count()
        for wood in self._woods:
            wood.read(reader, self.changes, 1.0, lambda: self._read_tree(reader))
        reader.end()
        self._cache = PredictionCache({key: (names, _Said(*said)) for key, (names, said) in kept.items()})

    def _new_tree(self) -> GrowingTree:
        return GrowingTree(self._parameters, self._domain)

    def _read_tree(self, reader: Reader) -> GrowingTree:
        tree = self._new_tree()
        tree.read(reader, watches=True)
        return tree

    def _score(self, x: Features, number: int | None) -> None:
        """Score what was said of an event before it is learned; None for a class that is new."""
        said = self._cache.take(x)
        row: Row | None = None
        for place, wood in enumerate(self._woods):
            label = said.classes[place] if said is not None and said.changes >= wood.since else None
            if label is None:
                row = self._domain.table.row(x) if row is None else row
                label = self._most_probable(wood.tree.vote(row))
            if label is not None:
                self._watch(wood, float(label != number))

    def _watch(self, wood: Wood[GrowingTree], error: float) -> None:
        """Pass an error to a tree's detector."""
        wood.error = DECAY * wood.error + (1.0 - DECAY) * error
        self.changes, wanted = wood.watch(error, self.changes, self._new_tree)
        if wanted and leaves_of(self._woods) < self._memory_max // self._domain.leaf_bytes():
            wood.successor = self._new_tree()

    def _most_probable(self, votes: Weights) -> int | None:
        """The first of the most probable classes, by their numbers; None where no class is probable."""
        labels = self._domain.labels
        best, most = None, 0.0
        for label, vote in votes.items():
            if vote > most:
                best, most = labels[label], vote
            elif vote == most and best is not None:
                best = min(best, labels[label])
        return best


def _weight(error: float) -> float:
    """How much a tree counts."""
    accuracy = max(1.0 - error, ACCURACY_MIN)
    second = accuracy * accuracy
    fourth = second * second
    return fourth * fourth

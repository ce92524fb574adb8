"""What a batch of events did to a shard: while it goes on, and when it is over."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from stream_retrain.core.contest.commands import Command
from stream_retrain.core.scores import Failure, Scored
from stream_retrain.facts.failures import MetricFailed
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.values import Learned, Predicted

__all__ = ["Done", "Outcome"]

# Of a tuple that is there already; a NamedTuple's own constructor takes three times as long.
_learned: Callable[[tuple[Any, ...]], Learned] = functools.partial(tuple.__new__, Learned)


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a batch did: columns for the facts every event has, objects for the rare ones; all in order of offset."""

    predicted: list[Predicted] = dataclasses.field(default_factory=list)
    learned: list[Learned] = dataclasses.field(default_factory=list)
    facts: list[ShardFact] = dataclasses.field(default_factory=list)
    commands: list[Command] = dataclasses.field(default_factory=list)
    delays_s: list[float] = dataclasses.field(default_factory=list)
    """How long after its question each answer came, in event time."""

    def extend(self, later: Outcome) -> None:
        """Add what the next events did."""
        for name in ("predicted", "learned", "facts", "commands", "delays_s"):
            getattr(self, name).extend(getattr(later, name))


class Done:
    """What a batch has done so far; rows are plain tuples, made into `Learned` and scored at its end, in tight loops."""

    __slots__ = ("delays_s", "facts", "learned", "predicted", "scored")

    def __init__(self) -> None:
        self.predicted: list[Predicted] = []
        self.learned: list[tuple[Any, ...]] = []
        self.scored: list[Scored] = []
        self.facts: list[ShardFact] = []
        self.delays_s: list[float] = []

    def tell(self, failures: Sequence[Failure]) -> None:
        """Metrics that raised, as facts among the others, in order of offset."""
        rows = [(offset, time_s) for offset, time_s, _, _, y_pred in self.learned if y_pred is not None]
        told = [
            MetricFailed(offset=rows[row][0], time_s=rows[row][1], metric=metric, detail=detail, repeated=repeated)
            for row, metric, detail, repeated in failures
        ]
        self.facts = sorted([*self.facts, *told], key=operator.attrgetter("offset"))

    def outcome(self, commands: list[Command]) -> Outcome:
        """The batch is over."""
        return Outcome(self.predicted, list(map(_learned, self.learned)), self.facts, commands, self.delays_s)

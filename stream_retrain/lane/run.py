"""Events that come with their labels, as columns: what a shard takes in one call of the model (`core.serve.step`)."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET

from stream_retrain.core.scores import Scored
from stream_retrain.core.serve.step import Taken
from stream_retrain.facts.values import Event, Features, Label, Predicted
from stream_retrain.lane.batch import Events
from stream_retrain.lane.class_probabilities import class_probabilities

__all__ = ["Run"]


class Run(NamedTuple):
    """A run of such events, column by column."""

    offsets: Sequence[int]
    ids: Sequence[Any]
    times_s: Sequence[float]
    xs: list[Features]
    ys: list[Label]

    @classmethod
    def of(cls, events: Sequence[Event], start: int, rows_max: float, classes: Collection[Label] | None) -> Run | None:
        """The events from `start` on, as long as they have features, and a label that is one of the classes; None: the first has not."""
        end = len(events) if rows_max >= len(events) - start else start + int(rows_max)
        columns: Any = events[start:end].columns if isinstance(events, Events) else tuple(zip(*events[start:end], strict=True))
        offsets, ids, times_s, xs, ys = columns
        rows = len(xs)
        if None in ys:
            rows = ys.index(None)
        if None in xs[:rows]:
            rows = xs.index(None)
        if classes is not None:
            rows = next((row for row, y in enumerate(ys[:rows]) if y not in classes), rows)
        return cls(offsets, ids, times_s, list(xs[:rows]), list(ys[:rows])) if rows else None

    def at(self, row: int) -> tuple[int, float, Features, Label]:
        """Offset, time, features and label of an event."""
        return self.offsets[row], self.times_s[row], self.xs[row], self.ys[row]

    def predicted(self, taken: Taken, generation: int, model: str, *, shows: bool) -> list[Predicted]:
        """The prediction of each event that was taken; `shows`: with the probabilities of all classes."""
        rows = (self.ids, self.offsets, self.times_s, taken.predictions, taken.probabilities)
        by_class = map(class_probabilities, taken.of_classes) if shows else itertools.repeat(UNSET)
        return list(map(Predicted, *rows, itertools.repeat(generation), itertools.repeat(model), by_class))

    def scored(self, taken: Taken, *, keeps_proba: bool) -> list[Scored]:
        """What metrics are given: every event that was predicted, with the probabilities if they are asked for."""
        predictions = taken.predictions
        rows = list(zip(self.ys, predictions, taken.of_classes if keeps_proba else itertools.repeat(None), strict=False))
        return [row for row in rows if row[1] is not None] if None in predictions else rows

    def learned(self, taken: Taken) -> zip[tuple[Any, ...]]:
        """What was learned."""
        return zip(self.offsets, self.times_s, self.xs, self.ys, taken.predictions, strict=False)

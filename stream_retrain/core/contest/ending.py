"""When a duel is over: what it has seen, and whether that is enough.

- After `events_max` events that were scored since the last contestant joined; of classifiers, once `rarest_min` labels of the rarest class
  are among them, or after `events_limit` events in all.
- Where everyone is one and the same model: not one difference in `SAME_EVENTS` events. Two models that say no to everything differ in
  no label, so where labels are all that is seen of them `SAME_RAREST` of the rarest class must be among these.
- One that is open has no end until `begin`: a rematch, until the lead changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from stream_retrain.core.contest.evidence import Evidence
from stream_retrain.core.state import Part, Saved

__all__ = ["SAME_EVENTS", "Ending"]

SAME_EVENTS: Final = 100
SAME_RAREST: Final = 10
CLASSES_MAX: Final = 1_000
_ENDING: Final = Part.of("ending of a duel", "events_left", "labels", "same")


class Ending:
    """What counts for the end of one duel."""

    __slots__ = ("_by_label", "_events_left", "_evidence", "_labels", "_numbers", "_same")

    def __init__(self, evidence: Evidence, saved: Saved | None = None, *, numbers: bool, by_label: bool) -> None:
        """`numbers`: a regression; `by_label`: the loss is of labels. It is open until `begin`. Raises `StateError`."""
        values: Saved = {"events_left": None, "labels": (), "same": 0} if saved is None else _ENDING.load(saved)
        self._evidence = evidence
        self._numbers = numbers
        self._by_label = by_label
        self._events_left: int | None = values["events_left"]
        self._labels: dict[Any, int] = dict(values["labels"])
        """Of the events that count, by class."""
        self._same: int | None = values["same"]
        """Events in which all have had the same loss; None: not in all of them."""

    @property
    def is_open(self) -> bool:
        """Whether it waits for `begin`."""
        return self._events_left is None

    @property
    def twins(self) -> bool:
        """Whether all contestants are, by all that is seen of them, one and the same model."""
        if self._same is None or self._same < SAME_EVENTS or self._events_left is None:
            return False
        return not self._by_label or self._rarest >= SAME_RAREST

    @property
    def due(self) -> bool:
        """Whether enough was seen."""
        left, evidence = self._events_left, self._evidence
        if left is None or left > 0:
            return False
        return self._numbers or self._rarest >= evidence.rarest_min or evidence.events_max - left >= evidence.events_limit

    def begin(self) -> None:
        """Count from here."""
        self._events_left, self._labels = self._evidence.events_max, {}

    def joined(self) -> None:
        """There is another contestant: it has all events before it."""
        self.begin()
        self._same = 0

    def count(self, y: Any, losses: Sequence[float | None]) -> None:
        """Take an event that was scored."""
        if self._events_left is not None:
            self._events_left -= 1
            if not self._numbers and (y in self._labels or len(self._labels) < CLASSES_MAX):
                self._labels[y] = self._labels.get(y, 0) + 1
        if self._same is not None:
            known = [loss for loss in losses if loss is not None]
            if len(known) > 1:
                self._same = self._same + 1 if known.count(known[0]) == len(known) else None

    def snapshot(self) -> Saved:
        """What the constructor needs to go on from here."""
        return _ENDING.save(events_left=self._events_left, labels=tuple(self._labels.items()), same=self._same)

    @property
    def _rarest(self) -> int:
        """Labels of the rarest class: of all but the most frequent, which of two classes is the same."""
        return sum(self._labels.values()) - max(self._labels.values(), default=0)

"""The classes of a multiclass shard whose schema names none: the first label fixes their type, and there is a limit of them."""

from __future__ import annotations

from collections.abc import Iterable

from stream_retrain.facts.records import Rejected
from stream_retrain.facts.shard import ShardFact
from stream_retrain.facts.values import Event, Label

__all__ = ["Classes"]


class Classes:
    """The labels learned so far, in the order in which they came."""

    def __init__(self, known: Iterable[Label], classes_max: int, field: str) -> None:
        """`field`: where labels stand, for whom it concerns."""
        self.known: dict[Label, None] = dict.fromkeys(known)
        self._max = classes_max
        self._field = field
        self._newest_at = -1
        """The offset of the last event that brought a new class."""

    def fault(self, y: Label) -> str | None:
        """Why a label cannot be a class, as a sentence; None where it can."""
        first = next(iter(self.known), y)
        if type(first) is not type(y):
            kind, others = ("a text", "integers") if isinstance(y, str) else ("an integer", "texts")
            return f"the label is {kind}, and those before were {others}"
        if y not in self.known and len(self.known) >= self._max:
            return f"the label is a new class, and there are classes_max = {self._max} already"
        return None

    def is_none(self, event: Event, facts: list[ShardFact]) -> bool:
        """Whether the label of an event cannot be a class, which is told."""
        detail = None if event.y is None else self.fault(event.y)
        if detail is not None:
            told = Rejected(offset=event.offset, reason="schema", detail=detail, field=self._field, time_s=event.time_s)
            facts.append(told)
        return detail is not None

    def is_odd(self, event: Event, facts: list[ShardFact]) -> bool:
        """Whether a label that is new cannot be a class; else it is one, unless its event is refused."""
        if event.y is None:
            return False
        if self.is_none(event, facts):
            return True
        self.add(event.y, event.offset)
        return False

    def add(self, y: Label, offset: int) -> None:
        """A label that is new is a class from now on, unless its event is refused."""
        self.known[y], self._newest_at = None, offset

    def refused(self, offset: int) -> None:
        """The event at an offset was refused: a class that it brought is none."""
        if self._newest_at == offset and self.known:
            self.known.popitem()

"""The classes of a multiclass shard whose schema names none: the first label fixes their type, and there is a limit of them."""

from __future__ import annotations

from collections.abc import Iterable

from stream_retrain.facts.values import Label

__all__ = ["Classes"]


class Classes:
    """The labels learned so far, in the order in which they came."""

    def __init__(self, known: Iterable[Label], classes_max: int) -> None:
        self.known: dict[Label, None] = dict.fromkeys(known)
        self._max = classes_max
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

    def add(self, y: Label, offset: int) -> None:
        """A label that is new is a class from now on, unless its event is refused."""
        self.known[y], self._newest_at = None, offset

    def refused(self, offset: int) -> None:
        """The event at an offset was refused: a class that it brought is none."""
        if self._newest_at == offset and self.known:
            self.known.popitem()

"""A list of bounded length: where more comes than it holds, it keeps every second, fourth, eighth ... from the first on."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Thinned"]

_Item = TypeVar("_Item")


class Thinned(Generic[_Item]):
    """What was added, evenly thinned to at most `most`, which is at least 2."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.kept: list[_Item] = []
        self.every = 1
        """It holds each n-th of those that were added, with this n."""
        self.added = 0

    def add(self, item: _Item) -> None:
        """Take the next."""
        if self.added % self.every == 0:
            self.kept.append(item)
            if len(self.kept) > self._most:
                del self.kept[1::2]
                self.every *= 2
        self.added += 1

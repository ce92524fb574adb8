"""The outputs of one kind as they are read from their topic, handed out by the offset of the source."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from typing import Final

from stream_retrain.lane.put import Found

__all__ = ["OutputStream"]

AHEAD: Final = 3
"""Outputs that are looked at before they are due."""


class OutputStream:
    """The outputs of one kind, as they come: those through an offset, in the order of their topic.

    One that says no offset goes with the one that follows it. One that stands before two of lower offsets is out of its place.
    """

    def __init__(self, found: Iterator[Found]) -> None:
        self._found = found
        self._ahead: collections.deque[Found] = collections.deque(itertools.islice(found, AHEAD))

    @property
    def begins_at(self) -> int:
        """The source offset of the next one that says it."""
        return next((each.identity.offset for each in self._ahead if each.identity.offset >= 0), -1)

    def through(self, offset: int, *, last: bool = False) -> list[Found]:
        """Those up to the first one of a later offset, and what is out of its place among them; with `last` also those that say none."""
        came, ahead = [], self._ahead
        while ahead and (self._is_due(offset, last) or self._is_misplaced(offset)):
            came.append(ahead.popleft())
            if (following := next(self._found, None)) is not None:
                ahead.append(following)
        return came

    def _is_due(self, offset: int, last: bool) -> bool:
        begins_at = self.begins_at
        return begins_at <= offset and (begins_at >= 0 or last or len(self._ahead) == AHEAD)

    def _is_misplaced(self, offset: int) -> bool:
        return len(self._ahead) == AHEAD and all(0 <= each.identity.offset <= offset for each in itertools.islice(self._ahead, 1, None))

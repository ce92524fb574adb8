"""Lines that repeat: the first few of a kind in a minute are said, the others are counted, and the count is said once.

Pure: the time is given. Whoever uses it asks `admit` about every line, and `due` now and then, and at the end `rest`.

A period of a kind begins with its first line and lasts `period_s`. What came beyond `lines_max` in it is one `Counted` when it is over;
the next line of the kind begins a new period. At most `kinds_max` kinds are known at a time: a flood of ever new kinds ends the oldest
period early.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

__all__ = ["LINES_MAX", "PERIOD_S", "Counted", "Repeats"]

LINES_MAX: Final = 5
PERIOD_S: Final = 60.0
KINDS_MAX: Final = 10_000
_Line = TypeVar("_Line")


@dataclasses.dataclass(frozen=True, slots=True)
class Counted(Generic[_Line]):
    """So many lines of a kind were not said; `last` is the last of them."""

    last: _Line
    count: int
    seconds: float


@dataclasses.dataclass(slots=True)
class _Period(Generic[_Line]):
    began_s: float
    said: int = 0
    counted: int = 0
    last: _Line | None = None


class Repeats(Generic[_Line]):
    """What was said lately, by kind."""

    def __init__(self, *, lines_max: int = LINES_MAX, period_s: float = PERIOD_S, kinds_max: int = KINDS_MAX) -> None:
        self._lines_max = lines_max
        self._period_s = period_s
        self._kinds_max = kinds_max
        self._periods: dict[Hashable, _Period[_Line]] = {}
        """In the order in which they began."""
        self._ended: list[Counted[_Line]] = []

    def admit(self, kind: Hashable, line: _Line, now_s: float, count: int = 1) -> bool:
        """Whether the line is to be said now; if not, it is counted as `count` lines. Ask `due` before: it ends periods that are over."""
        period = self._periods.get(kind)
        if period is not None and now_s - period.began_s >= self._period_s:
            self._end(kind, now_s)
            period = None
        if period is None:
            if len(self._periods) >= self._kinds_max:
                self._end(next(iter(self._periods)), now_s)
            period = self._periods[kind] = _Period(now_s)
        if period.said < self._lines_max:
            period.said += 1
            return True
        period.counted += count
        period.last = line
        return False

    def due(self, now_s: float) -> list[Counted[_Line]]:
        """What was counted in periods that are over, in the order in which they began."""
        while self._periods:
            kind, period = next(iter(self._periods.items()))
            if now_s - period.began_s < self._period_s:
                break
            self._end(kind, now_s)
        return self._taken()

    def rest(self, now_s: float) -> list[Counted[_Line]]:
        """What was counted and not said yet: the end of the process is the end of every period."""
        for kind in list(self._periods):
            self._end(kind, now_s)
        return self._taken()

    @property
    def counting(self) -> bool:
        """Whether a count waits to be said."""
        return bool(self._ended) or any(period.counted for period in self._periods.values())

    def clear(self) -> None:
        """Forget everything: in a forked process the counts are the other one's."""
        self._periods.clear()
        self._ended.clear()

    def _end(self, kind: Hashable, now_s: float) -> None:
        period = self._periods.pop(kind)
        if period.last is not None:
            self._ended.append(Counted(period.last, period.counted, min(self._period_s, now_s - period.began_s)))

    def _taken(self) -> list[Counted[_Line]]:
        ended, self._ended = self._ended, []
        return ended

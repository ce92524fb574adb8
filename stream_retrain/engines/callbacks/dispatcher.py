"""Every decision goes to each handler that asks for it, and a partition is done with as far as all of them are.

Protocol of use: `take` what is read of the decisions topic, in order, while `full` does not hold; `turn` again and again; `positions` says
which offsets may be committed. A record counts as done when every handler has taken it, or a dead letter of it is kept: so what is
committed was handed over at least once, whatever ends this process in between.

The decisions that are held are bounded by `HELD_MAX`. A handler that fails holds up no other, until it is so far behind that this many are
held.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from stream_retrain.engines.callbacks.runner import Over, Place, Runner
from stream_retrain.facts.callbacks import CallbacksTold
from stream_retrain.lane.decision import read_decision

__all__ = ["HELD_MAX", "Dispatcher"]

HELD_MAX: Final = 1_000


class Dispatcher:
    """The handlers of a pipeline, and how far each partition is done with."""

    def __init__(self, pipeline: str, runners: Sequence[Runner], bury: Callable[[Over], None]) -> None:
        """`bury` keeps a dead letter before it returns; it may raise `BrokerError`."""
        self._pipeline = pipeline
        self._runners = list(runners)
        self._bury = bury
        self._open: dict[int, collections.deque[Place]] = {}
        """By partition, what is not done with and what came after it."""
        self._read: dict[int, int] = {}
        self.passed = 0
        """Records that hold no decision of this pipeline."""

    @property
    def full(self) -> bool:
        """Whether nothing more is to be taken now."""
        return sum(map(len, self._open.values())) >= HELD_MAX

    @property
    def idle(self) -> bool:
        """Whether everything that was taken is done with."""
        return not any(runner.waiting for runner in self._runners)

    def assign(self, partition: int, offset: int) -> None:
        """A partition is read from this offset on."""
        self._open[partition], self._read[partition] = collections.deque(), offset

    def revoke(self, partitions: Iterable[int]) -> None:
        """These are another process's from now on."""
        gone = set(partitions)
        for runner in self._runners:
            runner.forget(gone)
        for partition in gone:
            self._open.pop(partition, None)
            self._read.pop(partition, None)

    def take(self, partition: int, offset: int, key: bytes | None, value: bytes | None) -> None:
        """Take a record."""
        if partition not in self._open:
            return
        self._read[partition] = offset + 1
        decision = read_decision(value)
        if decision is None or decision.pipeline != self._pipeline:
            self.passed += 1
            return
        place = Place(partition, offset, key, value or b"", decision)
        for runner in self._runners:
            if runner.asks_for(decision):
                place.left += 1
                runner.add(place)
        if place.left:
            self._open[partition].append(place)

    def reached(self, partition: int, offset: int) -> None:
        """Nothing stands before this offset that was not taken: control and aborted records are passed over."""
        if partition in self._read:
            self._read[partition] = max(offset, self._read[partition])

    def turn(self, *, begin: bool = True) -> None:
        """Let every handler go on. Raises `CallbackError`, and `BrokerError` where a dead letter cannot be kept."""
        for runner in self._runners:
            while (over := runner.turn(begin=begin)) is not None:
                if over.dead is not None:
                    self._bury(over)
                self._done(over.place)

    def positions(self) -> dict[int, int]:
        """By partition, the offset before which everything is done with."""
        return {partition: (held[0].offset if held else self._read[partition]) for partition, held in self._open.items()}

    def told(self, ends: dict[int, int]) -> CallbacksTold:
        """What has happened since; `ends` are the offsets after the last records, as far as they are known."""
        positions = self.positions()
        lag = sum(max(0, ends.get(partition, position) - position) for partition, position in positions.items())
        return CallbacksTold(handlers=tuple(runner.told() for runner in self._runners), lag_records=lag if positions else None)

    def finish(self, deadline_s: float, pause: Callable[[], None]) -> None:
        """Let the calls that are under way come to their end until `deadline_s` of the monotonic clock, and begin no more."""
        while any(runner.busy for runner in self._runners) and time.monotonic() < deadline_s:
            self.turn(begin=False)
            pause()

    def close(self) -> None:
        """End every call and every child."""
        for runner in self._runners:
            runner.close()

    def _done(self, place: Place) -> None:
        place.left -= 1
        held = self._open.get(place.partition)
        while held and held[0].left == 0:
            held.popleft()

"""Where Faust's event loop and the worker's thread meet: records go one way, and what is assigned and revoked.

Protocol of use:

1. In Faust's loop: `assign` and `revoke` as Faust's group is rebalanced, `put` for each record. None of them blocks the loop; `put` waits
   while the queue of a partition is full, and `revoke` until the worker has let go, at most for a deadline.
2. In the worker's thread: `moves` says what to give up and what to take over; `hold` and `let_go` say that it is done; `wait` and `take`
   get records. `reads_itself` names the partitions whose records the worker reads from the log for now: there `put` waits for nobody, and
   what finds no place is dropped.

Each assignment of a partition has a number. A partition that was revoked and assigned again while the worker was busy has another number,
so the worker gives it up before it takes it over.

Nothing here is trusted to be complete: the worker finds what was dropped or never handed over by its offsets.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from stream_retrain.lane.batch import Record

__all__ = ["Handover", "Moves", "Taken"]

STEP_S: Final = 0.02
"""How often Faust's loop looks whether there is room, or whether the worker has let go."""


@dataclasses.dataclass(frozen=True, slots=True)
class Moves:
    """What the worker has to do: give up, in good order or because it is another's already; take over, with the assignment's number."""

    revoked: list[int]
    lost: list[int]
    assigned: dict[int, int]


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """Records of one partition in order of offset, without a hole; `hole`: the next one waiting is not the next offset."""

    records: list[Record]
    hole: bool


class Handover:
    """`records_max`: of a partition, that wait."""

    def __init__(self, records_max: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._records_max = records_max
        self._clock_s = clock_s
        self._changed = threading.Condition()
        self._numbers = 0
        self._assigned: dict[int, int] = {}
        self._held: dict[int, int] = {}
        self._overdue: set[int] = set()
        """Given up by Faust before the worker had let go."""
        self._distrusted: dict[int, int] = {}
        self._distrusted_until_s = 0.0
        self._queues: dict[int, collections.deque[Record]] = {}
        self._waiting = 0
        self._wanted = 1
        self._read_by_worker: set[int] = set()
        self._left_out: set[int] = set()

    # Faust's loop

    def assign(self, partitions: Iterable[int]) -> None:
        """These are this process's from now on."""
        with self._changed:
            for partition in partitions:
                if partition not in self._assigned:
                    self._numbers += 1
                    self._assigned[partition] = self._numbers
                    self._queues[partition] = collections.deque()
            self._changed.notify_all()

    async def revoke(self, partitions: Iterable[int], timeout_s: float) -> bool:
        """These go: whether the worker has let go of them in time."""
        with self._changed:
            gone = [partition for partition in partitions if self._assigned.pop(partition, None) is not None]
            for partition in gone:
                self._waiting -= len(self._queues.pop(partition))
            self._changed.notify_all()
        until_s = self._clock_s() + timeout_s
        while held := self._still_held(gone):
            if self._clock_s() >= until_s:
                self._overdue.update(held)
                return False
            await asyncio.sleep(STEP_S)
        return True

    async def put(self, partition: int, record: Record) -> None:
        """Hand a record over; one of a partition that is not this process's is dropped."""
        while not self._put(partition, record):
            await asyncio.sleep(STEP_S)

    def _put(self, partition: int, record: Record) -> bool:
        with self._changed:
            queue = self._queues.get(partition)
            if queue is None:
                return True
            if len(queue) >= self._records_max:
                if partition in self._read_by_worker:
                    self._left_out.add(partition)
                return partition in self._read_by_worker
            queue.append(record)
            self._waiting += 1
            if self._waiting >= self._wanted:
                self._changed.notify_all()
            return True

    def _still_held(self, partitions: Iterable[int]) -> list[int]:
        return [partition for partition in partitions if partition in self._held]

    # the worker's thread

    def moves(self) -> Moves:
        """What is to be done, if anything."""
        with self._changed:
            return self._moves()

    def _moves(self) -> Moves:
        gone = [partition for partition, number in self._held.items() if self._assigned.get(partition) != number]
        distrusts = self._clock_s() < self._distrusted_until_s
        come = {
            partition: number
            for partition, number in self._assigned.items()
            if partition not in self._held and not (distrusts and self._distrusted.get(partition) == number)
        }
        return Moves([each for each in gone if each not in self._overdue], [each for each in gone if each in self._overdue], come)

    def hold(self, assigned: dict[int, int]) -> None:
        """The worker has taken these over."""
        with self._changed:
            self._held.update(assigned)

    def let_go(self, partitions: Iterable[int] | None = None) -> None:
        """The worker has given these up (None: all)."""
        with self._changed:
            for partition in list(self._held) if partitions is None else partitions:
                self._held.pop(partition, None)
                self._overdue.discard(partition)
                self._read_by_worker.discard(partition)

    def distrust(self, seconds: float) -> None:
        """Take what is assigned now for another's, until it is assigned anew, or for so long: then the group has had time to say so."""
        with self._changed:
            self._distrusted = dict(self._assigned)
            self._distrusted_until_s = self._clock_s() + seconds

    def reads_itself(self, partition: int, reads: bool) -> None:
        """Whether the worker reads that partition from the log, for now."""
        (self._read_by_worker.add if reads else self._read_by_worker.discard)(partition)

    def left_out(self, partition: int) -> bool:
        """Whether a record of it was dropped here, for want of room, since this was last asked."""
        with self._changed:
            found = partition in self._left_out
            self._left_out.discard(partition)
            return found

    def wait(self, records: int, timeout_s: float) -> None:
        """Return when so many records wait, when something is to be done, or after the timeout."""
        with self._changed:
            self._wanted = records
            self._changed.wait_for(lambda: self._waiting >= records or self._due(), timeout_s)

    def _due(self) -> bool:
        moves = self._moves()
        return bool(moves.revoked or moves.lost or moves.assigned)

    def first(self, partition: int) -> int | None:
        """The offset of the first record that waits."""
        with self._changed:
            queue = self._queues.get(partition)
            return queue[0].offset if queue else None

    def take(self, partition: int, offset: int, limit: int) -> Taken:
        """The records that wait, from `offset` on, up to the first hole; those below it are dropped."""
        taken: list[Record] = []
        with self._changed:
            queue = self._queues.get(partition)
            before = len(queue or ())
            hole = False
            while queue and len(taken) < limit:
                found = queue[0].offset
                hole = found > offset
                if hole:
                    break
                record = queue.popleft()
                if found == offset:
                    taken.append(record)
                    offset += 1
            self._waiting -= before - len(queue or ())
        return Taken(taken, hole)

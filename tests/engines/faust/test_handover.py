"""What goes between Faust's loop and the worker's thread: nothing of a partition that is not held, and never more than the limit."""

from __future__ import annotations

import asyncio
import threading
import time

from stream_retrain.engines.faust.handover import Handover, Moves
from stream_retrain.lane.batch import Record

NOTHING = Moves([], [], {})


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def put(handover: Handover, partition: int, *offsets: int) -> bool:
    """Whether there was room for all of them."""

    async def all_of_them() -> None:
        for offset in offsets:
            await handover.put(partition, Record(offset, None, b"%d" % offset, 0))

    try:
        asyncio.run(asyncio.wait_for(all_of_them(), 0.05))
    except TimeoutError:
        return False
    return True


def revoke(handover: Handover, partitions: list[int], timeout_s: float = 0.0) -> bool:
    return asyncio.run(handover.revoke(partitions, timeout_s))


def offsets(handover: Handover, partition: int, offset: int, limit: int = 100) -> tuple[list[int], bool]:
    taken = handover.take(partition, offset, limit)
    return [record.offset for record in taken.records], taken.hole


def held(*partitions: int, records_max: int = 10) -> Handover:
    handover = Handover(records_max)
    handover.assign(partitions)
    handover.hold(handover.moves().assigned)
    return handover


def test_what_is_assigned_is_to_be_taken_over_once() -> None:
    handover = Handover(10)
    handover.assign([0, 3])
    moves = handover.moves()
    assert sorted(moves.assigned) == [0, 3]
    handover.hold(moves.assigned)
    assert handover.moves() == NOTHING


def test_records_come_in_order_and_those_below_are_dropped() -> None:
    handover = held(0)
    assert put(handover, 0, 3, 4, 5)
    assert handover.first(0) == 3
    assert offsets(handover, 0, 4, limit=1) == ([4], False)
    assert offsets(handover, 0, 5) == ([5], False)
    assert handover.first(0) is None


def test_a_hole_ends_what_is_taken_and_stays() -> None:
    handover = held(0)
    assert put(handover, 0, 3, 5)
    assert offsets(handover, 0, 3) == ([3], True)
    assert offsets(handover, 0, 4) == ([], True)
    assert offsets(handover, 0, 5) == ([5], False)


def test_a_record_of_another_s_partition_is_dropped() -> None:
    handover = held(0)
    assert put(handover, 7, 1)
    assert handover.first(7) is None


def test_a_full_queue_pushes_back_unless_the_worker_reads_the_partition_itself() -> None:
    handover = held(0, records_max=2)
    assert not put(handover, 0, 1, 2, 3)
    handover.reads_itself(0, True)
    assert put(handover, 0, 3)
    handover.reads_itself(0, False)
    assert offsets(handover, 0, 1) == ([1, 2], False)
    assert put(handover, 0, 4)


def test_a_revoked_partition_is_given_up_with_what_waits() -> None:
    handover = held(0, 1)
    assert put(handover, 0, 5)
    revoked: list[bool] = []
    thread = threading.Thread(target=lambda: revoked.append(revoke(handover, [0], 10.0)))
    thread.start()
    while not handover.moves().revoked:
        time.sleep(0.001)
    assert handover.moves() == Moves([0], [], {})
    handover.let_go([0])
    thread.join(5)
    assert revoked == [True]
    assert handover.first(0) is None
    assert handover.moves() == NOTHING


def test_a_partition_that_was_not_given_up_in_time_is_lost() -> None:
    """Whoever has it now may have gone on: nothing of it may be committed any more, so far as the worker can tell."""
    handover = held(0)
    assert not revoke(handover, [0])
    assert handover.moves() == Moves([], [0], {})
    handover.assign([0])
    moves = handover.moves()
    assert (moves.lost, list(moves.assigned)) == ([0], []), "it comes only once it was given up"
    handover.let_go([0])
    assert list(handover.moves().assigned) == [0]


def test_what_nobody_holds_is_revoked_at_once() -> None:
    handover = Handover(10)
    handover.assign([0])
    assert revoke(handover, [0])
    assert handover.moves() == NOTHING


def test_a_fenced_worker_waits_until_the_group_has_had_time_to_speak() -> None:
    clock = Clock()
    handover = Handover(10, clock)
    handover.assign([0])
    handover.distrust(3.0)
    assert handover.moves() == NOTHING
    clock.now_s = 3.1
    assert list(handover.moves().assigned) == [0]


def test_a_new_assignment_is_believed_at_once() -> None:
    handover = Handover(10, Clock())
    handover.assign([0])
    handover.distrust(1_000.0)
    assert revoke(handover, [0])
    handover.assign([0])
    assert list(handover.moves().assigned) == [0]


def test_waiting_ends_with_enough_records_or_with_something_to_do() -> None:
    handover = held(0)
    began_s = time.monotonic()
    for prompt in (lambda: put(handover, 0, 1, 2), lambda: handover.assign([9])):
        thread = threading.Thread(target=prompt)
        thread.start()
        handover.wait(2, 30.0)
        thread.join()
        offsets(handover, 0, 1)
    assert time.monotonic() - began_s < 20.0
    handover.hold(handover.moves().assigned)
    handover.wait(2, 0.01)

"""What reads a value in Redis, without the rest of a worker around it: the stores' own reads and guarded writes, and a trainer's queue.

Each function is given a world whose Redis holds a value that somebody changed. It reads it as the worker or the trainer does, and goes on
as they do after what they catch. It raises what would end them, and AssertionError where they would not get on.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import signal
from collections.abc import Callable
from typing import Any, Final

from benchmarks.fuzz_world import KEYRING, World
from stream_retrain.codec.seal import unseal
from stream_retrain.engines.trainer import TrainerLimits
from stream_retrain.engines.trainer.rq import queue_name, require_rq
from stream_retrain.engines.trainer.rq_worker import TrainerWork, _job_class, _killed, _train, _worker_class
from stream_retrain.errors import StaleEpochError, StateError, WindowGapError
from stream_retrain.facts.values import Learned
from stream_retrain.stores.ports import REQUESTS_MAX, WindowLimits
from stream_retrain.stores.window import WindowChunk

__all__ = ["READS", "Calls"]

LIMITS: Final = WindowLimits(rows_max=60)
ATTEMPTS: Final = 3
FORK_EVERY: Final = 500


def _appended(world: World, epoch: int, after: int | None = None) -> None:
    """One row more in the window, by the rules of the feed. Raises `StaleEpochError`."""
    offset = world.committed + 10**6
    chunk = WindowChunk.of([Learned(offset, float(offset), {"a": 1.0, "b": 0.5}, True, None)])
    try:
        world.stores.window.append(world.shard, epoch, chunk, LIMITS, after=after)
    except WindowGapError:
        world.stores.window.append(world.shard, epoch, chunk, LIMITS)
    rows = world.stores.window.last(world.shard, 5)
    assert [row.offset for row in rows[-1:]] == [offset], f"the row that was appended is not there: {rows}"


def owned(world: World) -> None:
    """The epoch and the group: whoever claims the shard can write, at the latest with the third claim."""
    for _ in range(ATTEMPTS):
        epoch = world.stores.checkpoints.claim(world.shard)
        try:
            _appended(world, epoch)
        except StaleEpochError:
            continue
        return
    raise AssertionError("who claimed the shard cannot write")


def windowed(world: World) -> None:
    store, shard = world.stores.window, world.shard
    store.span(shard)
    store.last(shard, 50)
    store.last(shard, 20, since_time_s=1.0, through_offset=world.committed - 10)
    store.after(shard, world.committed - 40, 20)
    _appended(world, world.stores.checkpoints.claim(shard), world.committed - 1)


def checkpointed(world: World) -> None:
    store, shard = world.stores.checkpoints, world.shard
    for sealed in store.load(shard):
        with contextlib.suppress(StateError):  # it is passed over for the one before it
            unseal(sealed, KEYRING)
    store.save(shard, store.claim(shard), world.committed, world.sealed)
    assert store.load(shard)[0] == world.sealed


def asked(world: World) -> None:
    store, shard = world.stores.requests, world.shard
    found = store.waiting(shard)
    assert len(found) <= REQUESTS_MAX
    store.drop(shard, found)
    token = store.ask(shard, "why")
    assert [each.token for each in store.waiting(shard)] == [token]


READS: Final[dict[str, Callable[[World], None]]] = {
    "epoch": owned,
    "group": owned,
    "window": windowed,
    "checkpoint": checkpointed,
    "checkpoint_previous": checkpointed,
    "requests": asked,
}


class Calls:
    """The queue of a trainer: RQ's keys, and the trainer's worker in this process; most of its forks are left out."""

    def __init__(self, world: World, url: str) -> None:
        rq = require_rq()
        self._world = world
        work = TrainerWork(pipeline=world.pipeline, redis_url=url, keyring=KEYRING, limits=TrainerLimits())
        self._train = functools.partial(_train, work, 0)
        self._outcomes: collections.Counter[str] = collections.Counter()
        self._killed = functools.partial(_killed, world.stores.jobs, self._outcomes)
        job_class = _job_class(rq, self._train)
        options = {"connection": world.client, "serializer": rq.serializers.JSONSerializer}
        self.queue = rq.Queue(queue_name(world.pipeline), **options)
        self._worker = _worker_class(rq, self._outcomes)([self.queue], job_class=job_class, **options)
        self._fork, self._monitor = self._worker.fork_work_horse, self._worker.monitor_work_horse
        self._worker.fork_work_horse, self._worker.monitor_work_horse = self._in_place_of_a_fork, lambda *_: None
        self._number = 0

    def round(self, mutate: Callable[[str], None]) -> None:
        """Queue a call; change it, or the queue; let the trainer take what it finds until the queue is empty."""
        self._number += 1
        token = f"call-{self._number}"
        self.queue.enqueue_call("any.function", args=[*self._world.shard, token], timeout=60, ttl=60, result_ttl=5, job_id=token)
        mutate(token)
        while (found := self._worker.dequeue_job_and_maintain_ttl(None)) is not None:
            self._worker.execute_job(*found)
        self._world.client.delete(self.queue.key, self.queue.intermediate_queue_key, f"rq:job:{token}")

    def _in_place_of_a_fork(self, call: Any, queue: Any) -> None:
        """What a fork does, and may die of; and what the trainer does when it has died. In every so many calls there is a fork."""
        if self._number % FORK_EVERY == 0:
            self._fork(call, queue)
            self._monitor(call, queue)
            return
        try:
            call.refresh()
            call.func(*call.args, **call.kwargs)
        except Exception:  # noqa: BLE001 - it is that of a fork
            self._killed(call, 0, signal.SIGKILL, None)

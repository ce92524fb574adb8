"""What reads a value in Redis, without the rest of a worker around it: the stores' own reads and guarded writes, and a trainer's end
of its topic.

Each function is given a world whose Redis holds a value that somebody changed. It reads it as the worker or the trainer does, and goes on
as they do after what they catch. It raises what would end them, and AssertionError where they would not get on.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from typing import Final

from benchmarks.fuzz_world import KEYRING, World
from stream_retrain.codec.seal import unseal
from stream_retrain.engines.trainer import InlineTrainer
from stream_retrain.engines.trainer.serve import Served, TicketServer
from stream_retrain.errors import StaleEpochError, StateError, WindowGapError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.values import Learned
from stream_retrain.stores.ports import REQUESTS_MAX, WindowLimits
from stream_retrain.stores.window import WindowChunk

__all__ = ["READS", "Tickets"]

LIMITS: Final = WindowLimits(rows_max=60)
ATTEMPTS: Final = 3


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
    found = store.look(shard).waiting
    assert len(found) <= REQUESTS_MAX
    store.drop(shard, found)
    token = uuid.uuid4().hex
    store.ask(shard, Asked(token=token, reason="why"))
    assert [each.token for each in store.look(shard).waiting] == [token]


READS: Final[dict[str, Callable[[World], None]]] = {
    "epoch": owned,
    "group": owned,
    "window": windowed,
    "checkpoint": checkpointed,
    "checkpoint_previous": checkpointed,
    "requests": asked,
}


class Tickets:
    """A trainer of the pool, in this process, and its end of the topic (a `TicketSource`): what it is given, it receives once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._given: list[bytes] = []
        served = Served(pipeline=world.pipeline, source=self, trainer=lambda: InlineTrainer(world.pipeline, world.stores, KEYRING))
        self._server = TicketServer([served], world.stores.jobs, KEYRING)

    def receive(self, _: float) -> list[bytes]:
        given, self._given = self._given, []
        return given

    def close(self, _: float) -> None:
        pass

    def round(self, change: Callable[[bytes], bytes], genuine_too: bool) -> int:
        """Ask for a training; let the trainer receive what its ticket was changed to, and perhaps the ticket; how many it trained."""
        self._world.trainer.submit(self._world.job())
        [ticket] = self._world.sent
        self._given = [change(ticket), *([ticket] if genuine_too else [])]
        trained = self._server.outcomes["trained"]
        for _ in range(3):
            self._server.turn(0.0)
        self._world.follow()
        return self._server.outcomes["trained"] - trained

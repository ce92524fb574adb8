"""One handler at work: the decisions that wait for it in order, and the attempts at the first of them.

Protocol of use: `add` decisions, and `turn` again and again, which tells what is over. A decision is over when the handler has taken it, or
when the last attempt has failed: then it is to become a dead letter. The next one begins after that, so the order is kept.
"""

from __future__ import annotations

import collections
import dataclasses
import logging
import random
import time
from collections.abc import Callable
from typing import Any, Final

from stream_retrain.core.callbacks import PAUSE_S_MAX, Callbacks, NamedHandler, Webhook
from stream_retrain.engines.callbacks.caller import Caller, Ended
from stream_retrain.engines.callbacks.child import Call, Done, Failed, Hello, InModule
from stream_retrain.engines.callbacks.forker import Forker
from stream_retrain.facts.callbacks import HandlerTold
from stream_retrain.facts.decision import Decision
from stream_retrain.facts.occasions import is_asked_for
from stream_retrain.facts.telling import without_values
from stream_retrain.logs import current_setup, fields_with
from stream_retrain.stores.versions_told import RegistryAccess

__all__ = ["Dead", "Over", "Place", "Runner"]

LOG: Final = logging.getLogger("stream_retrain.callbacks")
GRACE_S: Final = 1.0
"""A webhook's own time limit, which has words for what happened, comes first."""
SECONDS_MAX: Final = 1_000
"""Durations that are kept until they are told."""


@dataclasses.dataclass(slots=True, eq=False)
class Place:
    """A decision and where it stands in the decisions topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    decision: Decision
    left: int = 0
    """Handlers that are not done with it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Dead:
    """Why a decision becomes a dead letter of a handler."""

    error: str
    attempts: int


@dataclasses.dataclass(frozen=True, slots=True)
class Over:
    """A handler is done with a decision; `dead` where it could not take it."""

    place: Place
    handler: str
    dead: Dead | None


class Runner:
    """A handler of a pipeline."""

    def __init__(
        self,
        handler: NamedHandler,
        target: str,
        forker: Forker,
        registry: RegistryAccess | None = None,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`target` is the PIPELINE of the command line; `registry`: where an integration finds versions, None: it is only tried."""
        declared: Any = handler.declared
        self.name = handler.name
        self._on = handler.on
        self._attempts_max: int = declared.attempts_max
        self._pause_s: float = declared.pause_s
        self._clock_s = clock_s
        self._chance = chance
        self._caller = Caller(
            _hello_of(handler, target, registry), declared.timeout_s + GRACE_S * isinstance(declared, Webhook), forker, clock_s
        )
        self._waiting: collections.deque[Place] = collections.deque()
        self._attempts = 0
        self._next_s = 0.0
        self._calls: collections.Counter[str] = collections.Counter()
        self._seconds: list[float] = []
        self._error = ""

    @property
    def waiting(self) -> int:
        """Decisions that it is not done with."""
        return len(self._waiting)

    @property
    def child_pid(self) -> int | None:
        """Its child process, while there is one."""
        return self._caller.child_pid

    def asks_for(self, decision: Decision) -> bool:
        """Whether it is to be called with a decision."""
        return is_asked_for(self._on, decision.kind, decision.data)

    def add(self, place: Place) -> None:
        """Let a decision wait; they are taken in this order."""
        self._waiting.append(place)

    def forget(self, partitions: set[int]) -> None:
        """Forget what waits of partitions that are another process's now; a call that is under way is ended."""
        if self._waiting and self._waiting[0].partition in partitions:
            self._attempts, self._next_s = 0, 0.0
            if self._caller.busy:
                self._caller.close()
        self._waiting = collections.deque(each for each in self._waiting if each.partition not in partitions)

    def turn(self, *, begin: bool = True) -> Over | None:
        """Look at the call under way; begin the next where one is due and `begin` allows it. Raises `CallbackError`."""
        over, ended = None, self._caller.poll()
        if ended is not None:
            over = self._ended(ended)
        if begin and self._waiting and not self._caller.busy and self._clock_s() >= self._next_s:
            first = self._waiting[0]
            self._attempts += 1
            self._caller.submit(Call(first.decision, first.value))
        return over

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._caller.busy

    def told(self) -> HandlerTold:
        """What has happened since it was last asked."""
        counts, self._calls = self._calls, collections.Counter()
        seconds, self._seconds = tuple(self._seconds), []
        return HandlerTold(
            name=self.name,
            called=counts["called"],
            failed=counts["failed"],
            retried=counts["retried"],
            dead=counts["dead"],
            seconds=seconds,
            waiting=len(self._waiting),
            error=self._error,
        )

    def close(self) -> None:
        """End the call under way, and the child."""
        self._caller.close()

    def _ended(self, ended: Ended) -> Over | None:
        self._calls["called"] += 1
        self._calls["retried"] += self._attempts > 1
        if len(self._seconds) < SECONDS_MAX:
            self._seconds.append(ended.seconds)
        match ended.result:
            case Done():
                self._error = ""
                return self._next(None)
            case Failed() as failed:
                return self._failed(failed)

    def _failed(self, failed: Failed) -> Over | None:
        self._calls["failed"] += 1
        self._error = failed.error
        last = not failed.again or self._attempts >= self._attempts_max
        decision, attempts = self._waiting[0].decision, self._attempts
        pause_s = max(failed.after_s, min(PAUSE_S_MAX, self._pause_s * 2.0 ** (attempts - 1)) * (0.5 + self._chance() / 2))
        told = fields_with(
            ("callback.failed", self.name, last), kind="callback.failed", handler=self.name, decision=decision.id, attempts=attempts
        )
        becomes = "it becomes a dead letter" if last else f"again in {pause_s:.1f} s"
        text, words = "%s failed with %s, attempt %d: %s; %s", without_values(failed.error)
        LOG.log(logging.ERROR if last else logging.WARNING, text, self.name, decision.id, attempts, words, becomes, extra=told)
        if last:
            self._calls["dead"] += 1
            return self._next(Dead(failed.error, attempts))
        self._next_s = self._clock_s() + pause_s
        return None

    def _next(self, dead: Dead | None) -> Over:
        self._attempts, self._next_s = 0, 0.0
        return Over(self._waiting.popleft(), self.name, dead)


def _hello_of(handler: NamedHandler, target: str, registry: RegistryAccess | None) -> Hello:
    match handler.declared:
        case Webhook() as webhook:
            return Hello(handler=webhook, log=current_setup())
        case Callbacks(memory_bytes_max=bytes_max):
            return Hello(handler=InModule(target, handler.name), memory_bytes_max=bytes_max, log=current_setup())
        case _:
            return Hello(handler=InModule(target, handler.name), log=current_setup(), registry=registry)

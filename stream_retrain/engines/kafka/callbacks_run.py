"""The loop of `stream-retrain callbacks`: attempts at being a member of the group, and what is told of them; or a range told again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from stream_retrain.core.callbacks import NamedHandler
from stream_retrain.engines.backoff import Backoff
from stream_retrain.engines.callbacks import callbacks_group
from stream_retrain.engines.callbacks.dispatcher import Dispatcher
from stream_retrain.engines.callbacks.forker import Forker
from stream_retrain.engines.callbacks.runner import Runner
from stream_retrain.engines.kafka.callback_letters import CallbackLetters
from stream_retrain.engines.kafka.callbacks import CallbackConsumer
from stream_retrain.engines.kafka.clients import partitions_of, reading
from stream_retrain.engines.kafka.range_reader import read_stretches
from stream_retrain.engines.kafka.range_text import Bound
from stream_retrain.engines.kafka.stretches import find_stretches
from stream_retrain.engines.kafka.topics import output_topic
from stream_retrain.errors import BrokerError
from stream_retrain.facts.callbacks import CallbackFact, CallbacksChanged
from stream_retrain.lane.step import DECISIONS
from stream_retrain.settings import Settings
from stream_retrain.stores.versions_told import RegistryAccess

__all__ = ["CallbackRun"]

WAIT_MAX_S: Final = 5.0
GOT_ON_AFTER_S: Final = 10.0
TELL_EVERY_S: Final = 1.0
STEP_S: Final = 0.05
PARTITION_WAIT_S: Final = 60.0


class _NoPartitionError(BrokerError):
    """Others of the group hold every partition: stop them, or leave it to them."""


class CallbackRun:
    """The handlers of a pipeline; `follow` or `tell_again`, once."""

    def __init__(
        self,
        settings: Settings,
        pipeline: str,
        handlers: Sequence[NamedHandler],
        target: str,
        stop: Callable[[], bool],
        tell: Callable[[CallbackFact], None],
        registry: RegistryAccess | None = None,
    ) -> None:
        self._settings, self._pipeline, self._handlers, self._target = settings, pipeline, handlers, target
        self._stop, self._tell, self._registry = stop, tell, registry
        self._started_s = time.time()
        self._forker = Forker()
        self._tell_at_s = 0.0

    def follow(self, *, once: bool = False) -> None:
        """Make the calls of each decision until `stop()`; `once`: until what is there is done with. Raises `CallbackError`.

        While Kafka is away another attempt is made, after a pause. With `once` it raises `BrokerError` where there is no topic, or where
        other processes of the group hold every partition.
        """
        if once:
            with reading(self._settings, output_topic(self._pipeline, DECISIONS)) as consumer:
                partitions_of(consumer, output_topic(self._pipeline, DECISIONS), self._settings)
        backoff = Backoff(max_s=WAIT_MAX_S)
        while not self._stop():
            began_s = time.monotonic()
            try:
                self._attempt(once)
                break
            except BrokerError as error:
                now_s = time.monotonic()
                if now_s - began_s > GOT_ON_AFTER_S:
                    backoff.reset()
                if once and isinstance(error, _NoPartitionError):
                    raise
                wait_s = backoff.failed(now_s)
                self._tell(CallbacksChanged(state="degraded", detail=f"{error}; trying again in {wait_s:.1f} s"))
                while not backoff.may_try(time.monotonic()) and not self._stop():
                    time.sleep(STEP_S)
        self._tell(CallbacksChanged(state="stopped"))

    def tell_again(self, start: Bound) -> None:
        """Make the calls of what the decisions topic holds from `start` on, as it is now; no group is joined and nothing is committed.

        Raises `BrokerError`, `CallbackError`.
        """
        topic, letters = output_topic(self._pipeline, DECISIONS), CallbackLetters(self._settings, self._pipeline)
        dispatcher = self._dispatcher(letters)
        try:
            with reading(self._settings, topic) as consumer:
                stretches = find_stretches(consumer, topic, partitions_of(consumer, topic, self._settings), start, None)
                for partition, stretch in stretches.items():
                    dispatcher.assign(partition, stretch.first)
                for partition, record in read_stretches(consumer, topic, stretches, self._settings):
                    dispatcher.take(partition, record.offset, record.key, record.value)
                    while dispatcher.full and not self._stop():
                        self._go_on(dispatcher)
                    if self._stop():
                        return
            while not dispatcher.idle and not self._stop():
                self._go_on(dispatcher)
        finally:
            self._tell(dispatcher.told({}))
            dispatcher.close()
            self._forker.close()
            letters.close()

    def _attempt(self, once: bool) -> None:
        letters = CallbackLetters(self._settings, self._pipeline)
        dispatcher = self._dispatcher(letters)
        consumer = CallbackConsumer(self._settings, self._pipeline, dispatcher, self._started_s)
        group = callbacks_group(self._settings.group_of(self._pipeline))
        names = ", ".join(each.name for each in self._handlers)
        self._tell(CallbacksChanged(state="running", detail=f"group {group}: {names}"))
        given_up_s = time.monotonic() + PARTITION_WAIT_S
        try:
            while not self._stop() and not (once and consumer.caught_up and dispatcher.idle):
                consumer.turn()
                if once and not dispatcher.positions() and time.monotonic() > given_up_s:
                    raise _NoPartitionError(f"group {group} has given this process no partition: others have them all, and do the same")
                self._tell_now_and_then(dispatcher, consumer.lag_ends)
        finally:
            deadline_s = time.monotonic() + self._settings.shutdown_timeout_s
            consumer.close(deadline_s, lambda: self._tell(dispatcher.told(consumer.lag_ends)))
            letters.close()
            self._forker.close()

    def _dispatcher(self, letters: CallbackLetters) -> Dispatcher:
        runners = [Runner(each, self._target, self._forker, self._registry) for each in self._handlers]
        return Dispatcher(self._pipeline, runners, letters.bury)

    def _go_on(self, dispatcher: Dispatcher) -> None:
        dispatcher.turn()
        self._tell_now_and_then(dispatcher, {})
        time.sleep(STEP_S)

    def _tell_now_and_then(self, dispatcher: Dispatcher, ends: dict[int, int]) -> None:
        if time.monotonic() >= self._tell_at_s:
            self._tell_at_s = time.monotonic() + TELL_EVERY_S
            self._tell(dispatcher.told(ends))

"""A pipeline inside a Faust app: an agent that hands its source's records over, and a thread in which the worker learns.

The model's work takes a core for as long as there is any, so it is not done in Faust's event loop: the loop goes on with the other agents,
the web server and the rebalances. Faust's own client sends its heartbeats from a thread of its own.

Protocol of use: make it before the app starts; `start` the thread; `stop` it, and look at `error`, when it has ended. Whoever starts the
app sees to it that the thread has ended before the app leaves its group, so that everything is committed until then.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
from aiokafka.errors import InconsistentGroupProtocolError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ProcessingGuarantee

from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.faust.consumer import FaustConsumer
from stream_retrain.engines.faust.handover import Handover
from stream_retrain.engines.kafka.clients import Clients, OnError, consumer_client, producer_client
from stream_retrain.engines.watchdog import Stop
from stream_retrain.errors import SettingsError
from stream_retrain.lane.batch import Record
from stream_retrain.settings import Settings

__all__ = ["Attachment", "BothTurn", "GroupErrors", "Work", "leaves_when_stopped"]

LOG: Final = logging.getLogger("stream_retrain.worker")
REVOKE_TIMEOUT_S: Final = 10.0
"""How long a rebalance waits for the worker's last commit and checkpoint; the worker gives itself less."""
HEARTBEATS_MISSED: Final = 3
"""How many heartbeats a process that was fenced waits before it believes once more that its partitions are its own."""
STEP_S: Final = 0.05
REFUSED_AFTER_S: Final = 1.0
OTHER_ENGINE: Final = "it has members that share partitions by another rule, such as workers of the engine kafka: stop all of those first"
LOOP_SILENT_S: Final = 2.0
PREPARE_TIMEOUT_S: Final = 15.0
"""How long the app's other agents wait for a pipeline whose source topic, Kafka or Redis is not there."""
PREFIX: Final = "stream_retrain."
"""Of the names of our agents."""
Work = Callable[[Clients], None]
"""What the thread does with the clients it is given: learn, until it is told to stop."""


class Attachment:
    """Raises `SettingsError` where the app is one in which a pipeline cannot be exactly once. `told`: set once the thread is to end."""

    def __init__(self, app: Any, pipeline: Pipeline, settings: Settings, told: threading.Event) -> None:
        _check(app, pipeline, settings)
        self._app = app
        self._source = pipeline.source
        self.settings = dataclasses.replace(settings, static_membership=False, group_protocol="classic")
        """The worker's: its own client is no member of the group."""
        self._handover = Handover(settings.poll_records_max * 2)
        self._thread: threading.Thread | None = None
        self._told = told
        self._turned_s = time.monotonic()
        self._begin: Callable[[], Awaitable[None]] = _nothing
        self.wanted = False
        """The worker is there, its source exists, and it waits for partitions."""
        self.error: BaseException | None = None
        reads_committed(app)
        app.agent(self._source_topic(), name=f"{PREFIX}{pipeline.name}")(self._deliver)
        app.on_partitions_assigned.connect(self._on_assigned)
        app.on_partitions_revoked.connect(self._on_revoked)

    def before_subscribing(self, begin: Callable[[], Awaitable[None]]) -> None:
        """Have the app call `begin` before it subscribes: it should `start` the thread."""
        self._begin = begin

    def start(self, work: Work) -> None:
        """Begin to learn, if that is not done yet. Faust's loop may be started before or after."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, args=(work,), name=f"learn {self._source}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell the thread to come to an end; `ended` says when it has."""
        self._told.set()

    @property
    def ended(self) -> bool:
        """Whether the thread has ended, or was never started."""
        return self._thread is None or not self._thread.is_alive()

    async def watch(self, until: Callable[[], bool]) -> None:
        """In Faust's loop: return when the thread has ended, or `until` says so; meanwhile note that the loop turns."""
        while not self.ended and not until():
            self._turned_s = time.monotonic()
            await asyncio.sleep(STEP_S)

    def turning(self, within_s: float) -> bool:
        """Whether Faust's loop has turned lately."""
        return time.monotonic() - self._turned_s < within_s

    def distrust(self) -> None:
        """The worker was fenced: partitions are not taken over again before the group has had time to say whose they are."""
        self._handover.distrust(HEARTBEATS_MISSED * self._app.conf.broker_heartbeat_interval)

    def _source_topic(self) -> faust.Topic:
        """The source, in which Faust waits with its subscription until the worker has made the output topics.

        An agent that subscribes to a topic before it exists gets its records minutes later, or makes the broker make it.
        """
        attachment = self

        class SourceTopic(faust.Topic):
            async def maybe_declare(self) -> None:
                await attachment._begin()
                until_s = time.monotonic() + PREPARE_TIMEOUT_S
                await attachment.watch(until=lambda: attachment.wanted or time.monotonic() >= until_s)

        raw: dict[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
        return SourceTopic(self._app, topics=[self._source], acks=False, internal=True, **raw)

    def _run(self, work: Work) -> None:
        try:
            work(Clients(consumer=self._consumer, producer=self._producer, fences="epoch"))
        except BaseException as error:  # noqa: BLE001 - it is raised where the thread was started
            self.error = error

    def _consumer(self, group: str, instance: str, on_error: OnError) -> FaustConsumer:
        consumer = FaustConsumer(self._handover, consumer_client(self.settings, group, instance, on_error), self._end_of)
        self.wanted = True
        return consumer

    def _producer(self, transactional_id: str, on_error: OnError) -> Any:
        return producer_client(self.settings, transactional_id, on_error)

    def _end_of(self, partition: int) -> int | None:
        """How long Faust's client takes a partition to be; asked from the worker's thread, so it may be not there yet, or not any more."""
        try:
            end: int | None = self._app.consumer.highwater(TP(self._source, partition))
        except Exception:  # noqa: BLE001 - the client raises what it happens to run into
            return None
        return end

    async def _deliver(self, stream: Any) -> None:
        """The agent. Nothing is acknowledged, so Faust commits nothing of this topic; nor is a message kept, for which Faust would wait."""
        async for event in stream.noack().events():
            message = event.message
            record = Record(message.offset, message.key, message.value, _milliseconds(message.timestamp), tuple(message.headers or ()))
            partition = message.partition
            del event, message
            await self._handover.put(partition, record)

    async def _on_assigned(self, _: Any, assigned: set[TP], **__: Any) -> None:
        if self._source in self._app.topics.acking_topics:
            raise SettingsError(
                f"another agent of this Faust app acknowledges {self._source!r}, so Faust commits its offsets, which are this pipeline's:"
                " read it there with stream.noack() from app.topic(..., acks=False), or in an app of its own"
            )
        self._handover.assign(each.partition for each in assigned if each.topic == self._source)

    async def _on_revoked(self, _: Any, revoked: set[TP], **__: Any) -> None:
        partitions = [each.partition for each in revoked if each.topic == self._source]
        if not await self._handover.revoke(partitions, REVOKE_TIMEOUT_S + 1.0):
            LOG.warning("%s: partitions %s went before their last commit; whoever has them now learns the rest", self._source, partitions)


class BothTurn:
    """The watchdog of a worker beside Faust's loop: it is told that the worker has turned while the loop turns, too."""

    def __init__(self, watchdog: Stop, attachment: Attachment) -> None:
        self._watchdog = watchdog
        self._attachment = attachment

    def __call__(self) -> bool:
        return self._watchdog() if self._attachment.turning(LOOP_SILENT_S) else self._watchdog.deadline_s() < math.inf

    def deadline_s(self) -> float:
        """As the watchdog says."""
        return self._watchdog.deadline_s()

    def remaining_s(self) -> float:
        """As the watchdog says."""
        return self._watchdog.remaining_s()


def reads_committed(app: Any) -> None:
    """Let the app's consumer read committed records only: Faust does so under `exactly_once` alone, and gives it no setting."""
    app.transport.Consumer = _CommittedConsumer


def leaves_when_stopped(app: Any) -> None:
    """Let a static member that is told to stop leave its group, as the worker's own consumer does: its partitions would wait a session."""
    if app._consumer is not None and app._consumer._thread._consumer is not None:
        app._consumer._thread._consumer._coordinator._group_instance_id = None


class GroupErrors:
    """What the group refuses Faust's client. The client keeps such an error for who polls next, and Faust does not without partitions."""

    def __init__(self, app: Any, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._clock_s = clock_s
        self._since_s = math.inf
        self.why = ""

    def refused(self) -> bool:
        """Whether an error has waited that nobody took; `why` says which."""
        client = getattr(getattr(self._app._consumer, "_thread", None), "_consumer", None)
        error = getattr(getattr(client, "_coordinator", None), "_pending_exception", None)
        self._since_s = math.inf if error is None else min(self._since_s, self._clock_s())
        if self._clock_s() - self._since_s >= REFUSED_AFTER_S:
            self.why = OTHER_ENGINE if isinstance(error, InconsistentGroupProtocolError) else repr(error)
        return bool(self.why)


class _CommittedThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        return consumer


class _CommittedConsumer(driver.Consumer):
    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        return _CommittedThread(self, loop=self.loop, beacon=self.beacon)


async def _nothing() -> None:
    """Where the thread was started before the app."""


def _milliseconds(timestamp_s: float | None) -> int:
    return -1 if timestamp_s is None else round(timestamp_s * 1000)


def _check(app: Any, pipeline: Pipeline, settings: Settings) -> None:
    if not isinstance(app, faust.App):
        raise SettingsError(f"a pipeline is attached to a faust.App, and this is a {type(app).__name__}")
    if app.started or app._consumer is not None:
        raise SettingsError(f"Faust app {app.conf.id!r} has been started: attach pipelines before that")
    if str(app.conf.processing_guarantee) != str(ProcessingGuarantee.AT_LEAST_ONCE):
        raise SettingsError(
            "Faust's exactly_once sends an output and the offset it came from in two transactions, and takes all topics of the app into"
            " them: leave processing_guarantee as it is (at_least_once); a pipeline is exactly once by transactions of its own"
        )
    if not issubclass(app.transport.Consumer, driver.Consumer):
        raise SettingsError("the app's broker must be a kafka:// or aiokafka:// URL: Faust's confluent driver has no rebalances to rely on")
    if any(pipeline.source in agent.channel.topics for agent in app.agents.values() if agent.name.startswith(PREFIX)):
        raise SettingsError(
            f"another pipeline of Faust app {app.conf.id!r} reads {pipeline.source!r}, and both would commit its offsets: attach this one"
            " to another app"
        )
    if settings.group_of(pipeline.name) != app.conf.id:
        raise SettingsError(
            f"setting group is {settings.group_of(pipeline.name)!r}, and the Faust app's id is {app.conf.id!r}: leave it out"
        )

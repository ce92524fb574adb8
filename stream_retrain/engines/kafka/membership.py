"""How a worker becomes a member of its group, and how it stops being one so that the others have its partitions at once.

Closing a consumer is not enough for a static member, under either protocol of the group: the client says nothing to the coordinator (or
only that it will be back), so that a restart moves nothing, and the partitions wait until the session has timed out. That is right
for a worker that was killed, and wrong for one that was told to stop. So a worker that was told to stop leaves before it closes:

- classic protocol: it unsubscribes. The client then gives its partitions up, and sends a LeaveGroup, which it does not send once `close`
  was called. While a rebalance lasts the client puts that off; it has left when it has no member id any more;
- consumer protocol (KIP-848): unsubscribing means "back soon" there, and the coordinator keeps the partitions for the member. So it
  subscribes to a pattern that no topic's name matches. The coordinator takes everything away from it, and learns with the next heartbeat,
  which the client sends at once, that it has given everything up. Its name stays in the group, with nothing, until the session times out.

A worker that comes back under its name is a new member like any other, in both cases.

One that was killed and comes back under its name takes its own place under the classic protocol: the coordinator gives it what it had.
Under the consumer protocol it is refused until the session of the former one has timed out, which the coordinator decides (45 s). So it
frees its name (`free_instance`): a consumer of the classic protocol may take the place over, which then leaves. It joins again, and
the partitions that were its own are free; a member that did not die keeps what it has.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_retrain.engines.kafka.clients import ConsumerClient, broker_error, consumer_client
from stream_retrain.errors import BrokerError, FencedError, InstanceHeldError
from stream_retrain.settings import Settings

__all__ = ["Callbacks", "Membership", "consumer_failed", "free_instance"]

LOG: Final = logging.getLogger("stream_retrain.worker")
FENCED_ERRORS: Final = frozenset({KafkaError._FATAL, KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID})
HELD: Final = KafkaError(KafkaError.UNRELEASED_INSTANCE_ID).str()
FENCED_NAME: Final = KafkaError(KafkaError.FENCED_INSTANCE_ID).str()
"""What the client says then; the code of the error says only that it is fatal."""
NOT_OF_THIS_PROTOCOL: Final = (KafkaError(KafkaError.GROUP_ID_NOT_FOUND).str(), KafkaError(KafkaError.INCONSISTENT_GROUP_PROTOCOL).str())
"""The first is what a member of the consumer protocol is told of a group whose members are of the classic one."""
FREE_TIMEOUT_S: Final = 10.0

LEAVE_TIMEOUT_S: Final = 2.0
TOLD_WITHIN_S: Final = 0.2
"""How long the client is given to send the heartbeat that says that it has nothing left: nothing tells that it was sent."""
STEP_S: Final = 0.02
NO_TOPIC: Final = "^$"
"""A pattern that only an empty name would match."""
OnPlaces = Callable[[Any, list[TopicPartition]], None]


class Callbacks(NamedTuple):
    """What a consumer calls, from within `consume` and `close`, when partitions come and go."""

    on_assign: OnPlaces
    on_revoke: OnPlaces
    on_lost: OnPlaces


class Membership:
    """Protocol of use: `join`, and `leave` for good; whoever only lets go for a while, to try again, just closes the consumer."""

    def __init__(
        self, consumer: ConsumerClient, topic: str, callbacks: Callbacks, settings: Settings, clock_s: Callable[[], float]
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._callbacks = callbacks
        self._clock_s = clock_s
        self._static = settings.static_membership
        self._protocol = settings.group_protocol

    def join(self) -> None:
        """Ask for partitions; they come with the callbacks."""
        self._consumer.subscribe([self._topic], **self._callbacks._asdict())

    def leave(self, deadline_s: float) -> None:
        """Give the partitions up and tell the group, while there is time; what cannot be told it learns when the session times out.

        A member that is not static leaves when its consumer is closed.
        """
        if not self._static:
            return
        until_s = min(self._clock_s() + LEAVE_TIMEOUT_S, deadline_s)
        try:
            if self._protocol == "classic":
                self._consumer.unsubscribe()
                self._serve_until(lambda: not self._consumer.memberid(), until_s)
            else:
                self._consumer.subscribe([NO_TOPIC], **self._callbacks._asdict())
                self._serve_until(lambda: not self._consumer.assignment(), until_s)
                until_s = min(self._clock_s() + TOLD_WITHIN_S, until_s)
                self._serve_until(lambda: False, until_s)
        except KafkaException:
            pass  # Kafka is away: nobody can be told

    def _serve_until(self, holds: Callable[[], bool], until_s: float) -> None:
        """Callbacks run; records that still come are dropped, for their offsets are not committed."""
        while not holds() and self._clock_s() < until_s:
            self._consumer.consume(1, STEP_S)


def consumer_failed(doing: str, error: KafkaError, settings: Settings) -> BrokerError:
    """What to raise for an error of the consumer; a fatal one says that another has this worker's place, or is still thought to have it."""
    failed, said = str(broker_error(doing, error, settings)), error.str()
    if HELD in said:
        return InstanceHeldError(failed)
    if any(each in said for each in NOT_OF_THIS_PROTOCOL):
        return BrokerError(
            f"{failed}. The group has members that share partitions in another way: workers with another group_protocol (here it is"
            f" {settings.group_protocol}) or of another engine. Stop all of those first"
        )
    if FENCED_NAME in said:
        failed += ". Another process has this worker's name: give each worker its own (STREAM_RETRAIN_INSTANCE)"
    return FencedError(failed) if error.code() in FENCED_ERRORS or error.fatal() else BrokerError(failed)


def free_instance(settings: Settings, group: str, instance: str, topic: str) -> None:
    """Remove the member that has this name, and has died, from a group of the consumer protocol; what fails is tried again by the next.

    If it has not died, it is fenced: its next transaction is refused, and it joins again as this one does.
    """
    taken = threading.Event()
    classic = dataclasses.replace(settings, group_protocol="classic", static_membership=True)
    consumer = consumer_client(classic, group, instance, lambda _: None)
    callbacks = Callbacks(lambda *_: taken.set(), lambda *_: None, lambda *_: None)
    until_s = time.monotonic() + FREE_TIMEOUT_S
    try:
        consumer.subscribe([topic], **callbacks._asdict())
        while not taken.is_set() and time.monotonic() < until_s:
            consumer.poll(STEP_S)
        if taken.is_set():
            LOG.warning("the group still had a member named %s, which was not told to stop: its place is taken", instance)
        Membership(consumer, topic, callbacks, classic, time.monotonic).leave(until_s)
    except KafkaException as error:
        LOG.warning("the place of the member named %s could not be taken: %s", instance, error)
    finally:
        consumer.close()

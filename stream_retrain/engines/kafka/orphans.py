"""Partitions that no member of the group has, though it is stable: found, and given out again.

Under cooperative assignment a partition moves in two rebalances: its owner gives it up in the first, another gets it in the second,
which the owner asks for. A static member that starts again in between is given what the first had left it, and asks for nothing: the
partition is nobody's, until something else makes the group rebalance. A member killed at the wrong moment is enough.

So a worker that has joined looks at the group a few times, without waiting for the answer. Where a partition is nobody's twice in a
row, it makes the group rebalance: a consumer without an instance joins, and leaves again. It looks no longer than that: librdkafka was
seen to end its process (an assertion) where a broker died while such a request was under way.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.engines.kafka.topics import SourceTopic
from stream_retrain.settings import Settings

__all__ = ["Orphans", "orphans_in"]

LOG: Final = logging.getLogger("stream_retrain.worker")
LOOK_EVERY_S: Final = 4.0
LOOKS_MAX: Final = 6
ASK_TIMEOUT_S: Final = 5.0
JOIN_TIMEOUT_S: Final = 20.0


class Orphans:
    """Protocol of use: one for each time the group is joined; `look` once a turn."""

    def __init__(self, admin: AdminClient, settings: Settings, group: str, topic: str, source: SourceTopic) -> None:
        self._admin = admin
        self._settings = settings
        self._group = group
        self._topic = topic
        self._source = source
        self._asked: Future[Any] | None = None
        self._next_s: float | None = None
        self._looks = LOOKS_MAX if settings.static_membership else 0
        self._before: frozenset[int] = frozenset()
        self._nudge: threading.Thread | None = None

    def look(self, now_s: float) -> None:
        """Ask, or see to what was answered; returns at once."""
        if self._asked is None:
            if self._next_s is None:
                self._next_s = now_s + LOOK_EVERY_S
            if self._looks and now_s >= self._next_s:
                self._looks -= 1
                self._next_s = now_s + LOOK_EVERY_S
                asked: Future[Any] = self._admin.describe_consumer_groups([self._group], request_timeout=ASK_TIMEOUT_S)[self._group]
                self._asked = asked
            return
        if not self._asked.done():
            return
        asked, self._asked = self._asked, None
        if asked.exception() is not None:
            self._before = frozenset()
            return
        found = orphans_in(asked.result(), self._topic, self._source.partitions)
        lasting, self._before = found & self._before, found
        if lasting:
            self._before, self._looks = frozenset(), LOOKS_MAX
            self._give_out(sorted(lasting))

    def _give_out(self, partitions: list[int]) -> None:
        if self._nudge is not None and self._nudge.is_alive():
            return
        LOG.warning("partitions %s are nobody's, though the group is stable: it is made to rebalance", partitions)
        self._nudge = threading.Thread(target=self._join_and_leave, name="rebalance", daemon=True)
        self._nudge.start()

    def _join_and_leave(self) -> None:
        consumer = Consumer(
            {
                **base_config(self._settings),
                "group.id": self._group,
                "session.timeout.ms": self._settings.session_timeout_ms,
                "enable.auto.commit": False,
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )
        joined = threading.Event()
        try:
            consumer.subscribe([self._topic], on_assign=lambda *_: joined.set())
            until_s = time.monotonic() + JOIN_TIMEOUT_S
            while not joined.is_set() and time.monotonic() < until_s:
                consumer.poll(0.1)
        except KafkaException as error:
            LOG.warning("the group could not be made to rebalance: %s", error)
        finally:
            consumer.close()


def orphans_in(group: Any, topic: str, partitions: int) -> frozenset[int]:
    """The partitions of the topic that no member has, as the coordinator describes the group; none while it rebalances."""
    if group.state != ConsumerGroupState.STABLE or not group.members:
        return frozenset()
    owned = {place.partition for member in group.members for place in member.assignment.topic_partitions if place.topic == topic}
    return frozenset(range(partitions)) - owned

"""Partitions that no member of the group has, though it is stable: found, and given out again.

Two things leave a partition without an owner, both because a static member that starts again is given what it had, and the group does
not rebalance for it:

- under cooperative assignment a partition moves in two rebalances: its owner gives it up in the first, another gets it in the second,
  which the owner asks for. A member that starts again in between is given what the first had left it, and asks for nothing;
- a partition was added to the topic, and the group's leader starts again before it has noticed: it knows the new one from its start
  on, so that nothing changes for it; and what the others ask for does not count.

So each worker looks at the group: a few times soon after it has joined, now and then later. Where a partition is nobody's twice in a
row, it waits a moment, so that not all workers do the same at the same time, looks once more, and makes the group rebalance: a consumer
without an instance joins, and leaves again.

Under the consumer protocol (KIP-848) the broker assigns partitions, and neither of the two can happen. Such a group is only looked at, for
the sake of whoever watches: a partition is nobody's there that no worker told the store that it has, twice in a row.

All of that is done in a thread of its own. A classic group is asked for by `list_groups`, which waits for the answer, and not by
`describe_consumer_groups`: of the requests that go to a coordinator, librdkafka (2.16) gives one up twice if it timed out before the
coordinator was found, and an assertion ends the process as soon as a broker is back.
"""

from __future__ import annotations

import logging
import random
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.admin import AdminClient

from stream_retrain.engines.kafka.clients import base_config
from stream_retrain.errors import StoreError
from stream_retrain.facts.worker import GroupSeen, Tell
from stream_retrain.settings import Settings
from stream_retrain.stores.ports import WorkerStore

__all__ = ["Orphans", "assigned_places", "orphans_in"]

LOG: Final = logging.getLogger("stream_retrain.worker")
SOON_S: Final = 4.0
SOON_LOOKS: Final = 6
"""Those that came to nothing do not count."""
LATER_S: Final = 30.0
JITTER_S: Final = 3.0
ASK_TIMEOUT_S: Final = 5.0
JOIN_TIMEOUT_S: Final = 20.0
STABLE: Final = "Stable"


class Orphans:
    """Protocol of use: one for each time the group is joined; `look` once a turn, which also tells what the last look saw."""

    def __init__(
        self,
        admin: AdminClient,
        settings: Settings,
        group: str,
        topic: str,
        tell: Tell = lambda _: None,
        workers: WorkerStore | None = None,
    ) -> None:
        self._admin = admin
        self._workers = workers
        self._classic = settings.group_protocol == "classic"
        self._settings = settings
        self._group = group
        self._topic = topic
        self._next_s: float | None = None
        self._soon = SOON_LOOKS
        self._before: frozenset[int] = frozenset()
        self._thread: threading.Thread | None = None
        self._tell = tell
        self._partitions = 0
        self._seen: GroupSeen | None = None
        """What was seen and not told yet: facts are told by the loop's own thread."""
        self.others_have_all = False
        """Under the consumer protocol, in the last look. A classic member is told so by the group itself, a member of this kind never."""

    def look(self, now_s: float) -> None:
        """Begin to look, where that is due; returns at once."""
        seen, self._seen = self._seen, None
        if seen is not None:
            self._tell(seen)
        if self._thread is not None and self._thread.is_alive():
            return
        if self._next_s is None:
            self._next_s = now_s + SOON_S
        if now_s >= self._next_s:
            self._next_s = now_s + (SOON_S if self._soon or self._before else LATER_S)
            self._thread = threading.Thread(target=self.look_now, name="orphans", daemon=True)
            self._thread.start()

    def look_now(self) -> None:
        """One look; it lasts as long as Kafka takes to answer, and longer where something has to be done."""
        if (found := self.found()) is None:
            return
        self._soon = max(0, self._soon - 1)
        lasting, self._before = found & self._before, found
        self.others_have_all = not self._classic and not found
        self._seen = GroupSeen(partitions=self._partitions, unowned=len(found if self._classic else lasting))
        if not lasting or not self._classic or not self._settings.static_membership:
            return
        time.sleep(random.uniform(0.0, JITTER_S))
        if lasting := lasting & (self.found() or frozenset()):
            LOG.warning("partitions %s are nobody's, though the group is stable: it is made to rebalance", sorted(lasting))
            self._before, self._soon = frozenset(), SOON_LOOKS
            self._join_and_leave()

    def found(self) -> frozenset[int] | None:
        """The partitions that are nobody's now; None where Kafka does not say."""
        try:
            topic = self._admin.list_topics(self._topic, ASK_TIMEOUT_S).topics[self._topic]
            if topic.error is not None:
                return None
            self._partitions = len(topic.partitions)
            if not self._classic:
                return self._untold(topic.partitions)
            groups = self._admin.list_groups(self._group, ASK_TIMEOUT_S)
        except (KafkaException, StoreError):
            return None
        group = next((each for each in groups if each.id == self._group and each.error is None), None)
        return None if group is None else orphans_in(group, self._topic, topic.partitions)

    def _untold(self, partitions: Iterable[int]) -> frozenset[int] | None:
        """The partitions that no worker has told the store that it has."""
        if self._workers is None:
            return None
        told = {shard.partition for each in self._workers.all(self._group) for shard in each.status.shards}
        return frozenset(partitions) - told

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


def orphans_in(group: Any, topic: str, partitions: Iterable[int]) -> frozenset[int]:
    """The partitions of the topic that no member has, as the coordinator describes the group; none while it rebalances."""
    if group.state != STABLE or not group.members:
        return frozenset()
    owned = {number for member in group.members for name, number in assigned_places(member.assignment or b"") if name == topic}
    return frozenset(partitions) - owned


def assigned_places(assignment: bytes) -> Iterator[tuple[str, int]]:
    """Topic and partition of each place in a member's assignment, as the consumer protocol writes it; an empty one has none."""
    if not assignment:
        return
    at = 2  # the version
    for _ in range(_int(assignment, at)):
        name_ends = at + 6 + struct.unpack_from(">h", assignment, at + 4)[0]
        name, count = assignment[at + 6 : name_ends].decode(), _int(assignment, name_ends)
        for number in range(count):
            yield name, _int(assignment, name_ends + 4 * (number + 1))
        at = name_ends + 4 * count


def _int(given: bytes, at: int) -> int:
    number: int = struct.unpack_from(">i", given, at)[0]
    return number

"""Partitions that no member has: recognised in what the coordinator answers, and given out again."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from confluent_kafka import Consumer
from confluent_kafka.cimpl import NewPartitions

from stream_retrain.engines.kafka.orphans import Orphans, assigned_places, orphans_in
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.facts.worker import GroupSeen, WorkerFact
from stream_retrain.local import LocalStack
from stream_retrain.settings import load_settings
from stream_retrain.stores import connect
from stream_retrain.stores.worker_status import status_of
from tests.engines.live import Place, has, shard_of
from tests.views.made import MadeWorker

# Asks for the group while the broker is away, with a time to wait that ends before the broker is back, and once more when it is.
ASKS = """
import sys
from confluent_kafka.admin import AdminClient
from stream_retrain.engines.kafka import orphans
from stream_retrain.settings import load_settings

orphans.ASK_TIMEOUT_S = 0.5
settings = load_settings(None, {}, {"kafka_bootstrap_servers": sys.argv[1]})
looking = orphans.Orphans(AdminClient({"bootstrap.servers": sys.argv[1], "log_level": 0}), settings, "group", "events")
for line in sys.stdin:
    print(looking.found(), flush=True)
"""


def encoded(*places: tuple[str, list[int]]) -> bytes:
    """A member's assignment, as the consumer protocol writes it."""
    topics = [struct.pack(">h", len(name)) + name.encode() + struct.pack(f">i{len(of)}i", len(of), *of) for name, of in places]
    return struct.pack(">hi", 0, len(places)) + b"".join(topics) + struct.pack(">i", 0)


@pytest.mark.parametrize(
    ("assignment", "places"),
    [
        (b"", []),
        (encoded(), []),
        (encoded(("t", [])), []),
        (encoded(("t", [0, 7])), [("t", 0), ("t", 7)]),
        (encoded(("other", [1]), ("t", [2, 3])), [("other", 1), ("t", 2), ("t", 3)]),
    ],
)
def test_the_places_of_a_member_are_read_from_its_assignment(assignment: bytes, places: list[tuple[str, int]]) -> None:
    assert list(assigned_places(assignment)) == places


@pytest.mark.parametrize(
    ("state", "owned", "orphans"),
    [
        ("Stable", [[0, 1], [2]], set()),
        ("Stable", [[1], []], {0, 2}),
        ("PreparingRebalance", [[1], []], set()),
        ("Stable", [], set()),
    ],
)
def test_a_partition_is_an_orphan_in_a_stable_group_only(state: str, owned: list[list[int]], orphans: set[int]) -> None:
    members = [SimpleNamespace(assignment=encoded(("t", numbers), ("other", [0, 2]))) for numbers in owned]
    assert orphans_in(SimpleNamespace(state=state, members=members), "t", range(3)) == orphans


class Group:
    """An admin client that is answered with a group of one member."""

    def __init__(self, *owned: int) -> None:
        self.owned = list(owned)

    def list_groups(self, group: str, _: float) -> list[Any]:
        member = SimpleNamespace(assignment=encoded(("t", self.owned)))
        return [SimpleNamespace(id=group, error=None, state="Stable", members=[member])]

    def list_topics(self, topic: str, _: float) -> Any:
        return SimpleNamespace(topics={topic: SimpleNamespace(error=None, partitions=range(3))})


def test_what_was_seen_is_told_by_the_next_turn_and_once() -> None:
    """Also where members are not static, and nothing is done about it."""
    told: list[WorkerFact] = []
    group: Any = Group(0)
    looking = Orphans(group, load_settings(None, {}, {"static_membership": False}), "group", "t", told.append)
    looking.look(0.0)
    assert told == [], "nobody has looked"
    looking.look_now()
    group.owned = [0, 1, 2]
    looking.look_now()
    looking.look(0.1)
    looking.look(0.2)
    assert told == [GroupSeen(partitions=3, unowned=0)], "the last look"


def test_a_group_that_the_broker_assigns_is_only_looked_at_by_what_its_workers_tell() -> None:
    """The old request says nothing of such a group. One look may fall into a move; what two looks see is told, and nothing is done."""
    told: list[WorkerFact] = []
    stores, group = connect("memory://"), Group()
    group.list_groups = None  # type: ignore[assignment,method-assign]
    worker = MadeWorker(2)  # of partitions 0 and 1
    worker.run(10)
    stores.workers.tell("group", status_of(worker.status.snapshot(), ""))
    settings, admin = load_settings(None, {}, {"group_protocol": "consumer"}), cast(Any, group)
    looking = Orphans(admin, settings, "group", "t", told.append, stores.workers)
    for now_s in (0.0, 0.1):
        looking.look_now()
        looking.look(now_s)
    assert told == [GroupSeen(partitions=3, unowned=0), GroupSeen(partitions=3, unowned=1)]
    assert looking.found() == {2}
    assert not looking.others_have_all
    assert Orphans(admin, settings, "group", "t").found() is None, "nobody can tell"
    third = MadeWorker(1, first=2)
    third.run(10)
    stores.workers.tell("group", status_of(third.status.snapshot(), ""))
    looking.look_now()
    assert looking.others_have_all


@pytest.mark.services
def test_a_partition_added_while_the_only_static_member_is_away_is_given_out(place: Place) -> None:
    """The member is given what it had, the group does not rebalance for it, and nothing changes for a leader that knew it all along."""
    with place.worker(static_membership=True, instance="one", session_timeout_ms=40_000) as before:
        place.send(10)
        before.wait_for(has(before, 10))
        before.stop(signal.SIGKILL)  # one that is told to stop leaves its group, and comes back as a new member
    place.admin.create_partitions([NewPartitions(place.source, 2)])[place.source].result()
    place.send(20, partition=1)
    with place.worker(static_membership=True, instance="one", session_timeout_ms=40_000) as after:
        after.wait_for(lambda: shard_of(after) != {})
        after.wait_for(lambda: "[1] are nobody's" in after.log, 30)
        after.wait_for(has(after, 20, 1), 30)
        after.stop()


@pytest.mark.services
def test_whoever_asks_while_the_broker_dies_lives_and_is_answered_again() -> None:
    """`describe_consumer_groups` would end the process here, by an assertion, as soon as the broker is back."""
    with LocalStack.start() as stack:
        create_topic(load_settings(None, {}, {"kafka_bootstrap_servers": stack.bootstrap_servers}), "events", 3, {})
        member: Any = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "group", "log_level": 0})
        member.subscribe(["events"])
        [broker] = stack.kafka.brokers
        command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", ASKS, stack.bootstrap_servers]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
            try:
                assert answers_in(asking, member, "frozenset()")
                broker.kill()
                assert [answer(asking) for _ in range(3)] == ["None"] * 3
                broker.start()
                assert answers_in(asking, member, "frozenset()")
                assert asking.poll() is None
            finally:
                asking.kill()
                member.close()


def answer(asking: Any) -> str:
    asking.stdin.write("look\n")
    asking.stdin.flush()
    said: str = asking.stdout.readline().strip()
    return said


def answers_in(asking: Any, member: Any, wanted: str) -> bool:
    """Whether it says so within 30 s, while the member goes on."""
    until_s = time.monotonic() + 30
    while answer(asking) != wanted:
        if time.monotonic() > until_s:
            return False
        member.poll(0.2)
    return True

"""How a worker leaves its group and comes back to it, by what a real Kafka does then; and by what the client is told to do."""

from __future__ import annotations

import collections
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_retrain.engines.kafka.clients import consumer_client, protocol_config
from stream_retrain.engines.kafka.membership import LEAVE_TIMEOUT_S, Callbacks, Membership, consumer_failed, free_instance
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.errors import BrokerError, FencedError, InstanceHeldError
from stream_retrain.settings import Settings, load_settings
from tests.conftest import Services
from tests.engines.live import Place
from tests.engines.support import Worker
from tests.equivalence.harness import opened_by

PARTITIONS = 4
SESSION_TIMEOUT_S = 45.0
SOON_S = 15.0
"""Far below the session timeout, and generous for a busy machine."""
PROTOCOLS = pytest.mark.parametrize("protocol", ["classic", "consumer"])


def settings_of(services: Services, protocol: str) -> Settings:
    return load_settings(None, {}, {"kafka_bootstrap_servers": services.bootstrap_servers, "group_protocol": protocol})


class Member:
    """A static member that takes what it is given."""

    def __init__(self, settings: Settings, group: str, name: str, topic: str) -> None:
        self.client = consumer_client(settings, group, name, lambda _: None)
        self.owned: set[int] = set()
        self.ever: list[int] = []
        self.membership = Membership(self.client, topic, Callbacks(self._come, self._go, self._go), settings, time.monotonic)
        self.membership.join()

    def _come(self, client: Any, places: list[TopicPartition]) -> None:
        self.owned.update(place.partition for place in places)
        self.ever += [place.partition for place in places]
        client.incremental_assign([TopicPartition(place.topic, place.partition, 0) for place in places])

    def _go(self, client: Any, places: list[TopicPartition]) -> None:
        self.owned.difference_update(place.partition for place in places)
        client.incremental_unassign(places)

    def errors(self) -> list[KafkaError]:
        found = [error for each in self.client.consume(100, 0.05) if (error := each.error()) is not None]
        return [error for error in found if error.code() != KafkaError._PARTITION_EOF]


def seconds_until(holds: Callable[[], bool], *members: Member, limit_s: float = 30.0) -> float:
    began_s = time.monotonic()
    while not holds():
        assert time.monotonic() - began_s < limit_s
        for member in members:
            assert member.errors() == []
    return time.monotonic() - began_s


@pytest.fixture
def topic(services: Services) -> str:
    name = services.name("members")
    create_topic(settings_of(services, "classic"), name, PARTITIONS, {})
    return name


@PROTOCOLS
@pytest.mark.services
@pytest.mark.slow
def test_who_leaves_hands_over_at_once_and_comes_back_as_a_new_member(services: Services, topic: str, protocol: str) -> None:
    settings, group = settings_of(services, protocol), services.name("group")
    first, second = Member(settings, group, "one", topic), Member(settings, group, "two", topic)
    seconds_until(lambda: len(first.owned) == len(second.owned) == 2, first, second)
    kept = set(first.owned)
    began_s = time.monotonic()
    second.membership.leave(time.monotonic() + 10)
    assert time.monotonic() - began_s < LEAVE_TIMEOUT_S + 0.5
    assert second.owned == set(), "what it had was revoked, so that it could commit"
    second.client.close()
    assert seconds_until(lambda: len(first.owned) == PARTITIONS, first) < SOON_S
    again = Member(settings, group, "two", topic)
    assert seconds_until(lambda: len(again.owned) == 2, first, again) < SOON_S
    assert sorted(each for each in first.ever if each in kept) == sorted(kept), "what stayed was never given anew"
    for member in (first, again):
        member.client.close()


@PROTOCOLS
@pytest.mark.services
def test_a_member_without_partitions_leaves_too(services: Services, topic: str, protocol: str) -> None:
    settings, group = settings_of(services, protocol), services.name("group")
    members = [Member(settings, group, f"m{number}", topic) for number in range(PARTITIONS + 1)]
    seconds_until(lambda: sum(len(member.owned) == 1 for member in members) == PARTITIONS, *members)
    spare = next(member for member in members if not member.owned)
    spare.membership.leave(time.monotonic() + 10)
    assert spare.owned == set()
    for member in members:
        member.client.close()


@pytest.mark.services
@pytest.mark.slow
def test_a_name_that_a_dead_member_left_is_freed(services: Services, topic: str) -> None:
    """Under the consumer protocol; who takes the place has the same partitions, and the others keep theirs."""
    settings, group = settings_of(services, "consumer"), services.name("group")
    first, dead = Member(settings, group, "one", topic), Member(settings, group, "two", topic)
    seconds_until(lambda: len(first.owned) == len(dead.owned) == 2, first, dead)
    kept = set(first.owned)
    held = Member(settings, group, "two", topic)  # the other one is polled no more: as if it had been killed
    errors: list[KafkaError] = []
    seconds_until(lambda: bool(errors) or bool(errors.extend(held.errors())), first)
    assert isinstance(consumer_failed("polling", errors[0], settings), InstanceHeldError)
    held.client.close()
    free_instance(settings, group, "two", topic)
    again = Member(settings, group, "two", topic)
    assert seconds_until(lambda: len(again.owned) == 2, first, again) < SOON_S
    assert first.owned == kept
    for member in (first, again, dead):
        member.client.close()


@pytest.mark.services
@pytest.mark.slow
def test_a_worker_that_is_killed_goes_on_under_its_name_and_one_that_is_told_to_stop_hands_over(services: Services, tmp_path: Path) -> None:
    """Under the consumer protocol, far within the session timeout; the shard that the other has is not opened again.

    Under the classic one workers are killed at every step in `tests/exactly_once`, and told to stop in `tests/equivalence`.
    """
    place = Place(services, tmp_path, partitions=2)
    how = {"static_membership": True, "group_protocol": "consumer", "session_timeout_ms": int(SESSION_TIMEOUT_S * 1000)}

    def feed(*workers: Worker, numbers: int = 20) -> None:
        for partition in range(2):
            place.send(numbers, partition)
        total = {number: count + numbers for number, count in before.items()}
        before.update(total)
        workers[0].wait_for(lambda: place.answered() == total, seconds=SOON_S + 10)

    before = {0: 0, 1: 0}
    with place.worker(instance="one", **how) as one:
        one.wait_for(lambda: len(one.status()["shards"]) == 2)
        with place.worker(instance="two", **how) as killed:
            killed.wait_for(lambda: len(killed.status()["shards"]) == len(one.status()["shards"]) == 1)
            feed(one, killed)
            killed.process.send_signal(signal.SIGKILL)
            killed.process.wait(10)
        with place.worker(instance="two", **how) as two:
            two.wait_for(lambda: len(two.status()["shards"]) == 1, seconds=SOON_S + 10)
            feed(one, two)
            assert "was not told to stop" in two.log
            told_s = time.monotonic()
            two.stop()
            assert two.process.returncode == 0, two.log
            one.wait_for(lambda: len(one.status()["shards"]) == 2, seconds=SOON_S)
            assert time.monotonic() - told_s < SOON_S
        feed(one)
        opened = collections.Counter(opened_by(one))
        assert min(opened.values()) == 1, "the shard that it had all the time was not opened again"
        assert max(opened.values()) <= 3, "the other was; while a name is freed, it may be here for a moment"
        one.stop()
        assert "FENCED" not in one.log + two.log


@pytest.mark.services
@pytest.mark.slow
def test_a_worker_for_whom_no_partition_is_left_is_ready_under_the_consumer_protocol_too(services: Services, tmp_path: Path) -> None:
    """Its client is told nothing then; a rolling update would wait for it without end."""
    place = Place(services, tmp_path)
    with place.worker(instance="one", group_protocol="consumer") as one:
        one.wait_for(lambda: len(one.status()["shards"]) == 1)
        with place.worker(instance="two", group_protocol="consumer") as two:
            two.wait_for(lambda: len(one.status()["shards"] | two.status()["shards"]) == 1 and two.status()["ready"], seconds=40)


def test_under_the_consumer_protocol_the_broker_rules() -> None:
    assert protocol_config(Settings(group_protocol="consumer")) == {"group.protocol": "consumer"}
    classic = protocol_config(Settings(session_timeout_ms=10_000))
    assert (classic["session.timeout.ms"], classic["partition.assignment.strategy"]) == (10_000, "cooperative-sticky")
    assert classic["heartbeat.interval.ms"] <= 1_000, "a partition moves in two heartbeats"
    assert protocol_config(Settings(session_timeout_ms=1_000))["heartbeat.interval.ms"] <= 300


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KafkaError(KafkaError._FATAL, f"Fatal error: {KafkaError(KafkaError.UNRELEASED_INSTANCE_ID).str()}: it is"), InstanceHeldError),
        (KafkaError(KafkaError.FENCED_INSTANCE_ID), FencedError),
        (KafkaError(KafkaError._FATAL, "Fatal error: something else"), FencedError),
        (KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED), BrokerError),
    ],
)
def test_errors_of_a_consumer_are_told_apart(error: KafkaError, kind: type[BrokerError]) -> None:
    assert type(consumer_failed("polling", error, Settings())) is kind


@pytest.mark.parametrize(
    ("code", "kind", "remedy"),
    [
        (
            KafkaError.GROUP_ID_NOT_FOUND,
            BrokerError,
            "another group_protocol .here it is consumer. or of another engine. Stop all of those",
        ),
        (KafkaError.INCONSISTENT_GROUP_PROTOCOL, BrokerError, "or of another engine. Stop all of those first"),
        (KafkaError.FENCED_INSTANCE_ID, FencedError, "give each worker its own .STREAM_RETRAIN_INSTANCE"),
    ],
)
def test_what_a_group_refuses_is_said_with_its_remedy(code: int, kind: type[BrokerError], remedy: str) -> None:
    """In the client's words such a fatal error has no code of its own."""
    fatal = KafkaError(KafkaError._FATAL, f"Fatal error: {KafkaError(code).str()}", fatal=True)
    failed = consumer_failed("polling", fatal, Settings(group_protocol="consumer"))
    assert type(failed) is kind
    assert re.search(remedy, str(failed))


@pytest.mark.services
@pytest.mark.slow
def test_the_consumer_protocol_waits_until_the_classic_members_have_left(services: Services, topic: str) -> None:
    """Once classic members have shared partitions out anew, Kafka takes none of the other protocol in: "no such group"."""
    group, classic = services.name("group"), settings_of(services, "classic")
    first = Member(classic, group, "first", topic)
    seconds_until(lambda: len(first.owned) == PARTITIONS, first)
    members = first, Member(classic, group, "second", topic)
    seconds_until(lambda: all(len(each.owned) == PARTITIONS / 2 for each in members), *members)
    settings, errors = settings_of(services, "consumer"), list[KafkaError]()
    new = Member(settings, group, "new", topic)
    until_s = time.monotonic() + 30
    while not errors and time.monotonic() < until_s:
        try:
            errors += new.errors()
        except KafkaException as error:
            errors.append(error.args[0])
        assert [error for each in members for error in each.errors()] == []
    failed = consumer_failed("polling", errors[0], settings)
    assert type(failed) is BrokerError, "it is tried again, for as long as it takes"
    assert "Stop all of those first" in str(failed)
    new.client.close()
    for each in members:
        each.membership.leave(time.monotonic() + LEAVE_TIMEOUT_S)
        each.client.close()
    alone = Member(settings, group, "new", topic)
    seconds_until(lambda: len(alone.owned) == PARTITIONS, alone)
    alone.client.close()


class Stubborn:
    """A client that stays a member; every call moves the clock."""

    def __init__(self, *, away: bool = False) -> None:
        self.now_s = 0.0
        self.asked: list[str] = []
        self._away = away

    def unsubscribe(self) -> None:
        self.asked.append("unsubscribe")
        if self._away:
            raise KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    def subscribe(self, topics: list[str], **_: Any) -> None:
        self.asked += topics

    def consume(self, _: int, timeout: float) -> list[Any]:
        self.now_s += timeout
        return []

    def memberid(self) -> str:
        return "still one"

    def assignment(self) -> list[int]:
        return [1]


def leaving(client: Any, deadline_s: float, **settings: Any) -> float:
    nothing = Callbacks(lambda *_: None, lambda *_: None, lambda *_: None)
    Membership(client, "t", nothing, Settings(**settings), lambda: client.now_s).leave(deadline_s)
    waited_s: float = client.now_s
    return waited_s


@PROTOCOLS
def test_nobody_waits_for_the_group_longer_than_there_is_time(protocol: str) -> None:
    assert LEAVE_TIMEOUT_S <= leaving(Stubborn(), 60.0, group_protocol=protocol) < LEAVE_TIMEOUT_S + 0.1
    assert 0.5 <= leaving(Stubborn(), 0.5, group_protocol=protocol) < 0.6
    assert leaving(Stubborn(), -1.0, group_protocol=protocol) == 0.0


def test_where_kafka_is_away_nobody_is_told_and_nothing_is_raised() -> None:
    assert leaving(gone := Stubborn(away=True), 60.0) == 0.0
    assert gone.asked == ["unsubscribe"]


def test_a_member_that_is_not_static_leaves_by_closing() -> None:
    assert leaving(client := Stubborn(), 60.0, static_membership=False) == 0.0
    assert client.asked == []

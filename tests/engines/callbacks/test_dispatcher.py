"""Every decision goes to whoever asks for it, and a partition is done with as far as all of them are; with a real server."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from stream_retrain.engines.callbacks import dispatcher as dispatcher_module
from stream_retrain.engines.callbacks.dispatcher import Dispatcher
from stream_retrain.engines.callbacks.runner import Over
from stream_retrain.errors import BrokerError
from tests.engines.callbacks.support import Answer, Came, Receiver, hook, receiving, runner_of, until, value_of

pytestmark = pytest.mark.slow


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


class Two:
    """A dispatcher of two webhooks, at `/hook` and `/hook/slow`."""

    def __init__(self, receiver: Receiver, **slow: object) -> None:
        self.buried: list[Over] = []
        quick = hook(receiver.url, name="quick", on=("drift",))
        other = hook(receiver.url + "/slow", name="slow", on=("drift", "training.failed"), **slow)
        self.dispatcher = Dispatcher("shop", [runner_of(quick), runner_of(other)], self.buried.append)
        self.dispatcher.assign(0, 10)

    def turn(self) -> None:
        self.dispatcher.turn()


def test_a_record_is_done_with_when_every_handler_is(receiver: Receiver) -> None:
    failing = True
    receiver.always = lambda came: Answer(500 if failing and came.path.endswith("slow") else 200)
    two = Two(receiver, attempts_max=100, pause_s=0.05)
    two.dispatcher.take(0, 10, None, value_of("member.restarted"))
    assert two.dispatcher.positions() == {0: 11}, "nobody asks for it"
    for offset in (11, 12):
        two.dispatcher.take(0, offset, None, value_of(offset=offset))
    until(lambda: sum(came.path == "/hook" for came in receiver.came) == 2, two.turn)
    until(lambda: sum(came.path != "/hook" for came in receiver.came) >= 3, two.turn)
    assert two.dispatcher.positions() == {0: 11}, "one that fails holds up no other, and what it has not taken is not done with"
    failing = False
    until(lambda: two.dispatcher.idle, two.turn)
    assert two.dispatcher.positions() == {0: 13}
    assert two.buried == []
    two.dispatcher.reached(0, 20)
    assert two.dispatcher.positions() == {0: 20}, "markers of transactions are passed over"
    taken = [came.body for came in receiver.came if came.path != "/hook"]
    assert taken == sorted(taken, key=lambda body: body == value_of(offset=12)), "in order"
    two.dispatcher.close()


def test_what_the_last_attempt_failed_with_is_buried_before_it_is_done_with(receiver: Receiver) -> None:
    receiver.always = lambda came: Answer(404 if came.path.endswith("slow") else 200, body=b"gone")
    two = Two(receiver)
    two.dispatcher.take(0, 10, b"key", value_of("training.failed"))
    two.dispatcher.take(0, 11, None, value_of())
    until(lambda: two.dispatcher.idle, two.turn)
    assert [(each.handler, each.place.offset, each.place.key) for each in two.buried] == [("slow", 10, b"key"), ("slow", 11, None)]
    assert all(each.dead is not None and each.dead.error == "it answered 404: gone" for each in two.buried)
    [quick, slow] = two.dispatcher.told({0: 15}).handlers
    assert (quick.called, quick.dead, slow.called, slow.failed, slow.dead) == (1, 0, 2, 2, 2)
    two.dispatcher.close()


def test_where_a_dead_letter_cannot_be_kept_the_decision_is_not_done_with(receiver: Receiver) -> None:
    receiver.always = lambda _: Answer(404)

    def bury(_: Over) -> None:
        raise BrokerError("away")

    dispatcher = Dispatcher("shop", [runner_of(hook(receiver.url, name="quick"))], bury)
    dispatcher.assign(0, 0)
    dispatcher.take(0, 0, None, value_of())
    with pytest.raises(BrokerError):
        until(lambda: False, dispatcher.turn, 30)
    assert dispatcher.positions() == {0: 0}
    dispatcher.close()


def test_what_waits_of_a_partition_that_was_taken_away_is_forgotten_and_the_others_go_on(receiver: Receiver) -> None:
    two = Two(receiver)
    two.dispatcher.assign(1, 5)
    two.dispatcher.take(0, 10, None, value_of(offset=1))
    two.dispatcher.take(1, 5, None, value_of(offset=2, partition=1))
    two.dispatcher.revoke([0])
    two.dispatcher.take(0, 11, None, value_of(offset=3))
    until(lambda: two.dispatcher.idle, two.turn)
    assert {came.id for came in receiver.came} == {"shop.orders/1/2/0/drift.detected"}
    assert two.dispatcher.positions() == {1: 6}
    two.dispatcher.close()


def test_no_more_is_held_than_the_bound_and_what_is_no_decision_is_passed_over(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher_module, "HELD_MAX", 3)
    two = Two(receiver)
    for offset in range(10, 13):
        assert not two.dispatcher.full
        two.dispatcher.take(0, offset, None, value_of(offset=offset))
    assert two.dispatcher.full
    until(lambda: not two.dispatcher.full, two.turn)
    for value in (None, b"rubbish", value_of().replace(b"/pipelines/shop", b"/pipelines/other")):
        two.dispatcher.take(0, 13, None, value)
    assert two.dispatcher.passed == 3
    assert two.dispatcher.told({}).lag_records == 0
    two.dispatcher.close()


def test_when_told_to_stop_the_call_under_way_ends_and_no_other_begins(receiver: Receiver) -> None:
    def answer(_: Came) -> Answer:
        return Answer(slow_s=0.2, body=b"12345")

    receiver.always = answer
    dispatcher = Dispatcher("shop", [runner_of(hook(receiver.url, name="quick"))], lambda _: None)
    dispatcher.assign(0, 0)
    for offset in (0, 1):
        dispatcher.take(0, offset, None, value_of(offset=offset))
    until(lambda: len(receiver.came) == 1, dispatcher.turn)
    dispatcher.finish(time.monotonic() + 20, lambda: time.sleep(0.02))
    assert (dispatcher.positions(), len(receiver.came)) == ({0: 1}, 1)
    dispatcher.close()

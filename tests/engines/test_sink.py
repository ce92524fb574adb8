"""The sink on a producer that fails as librdkafka does: what is repeated, what is never repeated, and what is not waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_retrain.engines.driver import Unsent
from stream_retrain.engines.kafka import bounded
from stream_retrain.engines.kafka import sink as sink_module
from stream_retrain.engines.kafka.clients import Clients
from stream_retrain.engines.kafka.condition import ABORTED_MAX_S, ABORTS_MAX, Condition
from stream_retrain.engines.kafka.sink import OutputRefusedError, TransactionAbortedError, TransactionalSink
from stream_retrain.engines.watchdog import Watchdog
from stream_retrain.errors import BrokerError, FencedError
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import WorkerFact, WorkerStateChanged
from stream_retrain.lane.step import Output
from stream_retrain.settings import Settings

OUTPUT: Output = ("predictions", 0, b"k", b"v", None)
TIMED_OUT = KafkaError(KafkaError._TIMED_OUT, retriable=True)
FOR_A_MOMENT = KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS, retriable=True)
ABORT = KafkaError(KafkaError.INVALID_TXN_STATE, txn_requires_abort=True)
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE, "ProduceRequest for p.predictions [3] with 1 message failed", txn_requires_abort=True)


class Producer:
    """Every call of a transaction, by its short name; `fails` has what each raises next, a callable is called."""

    def __init__(self, **fails: list[KafkaError | Callable[[], None]]) -> None:
        self.fails = fails
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if left := self.fails.get(name):
            if callable(failure := left.pop(0)):
                failure()
            else:
                raise KafkaException(failure)

    def init_transactions(self, _: float) -> None:
        self._call("init")

    def begin_transaction(self) -> None:
        self._call("begin")

    def produce(self, *_: Any, **__: Any) -> None:
        self._call("produce")

    def send_offsets_to_transaction(self, *_: Any) -> None:
        self._call("offsets")

    def commit_transaction(self, _: float) -> None:
        self._call("commit")

    def abort_transaction(self, _: float) -> None:
        self._call("abort")

    def poll(self, _: float) -> int:
        return 0

    def close(self) -> None:
        self._call("close")


class Consumer:
    def consumer_group_metadata(self) -> str:
        return "metadata"


class Bench:
    def __init__(self, producer: Producer) -> None:
        self.told_to_stop = False
        self.producer = producer
        clients: Any = Clients(consumer=lambda *_: None, producer=lambda *_: None, sleep=lambda _: None)  # type: ignore[arg-type,return-value]
        stop = Watchdog(lambda: self.told_to_stop, loop_timeout_s=60, shutdown_timeout_s=0.3)
        self.sink = TransactionalSink(producer, {"predictions": "p.predictions"}, Settings(), clients, stop)

    def send(self) -> None:
        consumer: Any = Consumer()
        self.sink.send(Unsent([OUTPUT], {ShardId("p", "s", 3): 7}), "s", consumer, "id 4")


@pytest.mark.parametrize("call", ["begin", "offsets", "commit"])
def test_what_timed_out_is_never_repeated(call: str) -> None:
    bench = Bench(Producer(**{call: [TIMED_OUT]}))
    with pytest.raises(BrokerError) as raised:
        bench.send()
    assert not isinstance(raised.value, TransactionAbortedError)
    made = list(bench.producer.calls)
    assert made.count(call) == 1
    assert "abort" not in made
    with pytest.raises(BrokerError, match="in doubt"):
        bench.send()
    assert bench.producer.calls == made, "nothing is tried again on this producer"


@pytest.mark.parametrize("call", ["begin", "offsets", "commit"])
def test_what_is_refused_for_a_moment_is_repeated(call: str) -> None:
    bench = Bench(Producer(**{call: [FOR_A_MOMENT, FOR_A_MOMENT]}))
    bench.send()
    assert bench.producer.calls.count(call) == 3


def test_taking_the_id_over_is_repeated_after_a_timeout() -> None:
    bench = Bench(Producer(init=[TIMED_OUT, TIMED_OUT]))
    bench.sink.start()
    assert bench.producer.calls == ["init"] * 3


def test_taking_the_id_over_ends_when_the_process_is_told_to_stop() -> None:
    bench = Bench(Producer(init=[TIMED_OUT] * 100))
    bench.told_to_stop = True
    with pytest.raises(BrokerError):
        bench.sink.start()
    assert len(bench.producer.calls) == 1


@pytest.mark.parametrize("call", ["offsets", "commit", "abort"])
def test_a_call_that_does_not_return_is_left(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "GRACE_S", 0.1)
    monkeypatch.setattr(sink_module, "CALL_TIMEOUT_S", 0.1)
    released = threading.Event()
    fails: dict[str, list[Any]] = {call: [released.wait]} | ({"commit": [ABORT]} if call == "abort" else {})
    bench = Bench(Producer(**fails))
    monkeypatch.setattr(bench.sink, "_call", _with_timeout(bench.sink))
    with pytest.raises(BrokerError, match="does not return"):
        bench.send()
    bench.sink.close()
    assert "close" not in bench.producer.calls, "closing it would be stuck as well"
    released.set()


def _with_timeout(sink: TransactionalSink) -> Callable[..., None]:
    real = sink._call
    return lambda doing, call, until_s: real(doing, call, until_s, 0.1)


def test_a_call_is_not_waited_for_longer_than_a_stop_allows() -> None:
    released = threading.Event()
    bench = Bench(Producer(commit=[released.wait]))
    bench.told_to_stop = True
    with pytest.raises(BrokerError, match="does not return"):
        bench.send()
    released.set()


def test_an_abort_is_told_and_leaves_the_producer_of_use() -> None:
    bench = Bench(Producer(commit=[ABORT]))
    with pytest.raises(TransactionAbortedError):
        bench.send()
    bench.send()
    assert bench.producer.calls == ["begin", "produce", "offsets", "commit", "abort", "begin", "produce", "offsets", "commit"]


def test_a_refusal_for_its_size_names_the_place() -> None:
    with pytest.raises(OutputRefusedError) as raised:
        Bench(Producer(commit=[TOO_LARGE])).send()
    assert raised.value.place == ("p.predictions", 3)


def test_a_refusal_by_the_client_names_the_output() -> None:
    bench = Bench(Producer(produce=[KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)]))
    with pytest.raises(OutputRefusedError) as raised:
        bench.send()
    assert raised.value.output is OUTPUT
    assert bench.producer.calls[-1] == "abort"


def test_a_fence_is_no_abort() -> None:
    with pytest.raises(FencedError):
        Bench(Producer(commit=[KafkaError(KafkaError._FENCED, fatal=True)])).send()


class TestCondition:
    def setup_method(self) -> None:
        self.told: list[WorkerFact] = []
        self.answers = False
        self.condition = Condition(self.told.append, lambda: self.answers)

    @property
    def states(self) -> list[str]:
        return [fact.state for fact in self.told if isinstance(fact, WorkerStateChanged)]

    def test_one_abort_is_nothing_and_two_in_a_row_are_told(self) -> None:
        self.condition.aborted("once", 0.1, ends=False)
        assert self.states == []
        self.condition.aborted("twice", 0.1, ends=False)
        assert self.states == ["degraded"]
        self.condition.committed()
        assert self.states == ["degraded", "running"]

    def test_aborts_without_end_end_the_attempt(self) -> None:
        for _ in range(ABORTS_MAX - 1):
            self.condition.aborted("the topic is gone", 0.1, ends=False)
        with pytest.raises(BrokerError, match=r"5 transactions in a row were aborted.*the topic is gone"):
            self.condition.aborted("the topic is gone", 0.1, ends=False)

    def test_two_that_took_long_end_it_as_well_and_one_does_not(self) -> None:
        self.condition.aborted("the topic is gone", ABORTED_MAX_S * 2, ends=False)
        self.condition.committed()
        self.condition.aborted("the topic is gone", ABORTED_MAX_S / 2, ends=False)
        with pytest.raises(BrokerError, match=r"2 transactions in a row were aborted.*the topic is gone"):
            self.condition.aborted("the topic is gone", ABORTED_MAX_S / 2, ends=False)

    def test_aborts_whose_cause_is_removed_go_on(self) -> None:
        for _ in range(10 * ABORTS_MAX):
            self.condition.aborted("too large", ABORTED_MAX_S, ends=True)
        assert self.states == []

    def test_an_idle_worker_notices_that_kafka_is_back(self) -> None:
        self.condition.degraded("away")
        self.condition.degraded("away")
        self.condition.look(100.0)
        assert self.states == ["degraded"]
        self.answers = True
        self.condition.look(100.5)
        assert self.states == ["degraded"], "it is asked once a second"
        self.condition.look(101.5)
        assert self.states == ["degraded", "running"]

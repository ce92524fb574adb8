"""Trained challengers and requests reach a shard exactly once, whatever dies in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from river import tree

from stream_retrain import Evidence, FineTune, On, Pipeline, Reset, Retrain, Window
from stream_retrain.codec.keyring import Keyring
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.failpoints import arm, disarm
from stream_retrain.engines.replay.replay import replay_events
from stream_retrain.engines.trainer import InlineTrainer
from stream_retrain.errors import StoreError
from stream_retrain.facts.request import Asked
from stream_retrain.facts.shard import ChallengerJoined, DuelEnded, DuelStarted, ModelReset, Requested, TrainingFailed
from stream_retrain.facts.worker import Processed
from stream_retrain.lane.batch import Record, Records
from stream_retrain.lane.step import DECISIONS, PREDICTIONS
from stream_retrain.stores import connect
from stream_retrain.stores.ports import Stores
from tests.core import streams

KEYRING = Keyring.unsigned()
COUNT = 3_000


def pipeline(**changes: Any) -> Pipeline:
    quick = tree.HoeffdingTreeClassifier(grace_period=50, delta=1e-3, tau=0.1)
    rule = On.every(events=1_000, do=Retrain(window=Window(rows=600), evidence=Evidence(events_max=400)))
    return streams.pipeline(**{"model": quick, "watch": [], "react": [rule], **changes})


class Worker:
    """A driver that commits after every batch, over a log that is all there."""

    def __init__(self, declared: Pipeline, stores: Stores, committed: int | None = None, *, trained: bool = True) -> None:
        self.facts: list[Any] = []
        self.outputs: list[Any] = []
        self.stores = stores
        self.trainer = InlineTrainer(declared, stores, KEYRING)
        trainer = self.trainer if trained else None
        self.driver = Driver(
            declared,
            stores,
            KEYRING,
            DriverLimits(checkpoint_events=10**9, checkpoint_interval_s=float("inf")),
            self._tell,
            trainer=trainer,
        )
        self.at = self.driver.open(0, Log(committed=committed, low=0, high=COUNT), 0.0).offset
        self.now_s = 0.0

    def _tell(self, fact: Any) -> None:
        if isinstance(fact, Processed):
            self.facts += fact.facts

    def run(self, records: list[Any], through: int, step: int = 100) -> None:
        while self.at < through:
            self.driver.take(0, Records.of(records[self.at : min(self.at + step, through)]))
            self.at = min(self.at + step, through)
            unsent = self.driver.unsent()
            self.outputs += unsent.outputs
            self.driver.committed(unsent.offsets)
            self.now_s += 60.0
            self.driver.settle(self.now_s)

    def of(self, kind: type) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


def said(outputs: list[Any]) -> list[bytes]:
    """What was put out, but for what lanes say of having been restored."""
    return [value for _, _, _, value, _ in outputs if b"shard.restored" not in value]


def log_of(declared: Pipeline) -> list[Any]:
    assert declared.schema.id == "id"
    rows = [{"id": event.id, **(event.x or {}), "y": event.y} for event in streams.events(streams.rows(COUNT, flip_at=1_500))]
    return [Record(offset, None, json.dumps(row).encode(), offset * 1_000) for offset, row in enumerate(rows)]


def test_a_challenger_is_trained_on_the_window_and_joins() -> None:
    declared = pipeline()
    worker = Worker(declared, connect("memory://"))
    worker.run(log_of(declared), 2_000)
    [joined] = worker.of(ChallengerJoined)
    assert joined.lessons >= 600
    assert joined.learned_through + joined.caught_up >= 999
    assert worker.of(DuelStarted)[0].contestants == ("champion", "retrained")
    kinds = [value for kind, _, _, value, _ in worker.outputs if kind == DECISIONS]
    assert sum(b"training.joined" in value for value in kinds) == 1


def test_fine_tuning_goes_on_from_the_champion() -> None:
    declared = pipeline(react=[On.every(events=1_000, do=FineTune(window=Window(rows=600), passes=2))])
    worker = Worker(declared, connect("memory://"))
    worker.run(log_of(declared), 1_800)
    assert worker.of(ChallengerJoined)[0].lessons >= 1_200


def test_without_a_trainer_the_training_fails_and_says_so() -> None:
    declared = pipeline()
    worker = Worker(declared, connect("memory://"), trained=False)
    worker.run(log_of(declared), 1_500)
    assert "no trainer" in worker.of(TrainingFailed)[0].error


@pytest.mark.slow
@pytest.mark.parametrize("died_at", [1_100, 1_200, 1_300, 1_450, 2_200])
def test_whoever_takes_over_has_the_same_challenger(died_at: int) -> None:
    """A crash without a last checkpoint: what was committed is answered once, and the duel ends as if nothing had been."""
    declared, stores = pipeline(), connect("memory://")
    records = log_of(declared)
    first = Worker(declared, stores)
    first.run(records, died_at)
    second = Worker(declared, stores, committed=died_at)
    assert second.at < died_at
    second.run(records, COUNT)
    alone = Worker(declared, connect("memory://"))
    alone.run(records, COUNT)
    assert said(first.outputs + second.outputs) == said(alone.outputs)
    assert second.driver.lanes[0].digest() == alone.driver.lanes[0].digest()
    assert alone.of(DuelEnded)


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("point", ["input.come", "input.kept", "input.received", "input.saved"])
def test_a_death_around_an_input_leaves_it_told_once(point: str) -> None:
    """Before it is saved nobody has seen it, and it is asked for again; after that the next owner has it."""
    declared, stores = pipeline(), connect("memory://")
    records = log_of(declared)
    first = Worker(declared, stores)

    def die_there(at: str) -> None:
        if at == point:
            raise Died

    arm(die_there)
    try:
        with pytest.raises(Died):
            first.run(records, COUNT)
    finally:
        disarm()
    second = Worker(declared, stores, committed=first.at)
    second.run(records, COUNT)
    outputs = first.outputs + second.outputs
    predictions = [json.loads(value)["offset"] for kind, _, _, value, _ in outputs if kind == PREDICTIONS]
    assert predictions == list(range(COUNT))
    told = [json.loads(value)["data"]["training"] for kind, _, _, value, _ in outputs if kind == DECISIONS and b"training.joined" in value]
    assert told == sorted(set(told))
    assert told[0] == 0
    if point == "input.saved":
        alone = Worker(declared, connect("memory://"))
        alone.run(records, COUNT)
        assert said(outputs) == said(alone.outputs)
        assert second.driver.lanes[0].digest() == alone.driver.lanes[0].digest()


def test_an_input_that_could_not_be_saved_was_never_there() -> None:
    declared, stores = pipeline(), connect("memory://")
    records = log_of(declared)
    worker = Worker(declared, stores)
    save = stores.checkpoints.save

    def refuse(*_: Any) -> None:
        raise StoreError("out of memory")

    stores.checkpoints.save = refuse  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        worker.run(records, COUNT)
    stores.checkpoints.save = save  # type: ignore[method-assign]
    again = Worker(declared, stores, committed=worker.driver.unsent().offsets.get(worker.driver.lanes[0].id, worker.at))
    again.run(records, COUNT)
    assert again.of(ChallengerJoined)


def test_while_no_event_comes_a_training_is_asked_for_once() -> None:
    declared = pipeline()
    worker = Worker(declared, connect("memory://"))
    worker.run(log_of(declared), 1_000)
    told: list[Any] = []
    submit = worker.trainer.submit
    worker.trainer.submit = lambda job: (told.append(job), submit(job))  # type: ignore[method-assign, assignment, func-returns-value]
    for _ in range(5):
        worker.now_s += 60.0
        worker.driver.settle(worker.now_s)
    assert len(told) <= 1
    worker.run(log_of(declared), 1_100)
    assert len(worker.of(ChallengerJoined)) == 1


def test_a_request_is_taken_once() -> None:
    declared, stores = pipeline(react=[On.request(Reset())]), connect("memory://")
    records = log_of(declared)
    worker = Worker(declared, stores)
    worker.run(records, 300)
    id_ = worker.driver.lanes[0].id
    asked = Asked(token="t", reason="new sensors")
    assert stores.requests.ask(id_, asked)
    worker.run(records, 600)
    assert [fact.reason for fact in worker.of(Requested)] == ["new sensors"]
    assert len(worker.of(ModelReset)) == 1
    assert not stores.requests.look(id_).waiting
    assert stores.requests.ask(id_, asked), "as if it had died before it was dropped"
    second = Worker(declared, stores, committed=600)
    second.run(records, 900)
    assert len([fact for fact in second.of(Requested) if fact.offset >= 600]) == 0


def test_a_replay_joins_after_the_declared_number_of_events() -> None:
    declared = pipeline()
    events = streams.events(streams.rows(COUNT, flip_at=1_500))
    told = [fact for _, step in replay_events(declared, events, joins_after_events=250) for fact in step.facts]
    assert [fact.offset for fact in told if isinstance(fact, ChallengerJoined)] == [1_250, 2_250]
    again = [fact for _, step in replay_events(declared, events, joins_after_events=250) for fact in step.facts]
    assert again == told

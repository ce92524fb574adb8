"""Ladder (a): the worker on a model of Kafka, crashed at every step, thousands of times; and the verifier on workers that are broken."""

from __future__ import annotations

import collections
import time

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from stream_retrain import Pipeline
from stream_retrain.engines.failpoints import FAIL_POINTS, FailPoint
from stream_retrain.engines.kafka.worker import Worker
from tests.exactly_once.broken import AnswersInReplay, CheckpointsBeforeCommit, CommitsBeforeProducing
from tests.exactly_once.histories import history, pipeline_of
from tests.exactly_once.model_broker import SESSION_TIMEOUT_S
from tests.exactly_once.model_clients import Fences
from tests.exactly_once.world import KINDS, OUTCOMES, PARTITIONS, PIPELINE, TAKES_INPUTS, World

pytestmark = pytest.mark.slow

SECONDS = 12.0
HISTORIES_MIN = 100


@pytest.mark.parametrize("fences", ["generation", "epoch"])
def test_random_histories_are_exactly_once_whatever_crashes(fences: Fences) -> None:
    """As many as fit into the time; each has its first crash armed at the next fail point, and every point is reached."""
    reached: set[FailPoint] = set()
    taken: collections.Counter[str] = collections.Counter()
    until_s, seed, crashes, replayed = time.monotonic() + SECONDS, 0, 0, 0
    while time.monotonic() < until_s or seed < HISTORIES_MIN:
        world = history(seed, point=FAIL_POINTS[seed % len(FAIL_POINTS)], fences=fences)
        verdict = world.judge()
        assert verdict.holds, (seed, verdict)
        reached |= world.reached
        taken += world.taken
        crashes += world.crashes
        replayed += world.replayed
        seed += 1
    assert set(FAIL_POINTS) == reached
    assert crashes > seed / 4
    assert set(taken) == OUTCOMES, "something that may be asked for was never taken"
    assert replayed > seed, "nothing was replayed, so nothing was shown"


def test_partitions_that_pause_and_go_on_are_exactly_once_whatever_crashes() -> None:
    paused = 0
    for seed in range(25):
        world = history(seed * 5 + 2 if (seed * 5 + 2) % 3 else seed * 5 + 7, point=FAIL_POINTS[seed])
        assert world.judge().holds, seed
        paused += world.let_go_on
    assert paused > 50, "hardly anything was paused, so little was shown"


@pytest.mark.parametrize("point", sorted(FAIL_POINTS))
def test_a_crash_at_each_step(point: FailPoint) -> None:
    """The first to reach the step dies there, whichever worker it is, and again the second time."""
    for seed in range(60):
        world = World(seed, static=seed % 2 == 0, pipeline=pipeline_of(1, point))
        for slot in world.slots:
            world.arm(slot, point, 1 + seed % 3)
            world.start(slot)
        for number in range(12):
            world.publish(3)
            for slot in world.slots:
                world.start(slot)
                world.turn(slot, 0.2)
            _provoke(world, number, point)
        world.settle()
        assert world.judge().holds, seed
        if world.crashes:
            return
    raise AssertionError(f"no worker reached {point} in 60 histories")


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_a_crash_at_each_step_on_the_way_of_an_input(kind: int) -> None:
    """Each kind of request, at each fail point from where it is read to where it is committed: it is taken once."""
    for point in [*(each for each in FAIL_POINTS if each.startswith("input.")), "commit.offsets_sent", "commit.committed"]:
        world = World(kind, pipeline=TAKES_INPUTS)
        for slot in world.slots:
            world.start(slot)
        for _ in range(6):
            world.publish(2)
            for slot in world.slots:
                world.turn(slot, 0.3)
        for partition in range(PARTITIONS):
            world.request(partition, kind)
        for slot in world.slots:
            world.arm(slot, point)
        for _ in range(8):
            world.publish(2)
            for slot in world.slots:
                world.start(slot)
                world.turn(slot, 0.4)
        world.settle()
        assert world.judge().holds, point
        assert world.crashes > 0, point
        assert world.taken.total() == PARTITIONS, (point, world.taken)


def _provoke(world: World, number: int, point: FailPoint) -> None:
    """What leads to the rarer steps."""
    slot = world.slots[number % 3]
    match point.partition(".")[0]:
        case "shutdown" | "revoke" if number % 3 == 2:
            world.stop(slot)
            for other in world.slots * 4:
                world.turn(other, 0.2)
        case "lost" if number == 4:
            world.suspend(slot)
            world.broker.advance(SESSION_TIMEOUT_S + 1)
            world.resume(slot)
        case "replay" if number in (5, 9):
            world.empty_store()
            for each in world.slots:
                world.kill(each)
            world.broker.advance(SESSION_TIMEOUT_S + 1)
        case "commit" if point == "commit.aborted":
            slot.process.faults.append("abort")


@pytest.mark.parametrize(
    ("worker", "caught_as"),
    [(CommitsBeforeProducing, "lost"), (CheckpointsBeforeCommit, "checkpoint"), (AnswersInReplay, "duplicated")],
)
def test_the_verifier_catches_a_broken_worker(worker: type[Worker], caught_as: str) -> None:
    for seed in range(100):
        if (found := _found(seed, worker)) is not None:
            assert caught_as in found
            return
    raise AssertionError(f"{worker.__name__} passed 100 histories")


def test_the_verifier_catches_a_group_in_which_nothing_fences() -> None:
    """One transactional id a process, and metadata of a consumer that never joined: a zombie's transactions count."""
    assert any("duplicated" in (_found(seed, fences="nothing") or "") for seed in range(100))


def _found(seed: int, worker: type[Worker] = Worker, fences: Fences = "generation") -> str | None:
    """What the verifier has to say of a history, if anything."""
    try:
        verdict = history(seed, worker=worker, fences=fences).judge()
    except AssertionError as error:
        return str(error)
    return None if verdict.holds else ", ".join(name for name in ("lost", "duplicated", "different") if getattr(verdict, name))


SLOTS = st.integers(0, 2)


class Histories(RuleBasedStateMachine):
    """The same world under Hypothesis, which looks for a shortest history that fails."""

    @initialize(seed=st.integers(0, 2**16), static=st.booleans(), pipeline=st.sampled_from([PIPELINE, PIPELINE, TAKES_INPUTS]))
    def begin(self, seed: int, static: bool, pipeline: Pipeline) -> None:
        self.world = World(seed, static=static, pipeline=pipeline)
        for slot in self.world.slots[:2]:
            self.world.start(slot)

    @rule(rounds=st.integers(1, 5), seconds=st.sampled_from([0.0, 0.1, 0.4]))
    def turn(self, rounds: int, seconds: float) -> None:
        for _ in range(rounds):
            for slot in self.world.slots:
                self.world.turn(slot, seconds)

    @rule(slot=SLOTS)
    def start(self, slot: int) -> None:
        self.world.start(self.world.slots[slot])

    @rule(slot=SLOTS)
    def kill(self, slot: int) -> None:
        self.world.kill(self.world.slots[slot])

    @rule(slot=SLOTS)
    def stop(self, slot: int) -> None:
        self.world.stop(self.world.slots[slot])

    @rule(slot=SLOTS, seconds=st.sampled_from([0.5, SESSION_TIMEOUT_S + 1]))
    def hang(self, slot: int, seconds: float) -> None:
        self.world.suspend(self.world.slots[slot])
        self.world.broker.advance(seconds)
        for other in self.world.slots:
            self.world.turn(other)
        self.world.resume(self.world.slots[slot])

    @rule(slot=SLOTS, point=st.sampled_from(FAIL_POINTS), nth=st.integers(1, 4))
    def arm(self, slot: int, point: FailPoint, nth: int) -> None:
        self.world.arm(self.world.slots[slot], point, nth)

    @rule(slot=SLOTS, fault=st.sampled_from(["abort", "retry", "answer_lost"]))
    def commit_fails(self, slot: int, fault: str) -> None:
        self.world.slots[slot].process.faults.append(fault)

    @rule(count=st.integers(1, 8))
    def publish(self, count: int) -> None:
        self.world.publish(count)

    @rule(partition=st.integers(0, PARTITIONS - 1), kind=st.integers(0, 29))
    def request(self, partition: int, kind: int) -> None:
        self.world.request(partition, kind)

    @rule(partition=st.integers(0, PARTITIONS - 1), on=st.booleans())
    def pause(self, partition: int, on: bool) -> None:
        (self.world.pause if on else self.world.go_on)(partition)

    @rule(state=st.sampled_from(["up", "up", "down", "answer_lost"]))
    def store(self, state: str) -> None:
        self.world.stores.state = state  # type: ignore[assignment]

    @precondition(lambda self: self.world.pipeline is PIPELINE)
    @rule()
    def picture(self) -> None:
        self.world.stores.take_picture()

    @precondition(lambda self: self.world.pipeline is PIPELINE)
    @rule()
    def rewind(self) -> None:
        self.world.rewind_store()

    @precondition(lambda self: self.world.pipeline is PIPELINE)
    @rule()
    def empty(self) -> None:
        self.world.empty_store()

    def teardown(self) -> None:
        self.world.settle()
        assert self.world.judge().holds, self.world.judge()


Histories.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck))
TestHypothesisHistories = Histories.TestCase

"""The supervised loop: what is tried again, how soon, and what ends it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stream_retrain.engines import supervise as module
from stream_retrain.engines.supervise import FENCED_MAX, GOT_ON_AFTER_S, supervise
from stream_retrain.errors import BrokerError, FencedError, StateError, StoreError
from stream_retrain.facts.worker import Retrying, WorkerFact, WorkerStateChanged


class Time:
    """Monotonic time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Attempts:
    """Each ends as it is told to, after it has lasted for so long; then one returns."""

    def __init__(self, clock: Time, *ends: tuple[float, Exception]) -> None:
        self.clock = clock
        self.ends = list(ends)
        self.told: list[WorkerFact] = []
        self.made = 0

    def __call__(self) -> None:
        self.made += 1
        if self.ends:
            lasted_s, error = self.ends.pop(0)
            self.clock.now_s += lasted_s
            raise error

    def supervised(self, stop: Callable[[], bool] = lambda: False) -> None:
        supervise(self, stop, self.told.append)

    @property
    def pauses_s(self) -> list[float]:
        return [fact.wait_s for fact in self.told if isinstance(fact, Retrying)]

    @property
    def states(self) -> list[str]:
        return [fact.state for fact in self.told if isinstance(fact, WorkerStateChanged)]


@pytest.mark.parametrize("error", [BrokerError("away"), StoreError("away")])
def test_what_the_world_did_is_tried_again_with_growing_pauses(clock: Time, error: Exception) -> None:
    attempts = Attempts(clock, *[(0.1, error)] * 6)
    attempts.supervised()
    assert attempts.pauses_s == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert attempts.states == ["stopped"]


def test_an_attempt_that_got_on_makes_the_next_pause_short_again(clock: Time) -> None:
    attempts = Attempts(clock, (0.1, BrokerError("away")), (0.1, BrokerError("away")), (GOT_ON_AFTER_S + 1, BrokerError("away")))
    attempts.supervised()
    assert attempts.pauses_s == [0.5, 1.0, 0.5]


def test_a_state_that_is_refused_ends_it(clock: Time) -> None:
    attempts = Attempts(clock, (0.1, StateError("made anew")))
    with pytest.raises(StateError):
        attempts.supervised()
    assert (attempts.made, attempts.states) == (1, ["failed"])


def test_a_name_that_another_has_ends_it_after_a_few(clock: Time) -> None:
    attempts = Attempts(clock, *[(20.0, FencedError("fenced"))] * 10)
    with pytest.raises(FencedError):
        attempts.supervised()
    assert attempts.made == FENCED_MAX


def test_a_pause_ends_when_the_process_is_told_to_stop(clock: Time) -> None:
    attempts = Attempts(clock, *[(0.1, BrokerError("away"))] * 10)
    attempts.supervised(lambda: clock.now_s > 1_002.0)
    assert clock.now_s < 1_002.0 + 0.3

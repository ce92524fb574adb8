"""How long the worker's polls wait, and when it commits, on a clock of the test's own."""

from __future__ import annotations

import dataclasses

import pytest

from stream_retrain.engines.kafka.pace import CATCHING_UP, GATHER_S, IDLE_S, Pace
from stream_retrain.settings import load_settings


@dataclasses.dataclass
class Log:
    """A client with so many records at hand; a wait lasts until enough have come, of which one comes every `every_s`."""

    at_hand: int = 0
    every_s: float = float("inf")
    now_s: float = 100.0
    asked: list[tuple[int, float]] = dataclasses.field(default_factory=list)

    def take(self, most: int, timeout_s: float) -> int:
        self.asked.append((most, round(timeout_s, 6)))
        coming = min(most - min(most, self.at_hand), int((timeout_s + 1e-9) / self.every_s))
        full = self.at_hand + coming >= most
        self.now_s += (coming * self.every_s if coming else 0.0) if full else timeout_s
        taken = min(most, self.at_hand + coming)
        self.at_hand = max(0, self.at_hand - taken)
        return taken

    def pace(self, **settings: int) -> Pace:
        return Pace(load_settings(None, {}, {"commit_interval_ms": 20, "poll_records_max": 500, **settings}), lambda: self.now_s)


def committed(log: Log, pace: Pace, *, took_s: float = 0.005, all_of_it: bool = True) -> None:
    began_s = log.now_s
    log.now_s += took_s
    pace.committed(began_s, all_of_it=all_of_it)


def test_where_nothing_waits_the_first_record_ends_the_wait_and_is_committed_at_once() -> None:
    log = Log(every_s=0.03)
    pace = log.pace()
    pace.receive(log.take)
    assert log.asked == [(500, 0.0), (1, IDLE_S), (499, 0.0)]
    assert log.now_s == pytest.approx(100.03)
    assert pace.is_due(log.now_s, 1)


def test_what_came_together_is_learned_together() -> None:
    log = Log(at_hand=40)
    pace = log.pace()
    pace.receive(log.take)
    assert log.asked == [(500, 0.0)]
    assert log.at_hand == 0


def test_nothing_comes_and_signals_are_served_in_time() -> None:
    log = Log()
    pace = log.pace()
    pace.receive(log.take)
    assert log.now_s == pytest.approx(100.0 + IDLE_S)
    assert log.asked == [(500, 0.0), (1, IDLE_S)], "no third poll where the second brought nothing"


def test_records_gather_but_no_longer_than_until_the_commit_that_is_due() -> None:
    log = Log(at_hand=1, every_s=0.001)
    pace = log.pace()
    pace.receive(log.take)
    committed(log, pace, took_s=0.004)
    log.at_hand = 1
    waits = []
    while not pace.is_due(log.now_s, 0):
        log.asked.clear()
        pace.receive(log.take)
        waits += [timeout_s for _, timeout_s in log.asked]
    assert log.now_s == pytest.approx(100.02), "20 ms after the last commit began"
    assert waits == [0.0, pytest.approx(GATHER_S), pytest.approx(0.006)]


def test_a_commit_as_long_as_the_interval_is_followed_by_a_pause() -> None:
    log = Log(at_hand=1)
    pace = log.pace()
    committed(log, pace, took_s=0.1)
    assert not pace.is_due(log.now_s, 0)
    assert not pace.is_due(log.now_s + 0.0049, 0)
    assert pace.is_due(log.now_s + 0.0051, 0)


def test_who_is_behind_takes_full_batches_in_one_poll_and_commits_less_often() -> None:
    log = Log(at_hand=100_000)
    pace = log.pace(commit_events_max=5_000)
    committed(log, pace)
    began_s, turns = log.now_s - 0.005, 0
    while not pace.is_due(log.now_s, 0):
        pace.receive(log.take)
        log.now_s += 0.001  # learning
        turns += 1
    assert {most for most, _ in log.asked} == {500}
    assert len(log.asked) == turns
    assert log.now_s - began_s == pytest.approx(0.02 * (1 + CATCHING_UP), abs=0.002)
    assert pace.is_due(began_s, 5_000), "too much is unsent"


def test_after_an_abort_something_waits_still() -> None:
    log = Log(at_hand=1)
    pace = log.pace()
    pace.receive(log.take)
    committed(log, pace, all_of_it=False)
    log.asked.clear()
    pace.receive(log.take)
    assert log.asked == [(500, pytest.approx(GATHER_S))], "the next attempt is not late because nothing comes"


def test_one_record_a_poll_is_one_record_a_turn() -> None:
    log = Log(at_hand=2)
    pace = log.pace(poll_records_max=1)
    pace.receive(log.take)
    assert log.at_hand == 1
    log = Log(every_s=0.01)
    log.pace(poll_records_max=1).receive(log.take)
    assert [most for most, _ in log.asked] == [1, 1]


def test_an_interval_of_nothing_commits_after_every_poll() -> None:
    log = Log(at_hand=3)
    pace = log.pace(commit_interval_ms=0)
    pace.receive(log.take)
    committed(log, pace)
    assert pace.is_due(log.now_s, 0)

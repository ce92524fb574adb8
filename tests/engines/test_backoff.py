"""Exponential back-off: how long each pause is, when it is over, and what ends the doubling."""

from __future__ import annotations

from stream_retrain.engines.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(min_s=0.5, max_s=6.0)
    assert [backoff.failed(0.0) for _ in range(6)] == [0.5, 1.0, 2.0, 4.0, 6.0, 6.0]


def test_the_first_attempt_needs_no_pause() -> None:
    assert Backoff(max_s=6.0).may_try(0.0)


def test_the_pause_counts_from_the_last_failure() -> None:
    backoff = Backoff(min_s=0.5, max_s=6.0)
    backoff.failed(10.0)
    assert [backoff.may_try(now_s) for now_s in (10.0, 10.49, 10.5, 99.0)] == [False, False, True, True]
    backoff.failed(20.0)
    assert [backoff.may_try(now_s) for now_s in (20.99, 21.0)] == [False, True]


def test_after_a_success_the_next_attempt_and_the_shortest_pause_come_at_once() -> None:
    backoff = Backoff(min_s=0.5, max_s=6.0)
    for _ in range(4):
        backoff.failed(10.0)
    backoff.reset()
    assert backoff.may_try(10.0)
    assert backoff.failed(10.0) == 0.5

"""Lines that repeat: what is said, what is counted, and when the count is said; the time is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_retrain.logs.repeats import LINES_MAX, PERIOD_S, Counted, Repeats

KIND = "drift of feature:a"


def test_the_188_drifts_of_a_seasonal_feature_do_not_drown_a_reset() -> None:
    repeats: Repeats[int] = Repeats()
    said = [number for number in range(188) if repeats.admit(KIND, number, 0.1 * number)]
    assert said == [0, 1, 2, 3, 4]
    assert repeats.admit("reset", 200, 19.0)
    assert repeats.due(PERIOD_S - 0.1) == []
    assert repeats.due(PERIOD_S) == [Counted(last=187, count=183, seconds=PERIOD_S)]
    assert repeats.due(PERIOD_S * 9) == [], "a count is said once"


def test_the_next_line_of_a_kind_begins_a_new_period() -> None:
    repeats: Repeats[int] = Repeats(lines_max=1)
    assert [repeats.admit(KIND, number, 0.0) for number in range(3)] == [True, False, False]
    assert repeats.admit(KIND, 3, PERIOD_S)
    assert repeats.due(PERIOD_S) == [Counted(last=2, count=2, seconds=PERIOD_S)]
    assert not repeats.admit(KIND, 4, PERIOD_S + 1)


def test_what_was_all_said_is_not_counted() -> None:
    repeats: Repeats[int] = Repeats()
    assert all(repeats.admit(KIND, number, 0.0) for number in range(LINES_MAX))
    assert repeats.due(PERIOD_S) == []
    assert not repeats.counting


def test_a_line_may_stand_for_many() -> None:
    repeats: Repeats[str] = Repeats(lines_max=1)
    repeats.admit(KIND, "one", 0.0)
    repeats.admit(KIND, "497 more of the batch", 0.0, 497)
    repeats.admit(KIND, "one", 1.0)
    assert repeats.counting
    assert repeats.due(PERIOD_S) == [Counted(last="one", count=498, seconds=PERIOD_S)]


def test_the_end_of_the_process_ends_every_period() -> None:
    repeats: Repeats[int] = Repeats(lines_max=1)
    for number in range(4):
        repeats.admit(number % 2, number, float(number))
    assert repeats.rest(10.0) == [Counted(last=2, count=1, seconds=10.0), Counted(last=3, count=1, seconds=9.0)]
    assert repeats.rest(10.0) == []


def test_a_flood_of_new_kinds_keeps_its_limit_and_loses_no_count() -> None:
    repeats: Repeats[int] = Repeats(lines_max=1, kinds_max=10)
    for kind in range(1_000):
        assert repeats.admit(kind, 1, 0.0)
        assert not repeats.admit(kind, 2, 0.0)
        assert len(repeats._periods) <= 10
    assert sum(each.count for each in [*repeats.due(0.0), *repeats.rest(0.0)]) == 1_000


def test_forgotten_counts_are_not_said() -> None:
    repeats: Repeats[int] = Repeats(lines_max=1)
    repeats.admit(KIND, 1, 0.0)
    repeats.admit(KIND, 2, 0.0)
    repeats.clear()
    assert repeats.rest(PERIOD_S) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40))))
def test_every_line_is_said_or_counted_whatever_comes_when(steps: list[tuple[int, float]]) -> None:
    repeats: Repeats[int] = Repeats(lines_max=2)
    said, counted, now_s = 0, 0, 0.0
    for number, (kind, passes_s) in enumerate(steps):
        now_s += passes_s
        counted += sum(each.count for each in repeats.due(now_s))
        said += repeats.admit(kind, number, now_s)
    counted += sum(each.count for each in repeats.rest(now_s))
    assert said + counted == len(steps)

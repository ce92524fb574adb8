"""The benchmark of the parts of the loop: a part is shown without those that are in it."""

from __future__ import annotations

import time

from benchmarks.shares import TOLD, Clocks, table


def spin(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


def test_a_part_is_without_what_runs_in_it_and_is_added_up() -> None:
    clocks = Clocks()
    inner = clocks.around("inner", spin)

    def both(cpu_s: float) -> str:
        spin(cpu_s)
        inner(3 * cpu_s)
        return "done"

    outer = clocks.around("outer", both)
    assert [outer(0.01), outer(0.01)] == ["done", "done"]
    assert clocks.parts["inner"] >= 0.06
    assert 0.02 <= clocks.parts["outer"] < clocks.parts["inner"]


def test_what_is_timed_is_there() -> None:
    for owner, name in TOLD:
        assert callable(getattr(owner, name)), name


def test_the_table_has_the_largest_first_and_what_is_left() -> None:
    lines = table({"small": 0.001, "large": 0.003}, 0.005, 0.009, 1_000).splitlines()
    assert lines[2:] == [
        "| large | 3.00 us |",
        "| small | 1.00 us |",
        "| the loop around them | 1.00 us |",
        "| threads of the clients | 4.00 us |",
        "| all of it | 9.00 us |",
    ]

"""The benchmark of what logs and traces cost measures what it says."""

from __future__ import annotations

import pytest

from benchmarks import telling

pytestmark = pytest.mark.slow


def test_every_way_to_tell_has_a_figure_and_every_kind_of_line() -> None:
    cost = telling.cost(2_000, 1)
    assert cost.keys() == {"nobody_told_percent", "traces_off_percent", "traces_on_percent"}
    assert cost["traces_on_percent"] > cost["traces_off_percent"] >= 0
    found = telling.lines(20)
    assert found.keys() == {"line_said_us", "dead_letter_counted_us"}
    assert all(value > 0 for value in found.values())

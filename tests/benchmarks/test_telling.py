"""The benchmark of what logs and traces cost measures what it says."""

from __future__ import annotations

import pytest

from benchmarks import telling

pytestmark = pytest.mark.slow


def test_every_way_to_tell_has_a_figure_and_every_kind_of_line() -> None:
    assert telling.cost(2_000, 1).keys() == {"traces_off_slower_percent", "traces_on_slower_percent"}
    found = telling.lines(20)
    assert found.keys() == {"line_said_us", "dead_letter_counted_us"}
    assert all(value > 0 for value in found.values())

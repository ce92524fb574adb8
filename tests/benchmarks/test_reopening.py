"""The benchmark of reopening: what is opened and given up leaves nothing but the rows of the window."""

from __future__ import annotations

import pytest

from benchmarks.reopening import reopened


@pytest.mark.slow
def test_a_partition_that_comes_and_goes_leaves_nothing() -> None:
    _, before, after = reopened("QuickTree", 60, 20)
    assert (before.times, after.times) == (40, 60)
    assert after.objects - before.objects < 5 * 20, "a chunk of the window each time"

"""The benchmark of a rolling restart counts gaps as a reader has them; a short one on a real Kafka holds what the page says."""

from __future__ import annotations

import pytest

from benchmarks.rolling_restart import Fleet, Gaps, restarts
from stream_retrain.errors import LocalStackError
from stream_retrain.local import LocalStack


def test_the_longest_gap_of_each_partition_is_kept_until_it_is_asked_for() -> None:
    gaps = Gaps(3)
    for now_s in (10.0, 10.2, 11.7, 11.8):
        gaps.note(0, now_s)
    gaps.note(1, 10.0)
    assert gaps.taken(12.0) == pytest.approx([1.5, 2.0, 0.0]), "one that lasts counts; where nothing ever came there is no gap yet"
    gaps.note(1, 13.0)
    assert gaps.taken(13.0) == pytest.approx([1.2, 3.0, 0.0]), "one that lasted then is counted whole"


@pytest.mark.services
@pytest.mark.slow
def test_workers_of_one_parent_restarted_one_after_another_lose_nothing() -> None:
    try:
        stack = LocalStack.start()  # one of its own: the benchmark puts its files there
    except LocalStackError as error:
        pytest.skip(str(error))
    with stack:
        found = restarts(stack, Fleet, workers=2, partitions=2, rate=200.0, rounds=1, protocol="classic")
    assert (found["lost"], found["duplicated"], found["different"], found["state_equal"]) == (0, 0, 0, True)
    assert found["restarts"] == 2
    assert found["calm_gap_s"] < found["gap_s"] < 5.0, found

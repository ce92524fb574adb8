"""`detector_for` keeps its promise on streams of its own, and says so where it cannot."""

from __future__ import annotations

import random

import pytest
from river import drift

from stream_retrain import Ignore, Pipeline, Watch, detector_for, watch_and_react
from stream_retrain.core.watch.calibration_table import TABLE
from stream_retrain.models import FastADWIN
from tests.core import streams


@pytest.mark.parametrize("every", [30_000, 100_000])
def test_false_alarms_are_as_rare_as_promised(every: int) -> None:
    """On 200,000 errors of another seed and another rate: a Poisson count that exceeds this once in ten thousand."""
    guard = Watch("error", detector_for("error", false_alarm_every_events=every)).build()
    rng = random.Random(99)
    alarms = sum(guard.update(1 if rng.random() < 0.3 else 0) is not None for _ in range(200_000))
    assert alarms <= {30_000: 17, 100_000: 8}[every]


def test_rarer_alarms_come_later() -> None:
    guards = [Watch("error", detector_for("error", false_alarm_every_events=every)).build() for every in (20_000, 300_000)]
    rng = random.Random(3)
    errors = [1 if rng.random() < (0.2 if number < 3_000 else 0.4) else 0 for number in range(6_000)]
    first = [next(number for number, error in enumerate(errors) if guard.update(error) and number >= 3_000) for guard in guards]
    assert first[0] <= first[1]
    assert first[1] < 3_500


def test_a_kind_can_be_asked_for() -> None:
    assert isinstance(detector_for("feature:a", kind="ADWIN"), FastADWIN)
    assert isinstance(detector_for(kind="PageHinkley"), drift.PageHinkley)


def test_what_was_not_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="EDDM was not measured"):
        detector_for(kind="EDDM")
    with pytest.raises(ValueError, match="the quietest is"):
        detector_for(false_alarm_every_events=10**9)


def test_the_defaults_make_a_pipeline_for_every_task() -> None:
    for pipeline, _ in streams.oracle_cases().values():
        parts = {name: getattr(pipeline, name) for name in ("name", "task", "source", "schema", "model")}
        assert Pipeline(**parts, **watch_and_react(pipeline.task)).react
        told = Pipeline(**parts, **watch_and_react(pipeline.task, adapts=True))
        assert [watch.signal for watch in told.watch] == [
            watch.signal for watch in Pipeline(**parts, **watch_and_react(pipeline.task)).watch
        ]
        assert [rule.do for rule in told.react] == [Ignore()] * len(told.watch)


def test_the_table_is_measured_for_both_signals() -> None:
    assert {row[0] for row in TABLE} == {"error", "feature"}
    assert len(TABLE) >= 30

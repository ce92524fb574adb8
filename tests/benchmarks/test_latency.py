"""The benchmark of latencies counts what its page says it does."""

from __future__ import annotations

import json

import pytest

from benchmarks import latency
from benchmarks.latency import figures, spans_of
from benchmarks.latency_load import FEATURES, Load, Offered, bodies, counted, quantiles
from benchmarks.latency_plots import plot, tables
from benchmarks.latency_workers import Case, Happened, Notes, latency_pipeline
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Assigned, Checkpointed

LOAD = Load(name="l", rate=100.0, seconds=2.0, warm_s=1.0)
SHARD = ShardId("p", "t", 0)


def test_a_latency_counts_from_the_moment_at_which_the_event_was_to_be_sent() -> None:
    """A standstill of half a second is seen by every event that was to be sent in it, whenever the generator sent it."""
    times = [max(50.0 + number / 100, 52.0 if 50.0 + number / 100 >= 51.5 else 0.0) + 0.01 for number in range(300)]
    found = counted(LOAD, 50.0, range(300), times, 0.5)
    assert len(found.latency_s) == 200, "the warm-up does not count"
    assert found.missing == 0
    assert max(found.latency_s) == pytest.approx(0.51)
    assert sum(latency > 0.011 for latency in found.latency_s) == pytest.approx(50, abs=1)
    assert quantiles(found.latency_s)["p50_ms"] == pytest.approx(10.0)


def test_lost_predictions_are_counted_and_doubled_ones_end_the_run() -> None:
    found = counted(LOAD, 0.0, range(290), [number / 100 + 0.02 for number in range(290)], 0.0)
    assert found.missing == 10
    assert not figures(found)["kept_up"]
    with pytest.raises(SystemExit, match="1 predictions came twice"):
        counted(LOAD, 0.0, [*range(10), 9], [1.0] * 11, 0.0)


def test_a_load_that_is_too_high_is_no_latency() -> None:
    behind = Offered([number / 100 for number in range(200)], [number / 50 for number in range(200)], 0, 0.0)
    row = {"case": "steady", "model": "m", "commit_interval_ms": 20, "load": "80%", "events_per_s": 9, "cpu_us": 1.0} | figures(behind)
    assert not row["kept_up"]
    assert "fell behind" in tables([row])


def test_what_went_on_is_told_apart_by_time() -> None:
    offered = Offered([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4], 0, 0.0)
    assert offered.within([(1.5, 2.5), (3.9, 4.0)]) == [0.2, 0.4]
    happened = Happened(spans={"checkpoint": [(10.0, 10.1)], "assigned": [(3.0, 3.0)]})
    assert list(spans_of("checkpoint", happened, [])) == [(10.0 - latency.MARGIN_S, 10.1)]
    assert list(spans_of("rebalance", happened, [happened])) == [(2.0, 4.0)], "of the worker that joined"


def test_a_worker_notes_when_it_did_what() -> None:
    class Held:
        value = 0

    notes = Notes(held := Held())
    notes(Assigned(shard=SHARD, offset=0, live_from=0))
    notes(Checkpointed(shard=SHARD, offset=5, bytes=1, seconds=0.25, at_s=0.0))
    [(from_s, to_s)] = notes.happened.spans["checkpoint"]
    assert to_s - from_s == pytest.approx(0.25)
    assert held.value == 1
    happened = Happened(samples=[(1.0, 0, 0.0), (2.0, 1_000, 0.02), (3.0, 2_000, 0.05)])
    assert happened.cpu_us(0.5, 2.5) == pytest.approx(20.0)


@pytest.mark.parametrize("reacts", ["", "duel", "training"])
def test_every_case_is_of_a_pipeline_that_loads_and_of_records_that_it_takes(reacts: str) -> None:
    pipeline = latency_pipeline(Case(name="lat", reacts=reacts, every_events=1_000))
    assert set(pipeline.schema.features) == set(json.loads(b'{"id": "x", ' + bodies()[0])) - {"id", "y"}
    assert len(pipeline.schema.features) == FEATURES
    assert len(pipeline.react) == 1 + bool(reacts)


def test_tables_and_plot_show_every_load_and_interval() -> None:
    shown = {"p50_ms": 12.0, "p90_ms": 20.0, "p99_ms": 31.0, "p999_ms": 40.0, "kept_up": True, "cpu_us": 20.0, "events_per_s": 1_000}
    steady = [
        {"case": "steady", "model": "adaptive_classifier", "commit_interval_ms": interval, "load": load} | shown
        for interval in (10, 20, 500)
        for load in ("1,000/s", "50%")
    ]
    rows = [{"case": "log alone"} | shown, *steady, {"case": "meanwhile", "during": "duel", "model": "m", "times": 3} | shown]
    text, drawn = tables(rows), plot(rows)
    assert text.count("| adaptive_classifier |") == 6
    assert "| 12 ms | 31 ms | 40 ms |" in text
    assert "| duel | m | 1,000 | 3 | - | 12 ms" in text
    assert drawn.count("<polyline") == 4
    assert drawn.rstrip().endswith("</svg>")

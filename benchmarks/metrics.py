"""What metrics cost: events a second with them and without, in one run; and how long a scrape takes at 20 pipelines x 8 partitions.

Events a second: one process, two drivers over memory stores, which take the same events batch by batch, one after the other and by turns
first: one with metrics (facts folded, each shard observed and all of it scraped once a second of its own CPU time), one without. So both
have the same machine at the same moment, whatever else runs on it. A round is a stream of events; the ratio is of sums of CPU time.
Python's collector of cycles runs between the rounds alone: by chance it would interrupt the one side or the other, for 7 % of the time.

A scrape: 20 workers with 8 shards each, as the parent of `run --workers 20` is asked for all of them; the bound is what one process of a
fleet can be asked, whether its workers are of one pipeline or of twenty.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from river import drift, linear_model, preprocessing

from benchmarks.throughput_worker import FEATURES, stream
from stream_retrain import Challenge, On, Pipeline, Schema, Watch
from stream_retrain.codec.keyring import Keyring
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.facts.observation import Reading
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Assigned, Lagging, WorkerFact
from stream_retrain.lane.batch import Record, Records
from stream_retrain.stores import connect
from stream_retrain.views.fleet import FleetView
from stream_retrain.views.http import Health, Pages, serve_at
from stream_retrain.views.metrics import Metrics, PipelineLabels
from tests.views.support import observed, processed

BATCH = 500
PIPELINES, PARTITIONS, WATCHES = 20, 8, 3


def pipeline() -> Pipeline:
    """The cheapest usual model, so that what surrounds it shows."""
    return Pipeline(
        name="bench",
        task="binary",
        source="events",
        schema=Schema(id="id", label="y", features={f"f{name}": float for name in range(FEATURES)}),
        model=preprocessing.StandardScaler() | linear_model.LogisticRegression(),
        watch=[Watch("error", drift.ADWIN())],
        react=[On.drift("error", Challenge())],
    )


def _labels(name: str) -> PipelineLabels:
    watches = tuple(("ADWIN", f"feature:f{number}") for number in range(WATCHES))
    return PipelineLabels(name=name, task="binary", topic="events", model="Pipeline", watches=watches, reactions=("Challenge", "Retrain"))


class Side:
    """A driver that is fed batch by batch, and the CPU time it has taken."""

    def __init__(self, *, metered: bool) -> None:
        self.metrics = Metrics(_labels("bench"), "bench") if metered else None
        told: Any = self.metrics or (lambda _: None)
        self.driver = Driver(pipeline(), connect("memory://"), Keyring.unsigned(), DriverLimits(checkpoint_events=2**62), told)
        self.driver.open(0, Log(committed=None, low=0, high=0), 0.0)
        self.cpu_s = self._scraped_s = 0.0

    def take(self, batch: Records) -> None:
        """What a worker does with a batch, and once a second of the time taken, what it does once a second."""
        began_s = time.process_time()
        self.driver.take(0, batch)
        self.driver.committed(self.driver.unsent().offsets)
        if self.metrics is not None:
            self.driver.observe(self.cpu_s)
            if self.cpu_s - self._scraped_s >= 1.0:
                self._scraped_s = self.cpu_s
                self.metrics.render("")
        self.cpu_s += time.process_time() - began_s


def both(batches: list[Records]) -> tuple[float, float]:
    """CPU seconds for all events, with metrics and without."""
    metered, bare = Side(metered=True), Side(metered=False)
    gc.collect()
    gc.disable()
    for number, batch in enumerate(batches):
        for side in (metered, bare) if number % 2 else (bare, metered):
            side.take(batch)
    gc.enable()
    return metered.cpu_s, bare.cpu_s


def records_of(events: int) -> list[Records]:
    """Batches of records, as a poll gives them."""
    rows = [json.dumps(row).encode() for row in stream(events)]
    records = [Record(number, None, value, 1_790_000_000_000) for number, value in enumerate(rows)]
    return [Records.of(records[at : at + BATCH]) for at in range(0, events, BATCH)]


def cost(events: int, rounds: int) -> dict[str, float]:
    """Events a second of CPU with and without, and by how much metrics slow down."""
    batches = records_of(events)
    both(batches[: len(batches) // 4])
    found = []
    for _ in range(rounds):
        found.append(both(batches))
        with_us, without_us = (cpu_s / events * 1e6 for cpu_s in found[-1])
        print(f"  round: with {with_us:.2f} us an event, without {without_us:.2f} us: {with_us / without_us - 1:+.2%}", flush=True)
    metered_s, bare_s = (sum(each) for each in zip(*found, strict=True))
    slower = [metered / bare - 1 for metered, bare in found]
    return {
        "events_per_s_with": round(rounds * events / metered_s),
        "events_per_s_without": round(rounds * events / bare_s),
        "slower_percent": round((metered_s / bare_s - 1) * 100, 2),
        "slower_percent_median": round(statistics.median(slower) * 100, 2),
    }


def filled_metrics(name: str) -> Metrics:
    """A worker with all its shards in a duel, which is when it has the most to say."""
    metrics = Metrics(_labels(name), "bench")
    readings = {
        (f"feature:f{number}", "ADWIN"): Reading(estimate=0.5, width=300, statistic=1.0, threshold=2.0) for number in range(WATCHES)
    }
    for partition in range(PARTITIONS):
        id_ = ShardId(name, "events", partition)
        facts: tuple[WorkerFact, ...] = (
            Assigned(shard=id_, offset=0, live_from=0),
            processed(shard=id_),
            Lagging(shard=id_, records=10),
            observed(id_, readings=readings),
        )
        for fact in facts:
            metrics(fact)
    return metrics


def scrape(times: int) -> dict[str, float]:
    """One worker alone, and twenty through their parent."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sockets = [folder / str(number) for number in range(PIPELINES)]
        health = Health(ok=True)
        workers = [filled_metrics(f"pipeline-{number}") for number in range(PIPELINES)]
        for socket, metrics in zip(sockets, workers, strict=True):
            pages = Pages(metrics=metrics.render, healthy=lambda: health, ready=lambda: health, status=dict)
            stack.enter_context(serve_at(socket, pages))
        fleet = FleetView(sockets, lambda: [1] * PIPELINES)
        alone, merged, body = [], [], b""
        for _ in range(times):
            began_s = time.perf_counter()
            _, one = workers[0].render("")
            alone.append(time.perf_counter() - began_s)
            began_s = time.perf_counter()
            _, body = fleet.metrics("")
            merged.append(time.perf_counter() - began_s)
    series = sum(not line.startswith("#") for line in body.decode().splitlines())
    return {
        "series_of_a_worker": sum(not line.startswith("#") for line in one.decode().splitlines()),
        "scrape_of_a_worker_ms": round(statistics.median(alone) * 1000, 2),
        "series_of_all": series,
        "bytes_of_all": len(body),
        "scrape_of_all_ms": round(statistics.median(merged) * 1000, 1),
        "scrape_of_all_ms_max": round(max(merged) * 1000, 1),
    }


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(description="What metrics cost.")
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds: a smoke test, not a measurement")
    arguments = parser.parse_args()
    for name, value in scrape(3 if arguments.quick else 30).items():
        print(f"{name:24} {value:>12,}")
    for name, value in cost(*((5_000, 1) if arguments.quick else (60_000, 10))).items():
        print(f"{name:24} {value:>12,}")


if __name__ == "__main__":
    main()

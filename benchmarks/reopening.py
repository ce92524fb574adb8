"""Memory over a thousand rebalances: a partition is opened, restored, learned from, saved and given up, again and again.

    python -m benchmarks.reopening [--times 1000] [--every 100]

It is the driver's part of a rebalance, over stores in memory, in which a window of 10,000 rows is kept; the Kafka client is not in it. The
memory is that of the process after a full collection.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from benchmarks.throughput_worker import MODELS, pipeline, stream
from stream_retrain.codec.keyring import Keyring
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.engines.memory_guard import resident_bytes
from stream_retrain.lane.batch import Record, Records
from stream_retrain.stores import connect

EVENTS = 50


class Line(NamedTuple):
    """How it stands after so many times."""

    times: int
    objects: int
    resident_mb: float


def reopened(model: str, times: int, every: int) -> Iterator[Line]:
    """Open and close one partition so often; a line now and then."""
    declared = pipeline(model, "reopening", window_rows_max=10_000)
    stores = connect("memory://", keyring=Keyring.unsigned())
    values = [msgspec.json.encode(row) for row in stream(EVENTS)]
    driver = Driver(declared, stores, Keyring.unsigned(), DriverLimits(), lambda _: None)
    for number in range(times):
        first = number * EVENTS
        driver.open(0, Log(first or None, 0, first + EVENTS), 0.0)
        driver.take(0, Records.of(Record(first + at, None, value, first + at) for at, value in enumerate(values)))
        driver.committed(driver.unsent().offsets)
        driver.settle(0.0)
        driver.checkpoint(0.0, float("inf"))
        assert [closed.partition for closed in driver.close([0])] == [0]
        if (number + 1) % every == 0:
            gc.collect()
            yield Line(number + 1, len(gc.get_objects()), round(resident_bytes() / 1e6, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1_000)
    parser.add_argument("--every", type=int, default=100)
    parser.add_argument("--model", choices=MODELS, default="adaptive_classifier()")
    given: Any = parser.parse_args()
    print("| times | objects | memory, MB |\n|---:|---:|---:|")
    for line in reopened(given.model, given.times, given.every):
        print(f"| {line.times:,} | {line.objects:,} | {line.resident_mb:,} |", flush=True)


if __name__ == "__main__":
    main()

"""What logs and traces cost: their share of a worker's CPU time, in one run; and what a line costs that is said, or counted.

One process, one driver over memory stores. The time within the views is measured in the run whose CPU time it is a share of: the ratio of
two runs varies by several per cent on a busy machine, and this does not. "Off" is what a worker tells without `traces`: the view of spans
is not among those that are told. "On" is with OpenTelemetry's SDK and an exporter that drops the spans; the time of its thread is counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.metrics import BATCH, pipeline, records_of
from stream_retrain.codec.keyring import Keyring
from stream_retrain.compose import all_of
from stream_retrain.engines.driver import Driver, DriverLimits, Log
from stream_retrain.facts.shard import Rejected
from stream_retrain.facts.worker import Tell, WorkerFact
from stream_retrain.lane.batch import Records
from stream_retrain.logs import LogSetup, set_up_logging
from stream_retrain.stores import connect
from stream_retrain.views.log import log_fact
from stream_retrain.views.traces import Traces
from tests.facts.examples import EXAMPLES
from tests.views.support import processed


class _Dropped(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002 - the parameter is OpenTelemetry's
        return SpanExportResult.SUCCESS


def share(batches: list[Records], tell: Tell) -> float:
    """Which part of the CPU time of a run is spent in `tell`."""
    within_ns = 0

    def timed(fact: WorkerFact) -> None:
        nonlocal within_ns
        began_ns = time.thread_time_ns()
        tell(fact)
        within_ns += time.thread_time_ns() - began_ns

    driver = Driver(pipeline(), connect("memory://"), Keyring.unsigned(), DriverLimits(checkpoint_events=2**62), timed)
    driver.open(0, Log(committed=None, low=0, high=0), 0.0)
    all_ns, own_ns = time.process_time_ns(), time.thread_time_ns()
    for batch in batches:
        driver.take(0, batch)
        driver.committed(driver.unsent().offsets)
    all_ns, own_ns = time.process_time_ns() - all_ns, time.thread_time_ns() - own_ns
    return (within_ns + all_ns - own_ns) / all_ns


def cost(events: int, rounds: int) -> dict[str, float]:
    """The share of each way to tell, in per cent: the median of the rounds."""
    batches = records_of(events)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Dropped()))
    ways: dict[str, Tell] = {
        "nobody_told": lambda _: None,
        "traces_off": all_of(log_fact),
        "traces_on": all_of(log_fact, Traces("bench", "bench", provider)),
    }
    shares = {name: statistics.median(share(batches, tell) for _ in range(rounds)) for name, tell in ways.items()}
    provider.shutdown()
    return {f"{name}_percent": round(part * 100, 3) for name, part in shares.items()}


def lines(times: int) -> dict[str, float]:
    """Microseconds of CPU for a line that is said, and for a dead letter in a flood of them."""
    fact = EXAMPLES[Rejected]
    flood = processed(*(dataclasses.replace(fact, offset=offset) for offset in range(BATCH)))
    log = logging.getLogger("benchmarks.telling")

    def said() -> Iterator[None]:
        for number in range(times):
            log.error("training %d of %s failed: %s", number, "shop/shop.orders/0", "it took longer than train_timeout_s = 600 s")
            yield

    def counted() -> Iterator[None]:
        for _ in range(times):
            log_fact(flood)
            yield

    return {"line_said_us": round(_each_us(said), 2), "dead_letter_counted_us": round(_each_us(counted) / BATCH, 2)}


def _each_us(steps: Callable[[], Iterator[None]]) -> float:
    began_s, count = time.process_time(), sum(1 for _ in steps())
    return (time.process_time() - began_s) / count * 1e6


def main() -> None:
    """Measure all and print them."""
    parser = argparse.ArgumentParser(description="What logs and traces cost.")
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds: a smoke test, not a measurement")
    arguments = parser.parse_args()
    set_up_logging(LogSetup(format="json"), io.StringIO())
    found = lines(100 if arguments.quick else 2_000) | cost(*((5_000, 1) if arguments.quick else (20_000, 5)))
    for name, value in found.items():
        sys.stdout.write(f"{name:28} {value:>12,}\n")


if __name__ == "__main__":
    main()

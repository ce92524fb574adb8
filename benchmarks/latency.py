"""From an event to its prediction, exactly once: the figures of docs/performance.md, "Latency".

    python -m benchmarks.latency [--quick] [--capacity EVENTS_PER_S] [--json FILE] [--markdown FILE] [--plot FILE.svg]

A generator sends events at a steady rate to four partitions of a real Kafka; a worker with everything on (transactions, window,
checkpoints, ADWIN) predicts and learns; a reader receives what is committed. A latency is the time from the moment at which an event was
to be sent to the moment at which its prediction is in the reader's hands, by one clock. All four processes and the broker share the
machine.

- capacity: events a second while a backlog is worked off with the reader beside it, at the default commit interval; and of that the
  largest share that is sustained, with the generator beside it too: 10, 50 and 80 % are of this one;
- steady: commit intervals of 10 to 500 ms, at 1,000 events a second and at 10, 50 and 80 % of the capacity; the same without a worker
  (`log alone`: the reader reads the events themselves) is what Kafka and the clients take;
- meanwhile: at one load, the events that were sent during a checkpoint, a duel, a training, and while a second worker joins and leaves.

`kept_up` is false where predictions fell ever further behind: such a row says that the load is too high, and no latency.
"""

from __future__ import annotations

import argparse
import json
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks.latency_load import UNPACED, Load, Offered, offer, quantiles
from benchmarks.latency_plots import plot, tables
from benchmarks.latency_workers import PARTITIONS, Case, Happened, Worker, latency_pipeline
from stream_retrain.engines.kafka.clients import admin_client
from stream_retrain.engines.kafka.publish import create_topic
from stream_retrain.engines.kafka.topics import prepare_topics
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings

INTERVALS_MS: Final = (10, 20, 50, 150, 500)
SHARES: Final = (0.1, 0.5, 0.8)
LIGHT: Final = 1_000.0
INTERVAL_MS: Final = 20
"""Of the cases that compare other things than intervals."""
MARGIN_S: Final = 0.05
"""Events this long before something began were waiting when it did."""
REBALANCE_S: Final = 1.0
TRIED: Final = (0.8, 0.65, 0.5, 0.4, 0.3, 0.2, 0.1)
SUSTAINED_MS: Final = 600.0


class Bench:
    """A stack, and what is measured on it; `rows` are the figures."""

    def __init__(self, settings: Settings, seconds: float, events: int) -> None:
        self.settings, self.seconds, self.events = settings, seconds, events
        self.places = {"kafka_bootstrap_servers": settings.kafka_bootstrap_servers, "redis_url": settings.redis_url}
        self.rows: list[dict[str, Any]] = []
        self._loads = 0

    def case(self, **declared: Any) -> Case:
        """A case with topics of its own."""
        case = Case(name=f"lat-{uuid.uuid4().hex[:8]}", **declared)
        create_topic(self.settings, f"{case.name}.events", PARTITIONS, {"retention.ms": "-1"})
        prepare_topics(admin_client(self.settings), latency_pipeline(case), self.settings)
        return case

    def load(self, rate: float, seconds: float | None = None) -> Load:
        """One with a name of its own."""
        self._loads += 1
        return Load(name=f"l{self._loads}", rate=rate, seconds=seconds or self.seconds)

    def offered(self, case: Case, load: Load) -> Offered:
        """To the worker that runs this case."""
        return offer(self.settings, f"{case.name}.events", f"{case.name}.predictions", PARTITIONS, load)

    def capacity(self, model: str, events: int) -> float:
        """Events a second of a worker that is behind."""
        case = self.case(model=model, commit_interval_ms=150)
        worker = Worker(case, self.places)
        worker.wait_for(PARTITIONS)
        load = Load(name="capacity", rate=UNPACED, seconds=events / UNPACED, warm_s=0.0)
        found = self.offered(case, load)
        happened = worker.stop()
        came = sorted(sent + latency for sent, latency in zip(found.sent_s, found.latency_s, strict=True))
        first, last = len(came) // 4, len(came) - 1
        rate = (last - first) / (came[last] - came[first])
        self.note(case="capacity", model=model, events_per_s=round(rate), cpu_us=round(happened.cpu_us(came[first], came[last]), 2))
        return rate

    def sustained(self, model: str, capacity: float) -> float:
        """The largest share of it at which predictions do not fall behind, when all that is needed for the load shares the machine."""
        case = self.case(model=model, commit_interval_ms=150)
        worker = Worker(case, self.places)
        worker.wait_for(PARTITIONS)
        try:
            for share in TRIED:
                load = self.load(capacity * share, 4.0)
                found = figures(self.offered(case, load))
                if found["kept_up"] and found["p99_ms"] < SUSTAINED_MS:
                    self.note(case="sustained", model=model, events_per_s=round(load.rate), share=share, **found)
                    return load.rate
        finally:
            worker.stop()
        raise SystemExit(f"not even {TRIED[-1]:.0%} of the capacity is sustained: the machine is too busy")

    def alone(self, rates: list[float]) -> None:
        """What Kafka and the clients take: the reader reads the events."""
        for rate in rates:
            case, load = self.case(), self.load(rate, min(self.seconds, 5.0))
            found = offer(self.settings, f"{case.name}.events", f"{case.name}.events", PARTITIONS, load)
            self.note(case="log alone", events_per_s=round(rate), **figures(found))

    def steady(self, model: str, interval_ms: int, rates: dict[str, float]) -> None:
        """One worker, one load after the other."""
        case = self.case(model=model, commit_interval_ms=interval_ms)
        worker = Worker(case, self.places)
        worker.wait_for(PARTITIONS)
        found = {share: (load := self.load(rate), self.offered(case, load)) for share, rate in rates.items()}
        happened = worker.stop()
        for share, (load, offered) in found.items():
            named = {"model": model, "commit_interval_ms": interval_ms, "load": share, "events_per_s": round(load.rate)}
            self.note(case="steady", **named, **figures(offered), **costs(happened, offered))

    def meanwhile(self, kind: str, rate: float, model: str = "adaptive_classifier") -> None:
        """The events that were sent while something went on in the worker, or between workers."""
        own: dict[str, Any] = {"checkpoint": {"checkpoint_interval_s": 1.0}}.get(kind, {})
        if kind in ("duel", "training"):
            own = {"reacts": kind, "every_events": round(rate / PARTITIONS * 4)}
        case = self.case(model=model, commit_interval_ms=INTERVAL_MS, **own)
        worker = Worker(case, self.places)
        worker.wait_for(PARTITIONS)
        load = self.load(rate, max(self.seconds, 10.0))
        second: list[Happened] = []
        beside = threading.Thread(target=lambda: second.append(self._joins(case)))
        if kind == "rebalance":
            beside.start()
        offered = self.offered(case, load)
        if kind == "rebalance":
            beside.join()
        happened = worker.stop()
        spans = list(spans_of(kind, happened, second))
        named = {"model": model, "commit_interval_ms": INTERVAL_MS, "events_per_s": round(rate), "times": len(spans)}
        if lengths := sorted(to_s - from_s for from_s, to_s in happened.spans.get(kind, [])):
            named |= {"span_p50_ms": round(lengths[len(lengths) // 2] * 1e3, 2), "span_max_ms": round(lengths[-1] * 1e3, 2)}
        self.note(case="meanwhile", during=kind, **named, **figures(offered, offered.within(spans)))

    def _joins(self, case: Case) -> Happened:
        time.sleep(4.0)
        second = Worker(case, self.places, number=1)
        second.wait_for(PARTITIONS // 2)
        time.sleep(1.0)
        return second.stop()

    def note(self, **row: Any) -> None:
        """One more row."""
        self.rows.append(row)
        print(json.dumps(row), flush=True)


def spans_of(kind: str, happened: Happened, second: list[Happened]) -> Iterator[tuple[float, float]]:
    """When it went on. A rebalance is the second around a partition's leaving or coming, in either worker."""
    if kind != "rebalance":
        yield from ((from_s - MARGIN_S, to_s) for from_s, to_s in happened.spans.get(kind, []))
        return
    moves = [at_s for each in second for move in ("assigned", "released") for at_s, _ in each.spans.get(move, [])]
    yield from ((at_s - REBALANCE_S, at_s + REBALANCE_S) for at_s in moves)


def figures(offered: Offered, latencies_s: list[float] | None = None) -> dict[str, Any]:
    """Quantiles of all events, or of some; whether the worker kept up; how late the generator was."""
    chosen = offered.latency_s if latencies_s is None else latencies_s
    shown: dict[str, Any] = dict(quantiles(chosen)) if chosen else {}
    tail = len(offered.latency_s) // 5 or 1
    last = sorted(offered.latency_s[-tail:])
    kept_up = not offered.missing and last[len(last) // 2] < 1.0
    shown |= {"events": len(chosen), "missing": offered.missing, "kept_up": kept_up}
    return shown | {"generator_late_ms": round(offered.late_s * 1e3, 1)}


def costs(happened: Happened, offered: Offered) -> dict[str, float]:
    """CPU of the worker's process an event, while this load was on."""
    return {"cpu_us": round(happened.cpu_us(offered.sent_s[0], offered.sent_s[-1]), 2)} if offered.sent_s else {}


def run(bench: Bench, capacity: float | None, quick: bool) -> None:
    """Everything, or in a minute or two what shows that it works."""
    best = capacity or bench.sustained("adaptive_classifier", bench.capacity("adaptive_classifier", bench.events))
    rates = {"1,000/s": LIGHT, **{f"{share:.0%}": best * share for share in ((0.5,) if quick else SHARES)}}
    bench.alone(list(rates.values()))
    for interval_ms in (INTERVAL_MS,) if quick else INTERVALS_MS:
        bench.steady("adaptive_classifier", interval_ms, rates)
    if not quick:
        of_tree = bench.sustained("HoeffdingTree", bench.capacity("HoeffdingTree", bench.events // 4))
        bench.steady("HoeffdingTree", INTERVAL_MS, {"1,000/s": LIGHT, **{f"{share:.0%}": of_tree * share for share in SHARES}})
    for kind in ("checkpoint",) if quick else ("checkpoint", "duel", "training", "rebalance"):
        bench.meanwhile(kind, 2 * LIGHT)
    if not quick:
        bench.meanwhile("checkpoint", LIGHT, "HoeffdingTree")


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description="From an event to its prediction, exactly once.")
    parser.add_argument("--quick", action="store_true", help="few cases, each short: a smoke test, not a measurement")
    parser.add_argument("--capacity", type=float, metavar="EVENTS_PER_S", help="do not measure the capacity: it is this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw latency by commit interval")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    seconds, events = (4.0, 60_000) if arguments.quick else (12.0, 300_000)
    with LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack:
        places = {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url}
        bench = Bench(load_settings(None, {}, places), seconds, events)
        run(bench, arguments.capacity, arguments.quick)
    print(tables(bench.rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(bench.rows, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(tables(bench.rows))
    if arguments.plot:
        arguments.plot.write_text(plot(bench.rows))


if __name__ == "__main__":
    main()

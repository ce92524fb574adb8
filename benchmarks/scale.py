"""How throughput and cost go with workers, partitions, features and the model: the figures of docs/scaling.md.

    python -m benchmarks.scale [--quick] [--json FILE] [--markdown FILE] [--plot FILE]

Each case is the whole worker on a real Kafka and Valkey (`benchmarks.scale_workers`), in fresh processes. One thing is varied at a time:

- workers: one and two, in alternating rounds, for three models; the ratio is of neighbouring rounds;
- partitions, features, and events in a transaction: CPU of the worker's process an event;
- a burst at one worker, for `benchmarks.capacity` to be held against.

Broker, Valkey and workers share the machine. `cores` says how much of it the workers got, `broker_cpu_us` what Kafka took for an event.
What is compared is CPU an event, and rates of neighbouring rounds; a rate by itself is of this machine at that minute.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.capacity import Sizing, fit, simulate_backlog
from benchmarks.scale_plots import plot
from benchmarks.scale_workers import Case, Measured, TooShortError, burst, measure, rows
from stream_retrain.local import LocalStack
from stream_retrain.settings import Settings, load_settings

EVENTS = {"light": 150_000, "tree": 90_000, "adaptive": 40_000, "forest": 9_000}
ROUNDS = 2


def cases(quick: bool) -> Iterator[tuple[str, Case]]:
    """Every case, with what it is a part of."""
    seconds, part = (2.0, 0.3) if quick else (8.0, 1.0)

    def case(model: str, **other: Any) -> Case:
        return Case(model=model, events=int(EVENTS[model] * part * other.get("workers", 1)), seconds=seconds, **other)

    for partitions in (1, 64) if quick else (1, 4, 16, 64):
        yield "partitions", case("light", partitions=partitions)
    for features in (1, 50) if quick else (1, 20, 50):
        yield "features", case("light", features=features, partitions=4)
        if not quick:
            yield "features", case("adaptive", features=features, partitions=4)
    for size in (500,) if quick else (250, 1_000):
        yield "transactions", case("light", partitions=4, commit_events_max=size)
    for _ in range(1 if quick else ROUNDS):
        for model in ("light",) if quick else ("light", "adaptive", "forest"):
            for workers in (1, 2):
                yield "workers", case(model, workers=workers)


def measured(settings: Settings, quick: bool, only: list[str]) -> list[dict[str, Any]]:
    """Run every case."""
    found: list[dict[str, Any]] = []
    for sweep, case in cases(quick):
        if only and sweep not in only:
            continue
        one = _again(case, settings, rows(case.features, case.events))
        if one is None:
            continue
        found.append({"sweep": sweep, **dataclasses.asdict(one)})
        print(json.dumps(found[-1]), flush=True)
    return found


def _again(case: Case, settings: Settings, values: list[bytes]) -> Measured | None:
    """A case that comes to nothing is tried once more, and then left out."""
    for _ in range(2):
        try:
            return measure(case, settings, values)
        except TooShortError as error:
            print(error, flush=True)
    return None


def ratios(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two workers beside one, by model: of rates, of what an event costs, and of rates if each worker had had as much of the machine."""
    said = []
    for model in dict.fromkeys(row["model"] for row in found if row["sweep"] == "workers"):
        ours = [row for row in found if row["sweep"] == "workers" and row["model"] == model]
        pairs = [(one, two) for one, two in itertools.pairwise(ours) if (one["workers"], two["workers"]) == (1, 2)]
        if not pairs:
            continue
        rates = [two["events_per_s"] / one["events_per_s"] for one, two in pairs]
        same = [2 * one["cpu_us"] / two["cpu_us"] for one, two in pairs]
        said.append(
            {
                "model": model,
                "ratio": round(statistics.median(rates), 2),
                "ratios": [round(each, 2) for each in rates],
                "ratio_at_equal_cores": round(statistics.median(same), 2),
                "broker_cpu_us": round(statistics.median(row["broker_cpu_us"] for row in ours), 1),
                "cpu_us": round(statistics.median(one["cpu_us"] for one, _ in pairs), 1),
                "cores_of_two": round(statistics.median(two["cores"] for _, two in pairs), 2),
            }
        )
    return said


def held_against(point: dict[str, float]) -> dict[str, float]:
    """A burst that was measured, beside the simulation of the same with the speed it had."""
    sizing = Sizing(events_per_s=point["rate_per_s"], partitions=4, workers=1, event_us=1e6 / point["worked_per_s"])
    return {**point, "simulated_s": round(simulate_backlog(sizing, point["waiting"]), 2)}


def markdown(found: list[dict[str, Any]], compared: list[dict[str, Any]]) -> str:
    """Both tables of the page."""
    lines = ["| model | one worker, two workers: events/s | ratio (rounds) | at equal cores | CPU of an event, us | of the broker, us |"]
    lines.append("|---|---|---|---|---|---|")
    for row in compared:
        ours = [each for each in found if each["sweep"] == "workers" and each["model"] == row["model"]]
        one, two = (statistics.median(each["events_per_s"] for each in ours if each["workers"] == count) for count in (1, 2))
        rounds = ", ".join(f"{each:.2f}" for each in row["ratios"])
        lines.append(
            f"| {row['model']} | {one:,.0f}, {two:,.0f} | {row['ratio']:.2f} ({rounds}) | {row['ratio_at_equal_cores']:.2f} |"
            f" {row['cpu_us']} | {row['broker_cpu_us']} |"
        )
    lines += ["", "| varied | model | partitions | features | events a transaction | CPU of an event, us | of the broker, us |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in found:
        if row["sweep"] != "workers":
            lines.append(
                f"| {row['sweep']} | {row['model']} | {row['partitions']} | {row['features']} | {row['events_per_transaction']:,.0f} |"
                f" {row['cpu_us']:.1f} | {row['broker_cpu_us']:.1f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, fit, write."""
    parser = argparse.ArgumentParser(description="Throughput and cost by workers, partitions, features and model.")
    parser.add_argument("--quick", action="store_true", help="a few short cases: a smoke test, not a measurement")
    parser.add_argument("--only", action="append", default=[], metavar="SWEEP", help="workers, partitions, features or transactions")
    parser.add_argument("--rows", type=Path, metavar="FILE", help="rows of an earlier run, as JSON, that belong to this one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw CPU an event there, as SVG")
    arguments = parser.parse_args()
    began_s, load = time.monotonic(), os.getloadavg()[0]
    with LocalStack.start(on_progress=lambda text: print(text, flush=True)) as stack:
        settings = load_settings(None, {}, {"kafka_bootstrap_servers": stack.bootstrap_servers, "redis_url": stack.redis_url})
        found = json.loads(arguments.rows.read_text())["rows"] if arguments.rows else []
        found += measured(settings, arguments.quick, arguments.only)
        point = held_against(burst(settings, events=2_000 if arguments.quick else 12_000))
    compared, capacity = ratios(found), fit(found)
    result = {
        "rows": found,
        "workers": compared,
        "burst": point,
        "capacity": capacity._asdict(),
        "machine": {"cores": os.cpu_count(), "load_before": round(load, 1), "load_after": round(os.getloadavg()[0], 1)},
        "seconds": round(time.monotonic() - began_s),
    }
    for name in ("workers", "burst", "capacity", "machine"):
        print(name, json.dumps(result[name]), flush=True)
    print(markdown(found, compared))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(found, compared))
    if arguments.plot:
        arguments.plot.write_text(plot(found))


if __name__ == "__main__":
    main()

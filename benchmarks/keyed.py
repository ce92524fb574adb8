"""What a model for each of many keys costs beside one model, and what its checkpoints cost.

    python -m benchmarks.keyed [--keys 100000] [--events 60000] [--json FILE]

Each run is a process of its own: records of six numbers and a key are decoded, predicted, learned and encoded by the driver, with its
checkpoints in a real Valkey. `one` is a single linear model, which does not see the key; the others keep one for each key
(`PerKey(..., by="store")`), where every key has come once before anything is measured:

- `zipf`: the first keys come most often, by Zipf's law, as stores and users do;
- `uniform`: all keys come equally often, so that nearly each event unpacks a model and packs another: the worst there is, as no key is new.

Of each: CPU time an event and events a second of one core; the resident memory that was added; the models that are hot and cold. After
every `CHECKPOINT_EVENTS` events a checkpoint, with the pause of the loop (wall clock, median and longest), the bytes that were written when
it was due, and the longest turn between two checkpoints (a batch, its commit and what is written ahead). `whole` is what each
checkpoint would cost that holds everything: its bytes, and the time to pickle, seal and save them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
from river import linear_model, preprocessing

from benchmarks.fresh_process import in_fresh_process
from stream_retrain import Pipeline, Schema
from stream_retrain.codec.checkpoint import checkpoint_header
from stream_retrain.codec.keyring import Key, Keyring
from stream_retrain.codec.seal import seal
from stream_retrain.codec.state import dump_state
from stream_retrain.engines.driver import Driver, DriverLimits
from stream_retrain.engines.driver.log import Log
from stream_retrain.facts.values import ShardId
from stream_retrain.facts.worker import Checkpointed, WorkerFact
from stream_retrain.lane.batch import Record, Records
from stream_retrain.local import LocalStack
from stream_retrain.models import PerKey
from stream_retrain.stores import connect

__all__ = ["RUNS", "measured", "records"]

RUNS: Final = ("one", "zipf", "uniform")
BATCH: Final = 500
CHECKPOINT_EVENTS: Final = 20_000
FEATURES: Final = tuple(f"f{number}" for number in range(6))
KEYRING: Final = Keyring(keys=(Key(id="k", secret=b"0123456789abcdef"),))


def pipeline(run: str, keys: int) -> Pipeline:
    """The pipeline of a run."""
    model: Any = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    features: dict[str, Any] = dict.fromkeys(FEATURES, float)
    if run != "one":
        model, features = PerKey(model, by="store", keys_max=max(keys, 1_000)), {**features, "store": str}
    schema = Schema(id="id", label="y", features=features)
    return Pipeline(name="keyed", task="binary", source="events", schema=schema, model=model, window_rows_max=0)


def records(run: str, keys: int) -> Iterator[Record]:
    """Every key once, then keys as the run has them, without end."""
    rng = random.Random(1)
    weights = None if run == "uniform" else list(itertools.accumulate(1 / (number + 1) for number in range(keys)))
    drawn = (key for _ in itertools.count() for key in rng.choices(range(keys), cum_weights=weights, k=BATCH))
    for offset, key in enumerate(itertools.chain(range(keys), drawn)):
        values = [rng.gauss(0, 1) for _ in FEATURES]
        y = values[0] + (key % 7 - 3) * values[1] > rng.gauss(0, 0.3)
        x = {"id": f"e{offset}", **dict(zip(FEATURES, values, strict=True)), "store": f"store {key}", "y": y}
        yield Record(offset, None, json.dumps(x).encode(), offset)


def measured(run: str, keys: int, events: int, url: str) -> dict[str, Any]:
    """The figures of one run."""
    told: list[WorkerFact] = []
    stores = connect(url, keyring=KEYRING)
    declared = pipeline(run, keys)
    limits = DriverLimits(checkpoint_events=1_000_000_000, checkpoint_interval_s=float("inf"), keeps_window=False)
    process = psutil.Process()
    before = process.memory_info().rss
    driver = Driver(declared, stores, KEYRING, limits, told.append)
    driver.open(0, Log(None, 0, 0), 0.0)
    coming = records(run, keys)
    turns = _Turns(driver)
    for _ in range(0, keys, BATCH):
        turns.take(coming)
    driver.checkpoint(0.0, float("inf"))
    begun, at_first, turns.cpu_s, turns.longest_s = len(told), turns.events, 0.0, 0.0
    while turns.events - at_first < events:
        turns.take(coming)
        if turns.events % CHECKPOINT_EVENTS < BATCH:
            driver.checkpoint(0.0, float("inf"))
    saved = [fact for fact in told[begun:] if isinstance(fact, Checkpointed)]
    held = driver.lanes[0].observe().keys
    us = turns.cpu_s / (turns.events - at_first) * 1e6
    return {
        "run": run,
        "us_per_event": round(us, 1),
        "events_per_s": round(1e6 / us),
        "added_mb": round((process.memory_info().rss - before) / 1e6, 1),
        "held": held and held._asdict(),
        "pause_ms": round(statistics.median(fact.seconds for fact in saved) * 1e3, 1),
        "pause_ms_max": round(max(fact.seconds for fact in saved) * 1e3, 1),
        "checkpoint_bytes": round(statistics.median(fact.bytes for fact in saved)),
        "turn_ms_max": round(turns.longest_s * 1e3, 1),
        "whole": _whole(declared, driver, stores),
    }


class _Turns:
    """A driver's turns, and what they take."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.events = 0
        self.cpu_s = self.longest_s = 0.0

    def take(self, coming: Iterator[Record]) -> None:
        """A batch, its commit and what follows on it."""
        batch = Records.of(itertools.islice(coming, BATCH))
        cpu_s, started = time.process_time(), time.perf_counter()
        self._driver.take(0, batch)
        self._driver.committed(self._driver.unsent().offsets)
        self._driver.settle(0.0)
        self.cpu_s += time.process_time() - cpu_s
        self.longest_s = max(self.longest_s, time.perf_counter() - started)
        self.events += len(batch)


def _whole(declared: Pipeline, driver: Driver, stores: Any) -> dict[str, Any]:
    """What a checkpoint costs that holds all models."""
    lane, spent = driver.lanes[0], []
    id_ = ShardId("keyed", "whole", 0)
    epoch = stores.checkpoints.claim(id_)
    for offset in range(3):
        started = time.perf_counter()
        sealed = seal(checkpoint_header(declared, id_, offset, 0), dump_state(lane.snapshot()), KEYRING)
        stores.checkpoints.save(id_, epoch, offset, sealed)
        spent.append(time.perf_counter() - started)
    return {"bytes": len(sealed), "pause_ms": round(statistics.median(spent) * 1e3, 1)}


def _head() -> Iterator[str]:
    yield "| run | us an event | events/s | memory | hot, cold keys | checkpoint | pause, longest | longest turn | whole | its pause |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"


def _row(each: dict[str, Any]) -> str:
    held, whole = each["held"], each["whole"]
    keys = f"{held['hot']:,}, {held['cold']:,}" if held else "-"
    return (
        f"| {each['run']} | {each['us_per_event']:.0f} | {each['events_per_s']:,} | {each['added_mb']:.0f} MB | {keys} |"
        f" {each['checkpoint_bytes'] / 1e6:.2f} MB | {each['pause_ms']:.0f}, {each['pause_ms_max']:.0f} ms |"
        f" {each['turn_ms_max']:.0f} ms |"
        f" {whole['bytes'] / 1e6:.1f} MB | {whole['pause_ms']:.0f} ms |"
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=60_000, help="measured, after every key has come once")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    print("\n".join(_head()))
    for run in options.runs:
        with LocalStack.start(kafka=False) as stack:
            found.append(in_fresh_process(run, measured, run, options.keys, options.events, stack.redis_url))
        print(_row(found[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Mutated values in Redis, one after the other, and the proof that none ends a worker or a trainer.

    python -m benchmarks.fuzz_redis --values 100000 [--turns 0.02] [--kind window] [--seed 1] [--redis URL]

For each kind of key: change one genuine value and let everything read it that does (`fuzz_reads`). For a part of the values (`--turns`) the
owner of the shard turns instead, a driver over the stores, as the worker drives it, and sometimes a trainer looks: within `TURNS_MAX` turns
it has appended to its window and saved a checkpoint. `StoreError` opens the shard again, as the worker does. Anything else that is raised
would end a worker: it ends the fuzzing, with the value shown.

`job` is of a trainer, and so is `ticket`, which is no value in Redis: each of them goes the whole way, from the owner to the trainer and
back.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import logging
import random
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.fuzz_mutations import Mutations
from benchmarks.fuzz_reads import READS, Tickets
from benchmarks.fuzz_world import World
from stream_retrain.errors import StoreError
from stream_retrain.stores import connect

__all__ = ["KINDS", "Report", "fuzz"]

KINDS: Final = ("epoch", "group", "window", "checkpoint", "checkpoint_previous", "requests", "job", "ticket", "artifacts", "artifact_times")
TURNS_MAX: Final = 6


@dataclasses.dataclass
class Report:
    """How many values were tried, how often the shard was opened again, and how long it took."""

    kind: str
    values: int = 0
    opened_again: int = 0
    turns: int = 0
    seconds: float = 0.0
    raised: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)


def fuzz(url: str, kind: str, values: int, seed: int = 1, turns: float = 1.0) -> Report:
    """Try `values` mutated values of a kind, a part of them (`turns`) in whole turns of a worker.

    Raises AssertionError with the value that ended something.
    """
    report, chance = Report(kind), random.Random(f"{kind} {seed}")
    world = World(url, f"fuzz-{kind.replace('_', '-')}-{seed}-{time.time_ns() % 10**9}")
    mutations, tickets = Mutations(world, chance), Tickets(world)
    started_s = time.monotonic()
    for _ in range(4):
        assert world.turn()
    world.keep()
    for number in range(values):
        try:
            if kind == "job":
                world.job_round(lambda: mutations.change(kind), chance)
            elif kind.startswith("artifact"):
                mutations.change(kind)
                world.keep_artifact(str(chance.randrange(4)))
            elif kind == "ticket":
                trained = tickets.round(mutations.ticket, genuine_too := number % 10 == 0)
                assert trained == genuine_too or mutations.signed, "a forged ticket was served, or the genuine one was not"
            elif chance.random() < turns:
                mutations.change(kind)
                _goes_on(world, chance, report)
                if kind.startswith("checkpoint"):
                    _goes_on(world, chance, report)  # with both damaged a worker refuses to open the shard, as it must
                world.keep()
            else:
                mutations.change(kind)
                _read(world, kind, report)
                world.give_back()
        except Exception as error:
            raise AssertionError(f"{kind}, value {number} of seed {seed}: {mutations.shown}") from error
        report.values += 1
    report.seconds = time.monotonic() - started_s
    return report


def _read(world: World, kind: str, report: Report) -> None:
    """Let everything read the value. What the worker would open the shard again for is counted."""
    try:
        READS[kind](world)
    except StoreError as error:
        report.raised[type(error).__name__] += 1


def _goes_on(world: World, chance: random.Random, report: Report) -> None:
    """Turns until one is whole."""
    if chance.random() < 0.25:
        world.reopen()
    if chance.random() < 0.05:
        world.look()
    for _ in range(TURNS_MAX):
        report.turns += 1
        if world.turn():
            return
        report.opened_again += world.driver is None
        report.raised[type(world.last_error).__name__ if world.driver is None else "not saved"] += 1
    raise AssertionError(f"no whole turn of {TURNS_MAX}: {world.last_error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=2_000, help="mutated values for each kind of key")
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this kind; may be given again")
    parser.add_argument("--turns", type=float, default=0.02, help="the part of the values with whole turns of a worker")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis", help="the URL of a Redis that may be written to (default: a Valkey of its own)")
    wanted = parser.parse_args()
    logging.getLogger("stream_retrain").setLevel(logging.CRITICAL)
    for kind in wanted.kind or KINDS:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(_reported(wanted.redis, Path(folder), kind, wanted)), flush=True)


def _reported(url: str | None, folder: Path, kind: str, wanted: argparse.Namespace) -> dict[str, object]:
    if url is not None:
        return vars(fuzz(url, kind, wanted.values, wanted.seed, wanted.turns))
    from stream_retrain.local.process import free_ports
    from stream_retrain.local.valkey import valkey_server

    [port] = free_ports(1)
    command = [str(valkey_server()), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        connect(f"redis://127.0.0.1:{port}/0").ping()  # tries again while it starts
        return vars(fuzz(f"redis://127.0.0.1:{port}/0", kind, wanted.values, wanted.seed, wanted.turns))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()

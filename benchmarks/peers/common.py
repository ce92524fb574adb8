"""What every peer is given, and how it tells what it took. Runs in the peers' environments: River and the standard library alone.

CPU time is that of the process with its threads (a JVM in it is one of these), and of its children. It is taken from the first model that
is made, which is at the first event: starting the library and joining the group are not counted.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

__all__ = ["CHUNK", "Given", "Models", "cpu_s", "decoded", "given", "in_order", "report", "rows_of"]

CHUNK: Final = 500
"""Events of a partition that a loop in memory takes in a row: as many as the worker has from a poll."""


class Given(NamedTuple):
    """The job."""

    bootstrap: str
    topic: str
    output: str
    group: str
    model: str
    features: int
    events: int
    partitions: int
    file: str
    """The same events as lines of JSON, in the order in which they were published: to partition 0, 1, 2, 3, 0 and so on."""
    guarantee: str = "at-least-once"


def given() -> Given:
    """What the peer was started with."""
    return Given(**json.loads(sys.argv[1]))


def cpu_s() -> float:
    """User and system time of this process and of its children that have ended."""
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class Models(dict[int | None, Any]):
    """A model for each partition, made when its first event comes; the first of them starts the clock."""

    def __init__(self, make: str | Callable[[], Any]) -> None:
        super().__init__()
        if isinstance(make, str):
            from benchmarks.peers.river_models import RIVER_MODELS  # here, because River is not in each environment

            make = RIVER_MODELS[make]
        self._make = make

    def __missing__(self, partition: int | None) -> Any:
        if not self:
            _BEGAN.append((cpu_s(), time.perf_counter()))
        self[partition] = self._make()
        return self[partition]


_BEGAN: list[tuple[float, float]] = []


def report() -> NoReturn:
    """Say what the events took, as one line of JSON, and end the process."""
    cpu, wall = cpu_s(), time.perf_counter()
    told = json.dumps({"cpu_s": cpu - _BEGAN[0][0], "wall_s": wall - _BEGAN[0][1]})
    os.write(1, f"\n{told}\n".encode())  # past `sys.stdout`, which faust-streaming makes a log of
    os._exit(0)


def rows_of(file: Path, events: int) -> list[tuple[dict[str, float], bool]]:
    """The first events of a file, decoded: features and label."""
    rows = []
    with file.open("rb") as lines:
        for _, line in zip(range(events), lines, strict=False):
            row = json.loads(line)
            del row["id"]
            rows.append((row, row.pop("y")))
    return rows


def in_order(rows: list[Any], partitions: int) -> Iterator[tuple[int, list[Any]]]:
    """The events as the worker has them: some of one partition, then some of the next."""
    for first in range(0, len(rows), CHUNK * partitions):
        for partition in range(partitions):
            yield partition, rows[first + partition : first + CHUNK * partitions : partitions]


def decoded(job: Given) -> list[tuple[int, dict[str, float], bool]]:
    """The whole job in memory: partition, features, label. Python's collector looks at none of it."""
    rows = rows_of(Path(job.file), job.events)
    events = [(partition, x, y) for partition, chunk in in_order(rows, job.partitions) for x, y in chunk]
    gc.collect()
    gc.freeze()
    return events

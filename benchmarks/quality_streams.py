"""The streams of the quality benchmark: synthetic ones whose drifts are known, and files of a folder.

A file is `NAME.csv.gz` with a header: the features, then `target`. Columns of numbers are floats, other columns strings, and an empty
cell is a missing value. Two different targets make a binary task, and so do more of them a multiclass one; fractions, or whole
numbers of which there are more than `CLASSES_MAX`, make it a regression.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import itertools
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

from river.datasets import synth

Pair: TypeAlias = tuple[dict[str, Any], Any]

EVENTS: Final = 50_000
CLASSES_MAX: Final = 100
HOURS_PER_YEAR: Final = 24 * 365


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """A known change of concept: the event it begins at, and over how many events the old concept goes."""

    at: int
    width: int = 0

    @property
    def middle(self) -> int:
        """The event from which the new concept is the more frequent one."""
        return self.at + self.width // 2


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What is known of a stream before it is read; `make` gives its events for a seed.

    drifts
        Its drifts, none if it is stationary; None: nobody knows.
    """

    name: str
    task: str
    make: Callable[[int, int | None], list[Pair]]
    drifts: tuple[Drift, ...] | None = None
    seeds: int = 1

    def events(self, seed: int, events_max: int | None) -> list[Pair]:
        """The events: at most `events_max`, a synthetic stream with its drifts moved in proportion."""
        return self.make(seed, events_max)

    def drifts_within(self, events: int) -> tuple[Drift, ...] | None:
        """The drifts of a stream that was shortened to `events`."""
        if self.drifts is None:
            return None
        return tuple(Drift(drift.at * events // EVENTS, drift.width * events // EVENTS) for drift in self.drifts)


def named(pairs: Iterator[Any], events: int) -> list[Pair]:
    """The first events, with the features' names as strings."""
    return [({str(name): value for name, value in x.items()}, y) for x, y in itertools.islice(pairs, events)]


def concepts(parts: list[Any], events: int) -> list[Pair]:
    """One stream after the other, each for the same number of events."""
    share = events // len(parts)
    return [pair for part in parts for pair in named(iter(part), share)]


def shuffled(count: int, seed: int) -> list[int]:
    """0 to `count` - 1, in an order of the seed's."""
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


def sea(seed: int, events: int | None) -> list[Pair]:
    """The four variants."""
    parts = [synth.SEA(variant=variant, seed=seed + part, noise=0.1) for part, variant in enumerate(shuffled(4, seed))]
    return concepts(parts, events or EVENTS)


def agrawal(seed: int, events: int | None) -> list[Pair]:
    """Four of the first eight functions."""
    return concepts(agrawal_concepts(seed), events or EVENTS)


def agrawal_concepts(seed: int) -> list[Any]:
    """Every third function, counted from the seed's: 0, 3, 6, 1 for seed 0."""
    return [agrawal_concept((seed + 3 * part) % 8, 10 * seed + part) for part in range(4)]


def agrawal_concept(function: int, seed: int) -> Any:
    """Not with `balance_classes`: labels would take turns, so that the one before tells the next."""
    return synth.Agrawal(classification_function=function, seed=seed, perturbation=0.05)


def agrawal_gradual(seed: int, events: int | None) -> list[Pair]:
    """Three concepts and two changes, each by a sigmoid a tenth of the stream wide."""
    count = events or EVENTS
    first, second, third, _ = agrawal_concepts(seed)
    width = count // 10
    later = synth.ConceptDriftStream(second, third, position=count // 3, width=width, seed=seed)
    whole = synth.ConceptDriftStream(first, later, position=count // 3, width=width, seed=seed)
    return named(iter(whole), count)


def agrawal_stationary(seed: int, events: int | None) -> list[Pair]:
    return named(iter(agrawal_concept(0, seed)), events or EVENTS)


@dataclasses.dataclass(frozen=True, slots=True)
class Friedman:
    """River's `FriedmanDrift` of a kind, its changes at `marks`."""

    kind: str
    marks: tuple[int, ...]

    def __call__(self, seed: int, events: int | None) -> list[Pair]:
        count = events or EVENTS
        position = tuple(mark * count // EVENTS for mark in self.marks)
        width = GRADUAL_WIDTH * count // EVENTS
        return named(iter(synth.FriedmanDrift(drift_type=self.kind, position=position, transition_window=width, seed=seed)), count)


def bikes(seed: int, events: int | None) -> list[Pair]:
    """Hourly hires of a made-up bicycle scheme: two rush hours on working days, one hump at week-ends, seasons, weather and growth.

    At the middle of the stream the rush hours go, as when people stop going to work; at three quarters half of them comes back.
    """
    rng = random.Random(seed)
    count = events or EVENTS
    pairs: list[Pair] = []
    weather = 0.0
    for hour in range(count):
        season = math.sin(2 * math.pi * (hour % HOURS_PER_YEAR) / HOURS_PER_YEAR - math.pi / 2)
        weather = 0.97 * weather + rng.gauss(0.0, 0.25)
        clock, weekday = hour % 24, hour // 24 % 7
        temperature = 12 + 10 * season + 4 * math.sin(2 * math.pi * (clock - 9) / 24) + 2 * weather
        rain = weather < -1.0
        rush = 1.0 if hour < count // 2 else 0.0 if hour < count * 3 // 4 else 0.5
        demand = hourly_demand(clock, weekday, rush) * (1 + 0.03 * (temperature - 12)) * (0.5 if rain else 1.0)
        grown = max(0.0, demand * (1 + 0.5 * hour / count))
        x = {"hour": clock, "weekday": weekday, "day_of_year": hour // 24 % 365, "temperature": round(temperature, 1), "rain": int(rain)}
        pairs.append((x, float(max(0, round(grown + rng.gauss(0.0, 4 + 0.1 * grown))))))
    return pairs


def hourly_demand(clock: int, weekday: int, rush: float) -> float:
    day = 60 * math.exp(-(((clock - 14) / 4.5) ** 2))
    if weekday >= 5:
        return 5 + 1.8 * day
    peaks = math.exp(-(((clock - 8) / 1.2) ** 2)) + 1.2 * math.exp(-(((clock - 17.5) / 1.6) ** 2))
    return 5 + day + 220 * rush * peaks


GRADUAL_WIDTH: Final = 5_000
QUARTERS: Final = (12_500, 25_000, 37_500)
ABRUPT: Final = tuple(Drift(at) for at in QUARTERS)

SYNTHETIC: Final = {
    stream.name: stream
    for stream in (
        Stream(name="sea_abrupt", task="binary", make=sea, drifts=ABRUPT, seeds=3),
        Stream(name="agrawal_abrupt", task="binary", make=agrawal, drifts=ABRUPT, seeds=3),
        Stream(
            name="agrawal_gradual",
            task="binary",
            make=agrawal_gradual,
            drifts=(Drift(16_666 - 2_500, 5_000), Drift(33_333 - 2_500, 5_000)),
        ),
        Stream(name="agrawal_stationary", task="binary", make=agrawal_stationary, drifts=()),
        Stream(name="friedman_lea", task="regression", make=Friedman("lea", QUARTERS), seeds=3, drifts=ABRUPT),
        Stream(
            name="friedman_gra", task="regression", make=Friedman("gra", (16_667, 33_333)), seeds=3, drifts=(Drift(16_667), Drift(33_333))
        ),
        Stream(
            name="friedman_gsg",
            task="regression",
            make=Friedman("gsg", (16_667, 33_333)),
            seeds=3,
            drifts=(Drift(16_667, GRADUAL_WIDTH), Drift(33_333, GRADUAL_WIDTH)),
        ),
        Stream(name="bikes", task="regression", make=bikes, drifts=(Drift(25_000), Drift(37_500))),
    )
}


@dataclasses.dataclass(frozen=True, slots=True)
class File:
    """Reads a file's events; the seed is nothing to it."""

    path: Path
    task: str

    def __call__(self, _: int, events: int | None) -> list[Pair]:
        rows = cells(self.path)
        header = next(rows)
        body = list(itertools.islice(rows, events))
        kinds = [numeric(column) for column in zip(*body, strict=True)]
        label = label_of(self.task, [row[-1] for row in body])
        names = header[:-1]
        pairs = []
        for row in body:
            x = {name: float(cell) if number else cell for name, cell, number in zip(names, row, kinds, strict=False) if cell.strip()}
            pairs.append((x, label(row[-1])))
        return pairs


def cells(path: Path) -> Iterator[list[str]]:
    with gzip.open(path, "rt", newline="") as lines:
        yield from (row for row in csv.reader(lines) if row)


def numeric(column: tuple[str, ...]) -> bool:
    return all(is_number(cell) for cell in column if cell.strip())


def is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def label_of(task: str, targets: list[str]) -> Callable[[str], Any]:
    """How a cell is read as a label of the task."""
    if task == "regression":
        return float
    if task == "multiclass":
        return str.strip
    lower, *_ = ordered(targets)
    return lambda cell: cell.strip() != lower


def ordered(targets: list[str]) -> list[str]:
    """The different targets, numbers by value."""
    found = {target.strip() for target in targets}
    return sorted(found, key=float) if all(map(is_number, found)) else sorted(found)


def task_of(targets: list[str]) -> str:
    found = ordered(targets)
    numbers = all(map(is_number, found))
    if numbers and (len(found) > CLASSES_MAX or any(float(target) % 1 for target in found)):
        return "regression"
    return "binary" if len(found) <= 2 else "multiclass"


def streams_of(folder: Path) -> tuple[list[Stream], list[str]]:
    """The streams of a folder's files, and why each other file is none."""
    found: list[Stream] = []
    passed_over: list[str] = []
    for path in sorted(folder.glob("*.csv.gz")):
        rows = cells(path)
        header = next(rows, [])
        if len(header) < 2 or header[-1].strip() != "target":
            passed_over.append(f"{path.name}: its header does not end in `target`")
            continue
        body = list(rows)
        if not body or any(len(row) != len(header) or not row[-1].strip() for row in body):
            passed_over.append(f"{path.name}: a row has no target or not as many cells as the header, or there is no row")
            continue
        task = task_of([row[-1] for row in body])
        found.append(Stream(name=path.name.removesuffix(".csv.gz"), task=task, make=File(path, task)))
    return found, passed_over

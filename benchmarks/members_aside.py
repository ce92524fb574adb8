"""The streams that are kept aside: nothing is ever chosen on them, so that they tell what the models are worth that were chosen on others.

They are run with `python -m benchmarks.members --aside`, with models that are finished. Whoever changes a model for what it does here has
used them up: a group of other streams has to be made then. Files of the folder's `aside` (`members_aside_data`), and synthetic streams of
at most 20,000 events, none of a generator of the development streams.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from river.datasets import synth

from benchmarks.members_aside_data import FOLDER
from benchmarks.quality_streams import HOURS_PER_YEAR, Pair, Stream, concepts, named, shuffled, streams_of

__all__ = ["KINDS", "LIMIT", "MADE", "aside_streams"]

LIMIT: Final = 20_000
SEEDS: Final = 3

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "telescope": ("real, stationary",),
    "pen_digits": ("real, stationary", "many classes"),
    "optical_digits": ("real, stationary", "wide", "many classes"),
    "texture": ("real, stationary", "wide", "many classes"),
    "phoneme": ("real, stationary",),
    "ring": ("stationary",),
    "twonorm": ("stationary",),
    "mushrooms": ("real, stationary", "categories"),
    "chess": ("real, stationary", "wide", "categories"),
    "page_blocks": ("real, stationary", "rare classes"),
    "old_abalones": ("real, stationary", "rare classes", "categories"),
    "stops": ("real, drifts", "categories", "missing values"),
    "tweets": ("real, drifts", "categories"),
    "likes": ("real, drifts", "categories", "noise"),
    "storms": ("real, drifts",),
    "defaults": ("stationary", "rare classes", "categories"),
    "loans": ("real, stationary", "rare classes", "categories"),
    "credit": ("real, stationary", "categories", "missing values"),
    "leavers": ("real, stationary", "categories"),
    "computing_jobs": ("real, stationary", "categories"),
    "sine_abrupt": ("abrupt", "noise"),
    "sine_recurring": ("recurring", "noise"),
    "mixed_gradual": ("gradual",),
    "anomalies": ("stationary", "rare classes"),
    "chessboard_turning": ("drift all the time",),
    "classes_change": ("abrupt", "many classes"),
    "shares_wander": ("drift all the time", "noise"),
    "many_values": ("abrupt", "categories", "missing values", "noise"),
    "hires": ("real, drifts", "categories"),
    "nitrogen": ("real, drifts",),
    "rides": ("real, drifts", "wide"),
    "diseases": ("real, drifts", "categories"),
    "lives": ("real, drifts", "categories", "missing values"),
    "runs": ("real, drifts", "categories", "missing values"),
    "films": ("real, drifts", "categories", "missing values", "noise"),
    "computers": ("real, drifts", "categories"),
    "food": ("real, stationary", "categories", "noise"),
    "checks": ("real, stationary", "noise"),
    "seasons_gradual": ("drift all the time", "noise"),
    "seasons_abrupt": ("abrupt", "noise"),
    "machines": ("abrupt", "categories", "missing values"),
    "reservoir": ("drift all the time",),
}


def length(events: int | None) -> int:
    return min(events or LIMIT, LIMIT)


def turned(pairs: Iterable[Pair], rate: float, seed: int) -> list[Pair]:
    """Of two classes: so many labels in one are those of the other."""
    rng = random.Random(seed)
    return [(x, bool(y) != (rng.random() < rate)) for x, y in pairs]


def sines(order: list[int], seed: int, events: int | None) -> list[Pair]:
    """Two numbers that tell and two that do not, one label in ten turned; a function after the other."""
    parts = [synth.Sine(classification_function=kind, seed=100 * seed + place, has_noise=True) for place, kind in enumerate(order)]
    return turned(concepts(parts, length(events)), 0.1, seed)


def sine_abrupt(seed: int, events: int | None) -> list[Pair]:
    return sines(shuffled(4, seed), seed, events)


def sine_recurring(seed: int, events: int | None) -> list[Pair]:
    """Two functions that take turns, four times each."""
    return sines(shuffled(4, seed)[:2] * 4, seed, events)


def mixed_gradual(seed: int, events: int | None) -> list[Pair]:
    """The labels change sides, over a fifth of the stream."""
    count = length(events)
    before, after = (synth.Mixed(classification_function=(seed + place) % 2, seed=100 * seed + place) for place in range(2))
    whole = synth.ConceptDriftStream(before, after, position=count // 2, width=count // 5, seed=seed)
    return named(iter(whole), count)


def anomalies(seed: int, events: int | None) -> list[Pair]:
    """A point goes round; of 100 events 3 are away from where it should be, and 5 others show what it was before."""
    count = length(events)
    made = synth.AnomalySine(
        n_samples=count, n_anomalies=count * 3 // 100, contextual=True, n_contextual=count // 20, noise=0.3, seed=seed + 1
    )
    return named(iter(made), count)


def chessboard_turning(seed: int, events: int | None) -> list[Pair]:
    """Fields of three by three that turn by a quarter, and two numbers that tell nothing."""
    count, rng = length(events), random.Random(seed)
    first = rng.random() * math.pi
    pairs: list[Pair] = []
    for number in range(count):
        a, b, c, d = (rng.uniform(-1.0, 1.0) for _ in range(4))
        angle = first + math.pi / 2 * number / count
        u, v = a * math.cos(angle) - b * math.sin(angle), a * math.sin(angle) + b * math.cos(angle)
        field = math.floor(1.5 * u + 0.5) + math.floor(1.5 * v + 0.5)
        pairs.append(({"a": a, "b": b, "c": c, "d": d}, field % 2 == 0))
    return pairs


def classes_change(seed: int, events: int | None) -> list[Pair]:
    """Twelve clouds in eight dimensions, six at a time: six times the oldest class goes and one comes that was never there."""
    count, rng = length(events), random.Random(seed)
    centres = [[rng.gauss(0.0, 1.5) for _ in range(8)] for _ in range(12)]
    pairs: list[Pair] = []
    for number in range(count):
        kind = number * 7 // count + rng.randrange(6)
        pairs.append(({f"f{place}": rng.gauss(middle, 1.0) for place, middle in enumerate(centres[kind])}, f"class{kind}"))
    return pairs


def shares_wander(seed: int, events: int | None) -> list[Pair]:
    """Two clouds in five dimensions that stay where they are, while the share of each goes between 5 and 95 per cent three times."""
    count, rng = length(events), random.Random(seed)
    pairs: list[Pair] = []
    for number in range(count):
        y = rng.random() < 0.5 + 0.45 * math.sin(2 * math.pi * (3 * number / count + seed / SEEDS))
        pairs.append(({f"f{place}": rng.gauss(0.6 if y else 0.0, 1.0) for place in range(5)}, y))
    return pairs


def many_values(seed: int, events: int | None) -> list[Pair]:
    """Three categories of 60 values, some of them frequent, one in seven missing; at each quarter a third of the values changes sides."""
    count, rng = length(events), random.Random(seed)
    effects = [[rng.gauss(0.0, 1.5) for _ in range(60)] for _ in range(3)]
    pairs: list[Pair] = []
    for number in range(count):
        if number and number % (count // 4) == 0:
            effects = [[-effect if rng.random() < 1 / 3 else effect for effect in column] for column in effects]
        values = [int(60 * rng.random() ** 2) for _ in range(3)]
        total = sum(column[value] for column, value in zip(effects, values, strict=True))
        y = rng.random() < 1 / (1 + math.exp(-2 * total))
        pairs.append(({f"c{place}": f"v{value}" for place, value in enumerate(values) if rng.random() >= 1 / 7}, y))
    return pairs


def clock(hour: int) -> dict[str, Any]:
    return {"hour": hour % 24, "weekday": hour // 24 % 7, "day": hour // 24 % 365}


@dataclasses.dataclass(frozen=True, slots=True)
class Seasons:
    """Six numbers with weights, and a day and a year; the weights and the top of the day turn all the time, or four times at once."""

    abrupt: bool

    def __call__(self, seed: int, events: int | None) -> list[Pair]:
        count, rng = length(events), random.Random(seed)
        phases = [2 * math.pi * rng.random() for _ in range(6)]
        pairs: list[Pair] = []
        for number in range(count):
            part = number / count
            angle = 2 * math.pi * (math.floor(5 * part) / 2.5 if self.abrupt else part)
            values = [rng.gauss(0.0, 1.0) for _ in range(6)]
            y = sum(value * math.sin(phase + angle) for value, phase in zip(values, phases, strict=True))
            y += (1 + part) * math.cos(2 * math.pi * number / 24 + angle) + 2 * math.sin(2 * math.pi * number / HOURS_PER_YEAR)
            pairs.append(({f"f{place}": value for place, value in enumerate(values)} | clock(number), y + rng.gauss(0.0, 0.3)))
        return pairs


def machines(seed: int, events: int | None) -> list[Pair]:
    """What eight machines make of heat, load and flow; each wears, and is repaired now and then; one flow in ten is missing."""
    count, rng = length(events), random.Random(seed)
    gains = [rng.uniform(0.5, 2.0) for _ in range(8)]
    wear = [rng.random() for _ in range(8)]
    pairs: list[Pair] = []
    for _ in range(count):
        machine = rng.randrange(8)
        heat, load, flow = rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0), rng.uniform(0.0, 1.0)
        wear[machine] = 0.0 if rng.random() < 0.002 else wear[machine] + 0.001
        made = gains[machine] * (math.sin(math.pi * heat) + 2 * load * flow) / (1 + wear[machine])
        x = {"machine": f"m{machine}", "heat": heat, "load": load, "flow": flow}
        if rng.random() < 0.1:
            del x["flow"]
        pairs.append((x, made + rng.gauss(0.0, 0.05)))
    return pairs


def reservoir(seed: int, events: int | None) -> list[Pair]:
    """A level, of which only what flows in and how far the gate is open are known; mud makes the gate narrower, all the time."""
    count, rng = length(events), random.Random(seed)
    level, rain, gate = 4.0, 0.0, 0.5
    pairs: list[Pair] = []
    for number in range(count):
        rain = 0.9 * rain + max(0.0, rng.gauss(-0.4, 0.5))
        gate = min(1.0, max(0.1, gate + rng.gauss(0.0, 0.03)))
        inflow = 0.4 + 0.2 * math.sin(2 * math.pi * number / HOURS_PER_YEAR) + rain
        level = max(0.0, level + 0.1 * inflow - 0.1 * gate * (1 - 0.5 * number / count) * math.sqrt(level))
        pairs.append(({"inflow": inflow, "gate": gate} | clock(number), level + rng.gauss(0.0, 0.02)))
    return pairs


def made(name: str, make: Callable[[int, int | None], list[Pair]], task: str = "binary") -> Stream:
    return Stream(name=name, task=task, make=make, seeds=SEEDS)


MADE: Final = {
    stream.name: stream
    for stream in (
        made("sine_abrupt", sine_abrupt),
        made("sine_recurring", sine_recurring),
        made("mixed_gradual", mixed_gradual),
        made("anomalies", anomalies),
        made("chessboard_turning", chessboard_turning),
        made("classes_change", classes_change, "multiclass"),
        made("shares_wander", shares_wander),
        made("many_values", many_values),
        made("seasons_gradual", Seasons(abrupt=False), "regression"),
        made("seasons_abrupt", Seasons(abrupt=True), "regression"),
        made("machines", machines, "regression"),
        made("reservoir", reservoir, "regression"),
    )
}


def aside_streams(folder: Path | None) -> tuple[list[Stream], list[str]]:
    """Files of the folder's `aside`, then what is made; in the order of `KINDS`, and why other files of it are none."""
    files, passed_over = streams_of(folder / FOLDER) if folder is not None else ([], [])
    found = {stream.name: stream for stream in itertools.chain(MADE.values(), files)}
    order = [*(name for name in KINDS if name in found), *(name for name in found if name not in KINDS)]
    return [found[name] for name in order], passed_over

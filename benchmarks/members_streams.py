"""The development streams: what kinds they are of, and the synthetic ones that the quality benchmark has not.

Streams of `KINDS` that are not synthetic are files of the folder that `benchmarks.members_data` makes; a file that is not in `KINDS` is
run too, and is of the kind "other".
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from river.datasets import synth

from benchmarks import members_aside as aside
from benchmarks.quality_streams import ABRUPT, EVENTS, SYNTHETIC, Pair, Stream, agrawal, agrawal_concept, concepts, named, streams_of

__all__ = ["DOCS", "KINDS", "MADE", "development_streams", "kinds_of"]

SEEDS: Final = 3
DOCS: Final = ("elec", "weather", "agrawal_abrupt", "sea_abrupt")
"""The four of docs/models.md."""

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "elec": ("real, drifts",),
    "weather": ("real, drifts",),
    "covtype": ("real, drifts", "wide"),
    "moving_squares": ("drift all the time",),
    "flights_late": ("real, drifts", "categories", "missing values"),
    "letter": ("real, stationary", "many classes"),
    "shuttle": ("real, stationary", "rare classes"),
    "satellite": ("real, stationary",),
    "dna": ("real, stationary", "wide", "categories"),
    "spam": ("real, stationary", "wide"),
    "income": ("real, stationary", "categories", "missing values", "noise"),
    "insurance": ("real, stationary", "wide", "rare classes"),
    "bananas": ("real, stationary",),
    "segments": ("real, stationary",),
    "sea_abrupt": ("abrupt", "noise"),
    "agrawal_abrupt": ("abrupt", "categories"),
    "agrawal_gradual": ("gradual", "categories"),
    "agrawal_stationary": ("stationary", "categories"),
    "agrawal_recurring": ("recurring", "categories"),
    "agrawal_missing": ("abrupt", "missing values"),
    "agrawal_rare": ("abrupt", "rare classes"),
    "sea_rare": ("abrupt", "rare classes", "noise"),
    "stagger_recurring": ("recurring", "categories"),
    "hyperplane": ("drift all the time", "noise"),
    "rbf_drift": ("drift all the time",),
    "rbf_stationary": ("stationary",),
    "random_tree": ("stationary", "categories"),
    "waveform": ("stationary", "noise"),
    "led_noise": ("stationary", "noise", "many classes"),
    "sea_noise": ("stationary", "noise"),
    "wide_sparse": ("abrupt", "wide"),
    "pure_noise": ("pure noise",),
    "pure_noise_uneven": ("pure noise",),
    "friedman_lea": ("abrupt",),
    "friedman_gra": ("abrupt",),
    "friedman_gsg": ("gradual",),
    "friedman_stationary": ("stationary",),
    "bikes": ("abrupt",),
    "hyperplane_numbers": ("drift all the time", "noise"),
    "planes": ("stationary",),
    "mv": ("stationary", "categories"),
    "noise_numbers": ("pure noise",),
    "diamonds": ("real, stationary", "categories"),
    "houses": ("real, drifts", "categories", "missing values"),
    "flights_delay": ("real, drifts", "categories", "missing values"),
    "flights_air_time": ("real, drifts", "categories", "missing values"),
    "nyc_weather": ("real, drifts", "missing values"),
    "elec_price": ("real, drifts",),
}


def kinds_of(stream: str) -> tuple[str, ...]:
    """Of a development stream, or of one that is kept aside."""
    return KINDS.get(stream) or aside.KINDS.get(stream, ("other",))


@dataclasses.dataclass(frozen=True, slots=True)
class Generated:
    """A stream of one of River's generators, which is given the seed."""

    generator: Callable[..., Any]
    parameters: tuple[tuple[str, Any], ...] = ()
    seeds: tuple[str, ...] = ("seed",)

    def __call__(self, seed: int, events: int | None) -> list[Pair]:
        made = self.generator(**dict(self.parameters), **dict.fromkeys(self.seeds, seed + 1))
        return named(iter(made), events or EVENTS)


def agrawal_recurring(seed: int, events: int | None) -> list[Pair]:
    """Three concepts that take turns, twice each."""
    numbers = [(seed + 3 * part) % 8 for part in range(3)]
    parts = [agrawal_concept(number, 10 * seed + place) for place, number in enumerate(numbers * 2)]
    return concepts(parts, events or EVENTS)


def stagger_recurring(seed: int, events: int | None) -> list[Pair]:
    """Three features that are categories, one label in ten turned, and three concepts that take turns, three times each."""
    count, rng = events or EVENTS, random.Random(seed)
    names = {"size": ("small", "medium", "large"), "color": ("red", "blue", "green"), "shape": ("circle", "square", "triangle")}
    parts = [synth.STAGGER(classification_function=(seed + place) % 3, seed=10 * seed + place) for place in range(9)]
    pairs = concepts(parts, count)
    return [({name: names[name][int(value)] for name, value in x.items()}, bool(y) != (rng.random() < 0.1)) for x, y in pairs]


def random_tree(seed: int, events: int | None) -> list[Pair]:
    """A tree of numbers and categories, which are strings here."""
    pairs = Generated(synth.RandomTree, TREE, ("seed_tree", "seed_sample"))(seed, events)
    return [({name: str(value) if name.startswith("x_cat") else value for name, value in x.items()}, y) for x, y in pairs]


def agrawal_missing(seed: int, events: int | None) -> list[Pair]:
    """One value in five is missing."""
    rng = random.Random(seed)
    return [({name: value for name, value in x.items() if rng.random() >= 0.2}, y) for x, y in agrawal(seed, events)]


def thinned(parts: list[Any], rate: float, events: int, seed: int) -> list[Pair]:
    """Of each concept as many positives as make that share of its events; the other positives are passed over."""
    rng = random.Random(seed)
    pairs: list[Pair] = []
    for part in parts:
        sample = named(iter(part), 2_000)
        share = sum(bool(y) for _, y in sample) / len(sample)
        keep = rate * (1 - share) / ((1 - rate) * share)
        kept = ((x, bool(y)) for x, y in part if not y or rng.random() < keep)
        pairs += named(kept, events // len(parts))
    return pairs


def agrawal_rare(seed: int, events: int | None) -> list[Pair]:
    """Two concepts, 1 % positive."""
    parts = [agrawal_concept((seed + 3 * part) % 8, 10 * seed + part) for part in range(2)]
    return thinned(parts, 0.01, events or EVENTS, seed)


def sea_rare(seed: int, events: int | None) -> list[Pair]:
    """Four concepts, 5 % positive; one label in fifty was turned before the others were passed over."""
    parts = [Sea0(variant, 10 * seed + variant) for variant in range(4)]
    return thinned(parts, 0.05, events or EVENTS, seed)


@dataclasses.dataclass(frozen=True, slots=True)
class Sea0:
    """SEA in which small sums are the positives, so that few of them are left when it is thinned."""

    variant: int
    seed: int

    def __iter__(self) -> Iterator[Any]:
        return ((x, not y) for x, y in synth.SEA(variant=self.variant, seed=self.seed, noise=0.02))


def wide_sparse(seed: int, events: int | None) -> list[Pair]:
    """80 numbers, four of which decide, half way four others."""
    count, rng = events or EVENTS, random.Random(seed)
    order = list(range(80))
    rng.shuffle(order)
    pairs: list[Pair] = []
    for number in range(count):
        x = {f"f{place}": rng.gauss(0.0, 1.0) for place in range(80)}
        a, b, c, d = (x[f"f{place}"] for place in (order[:4] if number < count // 2 else order[4:8]))
        pairs.append((x, a + b + c * d + rng.gauss(0.0, 0.5) > 0))
    return pairs


@dataclasses.dataclass(frozen=True, slots=True)
class Noise:
    """Ten numbers, and labels that have nothing to do with them; without a share of positives they are numbers."""

    positive: float | None

    def __call__(self, seed: int, events: int | None) -> list[Pair]:
        rng = random.Random(seed)
        return [({f"f{place}": rng.gauss(0.0, 1.0) for place in range(10)}, self.label(rng)) for _ in range(events or EVENTS)]

    def label(self, rng: random.Random) -> Any:
        return rng.gauss(0.0, 1.0) if self.positive is None else rng.random() < self.positive


def hyperplane_numbers(seed: int, events: int | None) -> list[Pair]:
    """Ten numbers, their weighted sum with noise; half of the weights wander between -1 and 1, and turn round now and then."""
    rng = random.Random(seed)
    weights = [rng.random() for _ in range(10)]
    ways = [1.0] * 5
    pairs: list[Pair] = []
    for _ in range(events or EVENTS):
        values = [rng.random() for _ in range(10)]
        pairs.append(({f"f{place}": value for place, value in enumerate(values)}, dot(weights, values) + rng.gauss(0.0, 0.2)))
        for place in range(5):
            ways[place] *= -1.0 if abs(weights[place] + 0.001 * ways[place]) > 1.0 or rng.random() < 0.001 else 1.0
            weights[place] += 0.001 * ways[place]
    return pairs


def dot(weights: list[float], values: list[float]) -> float:
    return sum(map(float.__mul__, weights, values))


ROTATING: Final = (("n_features", 10), ("n_drift_features", 5), ("mag_change", 0.001), ("sigma", 0.1), ("noise_percentage", 0.1))
RBF: Final = (("n_classes", 5), ("n_features", 10), ("n_centroids", 50))
OF_MODEL_AND_SAMPLE: Final = ("seed_model", "seed_sample")
TREE: Final = (("n_classes", 4), ("n_num_features", 5), ("n_cat_features", 5), ("n_categories_per_feature", 4), ("max_tree_depth", 6))


def made(name: str, make: Callable[[int, int | None], list[Pair]], task: str = "binary", **known: Any) -> Stream:
    return Stream(name=name, task=task, make=make, **({"drifts": (), "seeds": SEEDS} | known))


MADE: Final = {
    stream.name: stream
    for stream in (
        *(dataclasses.replace(stream, seeds=SEEDS) for stream in SYNTHETIC.values()),
        made("agrawal_recurring", agrawal_recurring, drifts=None),
        made("agrawal_missing", agrawal_missing, drifts=ABRUPT),
        made("agrawal_rare", agrawal_rare, drifts=None),
        made("sea_rare", sea_rare, drifts=ABRUPT),
        made("stagger_recurring", stagger_recurring, drifts=None),
        made("hyperplane", Generated(synth.Hyperplane, ROTATING), drifts=None),
        made(
            "rbf_drift",
            Generated(synth.RandomRBFDrift, (*RBF, ("change_speed", 0.001), ("n_drift_centroids", 50)), OF_MODEL_AND_SAMPLE),
            "multiclass",
            drifts=None,
        ),
        made("rbf_stationary", Generated(synth.RandomRBF, RBF, OF_MODEL_AND_SAMPLE), "multiclass"),
        made("random_tree", random_tree, "multiclass"),
        made("waveform", Generated(synth.Waveform, (("has_noise", True),)), "multiclass"),
        made("led_noise", Generated(synth.LED, (("noise_percentage", 0.1), ("irrelevant_features", True))), "multiclass"),
        made("sea_noise", Generated(synth.SEA, (("variant", 1), ("noise", 0.2)))),
        made("wide_sparse", wide_sparse, drifts=None),
        made("pure_noise", Noise(0.5)),
        made("pure_noise_uneven", Noise(0.2)),
        made("friedman_stationary", Generated(synth.Friedman), "regression"),
        made("hyperplane_numbers", hyperplane_numbers, "regression", drifts=None),
        made("planes", Generated(synth.Planes2D), "regression"),
        made("mv", Generated(synth.Mv), "regression"),
        made("noise_numbers", Noise(None), "regression"),
    )
}


def development_streams(folder: Path | None) -> tuple[list[Stream], list[str]]:
    """Files of the folder, then what is made; in the order of `KINDS`, and why other files of the folder are none."""
    files, passed_over = streams_of(folder) if folder is not None else ([], [])
    found = {stream.name: stream for stream in itertools.chain(MADE.values(), files)}
    order = [*(name for name in KINDS if name in found), *(name for name in found if name not in KINDS)]
    return [found[name] for name in order], passed_over

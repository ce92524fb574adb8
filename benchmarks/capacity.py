"""How many cores a load needs, fitted to what was measured; and what happens then in a burst, a rolling restart and a drift storm.

    python -m benchmarks.capacity build/scale/scale.json [--json FILE] [--quick]

**The cost of an event** in a worker's process, in microseconds of CPU, is taken to be

    model + per_feature * features + per_transaction / events in a transaction

with `model` and `per_feature` for each model and one `per_transaction`, fitted by least squares to the relative error. The number of
partitions is no part of it: `benchmarks.scale` shows that the cost is flat in it, and `fit` says by how much it is not.

**The simulation** is one of discrete events; an event of it is a poll of a worker. A poll waits for `poll_records_max` records, a tenth of
a second at most; it takes them partition by partition, of each at most `fetch_records` before those of the next, as the client hands over
what it fetched, and goes on where the last poll ended; and the worker is busy for their number times
the cost of an event (and for a commit, when one is due). Assumed, and not measured at that size:

1. arrivals are fluid: each partition gets its rate evenly, in a burst a multiple of it; keys are spread evenly;
2. a worker has a core of its own, and Kafka and Redis answer at once: they are no bottleneck;
3. in a restart a worker is away for `away_s`, nobody takes its partitions over meanwhile, and it has nothing to replay;
4. in a duel an event of the shard costs `duel_factor` as much, for `duel_events` events of that shard, and `rematch_factor` from then on
   in a share of the shards: those whose champion is of another family have a rematch, which may have no end;
5. labels come with their events.
"""

from __future__ import annotations

import argparse
import dataclasses
import heapq
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["Burst", "Capacity", "DriftStorm", "Outcome", "Restart", "Sizing", "fit", "simulate", "simulate_backlog"]

POLL_S: Final = 0.1
"""A poll waits no longer for its records."""


class Capacity(NamedTuple):
    """The fitted cost of an event, in microseconds of CPU."""

    model_us: Mapping[str, float]
    per_feature_us: Mapping[str, float]
    per_transaction_us: float
    error_median: float
    """Of the relative errors of the fit."""
    partitions_slope: float
    """By what part an event costs more with 64 partitions than with one, by the rows in which nothing else differs."""

    def event_us(self, model: str, features: int, events_per_transaction: float = 5_000.0) -> float:
        """What an event costs."""
        return self.model_us[model] + self.per_feature_us[model] * features + self.per_transaction_us / events_per_transaction


def fit(rows: Sequence[Mapping[str, Any]]) -> Capacity:
    """The cost that has the least squares of relative errors over measured rows (those of `benchmarks.scale`)."""
    models = sorted({row["model"] for row in rows})
    sloped = [model for model in models if len({row["features"] for row in rows if row["model"] == model}) > 1]
    table, costs = [], []
    for row in rows:
        columns = [float(row["model"] == model) for model in models]
        columns += [float(row["model"] == model) * row["features"] for model in sloped]
        table.append([*columns, 1.0 / row["events_per_transaction"]])
        costs.append(row["cpu_us"])
    weighted = np.array(table) / np.array(costs)[:, None]
    found, *_ = np.linalg.lstsq(weighted, np.ones(len(costs)), rcond=None)
    errors = np.abs(weighted @ found - 1.0)
    return Capacity(
        model_us=dict(zip(models, map(float, found[: len(models)]), strict=True)),
        per_feature_us={model: float(found[len(models) + sloped.index(model)]) if model in sloped else 0.0 for model in models},
        per_transaction_us=float(found[-1]),
        error_median=float(np.median(errors)),
        partitions_slope=_slope(rows),
    )


def _slope(rows: Sequence[Mapping[str, Any]]) -> float:
    """Of the light model: the cost over the logarithm of the partitions, from 1 to 64."""
    swept = [(math.log2(row["partitions"]), row["cpu_us"]) for row in rows if row.get("sweep") == "partitions"]
    if len({x for x, _ in swept}) < 2:
        return 0.0
    slope, level = np.polyfit(*np.array(swept).T, 1)
    return float(slope * 6 / level)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """An installation: its load, what an event costs, and how many workers share the partitions evenly."""

    events_per_s: float
    partitions: int
    workers: int
    event_us: float
    transaction_us: float = 0.0
    commit_interval_s: float = 0.15
    poll_records_max: int = 500
    fetch_records: int = 650
    """Records that the client fetches of a partition at once: 131 kB."""

    @property
    def load(self) -> float:
        """The part of its core that a worker needs."""
        return self.events_per_s * self.event_us / 1e6 / self.workers


@dataclasses.dataclass(frozen=True, slots=True)
class Burst:
    """From `at_s` on, for `lasts_s`, `factor` times the load."""

    at_s: float
    lasts_s: float
    factor: float


@dataclasses.dataclass(frozen=True, slots=True)
class Restart:
    """From `at_s` on one worker after the other is away for `away_s`, the next when it is back and its lag is gone, or at the latest
    after `at_most_s` more."""

    at_s: float
    away_s: float
    at_most_s: float = 30.0


@dataclasses.dataclass(frozen=True, slots=True)
class DriftStorm:
    """At `at_s` every shard begins a duel; after it `rematches` of the shards (a share) go on with a rematch."""

    at_s: float
    duel_events: int = 1_000
    duel_factor: float = 2.2
    rematches: float = 0.0
    rematch_factor: float = 1.6


@dataclasses.dataclass(slots=True)
class Outcome:
    """What a simulation came to; lags are of all partitions together, delays of the oldest record that waits anywhere."""

    sizing: Sizing
    times_s: list[float]
    lags: list[float]
    delays_s: list[float]
    processed: int
    gap_s: float
    """The longest time in which a partition with records had none of them taken."""

    @property
    def lag_max(self) -> float:
        return max(self.lags)

    @property
    def delay_max_s(self) -> float:
        return max(self.delays_s)

    def recovered_s(self, began_s: float, since_s: float) -> float:
        """Until the oldest record waits no longer than it did before `began_s`, from `since_s` on; infinity: it does not come to that."""
        before = max((delay for at, delay in zip(self.times_s, self.delays_s, strict=True) if 1.0 <= at < began_s), default=0.0)
        limit = max(before * 1.5, before + 0.2)
        late = [at for at, delay in zip(self.times_s, self.delays_s, strict=True) if at >= since_s and delay > limit]
        if not late:
            return 0.0
        return math.inf if late[-1] >= self.times_s[-1] else late[-1] - since_s


class _Shards:
    """The partitions: what came, what was taken."""

    def __init__(self, sizing: Sizing, burst: Burst | None) -> None:
        self._rate = sizing.events_per_s / sizing.partitions
        self._burst = burst
        self.taken = np.zeros(sizing.partitions)
        self.served_s = np.zeros(sizing.partitions)
        self.duel_left = np.zeros(sizing.partitions)
        self.factor = np.ones(sizing.partitions)

    def came(self, at_s: float) -> float:
        """Records of each partition by then."""
        extra = 0.0
        if self._burst is not None:
            extra = min(max(at_s - self._burst.at_s, 0.0), self._burst.lasts_s) * (self._burst.factor - 1.0)
        return self._rate * (at_s + extra)

    def rate_at(self, at_s: float) -> float:
        """Records a second of one partition."""
        burst = self._burst
        return self._rate * (burst.factor if burst is not None and burst.at_s <= at_s < burst.at_s + burst.lasts_s else 1.0)

    def came_at(self, number: float) -> float:
        """When the record of that number came to a partition."""
        burst = self._burst
        if burst is None or number <= self._rate * burst.at_s:
            return number / self._rate
        within = (number - self._rate * burst.at_s) / (self._rate * burst.factor)
        if within <= burst.lasts_s:
            return burst.at_s + within
        return number / self._rate - burst.lasts_s * (burst.factor - 1.0)


class _Worker:
    """Where a worker stands in its round of partitions."""

    def __init__(self, partitions: list[int]) -> None:
        self.partitions = np.array(partitions)
        self.at = 0
        self.commit_at_s = 0.0
        self.away_until_s = 0.0
        self.waited = False
        self.run_left = 0.0
        """What is left of the fetch that the last poll ended in."""


def simulate(
    sizing: Sizing,
    seconds: float,
    *,
    burst: Burst | None = None,
    restart: Restart | None = None,
    storm: DriftStorm | None = None,
    every_s: float = 0.25,
) -> Outcome:
    """Simulate an installation from an empty backlog, by the assumptions of this module."""
    shards = _Shards(sizing, burst)
    workers = [_Worker(list(range(number, sizing.partitions, sizing.workers))) for number in range(sizing.workers)]
    run = _Run(sizing, shards, workers, storm)
    queue: list[tuple[float, int, str, int]] = []
    order = iter(range(2**62))

    def at(when_s: float, kind: str, number: int = 0) -> None:
        heapq.heappush(queue, (when_s, next(order), kind, number))

    for number in range(sizing.workers):
        at(POLL_S * number / sizing.workers, "poll", number)
    for step in range(1, int(seconds / every_s) + 1):
        at(step * every_s, "look")
    if storm is not None:
        at(storm.at_s, "storm")
    if restart is not None:
        at(restart.at_s, "restart", 0)
    while queue and queue[0][0] <= seconds:
        now_s, _, kind, number = heapq.heappop(queue)
        match kind:
            case "poll":
                at(run.poll(workers[number], now_s), "poll", number)
            case "look":
                run.look(now_s)
            case "storm":
                run.storm()
            case "restart" if restart is not None and number < sizing.workers:
                workers[number].away_until_s = now_s + restart.away_s
                at(now_s + restart.away_s, "back", number)
            case "back" if restart is not None:
                waited_out = now_s - workers[number].away_until_s >= restart.at_most_s
                if run.delay_s(workers[number], now_s) < 3 * POLL_S or waited_out:
                    at(now_s, "restart", number + 1)
                else:
                    at(now_s + POLL_S, "back", number)
    return run.outcome()


def simulate_backlog(sizing: Sizing, waiting: float, seconds: float = 120.0) -> float:
    """How long an installation takes until a backlog that comes at once is gone; infinity: longer than `seconds`."""
    at_s, lasts_s = 2.0, 0.01
    factor = 1.0 + waiting / (sizing.events_per_s * lasts_s)
    outcome = simulate(sizing, seconds, burst=Burst(at_s, lasts_s, factor), every_s=0.05)
    return outcome.recovered_s(at_s, at_s + lasts_s)


class _Run:
    """The state of a simulation, and what happens in it."""

    def __init__(self, sizing: Sizing, shards: _Shards, workers: list[_Worker], storm: DriftStorm | None) -> None:
        self._sizing, self._shards, self._workers, self._storm = sizing, shards, workers, storm
        self._times_s: list[float] = []
        self._lags: list[float] = []
        self._delays_s: list[float] = []
        self._gap_s = 0.0

    def poll(self, worker: _Worker, now_s: float) -> float:
        """One poll of a worker, or its wait for records; when it polls next."""
        if now_s < worker.away_until_s:
            return worker.away_until_s
        shards, wanted = self._shards, self._sizing.poll_records_max
        mine = np.roll(worker.partitions, -worker.at)
        waiting = math.floor(shards.came(now_s) + 1e-9) - shards.taken[mine]
        total = waiting.sum()
        if total < wanted and not worker.waited:
            worker.waited = True
            return now_s + min(POLL_S, max(1e-3, (wanted - total) / (shards.rate_at(now_s) * len(mine))))
        worker.waited = False
        fetched = np.minimum(waiting, self._sizing.fetch_records)
        fetched[0] = min(waiting[0], worker.run_left or self._sizing.fetch_records)
        through = np.cumsum(fetched)
        counts = np.clip(wanted - (through - fetched), 0, fetched)
        last = min(int(np.searchsorted(through, wanted)), len(mine) - 1)
        worker.run_left = float(fetched[last] - counts[last])
        worker.at = (worker.at + last + (worker.run_left <= 0)) % len(mine)
        busy_us = self._take(mine[counts > 0], counts[counts > 0], now_s)
        if now_s >= worker.commit_at_s and total:
            busy_us += self._sizing.transaction_us
            worker.commit_at_s = now_s + self._sizing.commit_interval_s
        return now_s + max(busy_us / 1e6, 1e-6)

    def _take(self, partitions: Any, counts: Any, now_s: float) -> float:
        """Learn some records of some partitions; how long that takes. (A duel that ends within a poll is paid to the poll's end.)"""
        shards = self._shards
        if not len(partitions):
            return 0.0
        busy_us = float((counts * shards.factor[partitions]).sum() * self._sizing.event_us)
        last_s = np.maximum(shards.served_s[partitions], shards.came_at(float(shards.taken[partitions].min()) + 1))
        self._gap_s = max(self._gap_s, float(now_s - last_s.min())) if now_s > 1.0 else 0.0
        shards.taken[partitions] += counts
        shards.served_s[partitions] = now_s
        if self._storm is not None:
            left = shards.duel_left[partitions]
            shards.duel_left[partitions] = left - counts
            self._duels_over(partitions[(left > 0) & (left <= counts)])
        return busy_us

    def storm(self) -> None:
        """Every shard begins a duel."""
        assert self._storm is not None
        self._shards.duel_left[:] = self._storm.duel_events
        self._shards.factor[:] = self._storm.duel_factor

    def _duels_over(self, partitions: Any) -> None:
        assert self._storm is not None
        goes_on = (partitions * 0.6180339887498949) % 1.0 < self._storm.rematches
        self._shards.factor[partitions] = np.where(goes_on, self._storm.rematch_factor, 1.0)

    def delay_s(self, worker: _Worker, now_s: float) -> float:
        """How long the oldest record of a worker's partitions has waited."""
        came, shards = self._shards.came(now_s), self._shards
        oldest = float(shards.taken[worker.partitions].min())
        return max(0.0, now_s - shards.came_at(oldest + 1)) if came - oldest >= 1 else 0.0

    def look(self, now_s: float) -> None:
        """Note how it stands."""
        self._times_s.append(now_s)
        self._lags.append(float(np.maximum(0.0, self._shards.came(now_s) - self._shards.taken).sum()))
        self._delays_s.append(max(self.delay_s(worker, now_s) for worker in self._workers))

    def outcome(self) -> Outcome:
        return Outcome(self._sizing, self._times_s, self._lags, self._delays_s, int(self._shards.taken.sum()), self._gap_s)


LARGE: Final = {"events_per_s": 1_000_000, "partitions": 1_000}
SCENES: Final[dict[str, tuple[float, dict[str, Any]]]] = {
    "steady": (10.0, {}),
    "twice the load for 10 s": (90.0, {"burst": Burst(5.0, 10.0, 2.0)}),
    "four times the load for 5 s": (90.0, {"burst": Burst(5.0, 5.0, 4.0)}),
    "one worker after the other away for 4 s": (60.0, {"restart": Restart(5.0, 4.0)}),
    "drift storm, duels only": (40.0, {"storm": DriftStorm(5.0)}),
    "drift storm, a quarter go on with a rematch": (40.0, {"storm": DriftStorm(5.0, rematches=0.25)}),
    "drift storm, all go on with a rematch": (40.0, {"storm": DriftStorm(5.0, rematches=1.0)}),
}


def scenes(event_us: float, transaction_us: float, loads: Sequence[float], quick: bool = False) -> list[dict[str, Any]]:
    """Each scene at 1,000,000 events a second, with as many workers as each load asks for."""
    found, part = [], 20 if quick else 1
    events_per_s, partitions = LARGE["events_per_s"] / part, LARGE["partitions"] // part
    for load in loads:
        workers = math.ceil(events_per_s * event_us / 1e6 / load)
        sizing = Sizing(events_per_s=events_per_s, partitions=partitions, workers=workers, event_us=event_us, transaction_us=transaction_us)
        for name, (seconds, what) in SCENES.items():
            outcome = simulate(sizing, min(seconds, 15.0) if quick else seconds, **what)
            began_s = next((each.at_s for each in what.values()), 1.0)
            since_s = next((each.at_s + getattr(each, "lasts_s", 0.0) for each in what.values()), 1.0)
            found.append(
                {
                    "scene": name,
                    "load": load,
                    "workers": workers,
                    "lag_max": round(outcome.lag_max),
                    "delay_max_s": round(outcome.delay_max_s, 2),
                    "recovered_s": round(outcome.recovered_s(began_s, since_s), 2),
                    "gap_s": round(outcome.gap_s, 2),
                }
            )
            print(json.dumps(found[-1]), flush=True)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, extrapolate, print."""
    parser = argparse.ArgumentParser(description="A capacity model fitted to the figures of benchmarks.scale, and a simulation with it.")
    parser.add_argument("figures", type=Path, help="the JSON that benchmarks.scale has written")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write model and scenes there as JSON")
    parser.add_argument("--quick", action="store_true", help="a few seconds of each scene at a twentieth of the size: a smoke test")
    given = parser.parse_args(arguments)
    capacity = fit(json.loads(given.figures.read_text())["rows"])
    print(json.dumps(capacity._asdict()), flush=True)
    found: dict[str, Any] = {"capacity": capacity._asdict()}
    for model in ("light", "adaptive"):
        if model in capacity.model_us:
            event_us = capacity.event_us(model, 8)
            print(f"{model}: {event_us:.1f} us an event", flush=True)
            found[model] = scenes(event_us, max(0.0, capacity.per_transaction_us), (0.6, 0.8), given.quick)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

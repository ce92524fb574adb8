"""How often detectors alarm where nothing changes, and how soon where something does: the table behind `detector_for`.

    python -m benchmarks.calibrate [--quick] [--write] [--jobs N]

Each setting watches signals as a pipeline would (`Watch(...).build()`, with its guard of direction): errors of 5, 20 and 40 %, and a
standard normal feature. False alarms are counted over a million values of each signal where nothing changes; the table keeps the worst
of the error rates, as the upper end of a 95 % confidence interval for Poisson counts, so that few alarms are not taken for none. Delays
are medians over 100 changes, some thousand values after a start: errors of 20 % that become 40 % or 30 %, and a feature that moves by one
standard deviation. `--write` replaces the table in stream_retrain/core/calibration_table.py.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from scipy import stats

from stream_retrain import Watch
from stream_retrain.core.watch.calibration import FIXED, KINDS
from stream_retrain.core.watch.guards import Guard

SETTINGS: Final[dict[str, list[tuple[str, float]]]] = {
    "ADWIN": [("delta", delta) for delta in (0.2, 0.05, 0.02, 0.01, 0.002, 0.0005, 0.0001)],
    "HDDMA": [("drift_confidence", confidence) for confidence in (0.02, 0.01, 0.005, 0.001, 0.0002, 0.00005)],
    "HDDMW": [("drift_confidence", confidence) for confidence in (0.005, 0.001, 0.0002, 0.00005, 0.00001)],
    "PageHinkley": [("threshold", threshold) for threshold in (10.0, 20.0, 30.0, 50.0, 80.0, 120.0)],
}
FEATURE_SETTINGS: Final[dict[str, list[tuple[str, float]]]] = {
    "ADWIN": SETTINGS["ADWIN"],
    "KSWIN": [("alpha", alpha) for alpha in (0.005, 0.001, 0.0001, 0.00001, 0.000001)],
}
ERROR_RATES: Final = (0.05, 0.2, 0.4)
START_EVENTS: Final = {"error": 2_000, "feature": 10_000}
"""A sampled KSWIN fills its window of 100 in 5,000 values."""
LATE_EVENTS: Final = {"error": 5_000, "feature": 20_000}
RUNS: Final = 100
TABLE_FILE: Final = Path(__file__).parents[1] / "stream_retrain" / "core" / "calibration_table.py"


class Measured(NamedTuple):
    """A row of the table; delays are None where half of the changes were not seen within 5,000 values."""

    signal: str
    detector: str
    parameter: str
    value: float
    false_alarms_per_million: float
    delay_large: float | None
    delay_small: float | None


def made(detector: str, parameter: str, value: float) -> Any:
    """The detector of a setting."""
    return KINDS[detector](**{**FIXED.get(detector, {}), parameter: value})


def errors(rate: float, rng: random.Random) -> Iterator[float]:
    """Bernoulli errors, for ever."""
    while True:
        yield 1 if rng.random() < rate else 0


def feature(mean: float, rng: random.Random) -> Iterator[float]:
    """A normal feature of variance 1, for ever."""
    while True:
        yield rng.gauss(mean, 1.0)


def false_alarms(watcher: Guard, values: Iterator[float], count: int) -> float:
    """Upper end of the 95 % interval of the alarms in a million values."""
    alarms = sum(watcher.update(value) is not None for value, _ in zip(values, range(count), strict=False))
    return float(stats.chi2.ppf(0.95, 2 * (alarms + 1)) / 2 / count * 1e6)


def delay(watch: Watch, before: Callable[[random.Random], Iterator[float]], after: Callable[..., Any], runs: int) -> float | None:
    """The median number of values from a change to the alarm."""
    kind = watch.signal.partition(":")[0]
    seen: list[float] = []
    for run in range(runs):
        rng, watcher = random.Random(run), watch.build()
        for value, _ in zip(before(rng), range(START_EVENTS[kind]), strict=False):
            watcher.update(value)
        late = (
            number for number, value in zip(range(1, LATE_EVENTS[kind] + 1), after(rng), strict=False) if watcher.update(value) is not None
        )
        seen.append(next(late, float("inf")))
    median = statistics.median(seen)
    return None if median == float("inf") else median


def measure(task: tuple[str, str, str, float, int, int]) -> Measured:
    """One row."""
    signal, detector, parameter, value, events, runs = task
    if signal == "error":
        watch = Watch("error", made(detector, parameter, value))
        alarms = max(false_alarms(watch.build(), errors(rate, random.Random(7)), events) for rate in ERROR_RATES)
        large = delay(watch, lambda rng: errors(0.2, rng), lambda rng: errors(0.4, rng), runs)
        small = delay(watch, lambda rng: errors(0.2, rng), lambda rng: errors(0.3, rng), runs)
    else:
        watch = Watch("feature:x", made(detector, parameter, value))
        alarms = false_alarms(watch.build(), feature(0.0, random.Random(7)), events)
        large = delay(watch, lambda rng: feature(0.0, rng), lambda rng: feature(1.0, rng), runs)
        small = delay(watch, lambda rng: feature(0.0, rng), lambda rng: feature(0.5, rng), runs)
    return Measured(signal, detector, parameter, value, float(f"{alarms:.3g}"), large, small)


def tasks(events: int, runs: int) -> list[tuple[str, str, str, float, int, int]]:
    """Every row to be measured."""
    of_signals = (("error", SETTINGS), ("feature", FEATURE_SETTINGS))
    return [
        (signal, detector, parameter, value, events, runs)
        for signal, settings in of_signals
        for detector, values in settings.items()
        for parameter, value in values
    ]


def main() -> None:
    """Measure and print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description="False alarms and delays of detectors, for `detector_for`.")
    parser.add_argument("--quick", action="store_true", help="few events and runs: a smoke test, not a calibration")
    parser.add_argument("--write", action="store_true", help=f"replace {TABLE_FILE.name}")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    events, runs = (20_000, 5) if arguments.quick else (1_000_000, RUNS)
    with multiprocessing.Pool(arguments.jobs) as pool:
        rows = []
        for row in pool.imap(measure, tasks(events, runs)):
            rows.append(row)
            print(
                f"{row.signal:8} {row.detector:12} {row.parameter:17} {row.value:<9g} {row.false_alarms_per_million:>9} alarms a million"
                f"  delay {row.delay_large} / {row.delay_small}",
                flush=True,
            )
    if arguments.write:
        TABLE_FILE.write_text(table_source(rows))


def table_source(rows: list[Measured]) -> str:
    """The module that holds the table."""
    listed = "".join(f"    {tuple(row)!r},\n" for row in rows).replace("'", '"')
    return (
        '"""Measured by `python -m benchmarks.calibrate --write`, which says how; do not edit."""\n\n'
        "from __future__ import annotations\n\nfrom typing import Final, TypeAlias\n\n"
        '__all__ = ["TABLE"]\n\n'
        "Row: TypeAlias = tuple[str, str, str, float, float, float | None, float | None]\n"
        '"""Signal, detector, parameter, its value, false alarms a million values at most, delay of a large and of a small change."""\n\n'
        f"TABLE: Final[tuple[Row, ...]] = (\n{listed})\n"
    )


if __name__ == "__main__":
    main()

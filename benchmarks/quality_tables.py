"""The results of the quality benchmark as rows, and as Markdown tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from benchmarks.quality_runs import Result

Row: TypeAlias = dict[str, Any]

FOUR: Final = (("Elec2", "elec"), ("Weather", "weather"), ("Agrawal", "agrawal_abrupt"), ("SEA", "sea_abrupt"))
"""The streams of the mean, each with what its name begins with."""
STATIONARY: Final = "agrawal_stationary"
DASH: Final = "-"


def rows(results: Sequence[Result]) -> list[Row]:
    """One row a run, costs relative to `none` of the same stream, seed and champion."""
    costs = {(r.stream, r.seed, r.champion): r.cpu_s for r in results if r.policy == "none"}
    return [row(result, costs.get((result.stream, result.seed, result.champion))) for result in results]


def row(result: Result, cpu_s_of_none: float | None) -> Row:
    regression = result.task == "regression"
    false_alarms = None if result.false_alarms is None else result.false_alarms * 10_000 / max(1, result.events)
    found = {
        "stream": result.stream,
        "seed": result.seed,
        "champion": result.champion,
        "policy": result.policy,
        "accuracy": None if regression else rounded(result.score, 3),
        "kappa": rounded(result.kappa, 3),
        "kappa_temporal": rounded(result.kappa_temporal, 3),
        "after_drift": rounded(result.after_drift, 3),
        "delay": rounded(result.delay, 1),
        "false_alarms_per_10k": rounded(false_alarms, 3),
        "replacements": result.replacements,
        "cpu_ratio": rounded(result.cpu_s / cpu_s_of_none if cpu_s_of_none else None, 3),
    }
    if regression:
        found |= {"r2": rounded(result.score, 4), "mae": rounded(result.mae, 4)}
    return found


def rounded(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def mean(values: Iterable[float | None]) -> float | None:
    """Of the values there are."""
    found = [value for value in values if value is not None]
    return math.fsum(found) / len(found) if found else None


def text(value: float | None, digits: int = 2) -> str:
    if value is None:
        return DASH
    return f"{value:.{digits}f}" if abs(value) < 10_000 else f"{value:.2g}"


def table(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first two columns are names, the others numbers."""
    rule = ["---"] * 2 + ["---:"] * (len(header) - 2)
    lines = [[cell.replace("|", "\\|") for cell in cells] for cells in (header, rule, *body)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def pairs_of(found: Sequence[Row]) -> list[tuple[str, str]]:
    """Champions and policies, in the order in which they came."""
    return list(dict.fromkeys((each["champion"], each["policy"]) for each in found))


def chosen(found: Sequence[Row], pair: tuple[str, str], stream: str) -> list[Row]:
    """The seeds of one pair on the streams of a name."""
    return [each for each in found if (each["champion"], each["policy"]) == pair and each["stream"].startswith(stream)]


def summary(found: Sequence[Row]) -> str:
    """What there is to sum up: of classification, of regression, or both."""
    parts = []
    if any(each["accuracy"] is not None for each in found):
        parts.append(classification_summary(found))
    if any("r2" in each for each in found):
        parts.append(regression_summary(found))
    return "\n\n".join(parts)


def regression_summary(found: Sequence[Row]) -> str:
    """R2 on each stream of numbers and their mean, and what it cost."""
    shown = [each for each in found if "r2" in each]
    streams = list(dict.fromkeys(each["stream"] for each in shown))
    body = []
    for pair in pairs_of(shown):
        here = [[each for each in shown if each["stream"] == stream and (each["champion"], each["policy"]) == pair] for stream in streams]
        scores = [mean(each["r2"] for each in seeds) for seeds in here]
        costs = mean(mean(each["cpu_ratio"] for each in seeds) for seeds in here)
        whole = None if None in scores else mean(scores)
        body.append([*pair, text(whole, 3), *(text(score, 3) for score in scores), text(costs)])
    return table(("champion", "policy", "mean R2", *streams, "CPU"), body)


def classification_summary(found: Sequence[Row]) -> str:
    """Accuracy on each of the four streams and their mean, on the stationary one, after drifts, and what it cost."""
    header = (
        "champion",
        "policy",
        "mean",
        *(title for title, _ in FOUR),
        "stationary (replaced)",
        "after drift",
        "replaced / drift",
        "CPU",
    )
    shown = [each for each in found if each["accuracy"] is not None]
    present = {prefix for _, prefix in FOUR if any(each["stream"].startswith(prefix) for each in shown)}
    lines = [(summary_value(shown, pair, present), summary_line(shown, pair, present)) for pair in pairs_of(shown)]
    names = list(dict.fromkeys(champion for champion, _ in pairs_of(shown)))
    lines.sort(key=lambda line: (names.index(line[1][0]), -(line[0] or 0.0)))
    return table(header, [line for _, line in lines])


def summary_value(found: Sequence[Row], pair: tuple[str, str], present: set[str]) -> float | None:
    """The mean over the streams there are; None if the pair was not run on each of them."""
    each = [mean(row["accuracy"] for row in chosen(found, pair, prefix)) for prefix in sorted(present)]
    return None if not each or None in each else mean(each)


def summary_line(found: Sequence[Row], pair: tuple[str, str], present: set[str]) -> list[str]:
    agrawal = chosen(found, pair, "agrawal_abrupt")
    stationary = chosen(found, pair, STATIONARY)
    still = text(mean(row["accuracy"] for row in stationary))
    costs = [mean(row["cpu_ratio"] for row in chosen(found, pair, prefix)) for prefix in sorted(present)]
    return [
        *pair,
        text(summary_value(found, pair, present)),
        *(text(mean(row["accuracy"] for row in chosen(found, pair, prefix))) for _, prefix in FOUR),
        f"{still} ({sum(row['replacements'] for row in stationary)})" if stationary else DASH,
        text(mean(row["after_drift"] for row in agrawal)),
        text(mean(row["replacements"] / 3 for row in agrawal), 1),
        text(mean(costs), 2),
    ]


def stream_table(found: Sequence[Row], stream: str) -> str:
    """Every column of one stream, means over its seeds."""
    regression = any(each["stream"] == stream and each["accuracy"] is None for each in found)
    score = ["r2", "mae"] if regression else ["accuracy", "kappa", "kappa_temporal"]
    columns = [*score, "after_drift", "delay", "false_alarms_per_10k", "replacements", "cpu_ratio"]
    digits = {"r2": 3, "mae": 3, "delay": 0, "replacements": 1, "after_drift": 3 if regression else 2}
    here = [each for each in found if each["stream"] == stream]
    body = []
    for pair in pairs_of(here):
        seeds = [each for each in here if (each["champion"], each["policy"]) == pair]
        body.append([*pair, *(text(mean(each[column] for each in seeds), digits.get(column, 2)) for column in columns)])
    return table(("champion", "policy", *(column.replace("_", " ") for column in columns)), body)


def markdown(results: Sequence[Result]) -> str:
    """The summary, then a table a stream."""
    found = rows(results)
    parts = [f"## Summary\n\n{summary(found)}"]
    for stream in dict.fromkeys(result.stream for result in results):
        seeds = {result.seed for result in results if result.stream == stream}
        events = max(result.events for result in results if result.stream == stream)
        parts.append(f"## {stream}\n\n{events:,} events, {len(seeds)} seed{'s' if len(seeds) > 1 else ''}\n\n{stream_table(found, stream)}")
    return "\n\n".join(parts) + "\n"

"""The tables and the plot of `benchmarks.latency`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.quality_plots import COLOURS, Axis

__all__ = ["plot", "tables"]

WIDTH: Final = 760
HEIGHT: Final = 340
TICKS_MS: Final = (5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: steady loads, then what goes on meanwhile."""
    lines = ["| model | commit interval | load | events/s | p50 | p99 | p99.9 | CPU an event |", "|---|---:|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        if row["case"] == "log alone":
            lines.append(f"| the log alone | - | | {row['events_per_s']:,} | {_three(row)} | - |")
        elif row["case"] == "steady":
            cells = [row["model"], f"{row['commit_interval_ms']} ms", row["load"], f"{row['events_per_s']:,}", _three(row)]
            lines.append(f"| {' | '.join(cells)} | {row['cpu_us']:.1f} us |")
    lines += [
        "",
        "| meanwhile | model | events/s | times | it took (p50, max) | p50 | p99 | p99.9 |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row["case"] == "meanwhile":
            took = f"{row['span_p50_ms']:.3g}, {row['span_max_ms']:.3g} ms" if "span_p50_ms" in row else "-"
            lines.append(f"| {row['during']} | {row['model']} | {row['events_per_s']:,} | {row['times']} | {took} | {_three(row)} |")
    return "\n".join(lines) + "\n"


def _three(row: dict[str, Any]) -> str:
    if not row["kept_up"]:
        return "fell behind | - | -"
    if "p50_ms" not in row:
        return "- | - | -"
    return " | ".join(f"{row[name]:.0f} ms" for name in ("p50_ms", "p99_ms", "p999_ms"))


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """p50 (thin) and p99 (thick) by commit interval, a colour a load, both scales by ratios."""
    steady = [row for row in rows if row["case"] == "steady" and row["model"] == "adaptive_classifier" and row["kept_up"]]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    intervals = sorted({row["commit_interval_ms"] for row in steady}) or [10, 500]
    values = [row[name] for row in steady for name in ("p50_ms", "p99_ms")] or [10.0]
    low, high = min(values) * 0.8, max(values) * 1.25
    across, up = (
        Axis(intervals[0], max(intervals[-1], intervals[0] + 1), 60, WIDTH - 190, log=True),
        Axis(low, high, HEIGHT - 50, 20, log=True),
    )
    for tick in (each for each in TICKS_MS if low <= each <= high):
        y = up.at(tick)
        parts.append(f'<line x1="60" y1="{y:.1f}" x2="{WIDTH - 190}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="54" y="{y + 4:.1f}" text-anchor="end">{tick}</text>')
    parts += [f'<text x="{across.at(each):.1f}" y="{HEIGHT - 32}" text-anchor="middle">{each}</text>' for each in intervals]
    parts.append(f'<text x="60" y="{HEIGHT - 12}">commit interval, ms; up: event to prediction, ms, p50 thin and p99 thick</text>')
    for number, load in enumerate(dict.fromkeys(row["load"] for row in steady)):
        ours = sorted((row for row in steady if row["load"] == load), key=lambda row: row["commit_interval_ms"])
        for name, width in (("p50_ms", 1), ("p99_ms", 3)):
            points = " ".join(f"{across.at(row['commit_interval_ms']):.1f},{up.at(row[name]):.1f}" for row in ours)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[number]}" stroke-width="{width}"/>')
        parts.append(f'<text x="{WIDTH - 180}" y="{40 + 20 * number}" fill="{COLOURS[number]}">{load}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"

"""The plot of docs/performance.md: CPU time of an event, a bar a case, as SVG written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.quality_plots import COLOURS, WIDTH, Axis, document, legend, words
from benchmarks.throughput_tables import BARE, WITHOUT, WORKER

__all__ = ["plot"]

NAMES_PX: Final = 420
TOP: Final = 40
BAR: Final = 18
GROUPS: Final = ("bare loop, no Kafka", "worker, everything on", "peers")


def plot(rows: Sequence[dict[str, Any]], features: int = 8) -> str:
    """Bars from the cheapest to the dearest; the scale goes by ratios."""
    shown = [row for row in rows if row["features"] == features and row["cpu_us_per_event"] and not row["case"].startswith(WITHOUT)]
    shown.sort(key=lambda row: float(row["cpu_us_per_event"]))
    if not shown:
        return document([])
    across = Axis(1, max(10.0, 2 * shown[-1]["cpu_us_per_event"]), NAMES_PX, WIDTH - 20, log=True)
    height = TOP + BAR * len(shown)
    parts = []
    for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000):
        if tick <= across.high:
            x = across.at(tick)
            parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{height}" stroke="#e4e4e4"/>')
            parts.append(words(x, height + 16, f"{tick:,}", anchor="middle"))
    parts.append(words((NAMES_PX + WIDTH) / 2, height + 34, "CPU of an event, us (log scale)", anchor="middle"))
    for number, row in enumerate(shown):
        y, end = TOP + BAR * number, across.at(max(1.0, row["cpu_us_per_event"]))
        colour = COLOURS[_group(row["case"])]
        name = row["model"] if row["case"] == BARE else f"{row['case']}: {row['model']}"
        parts.append(words(NAMES_PX - 6, y + 13, name, anchor="end"))
        parts.append(f'<rect x="{NAMES_PX}" y="{y + 3}" width="{max(1.0, end - NAMES_PX):.1f}" height="{BAR - 6}" fill="{colour}"/>')
        parts.append(words(end + 5, y + 13, f"{row['cpu_us_per_event']:.1f}"))
    parts += legend([(group, COLOURS[number]) for number, group in enumerate(GROUPS)])
    return _tall(document(parts), height + 46)


def _group(case: str) -> int:
    return {BARE: 0, WORKER: 1}.get(case, 2)


def _tall(svg: str, height: float) -> str:
    """Of that height instead of the one that all other plots have."""
    head, rest = svg.split("\n", 1)
    return f'{head.rpartition("viewBox")[0]}viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif" font-size="11">\n{rest}'.replace(
        f'width="{WIDTH}" height="480"', f'width="{WIDTH}" height="{height:.0f}"', 1
    )

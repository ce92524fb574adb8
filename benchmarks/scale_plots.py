"""The plot of docs/scaling.md, as SVG written by hand: what an event costs by partitions and by features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from benchmarks.quality_plots import COLOURS, Axis

__all__ = ["plot"]

WIDTH: Final = 860
HEIGHT: Final = 320
PANELS: Final = (("partitions", "partitions", (1, 4, 16, 64)), ("features", "features", (1, 8, 20, 50)))


def plot(rows: Sequence[dict[str, Any]]) -> str:
    """CPU of an event against partitions (left) and features (right), a line a model; both scales by ratios."""
    costs = [row["cpu_us"] for row in rows]
    low, high = min(costs) * 0.7, max(costs) * 1.3
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for at, (sweep, label, ticks) in enumerate(PANELS):
        left = 60 + at * WIDTH / 2
        across, up = Axis(1, max(ticks), left, left + WIDTH / 2 - 90, log=True), Axis(low, high, HEIGHT - 50, 30, log=True)
        parts += [_line((across.start, across.end), (y, y), "#dddddd") for tick in _marks(low, high) for y in [up.at(tick)]]
        parts += [_text(across.start - 8, up.at(tick) + 4, f"{tick:g}", "end") for tick in _marks(low, high)]
        parts += [_text(across.at(tick), HEIGHT - 32, str(tick), "middle") for tick in ticks]
        parts.append(_text((across.start + across.end) / 2, HEIGHT - 12, label, "middle"))
        parts.append(_text(across.start, 18, "CPU of an event, us", "start"))
        for number, model in enumerate(dict.fromkeys(row["model"] for row in rows)):
            ours = sorted(
                (row[sweep], row["cpu_us"])
                for row in rows
                if row["model"] == model and (row["sweep"] == sweep or (sweep == "features" and _is_between(row)))
            )
            if not ours:
                continue
            points = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in ours)
            parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOURS[number]}" stroke-width="2"/>')
            parts += [f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="3" fill="{COLOURS[number]}"/>' for x, y in ours]
            parts.append(_text(across.at(ours[-1][0]) + 6, up.at(ours[-1][1]) + 4, model, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _is_between(row: dict[str, Any]) -> bool:
    """The one of eight features, which other sweeps have measured."""
    return row["sweep"] == "partitions" and row["partitions"] == 4


def _marks(low: float, high: float) -> list[float]:
    return [tick for tick in (5, 10, 20, 50, 100, 200, 500, 1_000, 2_000) if low <= tick <= high]


def _line(x: tuple[float, float], y: tuple[float, float], colour: str) -> str:
    return f'<line x1="{x[0]:.1f}" y1="{y[0]:.1f}" x2="{x[1]:.1f}" y2="{y[1]:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'

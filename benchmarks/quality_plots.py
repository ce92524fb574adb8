"""The plots of the quality benchmark, as SVG: score against cost, and score over time with the drifts marked.

Written by hand, so that a plot is a few kilobytes of text that differ only where the figures do.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from html import escape
from typing import Final

from benchmarks.quality_measures import CURVE_EVENTS
from benchmarks.quality_runs import Result
from benchmarks.quality_tables import Row, chosen, mean, pairs_of, summary_value

WIDTH: Final = 860
HEIGHT: Final = 480
LEFT: Final = 60
RIGHT: Final = 20
TOP: Final = 40
BOTTOM: Final = 50
COLOURS: Final = ("#1b6ca8", "#c8553d", "#2e8b57", "#8e5ea2", "#b8860b", "#555555", "#d1477a", "#008b8b")
LINE_PX: Final = 13


@dataclasses.dataclass(frozen=True, slots=True)
class Axis:
    """Numbers onto pixels; `log`: by ratios."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, shown = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (shown - low) / ((high - low) or 1.0)

    def ticks(self) -> list[float]:
        """Round numbers within the range."""
        if self.log:
            return [
                tick
                for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)
                if self.low <= tick <= self.high
            ]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) or 1.0))
        step = next(step * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if (self.high - self.low) / (step * part) <= 10)
        first = math.ceil(self.low / step - 1e-9)
        return [round(first * step + number * step, 10) for number in range(12) if first * step + number * step <= self.high + 1e-9]


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """A policy in the plot of score against cost."""

    group: str
    label: str
    cost: float
    score: float


def points(found: Sequence[Row], *, regression: bool) -> list[Point]:
    """Every pair that was run on all the streams of the mean (the four; for regression all there are)."""
    shown = [each for each in found if (each["accuracy"] is None) == regression]
    prefixes = {each["stream"] for each in shown} if regression else {"elec", "weather", "agrawal_abrupt", "sea_abrupt"}
    prefixes = {prefix for prefix in prefixes if any(each["stream"].startswith(prefix) for each in shown)}
    made = []
    for pair in pairs_of(shown):
        costs = [mean(row["cpu_ratio"] for row in chosen(shown, pair, prefix)) for prefix in sorted(prefixes)]
        if regression:
            scores = [mean(row["r2"] for row in chosen(shown, pair, prefix)) for prefix in sorted(prefixes)]
            score = None if None in scores else mean(scores)
        else:
            score = summary_value(shown, pair, prefixes)
        cost = None if None in costs else mean(costs)
        if score is not None and cost and score > (0.0 if regression else 60.0):
            made.append(Point(pair[0], pair[1], cost, score))
    return made


def score_against_cost(found: Sequence[Row], *, regression: bool) -> list[str]:
    """A plot a champion, a point a policy: how good, and at how many times the cost of the champion left alone."""
    shown = points(found, regression=regression)
    groups = dict.fromkeys(point.group for point in shown)
    plots = [plot_of_costs([point for point in shown if point.group == group], regression=regression) for group in groups]
    return [plot for plot in plots if plot is not None]


def plot_of_costs(shown: Sequence[Point], *, regression: bool, cost: str = "CPU, times the champion left alone") -> str | None:
    """None without two points."""
    if len(shown) < 2:
        return None
    scores, costs = [point.score for point in shown], [point.cost for point in shown]
    margin = (max(scores) - min(scores)) * 0.06 or 0.01
    across = Axis(min(costs) * 0.8, max(costs) * 4, LEFT, WIDTH - RIGHT, log=True)
    up = Axis(min(scores) - margin, max(scores) + margin, HEIGHT - BOTTOM, TOP)
    parts = frame(across, up, f"{cost} (log scale)", "mean R2" if regression else "mean accuracy, %")
    taken = [(across.at(point.cost) - 4, across.at(point.cost) + 4, up.at(point.score) + 4) for point in shown]
    for point in shown:
        x, y = across.at(point.cost), up.at(point.score)
        left, written = free(taken, x, y + 4, 6.2 * len(point.label))
        if abs(written - 4 - y) > LINE_PX / 2:
            end = left - 1 if left > x else left + 6.2 * len(point.label)
            parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{end:.1f}" y2="{written - 4:.1f}" stroke="#999999"/>')
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS[0]}"/>')
        parts.append(words(left, written, point.label))
    parts += legend([(shown[0].group, COLOURS[0])])
    return document(parts)


def free(taken: list[tuple[float, float, float]], x: float, y: float, wide: float) -> tuple[float, float]:
    """Where a label of that width may begin beside a point, within the plot and covering no other label or point."""
    for step in range(60):
        tried = y + LINE_PX * ((step + 1) // 2) * (1 if step % 2 else -1)
        for start in (x + 9, x - 9 - wide):
            end = start + wide
            if not (TOP <= tried <= HEIGHT - BOTTOM and start >= LEFT):
                continue
            if all(abs(tried - other) >= LINE_PX or start > right or end < left for left, right, other in taken):
                taken.append((start, end, tried))
                return start, tried
    return x + 9, y


def score_over_time(results: Sequence[Result]) -> str | None:
    """A line a policy on one stream and seed; dashes where a concept changes. None without a line of two points."""
    lines = [(f"{each.policy}", [value for value in each.curve if value is not None]) for each in results]
    lines = [line for line in lines if len(line[1]) > 1][: len(COLOURS)]
    if not lines:
        return None
    values = sorted(value for _, line in lines for value in line)
    events = max(each.events for each in results)
    across = Axis(0, events, LEFT, WIDTH - RIGHT)
    up = Axis(values[len(values) // 100], values[-1], HEIGHT - BOTTOM, TOP)
    what = "R2" if results[0].task == "regression" else "accuracy, %"
    parts = frame(across, up, "events", f"{what} in each {CURVE_EVENTS} events")
    for drift in results[0].drifts or ():
        left, right = across.at(drift.at), across.at(drift.at + drift.width)
        parts.append(
            f'<rect x="{left:.1f}" y="{TOP}" width="{max(1.0, right - left):.1f}" height="{HEIGHT - TOP - BOTTOM}" fill="#e8d8a0"/>'
        )
    for index, (_, line) in enumerate(lines):
        spots = [(across.at((number + 0.5) * CURVE_EVENTS), up.at(max(up.low, value))) for number, value in enumerate(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots if x <= WIDTH - RIGHT)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{COLOURS[index]}" stroke-width="1.6"/>')
    parts += legend([(label, COLOURS[index]) for index, (label, _) in enumerate(lines)])
    return document(parts)


def frame(across: Axis, up: Axis, below: str, beside: str) -> list[str]:
    parts = []
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        parts.append(words(x, HEIGHT - BOTTOM + 16, f"{tick:,g}", anchor="middle"))
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#e4e4e4"/>')
        parts.append(words(LEFT - 6, y + 4, f"{tick:g}", anchor="end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(words((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, below, anchor="middle"))
    parts.append(f'<g transform="rotate(-90 14 {middle:.0f})">{words(14, middle, beside, anchor="middle")}</g>')
    return parts


def legend(entries: Sequence[tuple[str, str]]) -> list[str]:
    """Names in their colours above the plot."""
    parts, x = [], float(LEFT)
    for name, colour in entries:
        parts.append(f'<rect x="{x:.0f}" y="14" width="10" height="10" fill="{colour}"/>')
        parts.append(words(x + 14, 23, name))
        x += 26 + 6.6 * len(name)
    return parts


def words(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333333">{escape(text)}</text>'


def document(parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>"]) + "\n"

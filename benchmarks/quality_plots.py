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
            return [tick for tick in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200) if self.low <= tick <= self.high]
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


def score_against_cost(found: Sequence[Row], *, regression: bool) -> str | None:
    """A point a policy: how good, and at how many times the cost of its champion left alone. None without two points."""
    shown = points(found, regression=regression)
    if len(shown) < 2:
        return None
    scores, costs = [point.score for point in shown], [point.cost for point in shown]
    margin = (max(scores) - min(scores)) * 0.06 or 0.01
    across = Axis(min(costs) * 0.8, max(costs) * 2.2, LEFT, WIDTH - RIGHT, log=True)
    up = Axis(min(scores) - margin, max(scores) + margin, HEIGHT - BOTTOM, TOP)
    groups = list(dict.fromkeys(point.group for point in shown))
    parts = frame(across, up, "CPU, times the champion left alone (log scale)", "mean R2" if regression else "mean accuracy, %")
    taken: list[tuple[float, float, float]] = []
    for point in shown:
        colour = COLOURS[groups.index(point.group) % len(COLOURS)]
        x, y = across.at(point.cost), up.at(point.score)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>')
        parts.append(words(x + 7, free(taken, x + 7, y + 4, 6.2 * len(point.label)), point.label, colour=colour))
    parts += legend([(group, COLOURS[index % len(COLOURS)]) for index, group in enumerate(groups)])
    return document(parts)


def free(taken: list[tuple[float, float, float]], x: float, y: float, wide: float) -> float:
    """A height near `y` at which a label of that width covers no other."""
    for step in range(40):
        tried = y + LINE_PX * ((step + 1) // 2) * (1 if step % 2 else -1)
        if all(abs(tried - other) >= LINE_PX or x > right or x + wide < left for left, right, other in taken):
            taken.append((x, x + wide, tried))
            return tried
    return y


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


def words(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def document(parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>"]) + "\n"

"""Pictures of the dashboards' panels, drawn by matplotlib from what their queries return. This is not Grafana.

It shows what an SRE would see of the data: which series, how many, on which scale, with which legend and which marks. Colours, fonts and
the way Grafana thins out points are not Grafana's.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.ops.boards import BOARDS, filled
from tests.ops.servers import Prometheus

__all__ = ["pictures"]

mpl.use("Agg")
COLOURS = {"green": "#56a64b", "yellow": "#f2cc0c", "red": "#e02f44", "orange": "#ff780a", "blue": "#3274d9", "text": "#b0b0b0"}
ROW_INCHES, COLUMN_INCHES = 0.42, 0.72
LEGEND_MAX = 8


class Picture:
    """What the panels of one board are drawn from: a server, the values of the variables, and a span of time."""

    def __init__(self, server: Prometheus, values: Mapping[str, str], start_s: float, end_s: float) -> None:
        self.server, self.values, self.start_s, self.end_s = server, values, start_s, end_s
        self.step_s = max(1.0, (end_s - start_s) / 300)

    def series(self, target: Mapping[str, Any]) -> list[tuple[str, dict[str, str], list[float], list[float]]]:
        """Legend, labels, times and values of each series of a query."""
        step_s = 10.0 if target.get("interval") else self.step_s
        found = self.server.range(self.filled(target["expr"]), self.start_s, self.end_s, step_s)
        legend = target.get("legendFormat", "")
        return [(_legend(legend, each["metric"]), each["metric"], *_with_gaps(each["values"], step_s)) for each in found]

    def now(self, target: Mapping[str, Any]) -> list[tuple[str, dict[str, str], float]]:
        found = self.server.query(self.filled(target["expr"]))
        return [(_legend(target.get("legendFormat", ""), each["metric"]), each["metric"], float(each["value"][1])) for each in found]

    def filled(self, expression: str) -> str:
        return filled(expression, self.values, interval="10s", span=f"{int(self.end_s - self.start_s)}s")


def _with_gaps(points: Sequence[Sequence[Any]], step_s: float) -> tuple[list[float], list[float]]:
    """Times and values; where a point is missing there is one that is no number, so that no line is drawn across."""
    times: list[float] = []
    values: list[float] = []
    for at, value in points:
        if times and at - times[-1] > 1.5 * step_s:
            times.append(times[-1] + step_s)
            values.append(math.nan)
        times.append(at)
        values.append(float(value))
    return times, values


def pictures(name: str, server: Prometheus, values: Mapping[str, str], start_s: float, end_s: float, folder: Path) -> list[Path]:
    """Draw a board, a picture for each of its rows."""
    picture, board = Picture(server, values, start_s, end_s), BOARDS[name]
    marks = [(each["iconColor"], picture.series({"expr": each["expr"]})) for each in board["annotations"]["list"] if each.get("expr")]
    sections: list[tuple[str, list[dict[str, Any]]]] = []
    for panel in board["panels"]:
        if panel["type"] == "row":
            sections.append((panel["title"], []))
        else:
            sections[-1][1].append(panel)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, (title, panels) in enumerate(sections, 1):
        written.append(folder / f"{name.removeprefix('stream_retrain_')}-{number}-{re.sub(r'[^a-z]+', '-', title.lower()).strip('-')}.png")
        _section(title, panels, picture, marks).savefig(written[-1], dpi=70)
    return written


def _section(title: str, panels: list[dict[str, Any]], picture: Picture, marks: list[Any]) -> Figure:
    top = min(panel["gridPos"]["y"] for panel in panels)
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) - top
    width, height = 24 * COLUMN_INCHES, rows * ROW_INCHES + 0.5
    figure = Figure(figsize=(width, height), facecolor="#f4f5f5")
    figure.text(0.01, 1 - 0.35 / height, f"{title}   (drawn by a test, not by Grafana)", fontsize=12, weight="bold")
    for panel in panels:
        place = panel["gridPos"]
        left, right = (place["x"] * COLUMN_INCHES + 0.62) / width, ((place["x"] + place["w"]) * COLUMN_INCHES - 0.12) / width
        high = 1 - (0.5 + (place["y"] - top) * ROW_INCHES + 0.42) / height
        low = 1 - (0.5 + (place["y"] - top + place["h"]) * ROW_INCHES - 0.75) / height
        if panel["type"] in ("stat", "table"):
            low = 1 - (0.5 + (place["y"] - top + place["h"]) * ROW_INCHES - 0.1) / height
        axes = figure.add_axes((left, low, right - left, high - low))
        axes.set_title(panel["title"], fontsize=9, loc="left")
        axes.tick_params(labelsize=7)
        DRAWN[panel["type"]](axes, panel, picture)
        if panel["type"] == "timeseries":
            _mark(axes, marks)
        if panel["type"] not in ("stat", "table"):
            axes.set_xlim(picture.start_s, picture.end_s)
            axes.xaxis.set_major_formatter(lambda at, _: f"{datetime.datetime.fromtimestamp(at, datetime.UTC):%H:%M:%S}")
    return figure


def _mark(axes: Any, marks: list[Any]) -> None:
    for colour, found in marks:
        for _, _, times, _ in found:
            for at in [at for before, at in zip([0.0, *times], times, strict=False) if at - before > 5]:
                axes.axvline(at, color=colour, linewidth=0.8, linestyle=":", alpha=0.7)


def _graph(axes: Any, panel: Mapping[str, Any], picture: Picture) -> None:
    custom = panel["fieldConfig"]["defaults"]["custom"]
    dashed = [each["matcher"]["options"] for each in panel["fieldConfig"]["overrides"] if each["matcher"]["id"] == "byRegexp"]
    floor: dict[float, float] = {}
    count = 0
    for target in panel["targets"]:
        for legend, _, times, values in picture.series(target):
            count += any(values)
            label = legend if count <= LEGEND_MAX and any(values) else "_"
            if custom.get("drawStyle") == "bars":
                beneath = [floor.get(at, 0.0) for at in times]
                axes.bar(times, values, 9.0, bottom=beneath, label=label)
                floor |= {
                    at: under + (value if math.isfinite(value) else 0) for at, under, value in zip(times, beneath, values, strict=True)
                }
            else:
                style = "--" if any(re.search(pattern, legend) for pattern in dashed) else "-"
                axes.plot(times, values, style, linewidth=1, label=label)
    if custom.get("scaleDistribution", {}).get("type") == "log":
        axes.set_yscale("log")
    elif (least := panel["fieldConfig"]["defaults"].get("min")) is not None:
        axes.set_ylim(bottom=least)
    axes.yaxis.set_major_formatter(lambda value, _: _said(value, panel["fieldConfig"]["defaults"]["unit"]))
    axes.grid(alpha=0.3)
    if count:  # what is 0 all the time has no legend
        axes.legend(fontsize=6, ncols=max(1, panel["gridPos"]["w"] // 4), loc="upper left", bbox_to_anchor=(0, -0.1), frameon=False)


def _states(axes: Any, panel: Mapping[str, Any], picture: Picture) -> None:
    mapped = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    found = [each for target in panel["targets"] for each in picture.series(target)]
    for row, (_, _, times, values) in enumerate(found):
        for at, value in zip(times, values, strict=True):
            if not math.isnan(value) and (state := mapped.get(f"{value:g}")) is not None:
                axes.broken_barh([(at, picture.step_s)], (row + 0.1, 0.8), color=COLOURS[state["color"]])
    axes.set_yticks([row + 0.5 for row in range(len(found))], [legend for legend, *_ in found], fontsize=6)
    axes.tick_params(axis="y", direction="in", pad=-4)
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")


def _heatmap(axes: Any, panel: Mapping[str, Any], picture: Picture) -> None:
    found = sorted(picture.series(panel["targets"][0]), key=lambda each: float(each[1]["le"]))
    if not found:
        return
    times = found[0][2]
    below, cells = [0.0] * len(times), []
    for _, _, _, values in found:
        values = [0.0 if math.isnan(value) else value for value in values]
        cells.append([max(0.0, value - under) for value, under in zip(values, below, strict=True)])
        below = values
    axes.pcolormesh([*times, times[-1] + picture.step_s], range(len(cells) + 1), cells, cmap="Oranges")
    axes.set_yticks([row + 0.5 for row in range(len(cells))], [_said(float(each[1]["le"]), "s") for each in found], fontsize=6)


def _stat(axes: Any, panel: Mapping[str, Any], picture: Picture) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    found = [each for target in panel["targets"] for each in picture.now(target)]
    names = panel["options"].get("textMode") == "name"
    told = [legend if names else f"{legend} {_said(value, defaults['unit'])}".strip() for legend, _, value in found] or [
        defaults["noValue"]
    ]
    limits = [step["value"] for step in defaults["thresholds"]["steps"] if step.get("value") is not None]
    bad = any(value >= limit for _, _, value in found for limit in limits)
    axes.set_facecolor("#f9d6d6" if bad else "white")
    axes.text(0.5, 0.5, "\n".join(told[:4]), ha="center", va="center", fontsize=18 if len(told) == 1 else 11, transform=axes.transAxes)
    axes.set_xticks([])
    axes.set_yticks([])


def _table(axes: Any, panel: Mapping[str, Any], picture: Picture) -> None:
    options = next(each["options"] for each in panel["transformations"] if each["id"] == "organize")
    units = {each["matcher"]["options"]: {of["id"]: of["value"] for of in each["properties"]} for each in panel["fieldConfig"]["overrides"]}
    rows: dict[str, dict[str, str]] = {}
    titles = list(options["renameByName"].values())
    for target, title in zip(panel["targets"], titles, strict=True):
        for _, labels, value in picture.now(target):
            mapped = units[title].get("mappings")
            said = mapped[0]["options"][f"{value:g}"]["text"] if mapped else _said(value, units[title]["unit"])
            rows.setdefault(labels["pipeline"], {})[title] = said
    axes.axis("off")
    cells = [[pipeline, *(row.get(title, "") for title in titles)] for pipeline, row in sorted(rows.items())]
    axes.table(cells, colLabels=["pipeline", *titles], loc="upper left").set_fontsize(9)


DRAWN: dict[str, Callable[[Any, Mapping[str, Any], Picture], None]] = {
    "timeseries": _graph,
    "state-timeline": _states,
    "heatmap": _heatmap,
    "stat": _stat,
    "table": _table,
}


def _legend(written: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda name: labels.get(name[1], ""), written).strip()


def _said(value: float, unit: str) -> str:
    """A number in a unit, roughly as Grafana says it."""
    if not math.isfinite(value):
        return str(value)
    match unit:
        case "s":
            size, name = next(((size, name) for size, name in ((86400, "d"), (3600, "h"), (60, "min")) if value >= size), (1, "s"))
            return f"{value / size:.3g} {name}" if value >= 0.1 or not value else f"{value * 1000:.3g} ms"
        case "bytes":
            size, name = next(((size, name) for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")) if value >= size), (1, "B"))
            return f"{value / size:.3g} {name}"
        case "percentunit":
            return f"{value:.0%}"
        case "eps" | "ops":
            return f"{value:.3g}/s"
        case _:
            return f"{value:.4g}" if abs(value) < 10_000 else f"{value / 1000:.3g} K"

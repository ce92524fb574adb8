"""What `benchmarks.throughput` says of its rows: ratios of the same round, the tables of docs/performance.md, and what was to be shown.

A row has the CPU time of each round, so that two rows can be compared round by round: the speed of a shared machine changes within
minutes, and less within a round.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from benchmarks.throughput_worker import Cost

__all__ = [
    "BARE",
    "LIMIT_OF",
    "SAME_TREE",
    "WORKER",
    "Shown",
    "found_row",
    "into_page",
    "joined",
    "markdown",
    "must_show",
    "paired",
    "row_of",
    "summary",
]

Row: TypeAlias = dict[str, Any]
BARE: Final = "bare loop"
WORKER: Final = "worker"
WITHOUT: Final = "worker "
LINEAR: Final = "StandardScaler | LogisticRegression"
TREE: Final = "HoeffdingTreeClassifier"
SAME_TREE: Final = "HoeffdingTreeClassifier(50, 0.001, 0.1)"
COMPILED_TREE: Final = "QuickTree"
MIXTURE: Final = "adaptive_classifier()"
FOREST: Final = "ARFClassifier(10)"
SAMLB: Final = "samlb HoeffdingTree"
LIMIT_OF: Final = {SAMLB: TREE, "CapyMOA HoeffdingTree": TREE}
"""Where no bare loop of the same model is measured: the model whose bare loop stands in for it."""
BEGIN: Final = "<!-- made by `python -m benchmarks.throughput --peers`: from here -->"
END: Final = "<!-- to here -->"


def row_of(
    case: str, model: str, features: int, events: int, costs: Sequence[Cost | None], ratios: Sequence[float | None], **more: Any
) -> Row:
    """The medians of a case's rounds; None stands for a round without figures."""
    measured = [cost for cost in costs if cost is not None]
    ratio = [each for each in ratios if each is not None]
    return {
        "case": case,
        "model": model,
        "features": features,
        "events_per_s": round(1e6 / statistics.median(cost.wall_us for cost in measured)) if measured else None,
        "cpu_us_per_event": round(statistics.median(cost.cpu_us for cost in measured), 2) if measured else None,
        "ratio_to_limit": round(statistics.median(ratio), 3) if ratio else None,
        "events": events,
        "checkpoint_us": round(statistics.median(cost.checkpoint_us for cost in measured), 2) if measured else None,
        "cpu_us_rounds": [cost and round(cost.cpu_us, 3) for cost in costs],
        "ratio_rounds": [each and round(each, 4) for each in ratios],
        **more,
    }


def joined(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """The rows of several runs. Only rows of the same run are compared round by round: `paired` goes by the number of a round."""
    return list({(row["case"], row["model"], row["features"]): row for rows in runs for row in rows}.values())


def found_row(rows: Sequence[Row], case: str, model: str, features: int = 8) -> Row | None:
    return next((row for row in rows if (row["case"], row["model"], row["features"]) == (case, model, features)), None)


def paired(one: Row | None, other: Row | None) -> float | None:
    """How many times the CPU time of `other` an event of `one` takes: the median of the rounds that both have."""
    if one is None or other is None:
        return None
    rounds = zip(one["cpu_us_rounds"], other["cpu_us_rounds"], strict=False)
    ratios = [mine / theirs for mine, theirs in rounds if mine is not None and theirs is not None]
    return statistics.median(ratios) if ratios else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Something that was to be shown: the figure, None where it was not measured, and what it was to be."""

    what: str
    figure: float | None
    bound: float
    at_most: bool = False

    @property
    def reached(self) -> bool | None:
        if self.figure is None:
            return None
        return self.figure <= self.bound if self.at_most else self.figure >= self.bound

    def __str__(self) -> str:
        """A line for people."""
        wanted = f"at {'most' if self.at_most else 'least'} {_number(self.bound)}"
        verdict = {True: "reached", False: "NOT reached", None: "not measured"}[self.reached]
        return f"{self.what}: {'-' if self.figure is None else _number(self.figure)} ({wanted}: {verdict})"


def must_show(rows: Sequence[Row]) -> list[Shown]:
    """What the project wants of its worker, held against these rows. All of CPU time an event, but for events/s."""

    def at(case: str, model: str, features: int = 8) -> Row | None:
        return found_row(rows, case, model, features)

    def own(model: str, features: int = 8) -> float | None:
        row = at(WORKER, model, features)
        return row["ratio_to_limit"] if row else None

    ours, same_tree = at(WORKER, COMPILED_TREE), at(BARE, SAME_TREE)
    peers = [("Quix Streams, at least once", TREE, 5.0), ("faust-streaming, at least once", TREE, 10.0)]
    return [
        Shown(what="worker with QuickTree / River's bare loop of the same tree", figure=paired(ours, same_tree), bound=0.25, at_most=True),
        Shown(
            what="worker with adaptive_classifier() / River's bare loop of that tree",
            figure=paired(at(WORKER, MIXTURE), same_tree),
            bound=1 / 3,
            at_most=True,
        ),
        Shown(what="events/s of one worker with QuickTree", figure=ours["events_per_s"] if ours else None, bound=100_000),
        Shown(what="HoeffdingTreeClassifier: bare loop / worker", figure=own(TREE), bound=0.9),
        Shown(what="ARFClassifier(10): bare loop / worker", figure=own(FOREST), bound=0.97),
        Shown(what="StandardScaler and LogisticRegression: bare loop / worker", figure=own(LINEAR), bound=0.7),
        Shown(what="the same with 50 features", figure=own(LINEAR, 50), bound=0.85),
        *(
            Shown(what=f"{case}, with River's tree / worker with QuickTree", figure=paired(at(case, model), ours), bound=bound)
            for case, model, bound in peers
        ),
        Shown(
            what="plain loop around samlb's tree / worker with QuickTree",
            figure=paired(at("plain loop, transactions, orjson", SAMLB), ours),
            bound=1.0,
        ),
    ]


def summary(rows: Sequence[Row]) -> str:
    """The rows for a terminal."""
    lines = [f"{'case':36} {'model':40} {'features':>8} {'events/s':>9} {'CPU us':>8} {'of limit':>8}"]
    lines += [
        f"{row['case']:36} {row['model']:40} {row['features']:>8} {_cell(row['events_per_s']):>9} {_cell(row['cpu_us_per_event']):>8}"
        f" {_cell(row['ratio_to_limit']):>8} {row.get('note') or ''}"
        for row in rows
    ]
    return "\n".join(lines)


def markdown(rows: Sequence[Row], plot: str | None = None) -> str:
    """The tables of the page; `plot`: the address of the picture, as the page writes it."""
    parts = [f"Measured on {rows[0]['machine']}; medians of {len(rows[0]['cpu_us_rounds'])} round(s)." if rows else "Nothing was measured."]
    for title, table in (("", _models), ("Parts of the worker switched off, with QuickTree and 8 features:", _off), ("Peers:", _peers)):
        if lines := table(rows):
            parts += [title, "\n".join(lines)] if title else ["\n".join(lines)]
    if plot:
        parts.append(f"![CPU time of an event, worker and peers]({plot})")
    parts += ["What was to be shown, and what was:", "\n".join(f"- {shown}" for shown in must_show(rows))]
    return "\n\n".join(parts) + "\n"


def into_page(page: Path, text: str) -> None:
    """Between the marks of a page that has them; otherwise the whole file."""
    old = page.read_text() if page.exists() else ""
    if BEGIN in old:
        before, _, rest = old.partition(BEGIN)
        text = f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}"
    page.write_text(text)


def _models(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| features | model | bare loop, us | worker, us | bare loop / worker | worker, events/s |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        if row["case"] == BARE:
            ours = found_row(rows, WORKER, row["model"], row["features"]) or {}
            cells = [row["features"], f"`{row['model']}`", row["cpu_us_per_event"]]
            lines.append(_line([*cells, *(ours.get(name) for name in ("cpu_us_per_event", "ratio_to_limit", "events_per_s"))]))
    return lines if len(lines) > 2 else []


def _off(rows: Sequence[Row]) -> list[str]:
    """Each was run right after a whole worker: the differences are small, and the speed of the machine is not."""
    lines = ["| worker | CPU, us | / whole worker |", "|---|---:|---:|"]
    for row in rows:
        if shares := [share for share in row.get("of_whole_rounds") or () if share is not None]:
            name = row["case"].removeprefix(WITHOUT)
            lines.append(_line([name, row["cpu_us_per_event"], round(statistics.median(shares), 2)]))
    return lines if len(lines) > 2 else []


def _peers(rows: Sequence[Row]) -> list[str]:
    head = "| features | peer | model | events/s | CPU, us | / bare loop | / worker, same model | / worker, QuickTree | lines |"
    lines = [head, "|---:|---|---|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        if row["case"] in (BARE, WORKER) or row["case"].startswith(WITHOUT):
            continue
        model, features = str(row["model"]), row["features"]
        others = (
            found_row(rows, BARE, LIMIT_OF.get(model, model), features),
            found_row(rows, WORKER, model, features),
            found_row(rows, WORKER, COMPILED_TREE, features),
        )
        named = f"`{model}`" + (f": {row['note']}" if row.get("note") else "")
        cells = [features, row["case"], named, row["events_per_s"], row["cpu_us_per_event"]]
        lines.append(_line([*cells, *(_rounded(paired(row, other)) for other in others), row.get("lines")]))
    return lines if len(lines) > 2 else []


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(_cell(cell).replace(" | ", " \\| ") for cell in cells) + " |"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:,}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.2f}"

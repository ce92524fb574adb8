"""The rows of `benchmarks.members` as Markdown tables: a model's figures are means over the seeds of a stream, then over the streams."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from benchmarks.members_streams import DOCS, kinds_of
from benchmarks.quality_plots import Point, plot_of_costs
from benchmarks.quality_tables import DASH, mean, table, text

__all__ = ["markdown", "plots", "summary"]

Row = dict[str, Any]

RARE: Final = "rare classes"
R2_MIN: Final = -1.0
"""A lower R2 counts as this in a mean over streams, which it would decide alone."""


def plots(rows: Sequence[Row]) -> dict[str, str]:
    """Of each task with labels at once, by the name of a file: the mean score of each model against its cost."""
    found = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        part = Part(rows, task, 0)
        points = []
        for model in part.models:
            costs, scores = ([part.value(stream, model, column) for stream in part.streams] for column in ("us", part.score))
            cost, score = mean(costs), mean(None if each is None else max(each, R2_MIN) for each in scores)
            if cost and score is not None:
                points.append(Point("mean over the streams", model, cost, score))
        drawn = plot_of_costs(points, regression=part.score == "r2", cost="CPU an event, us")
        if drawn is not None:
            found[f"{task}-cost.svg"] = drawn
    return found


class Part:
    """The rows of one task and delay."""

    def __init__(self, rows: Sequence[Row], task: str, delay: int) -> None:
        self.task = task
        self.delay = delay
        self.errors = [row for row in rows if "error" in row and (row["task"], row["delay"]) == (task, delay)]
        self.rows = [row for row in rows if "error" not in row and (row["task"], row["delay"]) == (task, delay)]
        everything = [row for row in rows if (row["task"], row["delay"]) == (task, delay)]
        self.models = list(dict.fromkeys(row["model"] for row in everything))
        self.streams = list(dict.fromkeys(row["stream"] for row in everything))
        self.held: dict[tuple[str, str], list[Row]] = {}
        for row in self.rows:
            self.held.setdefault((row["stream"], row["model"]), []).append(row)
        self.score = "r2" if task == "regression" else "accuracy"

    def value(self, stream: str, model: str, column: str) -> float | None:
        """Mean over the seeds."""
        return mean(row[column] for row in self.held.get((stream, model), ()))

    def over(self, streams: Iterable[str], model: str, column: str, digits: int) -> str:
        """Mean over the streams, with how many of them there are if some are not."""
        wanted = list(streams)
        found = [value for stream in wanted if (value := self.value(stream, model, column)) is not None]
        found = [max(value, R2_MIN) for value in found] if column == "r2" else found
        shown = text(mean(found), digits)
        return shown if len(found) in (0, len(wanted)) else f"{shown} ({len(found)} of {len(wanted)})"

    def of_kind(self, kind: str) -> list[str]:
        return [stream for stream in self.streams if kind in kinds_of(stream)]

    def kinds(self) -> list[str]:
        return list(dict.fromkeys(kind for stream in self.streams for kind in kinds_of(stream)))


def parts_of(rows: Sequence[Row]) -> list[Part]:
    found = dict.fromkeys((row["task"], row["delay"]) for row in rows)
    return [Part(rows, task, delay) for task, delay in sorted(found)]


def summary(rows: Sequence[Row], beside: str) -> str:
    """A table for each task and delay."""
    return "\n\n".join(f"**{title(part)}**\n\n{means(part, beside)}" for part in parts_of(rows))


def title(part: Part) -> str:
    labels = "labels at once" if part.delay == 0 else f"labels {part.delay:,} events later"
    return f"{part.task.capitalize()}, {labels}, {len(part.streams)} streams"


def means(part: Part, beside: str) -> str:
    columns: list[tuple[str, Callable[[str], str]]]
    if part.task == "regression":
        columns = [("mean R2, each at least -1", lambda model: part.over(part.streams, model, "r2", 3))]
    else:
        docs = [stream for stream in DOCS if stream in part.streams]
        columns = [
            ("mean accuracy", lambda model: part.over(part.streams, model, "accuracy", 2)),
            *([(f"the {len(docs)} of the docs", lambda model: part.over(docs, model, "accuracy", 2))] if docs else []),
            ("log loss", lambda model: part.over(part.streams, model, "log_loss", 3)),
            ("first 500", lambda model: part.over(part.streams, model, "first", 2)),
            ("balanced, where rare", lambda model: part.over(part.of_kind(RARE), model, "balanced", 2)),
        ]
    columns += [
        (f"worst against {beside}", lambda model: worst(part, part.streams, model, beside)),
        ("us", lambda model: part.over(part.streams, model, "us", 1)),
        ("kB, median", lambda model: state_size(part, model)),
        ("changes per 10,000", lambda model: changes(part, model)),
    ]
    body = [[model, "; ".join(notes(part, model)), *(show(model) for _, show in columns)] for model in part.models]
    return table(("model", "notes", *(name for name, _ in columns)), body)


def notes(part: Part, model: str) -> list[str]:
    """Where it has no figures, and what was done for it to have them."""
    found = [f"{row['stream']}: {row['error']}" for row in part.errors if row["model"] == model]
    if len(found) > 2:
        found = [*found[:1], f"and {len(found) - 1} such runs more"]
    mine = [row for row in part.rows if row["model"] == model]
    found += list(dict.fromkeys(row["notes"] for row in mine if row["notes"]))
    found += [f"raised {row['raised']:,} times on {row['stream']}" for row in mine if row["raised"]][:3]
    return found


def state_size(part: Part, model: str) -> str:
    sizes = [row["state_bytes"] for row in part.rows if row["model"] == model and row["state_bytes"] is not None]
    return text(statistics.median(sizes) / 1_000, 0) if sizes else DASH


def changes(part: Part, model: str) -> str:
    mine = [row for row in part.rows if row["model"] == model and row["changes"] is not None]
    return text(mean(row["changes"] / row["taken"] * 10_000 for row in mine), 1)


def differences(part: Part, streams: Iterable[str], model: str, beside: str) -> dict[str, float]:
    found = {}
    for stream in streams:
        mine, other = part.value(stream, model, part.score), part.value(stream, beside, part.score)
        if mine is not None and other is not None:
            found[stream] = mine - other
    return found


def worst(part: Part, streams: Iterable[str], model: str, beside: str) -> str:
    found = differences(part, streams, model, beside)
    if not found or model == beside:
        return DASH
    stream = min(found, key=found.__getitem__)
    return f"{found[stream]:+.{3 if part.task == 'regression' else 2}f} {stream}"


def by_kind(part: Part, beside: str) -> str:
    """The mean difference and the worst one, of each kind of stream."""
    digits = 3 if part.task == "regression" else 2
    shown = [model for model in part.models if model != beside]
    body = []
    for kind in part.kinds():
        streams = part.of_kind(kind)
        line = []
        for model in shown:
            found = differences(part, streams, model, beside)
            line.append(f"{mean(found.values()):+.{digits}f}, {worst(part, streams, model, beside)}" if found else DASH)
        body.append([kind, str(len(streams)), *line])
    return table(("kind", "streams", *shown), body)


def by_stream(part: Part, column: str, digits: int) -> str:
    body = []
    for stream in part.streams:
        seeds = max(len(part.held.get((stream, model), ())) for model in part.models)
        body.append([stream, str(seeds), *(text(part.value(stream, model, column), digits) for model in part.models)])
    return table(("stream", "seeds", *part.models), body)


COLUMNS: Final = {
    "classification": (("accuracy", 2), ("log_loss", 3), ("balanced", 2), ("kappa", 2), ("first", 2), ("us", 1)),
    "regression": (("r2", 3), ("mae", 3), ("us", 1)),
}
TITLES: Final = {"r2": "R2", "mae": "MAE", "us": "CPU us an event", "log_loss": "log loss, bits", "first": "accuracy of the first 500"}


def markdown(rows: Sequence[Row], beside: str) -> str:
    """Everything: for each task and delay the means, differences by kind, and each figure of each stream."""
    found = []
    for part in parts_of(rows):
        found.append(f"## {title(part)}\n\n{means(part, beside)}")
        if beside in part.models and len(part.models) > 1:
            found.append(f"### Difference to {beside}: mean, and the worst\n\n{by_kind(part, beside)}")
        for column, digits in COLUMNS[part.task]:
            found.append(f"### {TITLES.get(column, column).capitalize() if column != 'r2' else 'R2'}\n\n{by_stream(part, column, digits)}")
    return "\n\n".join(found) + "\n"

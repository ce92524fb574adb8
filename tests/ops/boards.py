"""The dashboards as they are shipped, and their queries as Grafana would send them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from stream_retrain.ops import DASHBOARDS

__all__ = ["BOARDS", "Query", "filled", "panels", "queries"]

BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


class Query(NamedTuple):
    """An expression somewhere on a board."""

    board: str
    panel: str
    expression: str
    legend: str


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel but the rows, those within rows too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels") or ()
        else:
            yield panel


def queries(name: str) -> Iterator[Query]:
    """Every query of a board: its panels' and its annotations'."""
    board = BOARDS[name]
    for panel in panels(board):
        for target in panel["targets"]:
            yield Query(name, panel["title"], target["expr"], target.get("legendFormat", ""))
    for annotation in board["annotations"]["list"]:
        if annotation.get("expr"):
            yield Query(name, f"annotation {annotation['name']}", annotation["expr"], annotation["titleFormat"])


def filled(expression: str, values: Mapping[str, str], *, interval: str = "1m", span: str = "1h") -> str:
    """The expression with the variables in it, as Grafana fills them in."""
    built_in = {"__rate_interval": interval, "__interval": interval, "__range": span}
    return re.sub(r"\$(\w+)", lambda name: {**values, **built_in}[name[1]], expression)

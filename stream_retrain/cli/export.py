"""`stream-retrain dashboards export` and `stream-retrain rules export`: the files of this release, where an operator wants them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream_retrain.cli.output import JsonFlag, errors, print_json
from stream_retrain.ops import export_dashboards, export_rules

__all__ = ["dashboards", "rules"]

dashboards = typer.Typer(help="Grafana dashboards.", no_args_is_help=True)
rules = typer.Typer(help="Prometheus alert rules.", no_args_is_help=True)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made if it is not there.")]


@dashboards.callback()
@rules.callback()
def _group() -> None:
    """One command is still a group."""


@dashboards.command("export")
def dashboards_export(folder: Folder, json: JsonFlag = False) -> None:
    """Write the dashboards, and the provisioning files by which Grafana finds them and Prometheus."""
    _told(export_dashboards(folder), json)


@rules.command("export")
def rules_export(
    folder: Folder,
    runbooks: Annotated[str, typer.Option(help="Where the runbooks of docs/runbooks can be read: an alert links there.")] = "docs/runbooks",
    json: JsonFlag = False,
) -> None:
    """Write the alert rules, and a Prometheus configuration that reads them."""
    _told(export_rules(folder, runbooks), json)


def _told(written: list[Path], json: bool) -> None:
    if json:
        print_json({"written": [str(path) for path in written]})
    else:
        for path in written:
            errors().print(f"wrote {path}", markup=False)

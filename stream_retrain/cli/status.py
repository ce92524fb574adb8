"""`stream-retrain status`: ask a running worker how it stands."""

from __future__ import annotations

import json as json_
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stream_retrain.cli.output import JsonFlag, SettingsFile, configured, errors, print_json

__all__ = ["fetch_status", "status"]

TIMEOUT_S = 5.0
UNHEALTHY = 3


def status(
    url: Annotated[str | None, typer.Option(help="The worker's address (default: http_host and http_port of the settings).")] = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Show a worker's shards, scores, drifts and last decisions; exit code 3 if it does not answer or is not ready."""
    wanted = configured(settings)
    address = url or f"http://{wanted.http_host}:{wanted.http_port}"
    try:
        found = fetch_status(address)
    except (OSError, ValueError) as error:
        errors().print(f"no worker answers at {address}: {error}", markup=False)
        raise typer.Exit(UNHEALTHY) from None
    if json:
        print_json(found)
    else:
        for number, worker in found["workers"].items() if "workers" in found else [(None, found)]:
            _show(number, worker)
    if not found["ready"]:
        raise typer.Exit(UNHEALTHY)


def fetch_status(address: str) -> dict[str, Any]:
    """The JSON of a worker's `/status`. Raises OSError where nothing answers."""
    try:
        with urllib.request.urlopen(f"{address}/status", timeout=TIMEOUT_S) as response:  # noqa: S310 - the operator's own address
            found: dict[str, Any] = json_.load(response)
            return found
    except urllib.error.HTTPError as error:
        raise OSError(f"HTTP {error.code}") from None


def _show(number: str | None, found: dict[str, Any] | None) -> None:
    """A worker; of several, the one with a number."""
    console = Console()
    if number is not None:
        console.print(f"worker {number}" if found else f"worker {number} does not answer", markup=False)
    if found is None:
        return
    console.print(f"pipeline {found['pipeline']}  instance {found['instance']}  {found['state']}  {found['detail']}", markup=False)
    table = Table("partition", "state", "offset", "lag", "learned", "gen.", "drifts", "dead", "overall", "rolling", box=None)
    for name, shard in found["shards"].items():
        scores = ["\n".join(f"{metric} {value:.3f}" for metric, value in shard[kind].items()) for kind in ("running", "rolling")]
        counts = [shard[key] for key in ("state", "offset", "lag_records", "events_seen", "generation", "drifts", "rejected")]
        table.add_row(name.rpartition("/")[2], *map(str, counts), *scores)
    console.print(table)
    for entry in found["recent"][-10:]:
        console.print(f"  partition {entry['partition']} offset {entry['offset']}: {entry['text']}", markup=False)

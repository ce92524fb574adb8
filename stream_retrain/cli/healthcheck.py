"""`stream-retrain healthcheck`: whether the worker of these settings is well."""

from __future__ import annotations

from typing import Annotated

import typer

from stream_retrain.cli.output import SettingsFile, configured
from stream_retrain.ops.healthcheck import TIMEOUT_S, ask_health

__all__ = ["healthcheck"]


def healthcheck(
    settings: SettingsFile = None,
    ready: Annotated[bool, typer.Option("--ready", help="Ask /readyz: whether it is at work, and not only alive.")] = False,
    timeout_s: Annotated[float, typer.Option(help="Seconds to wait for the answer.", min=0.1, max=60)] = TIMEOUT_S,
) -> None:
    """Ask the worker of these settings whether it is well; one line, and exit code 0 or 1."""
    answer = ask_health(configured(settings), ready=ready, timeout_s=timeout_s)
    typer.echo(answer.text)
    raise typer.Exit(int(not answer.well))

"""`stream-retrain models`: the versions of a pipeline's models."""

from __future__ import annotations

from typing import Final

import typer

from stream_retrain.cli.models_serve import promote, rollback

__all__ = ["app"]

app: Final = typer.Typer(no_args_is_help=True, help="Versions of models: which one serves, and another in its place.")
for command in (promote, rollback):
    app.command()(command)

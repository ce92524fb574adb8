"""`stream-retrain models`: the versions of a pipeline's models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import typer

from stream_retrain.cli.models_files import export, import_
from stream_retrain.cli.models_looked import diff, list_, serving_at, show
from stream_retrain.cli.models_serve import promote, rollback

__all__ = ["app"]

app: Final = typer.Typer(no_args_is_help=True, help="Versions of models: what is known of each, and which one serves.")
COMMANDS: Final[dict[str, Callable[..., Any]]] = {
    "list": list_,
    "show": show,
    "diff": diff,
    "serving-at": serving_at,
    "promote": promote,
    "rollback": rollback,
    "export": export,
    "import": import_,
}
for name, command in COMMANDS.items():
    app.command(name)(command)

"""What the commands share: results on standard output, everything else on standard error, and the settings."""

from __future__ import annotations

import functools
import getpass
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from stream_retrain.cli.streams import own_output
from stream_retrain.logs import LogSetup, set_up_logging
from stream_retrain.settings import Settings, load_settings

if TYPE_CHECKING:
    from stream_retrain.core.pipeline import Pipeline

__all__ = [
    "AllowUnsigned",
    "JsonFlag",
    "PipelineArgument",
    "SettingsFile",
    "configured",
    "errors",
    "loaded",
    "log_to_stderr",
    "plain",
    "print_json",
    "user_name",
    "write_whole",
]

PipelineArgument = Annotated[
    str, typer.Argument(metavar="PIPELINE", help="path/to/file.py[:name] or package.module:name", show_default=False)
]
SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", metavar="FILE", help="Settings in TOML (default: ./stream_retrain.toml, if there).", show_default=False),
]
AllowUnsigned = Annotated[
    bool, typer.Option("--allow-unsigned", help="Run without a signing key: whoever can write to Redis can then run code here.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else there.")]


@functools.cache
def errors() -> Console:
    """Standard error: progress, messages, logs."""
    return Console(stderr=True, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(value, default=str))


def plain(text: str) -> Text:
    """A text from elsewhere for a terminal, which would obey an escape sequence."""
    return Text("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text))


def user_name() -> str:
    """Who runs this; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def write_whole(out: Path, data: bytes) -> None:
    """All of a file or nothing: under another name first. Raises `OSError`."""
    passing = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        passing.write_bytes(data)
        passing.replace(out)
    finally:
        passing.unlink(missing_ok=True)


def loaded(pipeline: str) -> Pipeline:
    """The pipeline of a command line; what its module prints goes to standard error. Raises `PipelineError`."""
    from stream_retrain.loading import load_pipeline

    with own_output():
        return load_pipeline(pipeline)


def configured(file: Path | None, **overrides: Any) -> Settings:
    """The settings of file, environment and options; an option that was not given (None) overrides nothing."""
    return load_settings(file, overrides={name: value for name, value in overrides.items() if value is not None})


def log_to_stderr(settings: Settings, instance: str = "") -> None:
    """Log as the settings say; `instance`: whose lines they are, until a name is claimed."""
    secrets = tuple(settings.secrets())
    set_up_logging(
        LogSetup(level=settings.log_level, format=settings.log_format, instance=instance or settings.instance or "", secrets=secrets)
    )

"""`stream-retrain trainer`: a process that trains challengers for workers, wherever those run."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from stream_retrain.cli.output import AllowUnsigned, JsonFlag, SettingsFile, configured, loaded, log_to_stderr, print_json
from stream_retrain.cli.signals import stop_on_signals
from stream_retrain.cli.streams import own_output
from stream_retrain.compose import keyring_of, serve_trainer
from stream_retrain.logs import identify

__all__ = ["trainer"]


def trainer(
    pipelines: Annotated[
        list[str], typer.Argument(metavar="PIPELINE...", help="path/to/file.py[:name] or package.module:name", show_default=False)
    ],
    settings: SettingsFile = None,
    jobs: Annotated[int, typer.Option(help="Trainings at a time, each in a process of its own.", min=1, max=1_000)] = 1,
    burst: Annotated[bool, typer.Option("--burst", help="Train what is asked for now, and end.")] = False,
    json: JsonFlag = False,
    allow_unsigned: AllowUnsigned = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Train the challengers that the pipelines' workers ask for (workers with trainer = "pool"), until SIGTERM or Ctrl-C."""
    wanted = configured(settings, allow_unsigned=allow_unsigned or None, log_level=log_level)
    log_to_stderr(wanted, f"{socket.gethostname()}-trainer-{os.getpid()}")
    asked_for = {pipeline: loaded(pipeline) for pipeline in pipelines}
    if len(asked_for) == 1:
        identify(pipeline=next(iter(asked_for.values())).name)
    with own_output():
        outcomes = serve_trainer(asked_for, wanted, keyring_of(wanted), stop_on_signals(), children=jobs, burst=burst)
    if json:
        print_json(outcomes)

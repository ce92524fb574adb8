"""`stream-retrain run`: a worker, or several."""

from __future__ import annotations

import enum
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from stream_retrain.cli.output import AllowUnsigned, PipelineArgument, SettingsFile, configured, loaded, log_to_stderr
from stream_retrain.cli.signals import stop_on_signals
from stream_retrain.cli.streams import own_output
from stream_retrain.compose import keyring_of, run_pipeline, run_workers
from stream_retrain.core.callbacks import handlers_of
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.failpoints import arm_from
from stream_retrain.engines.fleet import PARENT_VARIABLE, SOCKET_VARIABLE, WorkerCommand
from stream_retrain.engines.parent import end_with_parent
from stream_retrain.logs import identify
from stream_retrain.settings import Settings

__all__ = ["run"]


CALLED_ELSEWHERE: Final = "_STREAM_RETRAIN_CALLED_ELSEWHERE"
"""Tells a worker process that another one has the process of callbacks beside it; not a setting."""


class Engine(enum.Enum):
    """The engines a pipeline can be run with."""

    kafka = "kafka"
    faust = "faust"


def run(
    pipeline: PipelineArgument,
    settings: SettingsFile = None,
    http_port: Annotated[int | None, typer.Option(help="Port of /metrics, /healthz, /readyz, /status; 0: a free one.")] = None,
    allow_unsigned: AllowUnsigned = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Where a checkpoint does not fit, learn again from what the topic retains.")
    ] = False,
    warm_restart: Annotated[
        bool, typer.Option("--warm-restart", help="Where a checkpoint does not fit, begin with a model trained on the window.")
    ] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    engine: Annotated[Engine, typer.Option(help="Who is the member of the consumer group.")] = Engine.kafka,
    workers: Annotated[int, typer.Option(help="Worker processes; http_port serves all of them as one.", min=1, max=1_000)] = 1,
) -> None:
    """Learn from the pipeline's topic, predict, watch and react, until SIGTERM or Ctrl-C."""
    wanted = configured(
        settings,
        http_port=http_port,
        allow_unsigned=allow_unsigned or None,
        checkpoint_unfit="rebuild" if rebuild else "window" if warm_restart else None,
        log_level=log_level,
    )
    if parent := os.environ.pop(PARENT_VARIABLE, None):
        end_with_parent(int(parent), signal.SIGTERM)
    socket = os.environ.pop(SOCKET_VARIABLE, None)
    arm_from(os.environ)
    log_to_stderr(wanted, "parent" if workers > 1 else "")
    asked_for = loaded(pipeline)
    identify(pipeline=asked_for.name)
    keyring = keyring_of(wanted)
    called = _callbacks_command(asked_for, pipeline, settings, wanted)
    if workers > 1:
        with tempfile.TemporaryDirectory(prefix="stream_retrain-") as folder:
            sockets = [Path(folder) / str(number) for number in range(workers)]
            raise typer.Exit(run_workers(asked_for, _commands(sockets, wanted), sockets, wanted, stop_on_signals()))
    with own_output():
        where = Path(socket) if socket else None
        if engine is Engine.faust:
            from stream_retrain.attaching import run_in_faust

            run_in_faust(asked_for, wanted, keyring, stop_on_signals(), target=pipeline, socket=where, callbacks=called)
        else:
            run_pipeline(asked_for, wanted, keyring, stop_on_signals(), target=pipeline, socket=where, callbacks=called)


def _callbacks_command(pipeline: Pipeline, target: str, file: Path | None, settings: Settings) -> WorkerCommand | None:
    """What starts the process of callbacks beside this worker; None where there is nothing to call, or another worker or nobody does it."""
    elsewhere = os.environ.pop(CALLED_ELSEWHERE, None) is not None
    if elsewhere or settings.callbacks == "off" or not handlers_of(pipeline):
        return None
    options = [*(("--settings", str(file)) if file is not None else ()), "--log-level", settings.log_level]
    options += ["--allow-unsigned"] if settings.allow_unsigned else []
    return WorkerCommand([sys.executable, "-m", "stream_retrain", "callbacks", target, *options], dict(os.environ))


def _commands(sockets: Sequence[Path], settings: Settings) -> list[WorkerCommand]:
    """This very command for each worker; what must differ is in the environment, or in an option that comes last."""
    arguments = [sys.executable, "-m", "stream_retrain", *sys.argv[1:], "--workers", "1"]
    commands = []
    for number, socket in enumerate(sockets):
        instance = {"STREAM_RETRAIN_INSTANCE": f"{settings.instance}-{number}"} if settings.instance else {}
        called = {CALLED_ELSEWHERE: "1"} if number else {}  # the first one has the process of callbacks beside it
        commands.append(WorkerCommand(arguments, {**os.environ, SOCKET_VARIABLE: str(socket), **instance, **called}))
    return commands

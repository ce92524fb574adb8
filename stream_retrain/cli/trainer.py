"""`stream-retrain trainer`: a process that trains challengers for workers, wherever those run."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, log_to_stderr, print_json
from stream_retrain.cli.run import keyring_of
from stream_retrain.cli.trainers import limits_of
from stream_retrain.loading import load_pipeline

__all__ = ["trainer"]


def trainer(
    pipeline: PipelineArgument,
    settings: SettingsFile = None,
    burst: Annotated[bool, typer.Option("--burst", help="Train what is asked for now, and end.")] = False,
    json: JsonFlag = False,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Run without a signing key: whoever can write to Redis can then run code here.")
    ] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Train the challengers that the pipeline's workers ask for (workers with trainer = "rq"), until SIGTERM or Ctrl-C."""
    from stream_retrain.engines.kafka.topic_range import read_range
    from stream_retrain.engines.trainer.rq_worker import TrainerWork, serve_trainings

    wanted = configured(settings, allow_unsigned=allow_unsigned or None, log_level=log_level)
    log_to_stderr(wanted.log_level)
    work = TrainerWork(
        pipeline=load_pipeline(pipeline),
        redis_url=wanted.redis_url,
        keyring=keyring_of(wanted),
        limits=limits_of(wanted),
        read_topic=functools.partial(read_range, wanted),
    )
    outcomes = serve_trainings(work, burst=burst)
    if json:
        print_json(outcomes)

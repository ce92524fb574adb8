"""`stream-retrain run`: a worker, wired."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any

import typer

import stream_retrain
from stream_retrain.cli.output import PipelineArgument, SettingsFile, configured, log_to_stderr
from stream_retrain.cli.trainers import trainer_of
from stream_retrain.codec.keyring import Keyring
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.facts import Tell, WorkerFact
from stream_retrain.engines.failpoints import arm_from
from stream_retrain.engines.slot import claim_slot
from stream_retrain.engines.supervise import supervise
from stream_retrain.engines.workers import WorkerCommand, run_workers
from stream_retrain.errors import SettingsError
from stream_retrain.loading import load_pipeline
from stream_retrain.settings import Settings
from stream_retrain.stores import connect
from stream_retrain.views.http import Health, serve
from stream_retrain.views.log import log_fact
from stream_retrain.views.metrics import Metrics
from stream_retrain.views.status import Status

__all__ = ["keyring_of", "run", "run_pipeline"]

# A batch makes thousands of short-lived tuples, and no cycles: at Python's default (700) collecting takes a tenth of the CPU.
GC_THRESHOLDS = (50_000, 20, 50)
LOG = logging.getLogger("stream_retrain.cli")


def run(
    pipeline: PipelineArgument,
    settings: SettingsFile = None,
    http_port: Annotated[int | None, typer.Option(help="Port of /metrics, /healthz, /readyz, /status; 0: a free one.")] = None,
    allow_unsigned: Annotated[
        bool, typer.Option("--allow-unsigned", help="Run without a signing key: whoever can write to Redis can then run code here.")
    ] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Where a checkpoint does not fit, learn again from what the topic retains.")
    ] = False,
    warm_restart: Annotated[
        bool, typer.Option("--warm-restart", help="Where a checkpoint does not fit, begin with a model trained on the window.")
    ] = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    workers: Annotated[int, typer.Option(help="Worker processes, each with a port of its own from http_port on.", min=1, max=1_000)] = 1,
) -> None:
    """Learn from the pipeline's topic, answer, watch and react, until SIGTERM or Ctrl-C."""
    wanted = configured(
        settings,
        http_port=http_port,
        allow_unsigned=allow_unsigned or None,
        checkpoint_unfit="rebuild" if rebuild else "window" if warm_restart else None,
        log_level=log_level,
    )
    arm_from(os.environ)
    log_to_stderr(wanted.log_level)
    loaded = load_pipeline(pipeline)
    keyring = keyring_of(wanted)
    if workers > 1:
        code = run_workers(_commands(workers, wanted), _stop_on_signals(), wanted.shutdown_timeout_s * 2)
        raise typer.Exit(code)
    run_pipeline(loaded, wanted, keyring, _stop_on_signals(), target=pipeline)


def _commands(count: int, settings: Settings) -> list[WorkerCommand]:
    """This very command for each worker; what must differ is in the environment, or in an option that comes last."""
    arguments = [sys.executable, "-m", "stream_retrain", *sys.argv[1:], "--workers", "1"]
    commands = []
    for number in range(count):
        port = settings.http_port + number if settings.http_port else 0
        instance = {"STREAM_RETRAIN_INSTANCE": f"{settings.instance}-{number}"} if settings.instance else {}
        commands.append(WorkerCommand([*arguments, "--http-port", str(port)], {**os.environ, **instance}))
    return commands


def keyring_of(settings: Settings) -> Keyring:
    """The keys checkpoints are signed with. Raises `SettingsError` where there are none and unsigned is not allowed."""
    if settings.signing_key_file is not None:
        return Keyring.from_file(settings.signing_key_file)
    if settings.allow_unsigned:
        return Keyring.unsigned()
    raise SettingsError(
        "checkpoints must be signed, and there is no signing_key_file. Make one with\n"
        '    echo "k1:$(head -c 32 /dev/urandom | base64 -w0)" > signing.key && chmod 600 signing.key\n'
        "and set STREAM_RETRAIN_SIGNING_KEY_FILE=signing.key; or, where nobody else can write to Redis, run with --allow-unsigned"
    )


def run_pipeline(
    pipeline: Pipeline,
    settings: Settings,
    keyring: Keyring,
    stop: Callable[[], bool],
    *,
    watching: Tell = lambda _: None,
    target: str | None = None,
) -> None:
    """One worker with its stores, trainer, views and HTTP server, until `stop()`.

    `watching` is told every fact too; `target` is the PIPELINE it was loaded from, if it was.
    """
    from stream_retrain.engines.kafka import run_worker

    group = settings.group or f"stream_retrain.{pipeline.name}"
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    with ExitStack() as stack:
        slot = stack.enter_context(claim_slot(group, settings.instance))
        status = Status(pipeline.name, slot.name)
        metrics = Metrics(pipeline, stream_retrain.__version__)
        tell = _all_of(status, metrics, log_fact, watching)
        if settings.http:
            server = stack.enter_context(
                serve(
                    settings.http_host,
                    settings.http_port,
                    metrics=metrics.render,
                    healthy=lambda: Health(ok=status.healthy(), detail={"state": status.state, "detail": status.detail}),
                    ready=lambda: Health(ok=status.ready(), detail={"state": status.state, "detail": status.detail}),
                    status=status.snapshot,
                )
            )
            LOG.info("serving %s: /metrics /healthz /readyz /status", server.url)
        stores = connect(settings.redis_url)
        trainer = stack.enter_context(trainer_of(pipeline, settings, stores, keyring, target))
        supervise(lambda: run_worker(pipeline, settings, stores, keyring, slot.name, stop, tell, trainer), stop, tell)


def _all_of(*views: Tell) -> Tell:
    def tell(fact: WorkerFact) -> None:
        for view in views:
            view(fact)

    return tell


def _stop_on_signals() -> Callable[[], bool]:
    """A function that says whether SIGTERM or SIGINT came; a second one ends the process at once."""
    came: list[int] = []

    def note(number: int, _: Any) -> None:
        if came:
            raise SystemExit(128 + number)
        came.append(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, note)
    return lambda: bool(came)

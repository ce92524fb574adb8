"""`stream-retrain callbacks`: the process that calls a pipeline's callbacks and webhooks with its decisions."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from stream_retrain.cli.output import (
    AllowUnsigned,
    JsonFlag,
    PipelineArgument,
    SettingsFile,
    configured,
    errors,
    loaded,
    log_to_stderr,
    plain,
    print_json,
)
from stream_retrain.cli.signals import stop_on_signals
from stream_retrain.cli.streams import own_output
from stream_retrain.compose.callbacks import chosen, log_callbacks, serve_callbacks, try_callbacks
from stream_retrain.core.callbacks import NamedHandler
from stream_retrain.core.pipeline import Pipeline
from stream_retrain.engines.callbacks.keeper import fact_line
from stream_retrain.engines.fleet import PARENT_VARIABLE
from stream_retrain.engines.parent import end_with_parent
from stream_retrain.errors import SettingsError
from stream_retrain.facts.callbacks import CallbackFact
from stream_retrain.logs import identify
from stream_retrain.settings import Settings

__all__ = ["callbacks"]


def callbacks(
    pipeline: PipelineArgument,
    once: Annotated[bool, typer.Option("--once", help="Make the calls of what is there now, and end.")] = False,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="WHEN",
            help="Make the calls again from a time or an offset on, and end; nothing is committed.",
            show_default=False,
        ),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Call each once with an example of every kind of decision it asks for; no Kafka is needed.")
    ] = False,
    handler: Annotated[list[str] | None, typer.Option(help="Only this one, by its name; may be given again.", show_default=False)] = None,
    settings: SettingsFile = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonFlag = False,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Call the pipeline's callbacks and webhooks with its decisions, until SIGTERM or Ctrl-C. A worker starts one by itself."""
    wanted = configured(settings, allow_unsigned=allow_unsigned or None, log_level=log_level)
    parent = os.environ.pop(PARENT_VARIABLE, None)
    if parent:
        end_with_parent(int(parent), signal.SIGTERM)
    if test and (once or from_):
        raise SettingsError("--test needs no topic: leave out --once and --from")
    if handler and not (test or from_):
        raise SettingsError("--handler goes with --test or --from: a group's offsets are those of all handlers together")
    log_to_stderr(wanted, f"{socket.gethostname()}-callbacks-{os.getpid()}")
    of = loaded(pipeline)
    identify(pipeline=of.name)
    handlers = chosen(of, handler or ())
    if not handlers:
        raise SettingsError(f"pipeline {of.name} declares no callbacks, webhooks or integrations")
    if test:
        _test(of, handlers, pipeline, wanted, json=json)
        return
    tell = _to_parent if parent else log_callbacks
    start = None if from_ is None else _bound(from_)
    with own_output():
        stood = serve_callbacks(of, handlers, pipeline, wanted, stop_on_signals(), tell, once=once, start=start)
    if json:
        print_json(stood)
    if (once or start is not None) and any(each["dead"] for each in stood.get("handlers", {}).values()):
        raise typer.Exit(1)


def _to_parent(fact: CallbackFact) -> None:
    """A line on standard output, which is a pipe to the worker."""
    log_callbacks(fact)
    assert sys.__stdout__ is not None
    sys.__stdout__.buffer.write(fact_line(fact))
    sys.__stdout__.buffer.flush()


def _bound(text: str) -> Any:
    """Where to begin. Raises `SettingsError`."""
    from stream_retrain.engines.kafka.range_text import parse_bounds

    return parse_bounds(text, None)[0]


def _test(of: Pipeline, handlers: list[NamedHandler], target: str, settings: Settings, *, json: bool) -> None:
    console, tried = Console(soft_wrap=True), []
    logging.getLogger("stream_retrain.callbacks").setLevel(logging.CRITICAL)  # what failed is printed
    for each in try_callbacks(of, handlers, target, settings):
        tried.append(each)
        if not json:
            console.print(plain(f"{'ok    ' if each.error is None else 'failed'} {each.handler}  {each.kind}  {each.seconds:.2f} s"))
            if each.error is not None:
                errors().print(plain(f"       {each.error}"))
    if json:
        print_json({"tried": [each._asdict() for each in tried], "failed": sum(each.error is not None for each in tried)})
    if any(each.error is not None for each in tried):
        raise typer.Exit(1)

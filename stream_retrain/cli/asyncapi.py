"""`stream-retrain asyncapi`: the topics of a pipeline as an AsyncAPI document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import stream_retrain
from stream_retrain.cli.output import PipelineArgument, SettingsFile, configured, loaded
from stream_retrain.lane.asyncapi import asyncapi_document
from stream_retrain.settings import Settings

__all__ = ["asyncapi"]


def asyncapi(
    pipeline: PipelineArgument,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write it there, and not to standard output.", show_default=False)
    ] = None,
    settings: SettingsFile = None,
) -> None:
    """Print an AsyncAPI 3.0 document (JSON) of source, requests and outputs, with the schema of each message."""
    document = asyncapi_document(loaded(pipeline), stream_retrain.__version__, _servers(configured(settings)))
    text = json.dumps(document, indent=2)
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n")


def _servers(settings: Settings) -> dict[str, dict[str, str]]:
    """Each bootstrap server by name."""
    secure = "SSL" in str(settings.kafka.get("security.protocol", "")).upper()
    protocol = "kafka-secure" if secure else "kafka"
    hosts = [host.strip() for host in settings.kafka_bootstrap_servers.split(",")]
    return {f"kafka{number or ''}": {"host": host, "protocol": protocol} for number, host in enumerate(hosts)}

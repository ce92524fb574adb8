"""`stream-retrain flights`: a stream to look at, until somebody stops it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from stream_retrain.cli.output import SettingsFile, configured, errors
from stream_retrain.cli.signals import stop_on_signals

__all__ = ["flights"]


def flights(
    topic: Annotated[str, typer.Option(help="The topic; made if it is missing, with a partition for each airport.")] = "flights.events",
    rate: Annotated[float, typer.Option(help="Flights a second.", min=0.1, max=10_000)] = 100.0,
    incident_every: Annotated[int, typer.Option(help="Flights until the incident begins, and again until it ends.", min=1)] = 30_000,
    settings: SettingsFile = None,
) -> None:
    """Publish the demo's flights over and over, with an incident now and then, until SIGTERM or Ctrl-C."""
    from stream_retrain.demo.endless import publish_endlessly

    wanted, stopped = configured(settings), stop_on_signals()
    errors().print(f"publishing {rate:g} flights a second to {topic}", markup=False, highlight=False)
    sent = publish_endlessly(wanted, topic=topic, rate_per_s=rate, incident_every=incident_every, now_s=time.time, stopped=stopped)
    typer.echo(f"{sent:,} flights published to {topic}")

"""`stream-retrain demo`: see the whole thing work, on real parts, in a minute or two."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from stream_retrain.cli.output import JsonFlag, errors, print_json
from stream_retrain.cli.screen import DemoScreen, sparkline

if TYPE_CHECKING:
    from stream_retrain.local.demo import DemoResult

__all__ = ["demo"]


def demo(
    events: Annotated[int, typer.Option(help="Flights to publish.", min=20_000, max=327_000)] = 100_000,
    keep: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep Kafka's and Valkey's data there, to look at the topics.")] = None,
    json: JsonFlag = False,
) -> None:
    """Real flights through a real Kafka: an injected incident, a drift, a reset, and proof that nothing was lost.

    Starts Kafka and Valkey itself, unless STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS and STREAM_RETRAIN_REDIS_URL name others.
    """
    from stream_retrain.local.demo import run_demo

    signal.signal(signal.SIGTERM, _interrupted)
    with DemoScreen(errors()) as screen:
        result = run_demo(events, screen, environment=dict(os.environ), keep=keep)
    if json:
        print_json(_as_json(result))
    else:
        _show(result, keep)
    if not result.sound:
        raise typer.Exit(1)


def _interrupted(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _as_json(result: DemoResult) -> dict[str, Any]:
    summary = result.summary
    return {
        "events": summary.events,
        "predictions": summary.predictions,
        "lost": summary.lost,
        "duplicated": summary.duplicated,
        "quality": round(summary.quality, 5),
        "quality_without_reaction": round(summary.quality_without_reaction, 5),
        "quality_after_incident": round(summary.quality_after_incident, 5),
        "quality_after_incident_without_reaction": round(summary.quality_after_incident_without_reaction, 5),
        "drifts": summary.drifts,
        "generations": summary.generations,
        "events_per_s": round(result.events_per_s),
        "seconds": round(result.seconds, 1),
        "metric": "accuracy",
        "places": result.places,
        "metric_samples": result.metric_samples,
    }


def _show(result: DemoResult, keep: Path | None) -> None:
    from stream_retrain.local.flights import INCIDENT

    summary, console = result.summary, Console(soft_wrap=True)
    console.print(f"\nWhat happened: {INCIDENT}", highlight=False)
    after, after_without = summary.quality_after_incident, summary.quality_after_incident_without_reaction
    table = Table("accuracy of the answers", "with the reaction", "the same model without", box=None, padding=(0, 3, 0, 0))
    table.add_row("over all events", f"{summary.quality:.4f}", f"{summary.quality_without_reaction:.4f}")
    table.add_row("after the incident", f"{after:.4f}", f"{after_without:.4f}", style="bold")
    console.print(table)
    curve = summary.curve
    known = [value for value in (*curve.with_reaction, *curve.without) if value == value]
    low, high = min(known), max(known)
    console.print(f"\n  {' ' * curve.incident_bin}▼ the incident begins", highlight=False)
    console.print(f"  {sparkline(curve.with_reaction, low, high)}  with the reaction", style="green", highlight=False)
    console.print(f"  {sparkline(curve.without, low, high)}  without (bars from {low:.2f} to {high:.2f})", style="red", highlight=False)
    console.print(
        f"\nevents {summary.events:,}   predictions {summary.predictions:,}   lost {summary.lost}   duplicated {summary.duplicated}"
        f"\ndrifts {summary.drifts}   generations {', '.join(map(str, summary.generations))} (one model for each airport)"
        f"\n{result.events_per_s:,.0f} events/s, {result.seconds:.0f} s in all;"
        f" {result.metric_samples} Prometheus samples were at {result.places['metrics']} while it ran",
        highlight=False,
    )
    topics = ", ".join(result.places[kind] for kind in ("source", "predictions", "decisions", "dead_letters"))
    console.print(f"topics: {topics}", highlight=False)
    if keep is not None:
        console.print(f"Look at them with `stream-retrain local up --keep {keep}`.", highlight=False)
    elif "STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS" in os.environ:
        console.print(f"They are at {result.places['kafka']}.", highlight=False)
    else:
        console.print("They went with the demo's Kafka; `stream-retrain demo --keep DIR` keeps them,", highlight=False)
        console.print("and `stream-retrain local up --keep DIR` opens them again.", highlight=False)

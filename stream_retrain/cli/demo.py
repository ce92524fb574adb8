"""`stream-retrain demo`: see the whole thing work, on real parts, in a minute or two."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from stream_retrain.cli.output import JsonFlag, errors, print_json
from stream_retrain.cli.screen import DemoScreen, sparkline
from stream_retrain.cli.signals import stop_on_signals

if TYPE_CHECKING:
    from stream_retrain.demo import DemoResult

__all__ = ["demo"]

_REPORT = "Write the report there (default: flights-report.html in this folder)."


def demo(
    events: Annotated[int, typer.Option(help="Flights to publish.", min=20_000, max=327_000)] = 100_000,
    report: Annotated[Path | None, typer.Option(metavar="FILE.html", help=_REPORT, show_default=False)] = None,
    keep: Annotated[Path | None, typer.Option(metavar="DIR", help="Keep Kafka's and Valkey's data there, to look at the topics.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="Keep the worker and its page until Ctrl-C.")] = False,
    json: JsonFlag = False,
) -> None:
    """Real flights through a real Kafka: an injected incident, a drift, a reset, proof that nothing was lost, and a report.

    Starts Kafka and Valkey itself, unless STREAM_RETRAIN_KAFKA_BOOTSTRAP_SERVERS and STREAM_RETRAIN_REDIS_URL name others.
    """
    from stream_retrain.demo import run_demo
    from stream_retrain.demo.backtested import place_for_report

    signal.signal(signal.SIGTERM, _interrupted)
    place = place_for_report(report)
    with DemoScreen(errors()) as screen:

        def finished(result: DemoResult) -> None:
            screen.stop()
            told = stop_on_signals() if hold else None  # before the result is told: whoever reads it may end the demo at once
            _tell(result, keep, place.why, json)
            if told is not None:
                _hold(result.places["page"], told)

        result = run_demo(events, screen, environment=dict(os.environ), report=place, keep=keep, finished=finished)
    if not result.sound:
        raise typer.Exit(1)


def _tell(result: DemoResult, keep: Path | None, why: str, json: bool) -> None:
    """What came of it; `why` there is no report, if there is none."""
    if json:
        print_json(_as_json(result))
    else:
        _show(result, keep)
    if result.report is None:
        errors().print(why, markup=False, highlight=False, soft_wrap=True)
    elif not json:
        Console(soft_wrap=True).print(f"\nThe report, a page to open in a browser: {result.report}", markup=False, highlight=False)


def _hold(page: str, told: Callable[[], bool]) -> None:
    """Until Ctrl-C or SIGTERM."""
    sys.stdout.flush()
    errors().print(f"The worker and its page stay until Ctrl-C: {page}", markup=False, highlight=False)
    while not told():
        time.sleep(0.1)


def _interrupted(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _as_json(result: DemoResult) -> dict[str, Any]:
    summary = result.summary
    return {
        "events": summary.events,
        "predictions": summary.predictions,
        "lost": summary.lost,
        "duplicated": summary.duplicated,
        "quality": round(summary.served.overall, 5),
        "quality_backtest": round(summary.backtested.overall, 5),
        "quality_without_reaction": round(summary.plain.overall, 5),
        "quality_recommended": round(summary.recommended.overall, 5),
        "quality_after_incident": round(summary.served.after_incident, 5),
        "quality_after_incident_without_reaction": round(summary.plain.after_incident, 5),
        "quality_after_incident_recommended": round(summary.recommended.after_incident, 5),
        "cpu_us_per_event": {"plain": round(summary.plain.cpu_us or 0, 1), "recommended": round(summary.recommended.cpu_us or 0, 1)},
        "drifts": summary.drifts,
        "generations": summary.generations,
        "events_per_s": round(result.events_per_s),
        "seconds": round(result.seconds, 1),
        "metric": "accuracy",
        "places": result.places,
        "metric_samples": result.metric_samples,
        "report": None if result.report is None else str(result.report),
    }


def _show(result: DemoResult, keep: Path | None) -> None:
    from stream_retrain.demo.flights import INCIDENT

    summary, console = result.summary, Console(soft_wrap=True)
    console.print(f"\nWhat happened: {INCIDENT}", highlight=False)
    shown = {"with the reaction": summary.served, "without": summary.plain, "recommended model": summary.recommended}
    table = Table("accuracy", *shown, box=None, padding=(0, 3, 0, 0))
    table.add_row("over all events", *(f"{quality.overall:.4f}" for quality in shown.values()))
    table.add_row("after the incident", *(f"{quality.after_incident:.4f}" for quality in shown.values()), style="bold")
    table.add_row("CPU an event", *("" if quality.cpu_us is None else f"{quality.cpu_us:.0f} us" for quality in shown.values()))
    console.print(table)
    known = [value for quality in shown.values() for value in quality.curve if value == value]
    low, high = min(known), max(known)
    console.print(f"\n  {' ' * summary.incident_bin}▼ the incident begins (bars from {low:.2f} to {high:.2f})", highlight=False)
    for (name, quality), style in zip(shown.items(), ("green", "red", "blue"), strict=True):
        console.print(f"  {sparkline(quality.curve, low, high)}  {name}", style=style, highlight=False)
    console.print(
        "The recommended model (stream_retrain.models.adaptive_classifier) adapts by itself, without a reaction."
        f"\nA backtest of the source topic by the code that ran live: {summary.backtested.overall:.4f} with the reaction, as live.",
        highlight=False,
    )
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

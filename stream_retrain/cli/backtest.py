"""`stream-retrain backtest`: what the quality would have been with other variants, over the same records."""

from __future__ import annotations

import dataclasses
import functools
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, errors, print_json
from stream_retrain.cli.streams import own_output
from stream_retrain.cli.tuning import show_tuning
from stream_retrain.errors import BacktestError, SettingsError
from stream_retrain.loading import Loaded, load_pipelines

if TYPE_CHECKING:
    from stream_retrain.backtesting.run import Options, Ran
    from stream_retrain.settings import Settings
    from stream_retrain.stores.start import Start

__all__ = ["backtest"]

INTERRUPTED: Final = 130
WIDE: Final = 1_000
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Source = Annotated[str, typer.Option(metavar="SRC", help="kafka://TOPIC?from=...&to=..., or a CSV, JSON lines or Parquet file.")]
_VARIANTS = "Also run this: a pipeline of the same module, or none, reset, challenge, adaptive (default: none and adaptive)."
Variants = Annotated[list[str] | None, typer.Option("--variant", metavar="NAME", help=_VARIANTS, show_default=False)]
Field = Annotated[str | None, typer.Option("--partition-by", metavar="FIELD", help="Cut a file into partitions by this field.")]
Partitions = Annotated[int, typer.Option(metavar="N", help="Into so many partitions.", min=1)]
_DELAYS = "Let labels come late: events=100, seconds=3600, field=NAME, exponential:mean_s=3600,seed=7, ..."
LabelDelay = Annotated[str | None, typer.Option("--label-delay", metavar="SPEC", help=_DELAYS)]
_JOINS = "Labelled events after which a challenger from the trainer joins."
JoinsAfter = Annotated[int, typer.Option("--joins-after-events", metavar="N", help=_JOINS, min=1)]
Report = Annotated[Path | None, typer.Option(metavar="FILE.html", help="Write a page with charts there.")]
Intervals = Annotated[Path | None, typer.Option(metavar="FILE", help="Write quality by interval there: .parquet or .jsonl.")]
Decisions = Annotated[Path | None, typer.Option(metavar="DIR", help="Write the decision log of each variant and partition there.")]
Processes = Annotated[int | None, typer.Option(metavar="N", help="Processes (default: one for each core).", min=1)]
Spool = Annotated[Path | None, typer.Option(metavar="DIR", help="Keep the records there meanwhile.")]
Grid = Annotated[Path | None, typer.Option(metavar="FILE", help="Try the settings of this grid, and compare the best with it as it is.")]
Cluster = Annotated[str | None, typer.Option(metavar="dask://HOST:PORT", help="Run on the workers of a dask scheduler.")]


def backtest(
    pipeline: PipelineArgument,
    source: Source,
    variants: Variants = None,
    partition_by: Field = None,
    partitions: Partitions = 1,
    label_delay: LabelDelay = None,
    grid: Grid = None,
    joins_after_events: JoinsAfter = 500,
    report: Report = None,
    intervals: Intervals = None,
    decisions: Decisions = None,
    processes: Processes = None,
    spool: Spool = None,
    cluster: Cluster = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Run variants of a pipeline over a range of a topic or a file, by the code that runs live, and compare them.

    With a grid, settings are ranked on a first part, and figures are of the rest. Interrupted, it shows what there is (exit code 130).
    """
    from stream_retrain.backtesting.open_source import open_source
    from stream_retrain.backtesting.run import Options
    from stream_retrain.engines.kafka.registry import registry_for

    _interruptible()
    wanted = configured(settings)
    with own_output():
        loaded = load_pipelines(pipeline)
        run, starts = _runner(loaded, variants, grid, wanted)
    _check(report, intervals)
    opened = open_source(source, loaded.pipeline, settings=wanted, partition_by=partition_by, partitions=partitions, labels=label_delay)
    options = Options(
        joins_after_events=joins_after_events,
        processes=processes,
        spool=spool,
        decisions=decisions,
        cluster=cluster,
        record_bytes_max=wanted.record_bytes_max,
        schemas=registry_for(loaded.pipeline, wanted),
        starts=starts,
        target=pipeline,
        command=shlex.join(["stream-retrain", *sys.argv[1:]]),
        signals=SIGNALS,
    )
    ran, unwritten = _run(run, opened, options, report, intervals)
    _answer(ran, unwritten, {"report": report, "intervals": intervals, "decisions": decisions}, json)


def _answer(ran: Ran, unwritten: Exception | None, files: dict[str, Path | None], json: bool) -> None:
    """Show what came of it, and end as it ended."""
    if json:
        print_json(dataclasses.asdict(ran.summary) | ({} if ran.tuning is None else {"tuning": dataclasses.asdict(ran.tuning)}))
    else:
        _show(ran, files if unwritten is None else {})
    if unwritten is not None:  # whatever was wrong before is found before the run; what it came to is not lost with a disk that is full now
        raise unwritten
    if ran.summary.partial:
        raise typer.Exit(INTERRUPTED)


def _interruptible() -> None:
    """SIGTERM and SIGHUP are as Ctrl-C, unless they are ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupted)


def _interrupted(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


def _check(report: Path | None, intervals: Path | None) -> None:
    """Whatever would keep a file from being written is found out before the run."""
    from stream_retrain.backtesting.files import check_intervals_path
    from stream_retrain.backtesting.report import check_report_path

    if report is not None:
        check_report_path(report)
    if intervals is not None:
        check_intervals_path(intervals)


def _runner(loaded: Loaded, variants: list[str] | None, grid: Path | None, wanted: Settings) -> tuple[Callable[..., Ran], dict[str, Start]]:
    """What is to be run, and the models that variants begin with; whatever is wrong with the variants or the grid is found out here."""
    from stream_retrain.backtesting.run import run_backtest
    from stream_retrain.backtesting.variants import choose
    from stream_retrain.stores.start import starts_of

    if grid is not None and variants:
        raise SettingsError("--grid makes variants of its own: leave --variant out")
    chosen = choose(loaded.pipelines, loaded.name, variants if grid is None else [])
    starts = starts_of([each.pipeline for each in chosen.variants], wanted)
    if grid is None:
        return functools.partial(run_backtest, chosen), starts
    from stream_retrain.backtesting.tuning.grid import load_grid
    from stream_retrain.backtesting.tuning.tuned import run_tuned

    return functools.partial(run_tuned, chosen.own, chosen.variants[0].name, load_grid(grid, chosen.own)), starts


def _run(
    run: Callable[..., Ran], opened: Any, options: Options, report: Path | None, intervals: Path | None
) -> tuple[Ran, BacktestError | None]:
    """Run it and write the files; what came of it, and why a file could not be written."""
    from stream_retrain.backtesting.files import write_intervals
    from stream_retrain.backtesting.progress import ProgressBar
    from stream_retrain.backtesting.report import write_report

    with own_output(), ProgressBar(errors()) as watching:
        ran = run(opened, options, watching)
    try:
        if intervals is not None:
            write_intervals(ran.curves, intervals)
        if report is not None:
            write_report(ran.summary, ran.curves, report)
    except (OSError, SettingsError) as error:
        told = f"{intervals}: it cannot be written: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        return ran, BacktestError(told)
    return ran, None


def _show(ran: Ran, written: dict[str, Path | None]) -> None:
    from stream_retrain.backtesting.figures import figures

    if ran.tuning is not None:
        show_tuning(ran.tuning, ran.summary.task)
    shown, console = figures(ran.summary), Console(soft_wrap=True)
    console.print(f"\n{shown.headline}", style="bold", markup=False, highlight=False)
    for sentence in shown.sentences:
        console.print(sentence, markup=False, highlight=False)
    table = Table(box=None, padding=(0, 1, 0, 0))
    for column, title in enumerate(shown.header):
        table.add_column(title, justify="left" if column in (0, 4) else "right", no_wrap=True)
    for index, row in enumerate(shown.rows):
        table.add_row(*row, style="dim" if index in shown.controls else None)
    console.print()
    # A line that wraps can still be read; a figure that is cut cannot.
    Console(width=WIDE).print(table)
    console.print()
    for line in shown.below:
        console.print(line, markup=False, highlight=False)
    for what, path in written.items():
        if path is not None:
            console.print(f"{what}: {path}", markup=False, highlight=False)

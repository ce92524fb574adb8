"""`stream-retrain verify`: replay a live run, and compare every decision with what its topic holds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from stream_retrain.cli.output import AllowUnsigned, JsonFlag, PipelineArgument, SettingsFile, configured, errors, loaded, print_json
from stream_retrain.cli.streams import own_output
from stream_retrain.compose import keyring_of, verify_pipeline
from stream_retrain.engines.replay.comparison import Difference
from stream_retrain.engines.replay.past import Bound, RunRange
from stream_retrain.engines.replay.report import PartitionReport, RunReport
from stream_retrain.engines.replay.run import Progress as ProgressTold
from stream_retrain.errors import SettingsError

__all__ = ["verify"]

EXIT_CODES: Final = {"equal": 0, "different": 1, "impossible": 3}
SAID: Final = {
    "equal": "equal: the replay came to everything that the topics hold",
    "different": "different",
    "impossible": "no difference was found, and not everything could be compared",
}


def verify(
    pipeline: PipelineArgument,
    from_: Annotated[
        str, typer.Option("--from", metavar="WHERE", help="First output: start, checkpoint, an offset, or the time of a record.")
    ] = "start",
    to: Annotated[str, typer.Option("--to", metavar="WHERE", help="Where to end: end, an offset, or the time of a record.")] = "end",
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Compare every prediction and dead letter, too, byte by byte.")
    ] = False,
    partition: Annotated[list[int] | None, typer.Option(help="This partition only; give it again for others.", show_default=False)] = None,
    checkpoint: Annotated[
        bool, typer.Option("--checkpoint", help="Begin with a stored checkpoint: quicker, and proves what came after it only.")
    ] = False,
    settings: SettingsFile = None,
    allow_unsigned: AllowUnsigned = False,
    json: JsonFlag = False,
) -> None:
    """Replay what a live run was given, and compare what it decided: 0 equal, 1 different, 2 usage, 3 not everything can be compared."""
    wanted = configured(settings, allow_unsigned=allow_unsigned or None)
    asked = RunRange(
        begin=_bound(from_, "--from", ("start", "checkpoint")),
        end=_bound(to, "--to", ("end",)),
        partitions=tuple(sorted(set(partition or ()))),
        predictions=predictions,
        from_checkpoint=checkpoint,
    )
    if asked.begin.kind == asked.end.kind and asked.begin.value >= asked.end.value:
        raise SettingsError(f"--from {from_} is not before --to {to}")
    asked_of, keyring = loaded(pipeline), keyring_of(wanted)
    with own_output(), _progress() as told:
        report = verify_pipeline(asked_of, wanted, keyring, asked, told)
    if json:
        print_json(_as_json(report))
    else:
        _show(report)
    raise typer.Exit(EXIT_CODES[report.verdict])


def _bound(text: str, option: str, words: tuple[str, ...]) -> Bound:
    """An end of the range. Raises `SettingsError`."""
    if text in words:
        return Bound(text)  # type: ignore[arg-type] # one of the words is a kind
    if text.isdecimal() and len(text) < 19:
        return Bound("offset", int(text))
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        known = ", ".join(words)
        raise SettingsError(f"{option} {text!r} is none of {known}, an offset, or a time such as 2026-01-31T12:00Z") from None
    return Bound("time", (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp())


@contextmanager
def _progress() -> Iterator[ProgressTold]:
    """What is told of progress: a bar for each partition, with the time that is left, where standard error is a terminal."""
    console = errors()
    if not console.is_terminal:
        yield lambda *_: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[int, Any] = {}

        def tell(partition: int, began: int, offset: int, last: int) -> None:
            if partition not in tasks:
                tasks[partition] = bars.add_task(f"partition {partition}")
            bars.update(tasks[partition], completed=offset - began, total=last - began)

        yield tell


def _as_json(report: RunReport) -> dict[str, Any]:
    tallies = [each.tally for each in report.partitions]
    first = [each for each in report.partitions if each.tally.first is not None][:1]
    return {
        "verdict": report.verdict,
        "pipeline": report.pipeline,
        "topic": report.topic,
        "group": report.group,
        "predictions": report.predictions,
        "records": sum(each.records for each in report.partitions),
        "inputs": sum(each.inputs for each in report.partitions),
        "compared": {kind: sum(tally.compared[kind] for tally in tallies) for kind in (tallies[0].compared if tallies else ())},
        **{name: sum(getattr(tally, name) for tally in tallies) for name in ("lost", "duplicated", "different", "stubs")},
        "first": _difference_json(report, first[0], first[0].tally.first) if first and first[0].tally.first else None,
        "impossible": [{"partition": each.partition, **why._asdict()} for each in report.partitions for why in each.impossible],
        "partitions": [_partition_json(report, each) for each in report.partitions],
        "seconds": round(report.seconds, 3),
    }


def _partition_json(report: RunReport, each: PartitionReport) -> dict[str, Any]:
    tally = dataclasses.asdict(each.tally) | {
        "first": None if each.tally.first is None else _difference_json(report, each, each.tally.first),
        "examples": [_difference_json(report, each, difference) for difference in each.tally.examples],
    }
    plain = {name: getattr(each, name) for name in ("partition", "from_offset", "to_offset", "began", "records", "inputs", "notes")}
    return plain | tally | {"impossible": [why._asdict() for why in each.impossible]}


def _difference_json(report: RunReport, where: PartitionReport, difference: Difference) -> dict[str, Any]:
    return {
        "kind": difference.kind,
        "topic": f"{report.pipeline}.{difference.identity.kind}",
        "partition": where.partition,
        "offset": difference.at,
        "output": difference.identity._asdict(),
        "detail": difference.detail,
        "fields": [each._asdict() for each in difference.fields],
    }


def _show(report: RunReport) -> None:
    console = Console(soft_wrap=True)
    table = Table("partition", "from", "to", "learned", "inputs", "compared", "lost", "duplicated", "different", box=None)
    for each in report.partitions:
        tally = each.tally
        numbers = (each.from_offset, each.to_offset, each.records, each.inputs, sum(tally.compared.values()))
        table.add_row(str(each.partition), *(f"{number:,}" for number in (*numbers, tally.lost, tally.duplicated, tally.different)))
    console.print(table)
    for each in report.partitions:
        where = f"partition {each.partition}"
        lines = [f"replayed {began}" for began in each.began] + list(each.notes)
        lines += [f"cannot be compared, offsets {why.from_offset:,} to {why.to_offset:,}: {why.reason}" for why in each.impossible]
        if (first := each.tally.first) is not None:
            lines.append(f"first difference, topic {report.pipeline}.{first.identity.kind}: {first.words}")
        for line in lines:
            console.print(f"{where}: {line}", markup=False, highlight=False)
    console.print(f"{report.pipeline}: {SAID[report.verdict]}", markup=False, highlight=False)

"""`stream-retrain repartition`: a topic by another key, in more partitions."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream_retrain.cli.output import JsonFlag, SettingsFile, configured, errors, print_json
from stream_retrain.cli.signals import stop_on_signals
from stream_retrain.errors import SettingsError

__all__ = ["repartition"]

MISSING: Final = ("dead-letters", "keep", "fail")
NOT_COMPLETE: Final = 1


Source = Annotated[str, typer.Argument(metavar="SOURCE", help="The topic to read.", show_default=False)]
Target = Annotated[str, typer.Argument(metavar="TARGET", help="The topic to write; made if it is missing.", show_default=False)]
By = Annotated[
    str, typer.Option("--by", metavar="FIELD", help="The new key: a field of the JSON value, as in customer.id; or key: the old one.")
]
Partitions = Annotated[int | None, typer.Option(help="Partitions of a target that is made (default: the source's).", min=1, max=100_000)]
Policy = Annotated[
    str, typer.Option(metavar="|".join(MISSING), help="A record without the new key: to TARGET.dead_letters; its old key; the end.")
]
After = Annotated[
    str | None, typer.Option(metavar="GROUP", help="Begin where this consumer group has committed, not with the first record.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Go on with what is published meanwhile, until SIGTERM or Ctrl-C.")]
Group = Annotated[str | None, typer.Option(help="The consumer group that remembers how far it has come.", show_default="of both topics")]


def repartition(
    source: Source,
    target: Target,
    by: By,
    partitions: Partitions = None,
    missing: Policy = "dead-letters",
    after: After = None,
    follow: Follow = False,
    group: Group = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Write a topic again by another key, into another number of partitions, exactly once; what was interrupted goes on."""
    from stream_retrain.engines.failpoints import arm_from
    from stream_retrain.engines.kafka.repartition import repartition as copy
    from stream_retrain.engines.kafka.repartition_topics import Rewriting
    from stream_retrain.engines.watchdog import Watchdog

    if missing not in MISSING:
        raise SettingsError(f"--missing {missing!r} is none of {', '.join(MISSING)}")
    wanted, policy = configured(settings), missing
    arm_from(os.environ)
    asked = Rewriting(
        source=source,
        target=target,
        by=by,
        partitions=partitions,
        missing=policy,  # type: ignore[arg-type] # it is one of them
        after=after,
        group=group,
        follow=follow,
    )
    stop = Watchdog(stop_on_signals(), loop_timeout_s=wanted.loop_timeout_s, shutdown_timeout_s=wanted.shutdown_timeout_s)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors(), disable=not errors().is_terminal) as progress:
        task = progress.add_task(f"{source} to {target}", total=None)
        copied = copy(asked, wanted, stop, lambda read, total: progress.update(task, completed=read, total=None if follow else total))
    if json:
        print_json({"source": source, "target": target, "by": by, **_as_json(copied)})
    else:
        _say(copied, source, target)
    if not (copied.complete or follow):
        errors().print("stopped before the end: start it again, and it goes on", markup=False)
        raise typer.Exit(NOT_COMPLETE)


def _as_json(copied: Any) -> dict[str, Any]:
    plain = dataclasses.asdict(copied)
    return plain | {"written_to": {str(each): count for each, count in sorted(copied.written_to.items())}}


def _say(copied: Any, source: str, target: str) -> None:
    again = ", going on where an earlier run ended" if copied.resumed else ""
    typer.echo(f"{copied.read:,} records of {source} read{again}; {copied.written:,} written to {target} ({copied.partitions} partitions)")
    for why, count in copied.missing.items():
        typer.echo(f"{count:,} without the new key ({why})")
    if copied.written and copied.partitions > 1:
        place, most = max(copied.written_to.items(), key=lambda item: (item[1], -item[0]))
        typer.echo(f"the largest share went to partition {place}: {most / copied.written:.0%}")

"""`stream-retrain publish`: a file to a topic."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream_retrain.cli.output import JsonFlag, SettingsFile, configured, errors, print_json

__all__ = ["publish"]


def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".csv, .jsonl or .ndjson, plain, .gz or .zst", show_default=False)],
    topic: Annotated[str, typer.Option(help="The topic; made if it is missing.")],
    key: Annotated[str | None, typer.Option(metavar="FIELD", help="The field that decides the partition.")] = None,
    partitions: Annotated[int, typer.Option(help="Partitions of a topic that is made.", min=1)] = 1,
    rate: Annotated[float | None, typer.Option(help="Events a second (default: as fast as Kafka takes them).", min=0.001)] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many events.", min=1)] = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Publish every row of a file to a topic, in order, as JSON."""
    from stream_retrain.engines.kafka.publish import publish_rows
    from stream_retrain.engines.replay.rows import count_rows, read_rows

    wanted = configured(settings)
    total = min(limit or count_rows(file), count_rows(file))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors(), disable=not errors().is_terminal) as progress:
        task = progress.add_task(f"publishing to {topic}", total=total)
        sent = publish_rows(
            read_rows(file, limit, key=key),
            wanted,
            topic=topic,
            key=key,
            partitions=partitions,
            rate_per_s=rate,
            on_sent=lambda count: progress.update(task, completed=count),
        )
    if json:
        print_json({"topic": topic, "published": sent})
    else:
        typer.echo(f"{sent:,} events published to {topic}")

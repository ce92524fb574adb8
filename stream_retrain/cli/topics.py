"""`stream-retrain topics`: make the topics of a pipeline, and look into one."""

from __future__ import annotations

import json as json_
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stream_retrain.cli.group_status import console_of_tables, table_of
from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, loaded, plain, print_json
from stream_retrain.cli.records import FromOption, PartitionOption, ToOption, headers_shown, short, text_of, time_shown, value_shown
from stream_retrain.errors import SettingsError
from stream_retrain.lane.dead_letter import read_letter
from stream_retrain.lane.step import DEAD_LETTERS, DECISIONS, OUTPUT_KINDS, PREDICTIONS

if TYPE_CHECKING:
    from stream_retrain.engines.kafka.peek import Peeked
    from stream_retrain.lane.batch import Record
    from stream_retrain.settings import Settings

__all__ = ["app"]

POLL_S: Final = 0.5
VALUE_CHARS: Final = 2_000
app = typer.Typer(help="The topics of a pipeline.", no_args_is_help=True)


@app.command("create")
def create(
    pipeline: PipelineArgument,
    partitions: Annotated[
        int | None, typer.Option(help="Partitions of the source, if it is made (1 by default).", min=1, max=100_000, show_default=False)
    ] = None,
    retention_ms: Annotated[
        int | None,
        typer.Option(help="Milliseconds the source keeps its records; -1: for ever (default: the broker's).", min=-1, show_default=False),
    ] = None,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Make the source and the outputs that are missing, and say how those that are there differ. A worker makes its outputs by itself."""
    import dataclasses

    from stream_retrain.engines.kafka.make_topics import make_topics

    wanted, of = configured(settings), loaded(pipeline)
    made = make_topics(wanted, of, partitions, retention_ms)
    if json:
        print_json({"pipeline": of.name, "topics": [dataclasses.asdict(each) for each in made]})
        return
    table = table_of("topic", "role", "state", "partitions", "kept", "differs")
    for each in made:
        kept = "?" if each.retention_ms is None else "for ever" if each.retention_ms < 0 else f"{each.retention_ms / 3_600_000:g} h"
        table.add_row(*map(plain, (each.topic, each.role, each.state, str(each.partitions), kept, "; ".join(each.differs))))
    console_of_tables().print(table)


@app.command("peek")
def peek(
    topic: Annotated[
        str, typer.Argument(metavar="TOPIC|PIPELINE", help="A topic; or a pipeline, with a file or a colon in it.", show_default=False)
    ],
    kind: Annotated[
        str | None, typer.Option(help="Of a pipeline: predictions (the default), decisions, dead_letters or source.", show_default=False)
    ] = None,
    number: Annotated[int, typer.Option("-n", "--number", help="So many records: the last ones, or with --from the first.", min=0)] = 10,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    settings: SettingsFile = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a record, and nothing else on standard output.")] = False,
) -> None:
    """Show committed records, decoded, one line each. No group is joined, nothing is committed."""
    from stream_retrain.engines.kafka.peek import peek_first, peek_last
    from stream_retrain.engines.kafka.range_text import parse_bounds

    wanted = configured(settings)
    name = _topic(topic, kind)
    start, end = parse_bounds(from_, to)
    if follow and end is not None:
        raise SettingsError("--follow goes on without an end: leave out --to, or --follow")
    chosen = tuple(sorted(set(partition or ())))
    ranged = start is not None or end is not None
    found = peek_first(wanted, name, number, start, end, chosen) if ranged else peek_last(wanted, name, number, chosen)
    for at, record in found.records:
        _print(at, record, name, json)
    if follow:
        _follow(wanted, name, found, json)


def _topic(given: str, kind: str | None) -> str:
    """The topic that is meant. Raises `SettingsError` and `PipelineError`."""
    if not given.endswith(".py") and ":" not in given:
        if kind is not None:
            raise SettingsError("--kind says which topic of a PIPELINE is meant: give a pipeline, or leave it out")
        return given
    of = loaded(given)
    if kind == "source":
        return of.source
    if kind not in (None, *OUTPUT_KINDS):
        raise SettingsError(f"--kind {kind!r} is none of {', '.join(OUTPUT_KINDS)} or source")
    return f"{of.name}.{kind or PREDICTIONS}"


def _follow(settings: Settings, topic: str, found: Peeked, json: bool) -> None:
    from stream_retrain.engines.kafka.follow import following

    with following(settings, topic, found.ends) as follower:
        while True:
            for at, record in follower.poll(POLL_S):
                _print(at, record, topic, json)


def _print(partition: int, record: Record, topic: str, json: bool) -> None:
    typer.echo(json_.dumps(_as_json(partition, record)) if json else plain(_line(partition, record, topic)).plain)


def _as_json(partition: int, record: Record) -> dict[str, Any]:
    return {
        "partition": partition,
        "offset": record.offset,
        "timestamp": time_shown(record.timestamp_ms),
        "key": value_shown(record.key),
        "value": _parsed(record.value),
        "headers": headers_shown(record.headers),
    }


def _parsed(value: bytes | None) -> Any:
    """JSON as it is, anything else as text or in base64."""
    try:
        return json_.loads(value or b"")
    except (ValueError, RecursionError):
        return value_shown(value)


def _line(partition: int, record: Record, topic: str) -> str:
    place = f"{partition}/{record.offset}  {time_shown(record.timestamp_ms) or '-'}  {short(text_of(record.key), 100)}"
    value = short(text_of(record.value), VALUE_CHARS)
    if topic.endswith(f".{DEAD_LETTERS}") and (letter := read_letter(record.headers or ())) is not None:
        field = f" {letter.field!r}" if letter.field else ""
        return f"{place}  {letter.reason}{field} at {letter.topic}/{letter.partition}/{letter.offset}: {letter.detail}  {value}"
    if topic.endswith(f".{DECISIONS}") and isinstance(event := _parsed(record.value), dict) and "type" in event:
        return f"{place}  {event['type']}  {short(json_.dumps(event.get('data')), VALUE_CHARS)}"
    return f"{place}  {value}"

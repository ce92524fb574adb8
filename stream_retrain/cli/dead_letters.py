"""`stream-retrain dead-letters`: what was refused, and, after a fix, back to the source."""

from __future__ import annotations

import collections
import typing
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stream_retrain.cli.group_status import console_of_tables, table_of
from stream_retrain.cli.output import JsonFlag, PipelineArgument, SettingsFile, configured, errors, loaded, plain, print_json
from stream_retrain.cli.records import FromOption, PartitionOption, ToOption, headers_shown, short, time_shown, value_shown
from stream_retrain.errors import SettingsError
from stream_retrain.facts.records import RejectReason

if TYPE_CHECKING:
    from stream_retrain.engines.kafka.letters import FoundLetter, Replayed, Selection
    from stream_retrain.engines.kafka.letters_replay import ReplayReport

__all__ = ["app"]

REASONS: Final = typing.get_args(RejectReason)
DETAIL_CHARS: Final = 100
FIELDS_MAX: Final = 50
app = typer.Typer(help="Records that were refused: see them, and send them back after a fix.", no_args_is_help=True)
ReasonOption = Annotated[str | None, typer.Option("--reason", help=f"Only those refused for it: {', '.join(REASONS)}.", show_default=False)]
FieldOption = Annotated[str | None, typer.Option("--field", help="Only those with this field at fault.", show_default=False)]


@app.command("list")
def list_(
    pipeline: PipelineArgument,
    reason: ReasonOption = None,
    field: FieldOption = None,
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    number: Annotated[int, typer.Option("-n", "--number", help="Show the last so many; all are counted.", min=0)] = 20,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Count dead letters by reason and field, and show the last ones. Nothing is committed."""
    from stream_retrain.engines.kafka.letters import letters_topic, read_letters, read_replayed

    wanted, of = configured(settings), loaded(pipeline)
    selection = _selection(reason, field, partition, from_, to)
    replayed = read_replayed(wanted, of.name)
    last: collections.deque[FoundLetter] = collections.deque(maxlen=number)
    by_reason: collections.Counter[str] = collections.Counter()
    by_field: collections.Counter[str] = collections.Counter()
    back = 0
    for found in read_letters(wanted, of.name, selection):
        last.append(found)
        by_reason[found.letter.reason] += 1
        by_field[found.letter.field] += bool(found.letter.field)
        back += found.at in replayed
    counted = {
        "pipeline": of.name,
        "topic": letters_topic(of.name),
        "letters": by_reason.total(),
        "replayed": back,
        "by_reason": dict(by_reason.most_common()),
        "by_field": dict((+by_field).most_common(FIELDS_MAX)),
    }
    if json:
        print_json({**counted, "shown": [_as_json(each, replayed) for each in last]})
    else:
        _show(counted, list(last), replayed)


@app.command("replay")
def replay(
    pipeline: PipelineArgument,
    reason: ReasonOption = None,
    field: FieldOption = None,
    partition: PartitionOption = None,
    from_: FromOption = None,
    to: ToOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing: say what would be sent.")] = False,
    settings: SettingsFile = None,
    json: JsonFlag = False,
) -> None:
    """Send dead letters back to where they came from, each once, however often this is run and wherever it is killed.

    They keep key, headers, partition and timestamp, and are marked by the headers sr_replayed and sr_replays. Mend what they were refused
    for first: one that is refused again is a dead letter again.
    """
    from stream_retrain.engines.kafka.letters_replay import replay_letters

    wanted, of = configured(settings), loaded(pipeline)
    selection = _selection(reason, field, partition, from_, to)
    report = replay_letters(wanted, of, selection, dry_run=dry_run, told=_tell_progress)
    if json:
        shown = [{"partition": each.partition, "offset": each.offset, "why": each.why} for each in report.examples]
        numbers = {name: getattr(report, name) for name in ("chosen", "before", "replayed", "not_replayable")}
        by_reason = dict(report.by_reason.most_common())
        told = {"pipeline": of.name, "source": of.source, "dry_run": dry_run}
        print_json({**told, **numbers, "by_reason": by_reason, "examples": shown})
    else:
        _show_report(report, " and ".join(filter(None, (of.source, of.labels.topic))), dry_run)


def _selection(reason: str | None, field: str | None, partition: list[int] | None, from_: str | None, to: str | None) -> Selection:
    """What the options choose. Raises `SettingsError`."""
    from stream_retrain.engines.kafka.letters import Selection
    from stream_retrain.engines.kafka.range_text import parse_bounds

    if reason is not None and reason not in REASONS:
        raise SettingsError(f"--reason {reason!r} is none of {', '.join(REASONS)}")
    start, end = parse_bounds(from_, to)
    return Selection(reason=reason, field=field, partitions=tuple(sorted(set(partition or ()))), start=start, end=end)


def _tell_progress(report: ReplayReport) -> None:
    if errors().is_terminal:
        errors().print(f"{report.replayed:,} of {report.chosen:,}", end="\r", markup=False)


def _as_json(found: FoundLetter, replayed: Replayed) -> dict[str, Any]:
    letter, record = found.letter, found.record
    return {
        "partition": found.partition,
        "offset": record.offset,
        "written_at": time_shown(record.timestamp_ms),
        "reason": letter.reason,
        "field": letter.field,
        "detail": letter.detail,
        "origin": {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset},
        "timestamp_ms": letter.timestamp_ms,
        "time_s": letter.time_s,
        "key": value_shown(record.key),
        "value": value_shown(record.value),
        "value_bytes": letter.value_bytes,
        "headers": headers_shown(letter.headers),
        "replays": letter.replays,
        "replayed": found.at in replayed,
    }


def _show(counted: dict[str, Any], last: list[FoundLetter], replayed: Replayed) -> None:
    console = console_of_tables()
    if last:
        table = table_of("letter", "refused at", "origin", "reason", "field", "detail", "bytes", "sent back")
        for found in last:
            letter = found.letter
            before = f"{letter.replays} before" if letter.replays else ""
            back = ", ".join(filter(None, ("yes" if found.at in replayed else "no", before)))
            place, origin = f"{found.partition}/{found.record.offset}", f"{letter.topic}/{letter.partition}/{letter.offset}"
            told = (place, time_shown(found.record.timestamp_ms) or "-", origin, letter.reason, letter.field)
            table.add_row(*map(plain, (*told, short(letter.detail, DETAIL_CHARS), str(letter.value_bytes), back)))
        console.print(table)
    for what in ("by_reason", "by_field"):
        if counted[what]:
            listed = ", ".join(f"{name} {count:,}" for name, count in counted[what].items())
            console.print(plain(f"{what.replace('_', ' ')}: {listed}"))
    console.print(plain(f"{counted['letters']:,} dead letters in {counted['topic']}, {counted['replayed']:,} of them were sent back"))


def _show_report(report: ReplayReport, topics: str, dry_run: bool) -> None:
    console = console_of_tables()
    for each in report.examples:
        console.print(plain(f"letter {each.partition}/{each.offset} cannot be sent back: {each.why}"))
    listed = ", ".join(f"{name} {count:,}" for name, count in report.by_reason.most_common())
    done = "would be sent" if dry_run else "were sent"
    console.print(
        plain(
            f"{report.replayed:,} dead letters {done} back to {topics}{f' ({listed})' if listed else ''};"
            f" {report.before:,} had been before, {report.not_replayable:,} cannot be"
        )
    )
